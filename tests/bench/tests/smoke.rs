//! The rows that need no other program work, at sizes that take no time. No figure is looked at.

use std::process::Command;

#[test]
fn rows_work_and_their_sums_are_equal() {
    for row in ["hop", "hop_latency", "fanout"] {
        let output = Command::new(env!("CARGO_BIN_EXE_bench")).args(["--tiny", row]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains(row), "{row}: {output:?}");
    }
}
