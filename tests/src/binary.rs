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

/// A folder of programs that are tested as they are: nothing is built then.
const PROGRAMS: &str = "LEELA_PROGRAMS";

/// The program of a package (`leela-udp`), built when this run asks for it first; or the one in the folder that
/// `$LEELA_PROGRAMS` names, such as that of an installed package.
///
/// # Panics
/// When it cannot be built.
pub fn binary(package: &str) -> PathBuf {
    if let Some(folder) = env::var_os(PROGRAMS) {
        return Path::new(&folder).join(package);
    }
    static BUILT: Mutex<Option<HashMap<String, PathBuf>>> = Mutex::new(None);
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    let built = built.get_or_insert_default();
    built.entry(package.to_owned()).or_insert_with(|| build(package)).clone()
}

/// The programs of packages as a feature of `mapped` makes them (`next-version`), kept in a folder of their own; the
/// usual ones lie where they lay.
///
/// # Panics
/// When they cannot be built.
pub fn built_with(feature: &str, packages: &[String]) -> Vec<PathBuf> {
    let Build { target, folder, .. } = Build::of_this_program();
    let kept = target.join("versions").join(feature);
    std::fs::create_dir_all(&kept).expect("the target folder is ours");
    let all: Vec<&str> = packages.iter().flat_map(|package| ["--package", package]).collect();
    // In the usual folder, so that other people's crates are not built again.
    let feature = format!("mapped/{feature}");
    cargo_build(&[&["--package", "mapped", "--features", &feature], &all[..]].concat());
    let keep = |package: &String| {
        let program = kept.join(package);
        std::fs::copy(folder.join(package), &program).expect("it was built");
        program
    };
    let programs = packages.iter().map(keep).collect();
    cargo_build(&all);
    programs
}

/// The target folder of the build that this program is of.
pub(crate) fn target_folder() -> PathBuf {
    Build::of_this_program().target
}

/// Where cargo put the running program.
struct Build {
    target: PathBuf,
    /// Named when the build was told for which machine it is: `--target <triple>`.
    triple: Option<String>,
    /// The folder of the profile, where the programs lie.
    folder: PathBuf,
}

impl Build {
    // <target>/<profile>/deps/<a test>, <target>/<profile>/<a program>; with a triple there is one folder more above the
    // profile. The target folder has no mark of its own to be known by: cargo puts its tag only into one that it made.
    fn of_this_program() -> Self {
        let this = env::current_exe().expect("a program knows its own path");
        let folder = this.parent().expect("programs lie in folders");
        let folder = match folder.ends_with("deps") {
            true => folder.parent().expect("deps lies in <target>/<profile>"),
            false => folder,
        };
        let above = folder.parent().expect("the profile's folder lies in the target folder");
        let name = above.file_name().unwrap_or_default().to_string_lossy();
        let is_triple =
            name.starts_with(&format!("{}-", env::consts::ARCH)) && name.matches('-').count() >= 2;
        let (target, triple) = match above.parent() {
            Some(target) if is_triple => (target, Some(name.into_owned())),
            _ => (above, None),
        };
        Self { target: target.to_owned(), triple, folder: folder.to_owned() }
    }
}

fn build(package: &str) -> PathBuf {
    cargo_build(&["--package", package]);
    Build::of_this_program().folder.join(package)
}

/// Builds programs with the profile and into the folder of this program.
fn cargo_build(arguments: &[&str]) {
    let Build { target, triple, folder } = Build::of_this_program();
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["build", "--quiet", "--bins", "--profile", profile]).args(arguments);
    if let Some(triple) = triple {
        command.arg("--target").arg(triple);
    }
    let status = command.arg("--target-dir").arg(target).current_dir(workspace()).status();
    let status = status.expect("cargo runs");
    assert!(status.success(), "cargo build {}: {status}", arguments.join(" "));
}
