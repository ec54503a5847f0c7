//! The machine: its processors, load, memory, disks and interfaces, as the kernel's files in /proc say.
//!
//! Source: proc(5); the kernel's Documentation/filesystems/proc.rst and Documentation/admin-guide/iostats.rst.

mod cpu;
mod disk;
mod network;

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use procfs_core::{
    ExplicitSystemInfo, FromBufRead, FromBufReadSI, FromRead, KernelStats, LoadAverage, Meminfo, ProcResult,
    Uptime,
};

use crate::config::Config;
use crate::counters::Area;
use crate::round::Round;
use cpu::Ticks;

/// The machine, with what has to be kept from round to round.
#[derive(Debug)]
pub(crate) struct Machine {
    proc: PathBuf,
    sys: PathBuf,
    ticks: Option<Ticks>,
    skip_mounts: Vec<String>,
    skip_devices: Vec<String>,
    skip_interfaces: Vec<String>,
}

impl Machine {
    /// Reads nothing yet; `proc` and `sys` are where those file systems are mounted.
    pub(crate) fn new(proc: &Path, sys: &Path, config: &Config) -> Machine {
        Machine {
            proc: proc.to_owned(),
            sys: sys.to_owned(),
            ticks: None,
            skip_mounts: config.skip_mounts.clone(),
            skip_devices: config.skip_devices.clone(),
            skip_interfaces: config.skip_interfaces.clone(),
        }
    }

    /// Reads all of it. What cannot be read is left out.
    pub(crate) fn read(&mut self, round: &mut Round<'_>) {
        if let Some(stats) = self.file(Area::Cpu, "stat", parse_stat, round) {
            self.cpu(&stats, round);
        }
        if let Some(load) = self.file(Area::Load, "loadavg", |text| LoadAverage::from_read(text), round) {
            // The kernel prints two decimals, which f32 blurs.
            let load_of = |value: f32| (f64::from(value) * 100.0).round() / 100.0;
            round.gauge("host.load.1m", None, load_of(load.one));
            round.gauge("host.load.5m", None, load_of(load.five));
            round.gauge("host.load.15m", None, load_of(load.fifteen));
            round.level("host.threads", None, u64::from(load.max));
        }
        if let Some(memory) = self.file(Area::Memory, "meminfo", |text| Meminfo::from_buf_read(text), round) {
            self::memory(&memory, round);
        }
        if let Some(uptime) = self.file(Area::Uptime, "uptime", |text| Uptime::from_read(text), round) {
            round.gauge("host.uptime", None, uptime.uptime);
        }
        self.mounts(round);
        self.devices(round);
        self.interfaces(round);
    }

    fn cpu(&mut self, stats: &KernelStats, round: &mut Round<'_>) {
        let ticks = Ticks::from(&stats.total);
        match self.ticks.map(|before| ticks.shares(before)) {
            Some(Some(shares)) => {
                for (name, share) in cpu::NAMES.into_iter().zip(shares) {
                    round.gauge(name, None, share);
                }
                self.ticks = Some(ticks);
            }
            // No tick passed since then: the next round has more.
            Some(None) => {}
            None => self.ticks = Some(ticks),
        }
        round.level("host.cpu.cores", None, stats.cpu_time.len() as u64);
        round.count("host.context_switches", None, stats.ctxt);
        round.count("host.processes.started", None, stats.processes);
        for (name, value) in
            [("host.processes.running", stats.procs_running), ("host.processes.blocked", stats.procs_blocked)]
        {
            if let Some(value) = value {
                round.level(name, None, u64::from(value));
            }
        }
    }

    fn mounts(&self, round: &mut Round<'_>) {
        let path = self.proc.join("self/mountinfo");
        let read = fs::read(&path);
        let Some(text) = round.read(Area::Mount, path.display(), read) else { return };
        let (mounts, bad) = disk::mounts(&text);
        for line in bad {
            round.unread(Area::Mount, path.display(), format_args!("{line:?}"));
        }
        for mount in mounts {
            let label = mount.to_string_lossy();
            if crate::skip::skips(&self.skip_mounts, &label) {
                continue;
            }
            // A single file that is mounted (a container's /etc/hosts) is no disk of its own.
            if !fs::metadata(&mount).is_ok_and(|found| !found.is_dir())
                && let Some(space) = round.read(Area::Mount, mount.display(), statvfs(&mount))
            {
                disk::space(&label, &space, round);
            }
        }
    }

    fn devices(&self, round: &mut Round<'_>) {
        let Some(text) = self.text(Area::Device, "diskstats", round) else { return };
        let block = self.sys.join("block");
        // Without /sys nobody can tell a partition from a disk.
        let tell = block.is_dir();
        for line in text.lines() {
            let read = procfs_core::DiskStat::from_line(line);
            let Some(stat) = round.read(Area::Device, self.proc.join("diskstats").display(), read) else {
                continue;
            };
            let is_whole = !tell || block.join(stat.name.replace('/', "!")).exists();
            if is_whole && !crate::skip::skips(&self.skip_devices, &stat.name) {
                disk::traffic(&stat, round);
            }
        }
    }

    fn interfaces(&self, round: &mut Round<'_>) {
        if let Some(devices) = self.file(Area::Network, "net/dev", network::parse, round) {
            for device in devices {
                if !crate::skip::skips(&self.skip_interfaces, &device.name) {
                    network::traffic(&device, round);
                }
            }
        }
    }

    fn file<T>(
        &self,
        area: Area,
        name: &str,
        parse: impl FnOnce(&[u8]) -> ProcResult<T>,
        round: &mut Round<'_>,
    ) -> Option<T> {
        let text = self.text(area, name, round)?;
        round.read(area, self.proc.join(name).display(), parse(text.as_bytes()))
    }

    fn text(&self, area: Area, name: &str, round: &mut Round<'_>) -> Option<String> {
        let path = self.proc.join(name);
        let read = fs::read(&path);
        let bytes = round.read(area, path.display(), read)?;
        // An interface may have any name.
        Some(
            String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into()),
        )
    }
}

fn parse_stat(text: &[u8]) -> ProcResult<KernelStats> {
    // Only the shares of ticks are used, whatever a tick is.
    let info = ExplicitSystemInfo {
        boot_time_secs: 0,
        ticks_per_second: 100,
        page_size: 4096,
        is_little_endian: true,
    };
    KernelStats::from_buf_read(text, &info)
}

/// All in bytes.
fn memory(memory: &Meminfo, round: &mut Round<'_>) {
    let Meminfo { mem_total, mem_free, mem_available, buffers, cached, swap_total, swap_free, .. } = *memory;
    // Kernels before 3.14 do not estimate it.
    let available = mem_available.unwrap_or(mem_free + buffers + cached);
    for (name, value) in [
        ("host.memory.total", mem_total),
        ("host.memory.used", mem_total.saturating_sub(available)),
        ("host.memory.available", available),
        ("host.memory.free", mem_free),
        ("host.memory.buffers", buffers),
        ("host.memory.cached", cached),
        ("host.swap.total", swap_total),
        ("host.swap.used", swap_total.saturating_sub(swap_free)),
        ("host.swap.free", swap_free),
    ] {
        round.level(name, None, value);
    }
}

#[cfg(test)]
mod tests;
