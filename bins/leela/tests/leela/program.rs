//! Programs made of scripts.

use std::path::Path;
use std::process::Command;

/// Makes a program out of a script of sh. Written by another process: a file that is open to write cannot be run, and what
/// this one has open is open in whatever another test starts just then.
pub(crate) fn program(path: &Path, script: &str) {
    let status = Command::new("sh")
        .args(["-c", "printf '%s\\n' \"$1\" > \"$0\" && chmod +x \"$0\""])
        .arg(path)
        .arg(format!("#!/bin/sh\n{script}"))
        .status();
    assert!(status.unwrap().success());
}
