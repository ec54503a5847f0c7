//! The store's disk is full, read-only, slow, and gives I/O errors: what is live and what can be read goes on, writing
//! resumes by itself, and the books say what was dropped. Full is a small tmpfs; the rest strace(1) injects into the
//! system calls of the real process.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use common::time::{SECOND_NS, Time};
use tests::wait_until;

use crate::Scale;
use crate::core::Core;
use crate::load::Pour;
use crate::row::Row;
use crate::stored::stored;
use crate::tmpfs::Tmpfs;

/// What the disk does, and which calls strace is told to change, how. All these reach the log and the sealed files.
const FAULTS: [(&str, &str); 3] = [
    ("read-only", "pwrite64,fdatasync,fsync,ftruncate,rename,renameat,renameat2,unlink,unlinkat:error=EROFS"),
    ("slow", "pwrite64,fdatasync,fsync:delay_enter=100000"),
    ("I/O errors", "pwrite64,fdatasync,fsync:error=EIO"),
];
/// Of events that are live nothing comes for so long only when something stands still.
const SILENT_MAX: Duration = Duration::from_secs(3);
const MIB: usize = 1 << 20;

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let lasts = Duration::from_millis(scale.pick(20_000, 1_500));
    // Four faults, and as long between them, in which it writes again.
    let pour = Pour { rate: scale.pick(50_000, 5_000), seconds: (lasts * 10).as_secs(), packed: 50 };
    let mut core = Core::new("");
    let state = core.sandbox.path().join("state/storage");
    let room = scale.pick(256, 48);
    let _tmpfs = Tmpfs::mount(&state, room)?;
    core.start("storage", "head_max = \"8MiB\"\nseal_after = \"5s\"\nmin_free = \"0B\"\n");
    core.start("udp", "");
    let begin = Time::now();
    let load = pour.as_long_as_it_takes().gauges(core.sandbox.listens("udp")[0], begin);
    let mut seen = Vec::new();
    let mut broken = Vec::new();
    let mut fault = |name: &str, begin_it: &mut dyn FnMut() -> anyhow::Result<Undo>| -> anyhow::Result<()> {
        let passed = || core.books("storage").counter("passed");
        let before = passed();
        wait_until("it is written", || passed() > before + 1_000);
        let (dropped, begun) = (core.books("storage").total("dropped"), Instant::now());
        let undo = begin_it()?;
        let (mut live, mut since) = (0, Instant::now());
        while begun.elapsed() < lasts {
            let now = core.recorder.look(|tally| tally.numbered);
            if now > live {
                (live, since) = (now, Instant::now());
            } else if since.elapsed() > SILENT_MAX {
                broken.push(format!("{name}: nothing live for {SILENT_MAX:?}"));
                since = Instant::now();
            }
            let from = begin.plus_ns(-SECOND_NS);
            let ask = format!("range key 12|load.k000000 {from} {} limit 1;", Time::now());
            let answered = core.sandbox.ask(&ask);
            if !answered.is_whole || answered.points.len() != 1 {
                broken.push(format!("{name}: a read gave {:?}", answered.status));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        undo.undo()?;
        let (during, ended) = (passed(), Instant::now());
        wait_until("writing resumes by itself", || passed() > during + 1_000);
        let dropped = core.books("storage").total("dropped") - dropped;
        seen.push(format!(
            "{name}: {dropped} dropped, written again after {:.1} s",
            ended.elapsed().as_secs_f64()
        ));
        Ok(())
    };
    let ballast = state.join("ballast");
    fault("full", &mut || {
        // All the room there is, and a little more.
        match fs::write(&ballast, vec![1; room as usize * MIB]) {
            Ok(()) => anyhow::bail!("the disk is not full"),
            Err(_) => Ok(Undo::Remove(ballast.clone())),
        }
    })?;
    let pid = core.process("storage").pid();
    for (name, inject) in FAULTS {
        fault(name, &mut || strace(pid, inject, core.sandbox.path()))?;
    }
    let sent = load.halt();
    core.settle(&[("udp", sent / pour.packed)]);
    let numbered = core.recorder.look(|tally| tally.numbered);
    let databus = core.sandbox.run().storage_databus();
    wait_until("storage has all there is for it", || {
        let peers = core.sandbox.peers("timeline");
        let kept = peers.into_iter().find(|(peer, _)| peer.path == databus);
        let books = core.books("storage");
        kept.is_some_and(|(peer, waiting)| waiting == 0 && books.counter("received") == peer.sent)
    });
    let udp = core.books("udp");
    let live = Row::new("disk, live", pour.says("gauges"))
        .sums(sent, numbered)
        .counted("kernel_drops", udp.counter("kernel_drops") * pour.packed)
        .counted("missing at the timeline", core.missing_of("udp"))
        .must(core.all_alive(), "one ended by itself");
    let mut kept = stored(&core, "disk, in the store", pour, begin, numbered);
    let storage = core.books("storage");
    for (reason, records) in storage.counters.iter().filter(|(name, _)| name.starts_with("dropped.")) {
        kept = kept.counted(reason, *records);
    }
    let kept = kept
        .must(broken.is_empty(), broken.join(", "))
        .must(core.is_balanced(), "leela status is not content");
    Ok(vec![live, kept.seen(seen.join("; "))])
}

/// What ends a fault.
enum Undo {
    Remove(std::path::PathBuf),
    End(Child),
}

impl Undo {
    fn undo(self) -> anyhow::Result<()> {
        match self {
            Undo::Remove(path) => fs::remove_file(path).context("making room"),
            Undo::End(mut child) => {
                // It lets go of the process before it ends.
                let pid = i32::try_from(child.id()).context("process ids fit an i32")?;
                nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGTERM)?;
                child.wait().context("waiting for strace")?;
                Ok(())
            }
        }
    }
}

/// Changes system calls of a process that runs; returns when that is so.
fn strace(pid: u32, inject: &str, directory: &Path) -> anyhow::Result<Undo> {
    let calls = inject.split(':').next().unwrap_or_default();
    let log = directory.join("strace.log");
    let mut child = Command::new("strace")
        .args(["-f", "-qq", "-o"])
        .arg(&log)
        .args(["-e", &format!("trace={calls}"), "-e", &format!("inject={inject}"), "-p", &pid.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("starting strace; as root: apt-get install strace")?;
    let is_traced = || {
        let tracer = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        tracer.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|pid| pid.trim() != "0"))
    };
    wait_until("strace has the process", || {
        is_traced() || child.try_wait().is_ok_and(|ended| ended.is_some())
    });
    anyhow::ensure!(is_traced(), "strace may not trace here");
    Ok(Undo::End(child))
}
