//! leela-udp or leela-statsd, and leela-timeline, as they are built for users; and who gets the events: one peer that
//! sums, or leela-dmproc with one client.

use std::ffi::OsStr;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use common::books::Snapshot;
use common::runtime_dir::RuntimeDir;
use sockets::inherited::bind_udp;
use sockets::ring::RingFile;
use tempfile::TempDir;
use tests::DEADLINE;

use crate::child::{Process, Receiving, scratch};
use crate::clock::cpu_of;
use crate::receiver::Report;
use crate::udp_load::Progress;

/// Events that one process may be behind another; a ring of 64 MiB holds more than a million.
const BEHIND_MAX: u64 = 250_000;
/// The windows of the timeline by default, and how long after their end it begins to give them out.
pub(crate) const INTERVAL: Duration = Duration::from_secs(10);
pub(crate) const WINDOW_LATE: Duration = Duration::from_secs(1);
/// A window is over, and all of it given out, within so long.
const WINDOW_MAX: Duration = Duration::from_secs(40);
/// Room for a million series of one input and of one first part of their names.
const LIMITS: &str = "series_per_input_max = 2000000\nseries_per_part_max = 2000000\n";

/// The processes of the core, running.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) address: SocketAddr,
    /// Which input.
    name: &'static str,
    input: Process,
    timeline: Process,
    dmproc: Option<Process>,
    /// The peer, or the client of dmproc.
    last: Receiving,
    run: RuntimeDir,
    _dir: TempDir,
}

/// What was seen at the end.
#[derive(Debug)]
pub(crate) struct Finished {
    /// Processor time of the input, the timeline and the peer (or client), since their starts.
    pub(crate) cpu: [Duration; 3],
    /// What the peer (or client) has.
    pub(crate) report: Report,
    /// Datagrams that the kernel dropped before the input.
    pub(crate) kernel_drops: u64,
}

impl Core {
    /// Starts them with a peer, which has further options.
    pub(crate) fn with_peer(receive_buffer_mib: usize, peer: &[&str]) -> anyhow::Result<Core> {
        Core::start("udp", receive_buffer_mib, |_, run| Ok((None, summing(run, peer)?)))
    }

    /// Starts leela-statsd in the place of leela-udp, with a peer that has patience for windows.
    pub(crate) fn statsd(receive_buffer_mib: usize, peer: &[&str]) -> anyhow::Result<Core> {
        let peer = [&["--patience", "60"], peer].concat();
        Core::start("statsd", receive_buffer_mib, |_, run| Ok((None, summing(run, &peer)?)))
    }

    /// Starts them with leela-dmproc and a client that gets every event; values are stamps.
    pub(crate) fn with_proc(receive_buffer_mib: usize) -> anyhow::Result<Core> {
        Core::start("udp", receive_buffer_mib, |dir, run| {
            let dmproc = Process::start("dmproc", dir, run, "client_buffer = \"16MiB\"\n", Vec::new())?;
            let socket = run.dmproc_proc();
            let words = ["--stamps", "--procs", "1", "--pattern", "^web", "--pipeline", "id", "--socket"];
            let arguments: Vec<&OsStr> = words.iter().map(OsStr::new).chain([socket.as_os_str()]).collect();
            Ok((Some(dmproc), Receiving::start("clients", &arguments)?))
        })
    }

    fn start(
        name: &'static str,
        receive_buffer_mib: usize,
        end: impl FnOnce(&TempDir, &RuntimeDir) -> anyhow::Result<(Option<Process>, Receiving)>,
    ) -> anyhow::Result<Core> {
        let (dir, run) = scratch()?;
        let sockets = bind_udp(SocketAddr::from(([127, 0, 0, 1], 0)), 1, receive_buffer_mib << 20)?;
        let address = sockets[0].local_addr()?;
        let timeline = Process::start("timeline", &dir, &run, LIMITS, Vec::new())?;
        let (dmproc, last) = end(&dir, &run)?;
        let config = format!("listen = [\"{address}\"]\nreceive_buffer = \"{receive_buffer_mib}MiB\"\n");
        let input = Process::start(name, &dir, &run, &config, sockets)?;
        let core = Core { address, name, input, timeline, dmproc, last, run, _dir: dir };
        core.books("timeline").wait("registrations", 1)?;
        Ok(core)
    }

    /// The books of a process.
    pub(crate) fn books(&self, process: &str) -> Progress {
        Progress::of(self.run.books(process))
    }

    /// Waits until the timeline is close behind `events`, and the peer behind the timeline: no ring overflows.
    pub(crate) fn keep_close(&self, events: u64) -> anyhow::Result<()> {
        self.books("timeline").wait("received", events.saturating_sub(BEHIND_MAX))?;
        self.wait_peer(BEHIND_MAX)
    }

    /// Waits until at most so many events wait for the peer.
    fn wait_peer(&self, waiting_max: u64) -> anyhow::Result<()> {
        let end = Instant::now() + DEADLINE;
        while self.waiting_for_peer()? > waiting_max {
            ensure!(Instant::now() < end, "the peer does not take what waits for it");
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(())
    }

    fn waiting_for_peer(&self) -> anyhow::Result<u64> {
        let ring = RingFile::read(&self.run.ring("timeline"))?.context("the timeline has a ring")?;
        let numbers = RingFile::numbers(&Snapshot::read(&self.run.books("timeline"))?.carried);
        Ok(ring.peers.iter().map(|peer| peer.waiting(&numbers)).sum())
    }

    /// Processor time so far of the input, the timeline and the peer.
    pub(crate) fn cpu(&self) -> anyhow::Result<[Duration; 3]> {
        Ok([self.input.cpu()?, self.timeline.cpu()?, cpu_of(self.last.pid())?])
    }

    /// The input and the timeline.
    pub(crate) fn pids(&self) -> [u32; 2] {
        [self.input.pid(), self.timeline.pid()]
    }

    /// Waits until `datagrams` have been read, the timeline has `records`, and all their windows have been given out.
    pub(crate) fn wait_windows(&self, datagrams: u64, records: u64) -> anyhow::Result<()> {
        self.books(self.name).wait("datagrams", datagrams)?;
        let timeline = self.books("timeline");
        timeline.wait("received", records)?;
        let end = Instant::now() + WINDOW_MAX;
        loop {
            let open = timeline.counter("aggregated_open")?;
            if open == 0 {
                return Ok(());
            }
            ensure!(Instant::now() < end, "{open} records are in windows that are not given out");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until `datagrams` have been read by the input and all that came of them has reached the peer; then
    /// stops everything.
    pub(crate) fn finish(mut self, datagrams: u64) -> anyhow::Result<Finished> {
        let (input, timeline) = (self.books(self.name), self.books("timeline"));
        let end = Instant::now() + DEADLINE;
        let kernel_drops = loop {
            let (drops, read) = (input.counter("kernel_drops")?, input.counter("datagrams")?);
            if read + drops >= datagrams {
                break drops;
            }
            ensure!(Instant::now() < end, "of {datagrams} datagrams {read} were read and {drops} dropped");
            std::thread::sleep(Duration::from_millis(10));
        };
        let events = input.counter("passed")?;
        timeline.wait("received", events)?;
        let mut report = match &self.dmproc {
            Some(_) => {
                self.last.ask_until(events.saturating_sub(self.books("dmproc").counter("deferred")?))?
            }
            None => Report::default(),
        };
        let cpu = self.cpu()?;
        if self.dmproc.is_none() {
            // When it stops it waits only so long for a peer that is behind.
            self.wait_peer(0)?;
        }
        self.input.stop()?;
        if let Some(dmproc) = self.dmproc {
            drop(self.last);
            dmproc.stop()?;
            self.timeline.stop()?;
        } else {
            // Its peer has everything when it has ended.
            self.timeline.stop()?;
            report = self.last.stop()?;
        }
        Ok(Finished { cpu, report, kernel_drops })
    }
}

/// A peer of the timeline that sums.
fn summing(run: &RuntimeDir, more: &[&str]) -> anyhow::Result<Receiving> {
    Receiving::sum(run, &run.peers().join("sum"), &[&["--register"], more].concat())
}
