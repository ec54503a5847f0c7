//! The rows at sizes that take no time. No figure is looked at.

use std::process::Command;

#[test]
fn rows_work_and_their_sums_are_equal() {
    // But for those with peers, which are not among what tests install, and those that wait for windows longer.
    for row in [
        "hop",
        "hop_latency",
        "fanout",
        "store_write",
        "store_rss",
        "store_read",
        "http_write",
        "http_read",
        "xmpp_latency",
        "statsd_packed",
        "statsd_single",
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_bench")).args(["--tiny", row]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains(row), "{row}: {output:?}");
    }
}
