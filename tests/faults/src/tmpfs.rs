//! A small file system of its own, taken away in the end.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context;

/// It is mounted as long as this lives.
pub(crate) struct Tmpfs(PathBuf);

impl Tmpfs {
    /// A tmpfs of so many MiB, for which one has to be root.
    pub(crate) fn mount(at: &Path, megabytes: u32) -> anyhow::Result<Tmpfs> {
        fs::create_dir_all(at).with_context(|| at.display().to_string())?;
        let size = format!("size={megabytes}m,mode=0750");
        let output = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        let output = output.context("running mount")?;
        anyhow::ensure!(
            output.status.success(),
            "no tmpfs could be mounted, for which one has to be root: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        Ok(Tmpfs(at.to_owned()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}
