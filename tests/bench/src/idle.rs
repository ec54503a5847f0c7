//! idle: what `leela up` costs while nothing comes in but the host's own numbers.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use common::runtime_dir::RuntimeDir;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tests::DEADLINE;

use crate::Scale;
use crate::child::{build, program, scratch};
use crate::clock::cpu_of;
use crate::figure::{Figure, Unit};
use crate::memory::pss_mib;
use crate::udp_load::Progress;

/// The processes of an instance.
const PROCESSES: [&str; 5] = ["udp", "collectd", "host", "timeline", "dmproc"];
/// They settle for so long before the measurement.
const SETTLE: Duration = Duration::from_secs(3);

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    build(&["leela", "leela-udp", "leela-collectd", "leela-host", "leela-timeline", "leela-dmproc"])?;
    let (dir, _run) = scratch()?;
    let mut up = Up::start(dir.path())?;
    let members = up.members(dir.path())?;
    std::thread::sleep(SETTLE);
    let span = scale.pick(Duration::from_secs(30), Duration::from_secs(1));
    let pids: Vec<u32> = members.iter().map(|(_, pid)| *pid).collect();
    let cpu = |pids: &[u32]| pids.iter().map(|pid| cpu_of(*pid)).sum::<anyhow::Result<Duration>>();
    let (before, begun) = (cpu(&pids)?, Instant::now());
    std::thread::sleep(span);
    let percent = (cpu(&pids)? - before).as_secs_f64() / begun.elapsed().as_secs_f64() * 100.0;
    let mut sizes = Vec::new();
    for (name, pid) in &members {
        sizes.push((name, pss_mib(*pid)?));
    }
    let memory = sizes.iter().map(|(_, mib)| mib).sum();
    let each: Vec<String> = sizes.iter().map(|(name, mib)| format!("{name} {mib:.1}")).collect();
    up.end()?;
    Ok(vec![
        Figure::new("idle, memory", Unit::Mebibytes, memory).bounds(40.0, 20.0).note(each.join(", ")),
        Figure::new("idle, cpu", Unit::Percent, percent)
            .bounds(1.0, 1.0)
            .note(format!("of a core, over {} s", span.as_secs())),
    ])
}

/// `leela up`, in a directory of its own.
struct Up(Child);

impl Up {
    fn start(dir: &std::path::Path) -> anyhow::Result<Up> {
        let mut command = Command::new(program("leela")?);
        command.arg("up").current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null());
        command.env_remove("LEELA_RUNTIME_DIR").env("LEELA_LOG", "warn");
        Ok(Up(command.spawn().context("starting leela up")?))
    }

    /// Every process of the instance with its id, `leela up` itself first.
    fn members(&self, dir: &std::path::Path) -> anyhow::Result<Vec<(&'static str, u32)>> {
        let run = dir.join(".leela/run");
        let end = Instant::now() + DEADLINE;
        let mut members = vec![("up", self.0.id())];
        for name in PROCESSES {
            let pid = loop {
                let found = RuntimeDir::at(&run).and_then(|run| Progress::of(run.books(name)).pid());
                match found {
                    Ok(pid) => break pid,
                    Err(error) => ensure!(Instant::now() < end, "leela-{name} does not come up: {error:#}"),
                }
                std::thread::sleep(Duration::from_millis(20));
            };
            members.push((name, pid));
        }
        Ok(members)
    }

    fn end(&mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.0.id() as i32), Signal::SIGINT)?;
        let status = self.0.wait()?;
        ensure!(status.success(), "leela up ended with {status}");
        Ok(())
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // It takes its processes with it; it may have ended already.
        let _ = kill(Pid::from_raw(self.0.id() as i32), Signal::SIGTERM);
        let _ = self.0.wait();
    }
}
