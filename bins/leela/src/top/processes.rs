//! Processes: what they take and give a second, by their books, and what they cost.

use std::collections::HashMap;
use std::fs;
use std::time::Instant;

use common::books::State;
use hop::account::{Process, Reading, Report};

use super::sheet::{Cell, Column, Sheet, Unit};
use crate::instance::Instance;

pub(super) const COLUMNS: &[Column] = &[
    Column { name: "in/s", unit: Unit::Count },
    Column { name: "out/s", unit: Unit::Count },
    Column { name: "refused/s", unit: Unit::Count },
    Column { name: "dropped/s", unit: Unit::Count },
    Column { name: "cpu%", unit: Unit::Count },
    Column { name: "pss", unit: Unit::Bytes },
    Column { name: "state", unit: Unit::Text },
    Column { name: "process", unit: Unit::Text },
];

/// What a process had done at a moment, in all.
#[derive(Clone, Copy, Debug, Default)]
struct Done {
    taken: u64,
    given: u64,
    refused: u64,
    dropped: u64,
    /// Of the process with this id: another one begins anew.
    pid: u64,
    cpu_ticks: Option<u64>,
}

/// The processes between two looks.
#[derive(Debug, Default)]
pub(super) struct Processes {
    before: HashMap<String, Done>,
    at: Option<Instant>,
}

impl Processes {
    /// Looks at the books.
    pub(super) fn sheet(&mut self, instance: &Instance, reading: &Reading, now: Instant) -> Sheet {
        let report = Report::of(&instance.runtime_dir, reading);
        let elapsed = self.at.map(|at| (now - at).as_secs_f64()).filter(|elapsed| *elapsed > 0.0);
        let mut done = HashMap::new();
        let mut rows = Vec::new();
        for process in &report.processes {
            let is = Done::of(process, &report);
            let before = self.before.get(&process.name);
            let rate = |of: fn(&Done) -> u64| {
                // Books that were begun anew have less than before.
                let more = of(&is).checked_sub(of(before?))?;
                Some(more as f64 / elapsed?)
            };
            let cpu = before.filter(|before| before.pid == is.pid).and_then(|before| {
                let ticks = is.cpu_ticks?.checked_sub(before.cpu_ticks?)?;
                Some(ticks as f64 / ticks_a_second()? / elapsed? * 100.0)
            });
            rows.push(vec![
                rate(|done| done.taken).into(),
                rate(|done| done.given).into(),
                rate(|done| done.refused).into(),
                rate(|done| done.dropped).into(),
                cpu.into(),
                pss(process).into(),
                process.state.word().into(),
                Cell::Text(process.name.clone()),
            ]);
            done.insert(process.name.clone(), is);
        }
        (self.before, self.at) = (done, Some(now));
        let running = report.processes.iter().filter(|process| process.state == State::Running).count();
        let balance = match report.balanced {
            true => "the books balance",
            false => "the books do not balance: see leela status",
        };
        let summary = format!("{running} of {} run; {balance}", report.processes.len());
        Sheet { summary, columns: COLUMNS, rows }
    }
}

impl Done {
    fn of(process: &Process, report: &Report) -> Done {
        let total = |names: &[&str]| names.iter().filter_map(|name| process.total(name)).sum::<u64>();
        let hops = || report.hops.iter().filter(|hop| hop.from == process.name);
        // What goes to several peers is given once.
        let given = match hops().map(|hop| hop.sent).max() {
            Some(sent) => sent,
            None => process.total("frames.delivered").or_else(|| process.total("passed")).unwrap_or(0),
        };
        Done {
            taken: process.total("received").or_else(|| process.total("datagrams")).unwrap_or(0),
            given,
            refused: total(&["refused"]),
            dropped: total(&["dropped", "kernel_drops", "frames.lost"])
                + hops().map(|hop| hop.dropped).sum::<u64>(),
            pid: process.pid,
            cpu_ticks: (process.state == State::Running).then(|| cpu_ticks(process.pid)).flatten(),
        }
    }
}

fn ticks_a_second() -> Option<f64> {
    nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok()?.map(|ticks| ticks as f64)
}

/// Processor time in the kernel's ticks. Source: proc_pid_stat(5), utime and stime.
fn cpu_ticks(pid: u64) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let field = |at: usize| fields.get(at)?.parse::<u64>().ok();
    Some(field(11)? + field(12)?)
}

/// Memory, its share of what is shared; of another user's process root alone is told.
fn pss(process: &Process) -> Option<f64> {
    if !matches!(process.state, State::Running | State::Stopped) {
        return None;
    }
    let rollup = fs::read_to_string(format!("/proc/{}/smaps_rollup", process.pid)).ok()?;
    let line = rollup.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.split_whitespace().next()?.parse::<f64>().ok().map(|kib| kib * 1024.0)
}
