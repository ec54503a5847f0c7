//! The programs under test, built once a run with the profile and into the folder of the test itself.

use std::collections::HashMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// The root of the sources.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace")
}

/// The program of a package (`leela-udp`), built when this run asks for it first.
///
/// # Panics
/// When it cannot be built.
pub fn binary(package: &str) -> PathBuf {
    static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    built.entry(package.to_owned()).or_insert_with(|| build(package)).clone()
}

fn build(package: &str) -> PathBuf {
    // <target>/<profile>/deps/<this test>, <target>/<profile>/<a program>; with a target triple there is one folder more
    // above the profile.
    let this = env::current_exe().expect("a test knows its own path");
    let folder = this.parent().expect("programs lie in folders");
    let folder = match folder.ends_with("deps") {
        true => folder.parent().expect("deps lies in <target>/<profile>"),
        false => folder,
    };
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let mut target = folder.parent().expect("the profile's folder lies in the target folder");
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "--package", package, "--bins", "--profile", profile]);
    if !target.join("CACHEDIR.TAG").exists()
        && let (Some(triple), Some(above)) = (target.file_name(), target.parent())
    {
        command.arg("--target").arg(triple);
        target = above;
    }
    let status = command.arg("--target-dir").arg(target).current_dir(workspace()).status();
    let status = status.expect("cargo runs");
    assert!(status.success(), "building {package}: {status}");
    folder.join(package)
}
