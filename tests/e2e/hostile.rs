//! Hostile input, a table for each process that takes any: it costs bounded time and memory, it is counted by name, and
//! who is honest is served meanwhile.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod databus;
mod datagrams;
mod proc_socket;
mod query_socket;
mod requests;

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tests::Process;

/// How long an honest client may wait for its answer while others do their worst: builds here are slow.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// Does what a hostile client does while an honest one asks again and again: each of its answers comes in time, and the
/// process takes no more than `growth_max` bytes of memory beyond what it had.
fn bounded(process: &Process, growth_max: u64, honest: impl Fn() + Sync, hostile: impl FnOnce()) {
    // What it takes for being used at all.
    (0..3).for_each(|_| honest());
    let before = peak(process, true);
    let is_over = AtomicBool::new(false);
    let slowest = std::thread::scope(|scope| {
        let neighbour = scope.spawn(|| {
            let mut slowest = Duration::ZERO;
            while !is_over.load(Relaxed) {
                let (begun, before) = (Instant::now(), Spent::of(process));
                honest();
                slowest = slowest.max(before.wait_of(begun.elapsed(), process));
            }
            slowest
        });
        // Also where it fails: else the neighbour goes on for ever.
        let over = Over(&is_over);
        hostile();
        drop(over);
        neighbour.join().expect("who is honest is served")
    });
    let growth = peak(process, false).saturating_sub(before);
    println!("slowest honest answer {slowest:?}, growth {} KiB", growth >> 10);
    assert!(slowest <= ANSWER_MAX, "an honest client waited {slowest:?}");
    assert!(growth <= growth_max, "it grew by {growth} bytes, at most {growth_max} are its");
}

/// What a process has had of the machine.
struct Spent {
    worked: Duration,
    /// Each of its threads was ready to run for so long, and others ran.
    queued: HashMap<OsString, Duration>,
}

impl Spent {
    fn of(process: &Process) -> Spent {
        // Source: proc_pid_stat(5), utime and stime; of threads that have ended, too.
        let stat = fs::read_to_string(format!("/proc/{}/stat", process.pid())).expect("it runs");
        let (_, fields) = stat.rsplit_once(") ").expect("its name is in brackets");
        let ticks: u64 =
            fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks")).sum();
        let tasks = fs::read_dir(format!("/proc/{}/task", process.pid())).expect("it runs");
        // Source: the kernel's sched-stats: time on a processor, time in the queue for one, in ns. A thread may just end.
        let queued = tasks.flatten().filter_map(|task| {
            let stat = fs::read_to_string(task.path().join("schedstat")).ok()?;
            let queued = stat.split(' ').nth(1)?.parse().ok()?;
            Some((task.file_name(), Duration::from_nanos(queued)))
        });
        Spent { worked: Duration::from_millis(ticks * 10), queued: queued.collect() }
    }

    /// How long a client waited for the process itself, of the time since then: while that worked, or did nothing. What
    /// other tests took of the machine is not its delay.
    fn wait_of(&self, elapsed: Duration, process: &Process) -> Duration {
        let now = Spent::of(process);
        let worked = now.worked.saturating_sub(self.worked);
        // Of the thread that others kept waiting for the longest: threads wait for one another as well.
        let waits = now.queued.iter().map(|(thread, queued)| {
            queued.saturating_sub(self.queued.get(thread).copied().unwrap_or_default())
        });
        let queued = waits.max().unwrap_or_default();
        elapsed.min(worked).max(elapsed.saturating_sub(queued))
    }
}

struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// The most memory a process has had, rings and books included, in bytes; or, where that is `begun`, what it has now.
fn peak(process: &Process, begun: bool) -> u64 {
    let of = |file: &str| format!("/proc/{}/{file}", process.pid());
    if begun {
        // Source: proc_pid_clear_refs(5).
        fs::write(of("clear_refs"), "5").expect("it is ours");
    }
    let status = fs::read_to_string(of("status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("kB") * 1024
}

const MIB: u64 = 1 << 20;

/// Texts that cost much where a regular expression is made of them without a limit.
fn regexes() -> Vec<String> {
    vec![
        "a{1000}".repeat(8),
        "((((a{100}){100}){100}){100})".to_owned(),
        "(".repeat(30_000),
        format!("{}a{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("{}a{}", "(?:".repeat(10_000), ")*".repeat(10_000)),
        r"\p{L}{500}".to_owned(),
        r"(?i)\w{300}\W{300}".to_owned(),
        "[a-z]*".repeat(5_000),
        "a|".repeat(15_000),
        format!("({})+$", "(x+x+)+".repeat(1_000)),
        "[[[[".repeat(7_000),
        r"\".to_owned(),
    ]
}
