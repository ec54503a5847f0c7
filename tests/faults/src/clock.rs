//! A wall clock for Leela's processes that a case sets: libfaketime's, read anew with every look. The monotonic clock
//! stays the system's.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;
use tests::Sandbox;

/// Where Debian has it, for either kind of machine.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1",
];

/// The clock.
pub(crate) struct Clock {
    file: PathBuf,
}

impl Clock {
    /// A clock for the processes that this sandbox starts from now on; it is right until it is set.
    pub(crate) fn of(sandbox: &mut Sandbox) -> anyhow::Result<Clock> {
        let library = LIBRARIES.iter().find(|path| Path::new(path).exists());
        let library = library.context("libfaketime is not there; as root: apt-get install libfaketime")?;
        let clock = Clock { file: sandbox.path().join("clock") };
        clock.set(0)?;
        let file = clock.file.display().to_string();
        for (name, value) in [
            ("LD_PRELOAD", *library),
            ("FAKETIME_TIMESTAMP_FILE", &file),
            ("FAKETIME_NO_CACHE", "1"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
            ("DONT_FAKE_MONOTONIC", "1"),
            ("NO_FAKE_STAT", "1"),
        ] {
            sandbox.set_environment(name, value);
        }
        Ok(clock)
    }

    /// It is so many seconds ahead from now on, or behind.
    pub(crate) fn set(&self, seconds: i64) -> anyhow::Result<()> {
        let new = self.file.with_extension("new");
        fs::write(&new, format!("{seconds:+}\n")).context("writing the clock's file")?;
        fs::rename(&new, &self.file).context("setting the clock")
    }
}
