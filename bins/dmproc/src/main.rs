//! leela-dmproc(8): events in, live queries answered.

use std::process::ExitCode;

use common::books::Books;
use common::process::{self, Process};
use hop::{Turns, allow_descriptors, without_sockets};
use leela_dmproc::config::Config;
use leela_dmproc::service::{Ends, Service};
use sockets::inherited::Inherited;

/// Sources whose numbers are kept apart: the timeline, over its instances.
const SOURCES: usize = 16;

fn main() -> ExitCode {
    process::main(|mut config: Config, places| {
        let (name, run) = (Config::NAME, &places.runtime_dir);
        let mut inherited = Inherited::take().map_err(without_sockets)?;
        let databus = inherited.databus(&run.dmproc_databus()).map_err(without_sockets)?;
        let listener = inherited.listener(&run.dmproc_proc()).map_err(without_sockets)?;
        inherited.finish().map_err(without_sockets)?;
        let mut turns = Turns::new(process::stop_signal()?)?;
        let books = Books::open(&run.books(name), name, SOURCES)?;
        config.connections_max = allow_descriptors(config.connections_max)?;
        let ends = Ends { databus, listener, producer: run.timeline_multicast(), queries: run.queries() };
        let service = Service::open(&config, ends, books, turns.registry())?;
        process::ready();
        service.serve(&mut turns)
    })
}
