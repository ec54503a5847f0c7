//! Books and rings as processes leave them, without the processes.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::books::{Books, Refusal, Slots};
use common::wire::{Content, Header};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use sockets::peer::Wants;
use sockets::ring::{BYTES_MIN, CARRIED_WORDS, Ring};

use crate::sandbox::Sandbox;

common::counters! {
    /// What an input counts, in short.
    pub(crate) struct Input {
        /// Found.
        received: u64,
        /// Understood.
        accepted: u64,
        /// Handed on.
        passed: u64,
        /// Not understood.
        refused: common::books::Family<common::text::Reason>,
        /// In front of the socket.
        kernel_drops: u64,
    }
}

common::counters! {
    /// What a receiver counts, in short.
    pub(crate) struct Receiver {
        /// Applied.
        received: u64,
        /// Not refused.
        accepted: u64,
        /// Made into events.
        passed: u64,
    }
}

/// The books of a process, open.
pub(crate) fn books<C: Slots + Default>(sandbox: &Sandbox, process: &str) -> Books<C> {
    Books::open(&sandbox.run.books(process), process, 8).unwrap()
}

/// A sender of metrics, whose ring has one peer.
pub(crate) struct Sender {
    pub(crate) books: Books<Input>,
    pub(crate) ring: Ring,
    pub(crate) place: usize,
}

impl Sender {
    /// leela-udp, its peer at `to` in the runtime directory.
    pub(crate) fn udp(sandbox: &Sandbox, to: &str) -> Sender {
        let books = books::<Input>(sandbox, "udp");
        let mut ring =
            Ring::open(&sandbox.run.ring("udp"), BYTES_MIN, books.source(), &books.carried()).unwrap();
        let wants = Wants { contents: 1 << Content::Metrics as u8, text: false, durable: false, fixed: true };
        let place = ring.join(&sandbox.run.path().join(to), wants).unwrap();
        Sender { books, ring, place }
    }

    /// Commits a datagram of so many metrics.
    pub(crate) fn commit(&mut self, metrics: u32) {
        self.ring.append(Content::Metrics as u8, metrics, b"a datagram");
        let counters = &mut self.books.counters;
        counters.received += u64::from(metrics);
        counters.accepted += u64::from(metrics);
        counters.passed += u64::from(metrics);
        let carried = self.ring.seal();
        self.books.commit(carried);
    }

    /// The kernel takes the next datagram, or it is given up.
    pub(crate) fn next(&mut self, taken: bool) {
        let entry = self.ring.next_entry(self.place).unwrap();
        match taken {
            true => self.ring.sent(self.place, &entry),
            false => self.ring.dropped(self.place, &entry),
        }
    }

    /// Keeps a refused input.
    pub(crate) fn refuse(&mut self, refusal: &Refusal<'_>) {
        let reason =
            common::text::Reason::ALL.into_iter().find(|reason| reason.name() == refusal.reason).unwrap();
        self.books.counters.received += 1;
        self.books.counters.refused.add(reason);
        self.books.refuse(refusal);
        self.books.commit_carried();
    }
}

/// Lets a receiver apply `count` records of `source` from number `first` on.
pub(crate) fn apply(books: &mut Books<Receiver>, source: u64, first: u64, count: u32) {
    let header = Header { content: Content::Metrics, count, source, first };
    let _ = books.admit(&header);
    let counters = &mut books.counters;
    counters.received += u64::from(count);
    counters.accepted += u64::from(count);
    counters.passed += u64::from(count);
    books.commit([0; CARRIED_WORDS]);
}

/// A process that does nothing.
pub(crate) struct Sleeper(Child);

impl Sleeper {
    pub(crate) fn new() -> Sleeper {
        Sleeper(Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap())
    }

    /// Stops it by a signal, and waits until it is.
    pub(crate) fn stopped() -> Sleeper {
        let sleeper = Sleeper::new();
        let pid = Pid::from_raw(sleeper.0.id().cast_signed());
        kill(pid, Signal::SIGSTOP).unwrap();
        waitpid(pid, Some(WaitPidFlag::WUNTRACED)).unwrap();
        sleeper
    }

    /// Makes it the process that keeps these books.
    pub(crate) fn keeps(&self, books: &Path) {
        let pid = self.0.id();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let start = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
        owner(books, u64::from(pid), start);
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Makes the books those of a process that is no more.
pub(crate) fn dead(books: &Path) {
    owner(books, u64::from(u32::MAX), 1);
}

/// The third and the fourth word are pid and start.
fn owner(books: &Path, pid: u64, start: u64) {
    let file = OpenOptions::new().write(true).open(books).unwrap();
    file.write_all_at(&pid.to_ne_bytes(), 2 * 8).unwrap();
    file.write_all_at(&start.to_ne_bytes(), 3 * 8).unwrap();
}
