//! The fuzzer's corpus and every past crash, run through their checks again.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use tests::checks;

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The files of a directory, in the order of their names; none where it is not there.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut files: Vec<PathBuf> =
        entries.map(|entry| entry.expect("the directory can be read").path()).collect();
    files.sort();
    files
}

/// The names in a directory, without their extension.
fn names(directory: &Path) -> BTreeSet<String> {
    files(directory)
        .iter()
        .map(|file| file.file_stem().and_then(OsStr::to_str).expect("names here are text").to_owned())
        .collect()
}

#[test]
fn every_corpus_and_every_past_crash_keeps_the_promises() {
    let mut broken = Vec::new();
    for (name, check) in checks::ALL {
        for area in ["corpus", "crashes"] {
            for file in files(&fuzz().join(area).join(name)) {
                let bytes = fs::read(&file).unwrap();
                if catch_unwind(|| check(&bytes)).is_err() {
                    broken.push(file);
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_check_has_a_corpus_and_nothing_else_has() {
    let checks: BTreeSet<String> = checks::ALL.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(checks.len(), checks::ALL.len(), "a name is there twice");
    assert_eq!(names(&fuzz().join("corpus")), checks, "corpus");
    assert!(names(&fuzz().join("crashes")).is_subset(&checks), "crashes of a check that is not there");
    for name in &checks {
        assert!(!files(&fuzz().join("corpus").join(name)).is_empty(), "the corpus of {name} is empty");
    }
}

#[test]
fn every_check_takes_the_corpora_of_all_others() {
    // Bytes that are nearly something else's are where a reader is surprised.
    let mut broken = Vec::new();
    for (corpus, _) in checks::ALL {
        for file in files(&fuzz().join("corpus").join(corpus)).into_iter().step_by(7) {
            let bytes = fs::read(&file).unwrap();
            for (name, check) in checks::ALL {
                if catch_unwind(|| check(&bytes)).is_err() {
                    broken.push((name, file.clone()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}
