//! The cases in seconds instead of minutes: that they work, and that their sums hold.

use std::process::Command;

#[test]
fn short_cases_hold() {
    // A file system is mounted, and a process traced.
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: disk, for which one has to be root");
    }
    for case in ["kill9", "neighbours", "disk", "clock", "conserve", "explosion", "soak"] {
        if case == "disk" && !is_root {
            continue;
        }
        let output = Command::new(env!("CARGO_BIN_EXE_faults")).args(["--short", case]).output().unwrap();
        assert!(output.status.success(), "{case}: {output:?}");
    }
}
