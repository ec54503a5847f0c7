//! The rows at sizes that take no time. No figure is looked at.

use std::process::Command;

#[test]
fn rows_work_and_their_sums_are_equal() {
    // Those of peers are skipped where they are not installed.
    for row in [
        "hop",
        "hop_latency",
        "fanout",
        "store_write",
        "store_rss",
        "store_read",
        "store_peers",
        "http_write",
        "http_read",
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_bench")).args(["--tiny", row]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains(row), "{row}: {output:?}");
    }
}
