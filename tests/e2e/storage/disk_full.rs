//! The disk is full while events come: live goes on, the books name what is lost, and writing resumes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::time::Time;
use tests::{Databus, Sandbox, alone, wait_until};

use super::{ALWAYS, which};

/// A small file system of its own, taken away in the end.
struct Tmpfs(PathBuf);

impl Tmpfs {
    /// None where this user may not mount.
    fn mount(at: &Path, megabytes: u32) -> Option<Tmpfs> {
        fs::create_dir_all(at).unwrap();
        let size = format!("size={megabytes}m,mode=0750");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Tmpfs(at.to_owned())),
            refused => {
                assert!(!nix::unistd::geteuid().is_root() || std::env::var_os("CI").is_none(), "{refused:?}");
                eprintln!("SKIPPED: this user may not mount a tmpfs");
                None
            }
        }
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

/// Runs storage on a small disk until it takes no more, with `config`, and lets it have room again.
fn fill(config: &str, lost: &str) {
    let _machine = alone();
    let mut sandbox = Sandbox::new();
    let state = sandbox.path().join("state/storage");
    let Some(_tmpfs) = Tmpfs::mount(&state, 24) else { return };
    let _timeline = sandbox.start_timeline("");
    let storage = sandbox.start_held("storage", config);
    sandbox.wait_peer(&sandbox.run().storage_databus());
    let live = sandbox.recorder("live");
    // Room for a little of it.
    let ballast = state.join("ballast");
    fs::write(&ballast, vec![1; 16 << 20]).unwrap();
    let begin = Time::now().plus_ns(-3_600_000_000_000);
    let records = 6_000_000;
    let load = Databus { rate: 100_000, records, packed: 500 };
    let load = load.start_spaced(&sandbox.run().timeline_databus(), begin);
    let books = || sandbox.books("storage");
    let dropped = format!("dropped.{lost}");
    wait_until("the disk is full", || books().counter(&dropped) > 100_000);
    storage.wait_log("is written");
    // Reads go on, live goes on.
    assert!(sandbox.ask(&format!("range {} {ALWAYS} limit 1;", which("match", "^load"))).is_whole);
    let seen = live.look(|tally| tally.numbered);
    wait_until("live goes on", || live.look(|tally| tally.numbered) > seen + 100_000);
    let passed = books().counter("passed");
    fs::remove_file(&ballast).unwrap();
    wait_until("writing resumes", || books().counter("passed") > passed + 100_000);
    let again = storage.wait_log("dropped=");
    assert!(again.contains("writing again"), "{again}");
    let sent = load.halt();
    wait_until("all is accounted for", || {
        let books = books();
        books.counter("received") == sent && live.look(|tally| tally.numbered) == sent
    });
    let books = books();
    assert_eq!(books.counter("passed") + books.total("dropped"), sent);
    let answered = sandbox.ask(&format!("range {} {ALWAYS};", which("match", "^load")));
    assert!(answered.is_whole, "{}", answered.status);
    let mut numbers: Vec<u64> = answered.points.iter().map(|(_, _, value)| *value as u64).collect();
    numbers.sort_unstable();
    numbers.dedup();
    eprintln!("sent {sent}, passed {}, {dropped} {}", books.counter("passed"), books.counter(&dropped));
    assert_eq!(numbers.len() as u64, books.counter("passed"), "what passed can be read");
    let status = sandbox.leela(&["status"]);
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    assert!(storage.terminate().success());
}

#[test]
fn the_log_takes_no_more() {
    fill("min_free = \"0B\"\nhead_max = \"1MiB\"\nmemory_max = \"64MiB\"\n", "disk_full");
}

#[test]
fn there_is_less_than_min_free() {
    fill("min_free = \"6MiB\"\nhead_max = \"1MiB\"\nmemory_max = \"64MiB\"\n", "min_free");
}
