//! leela-udp and leela-timeline as they are built for users, and one peer that sums.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use common::books::Snapshot;
use common::runtime_dir::RuntimeDir;
use sockets::inherited::bind_udp;
use sockets::ring::RingFile;
use tempfile::TempDir;

use crate::child::{Process, Receiving, scratch};
use crate::clock::cpu_of;
use crate::receiver::Report;
use crate::udp_load::Progress;

/// Events that one process may be behind another; a ring of 64 MiB holds more than a million.
const BEHIND_MAX: u64 = 250_000;

/// The processes of the core, running.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) address: SocketAddr,
    pub(crate) udp: Process,
    pub(crate) timeline: Process,
    pub(crate) peer: Receiving,
    run: RuntimeDir,
    _dir: TempDir,
}

impl Core {
    /// Starts them; `peer` are the peer's further options.
    pub(crate) fn start(receive_buffer_mib: usize, peer: &[&str]) -> anyhow::Result<Core> {
        let (dir, run) = scratch()?;
        let sockets = bind_udp(SocketAddr::from(([127, 0, 0, 1], 0)), 1, receive_buffer_mib << 20)?;
        let address = sockets[0].local_addr()?;
        let timeline = Process::start("timeline", &dir, &run, "", Vec::new())?;
        let peer = Receiving::sum(&run, &run.peers().join("sum"), &[&["--register"], peer].concat())?;
        let config = format!("listen = [\"{address}\"]\nreceive_buffer = \"{receive_buffer_mib}MiB\"\n");
        let udp = Process::start("udp", &dir, &run, &config, sockets)?;
        let core = Core { address, udp, timeline, peer, run, _dir: dir };
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
        let end = Instant::now() + Duration::from_secs(10);
        while self.waiting_for_peer()? > BEHIND_MAX {
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

    /// Processor time so far of udp, timeline and the peer.
    pub(crate) fn cpu(&self) -> anyhow::Result<[Duration; 3]> {
        Ok([self.udp.cpu()?, self.timeline.cpu()?, cpu_of(self.peer.pid())?])
    }

    /// Waits until `datagrams` have been read by leela-udp and all that came of them has reached the peer; then
    /// stops everything. Gives the processor time of the three, and what the peer has.
    pub(crate) fn finish(self, datagrams: u64) -> anyhow::Result<([Duration; 3], Report, u64)> {
        let (udp, timeline) = (self.books("udp"), self.books("timeline"));
        let mut drops = udp.counter("kernel_drops")?;
        while udp.counter("datagrams")? + drops < datagrams {
            std::thread::sleep(Duration::from_millis(10));
            drops = udp.counter("kernel_drops")?;
        }
        timeline.wait("received", udp.counter("passed")?)?;
        let cpu = self.cpu()?;
        self.udp.stop()?;
        // It drains: its peer has everything when it has ended.
        self.timeline.stop()?;
        let report = self.peer.stop()?;
        Ok((cpu, report, drops))
    }
}
