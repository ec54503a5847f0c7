//! leela-timeline(8): metrics in, events out.

use std::process::ExitCode;

use anyhow::Context as _;
use common::books::Books;
use common::exit::Exit;
use common::process::{self, Process};
use hop::{Output, Turns, without_sockets};
use leela_timeline::config::Config;
use leela_timeline::service::{Ends, OUTPUT, Service};
use leela_timeline::snapshot;
use leela_timeline::timeline::Timeline;
use sockets::inherited::Inherited;

/// Sources whose numbers are kept apart: inputs, over their instances.
const SOURCES: usize = 64;

fn main() -> ExitCode {
    process::main(|config: Config, places| {
        let (name, run) = (Config::NAME, &places.runtime_dir);
        places.state_dir.prepare()?;
        let mut inherited = Inherited::take().map_err(without_sockets)?;
        let databus = inherited.databus(&run.timeline_databus()).map_err(without_sockets)?;
        let multicast = inherited.databus(&run.timeline_multicast()).map_err(without_sockets)?;
        inherited.finish().map_err(without_sockets)?;
        let mut turns = Turns::new(process::stop_signal()?)?;
        let state = places.state_dir.file("timeline.state");
        for path in [&state, &run.books_dir().join(snapshot::WINDOWS_FILE)] {
            snapshot::check(path).with_context(|| format!("taking up {}", path.display()))?;
        }
        let books = Books::open(&run.books(name), name, SOURCES)?;
        let output = Output::open(run, name, config.ring, &books, turns.registry(), OUTPUT)?;
        let host = nix::unistd::gethostname()?;
        let rules = config.rules(&host.to_string_lossy()).map_err(|wrong| Exit::Config.error(wrong))?;
        let timeline = Timeline::new(rules);
        let ends = Ends { databus, multicast, directory: run.path().to_owned(), state };
        let drain_timeout = config.drain_timeout.duration();
        let service = Service::open(timeline, ends, books, output, turns.registry(), drain_timeout)?;
        process::ready();
        service.serve(&mut turns)
    })
}
