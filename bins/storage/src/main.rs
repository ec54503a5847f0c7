//! leela-storage(8): events, states and notes kept, and read back by name, pattern and tag.

use std::process::ExitCode;

use common::books::Books;
use common::process::{self, Process};
use hop::{Turns, without_sockets};
use leela_storage::config::Config;
use leela_storage::files::Disk;
use leela_storage::service::{Ends, Service};
use sockets::inherited::Inherited;

/// Sources whose numbers are kept apart: the timeline's events, states and notes, over its instances.
const SOURCES: usize = 48;

fn main() -> ExitCode {
    process::main(|config: Config, places| {
        let (name, run) = (Config::NAME, &places.runtime_dir);
        let mut inherited = Inherited::take().map_err(without_sockets)?;
        let databus = inherited.databus(&run.storage_databus()).map_err(without_sockets)?;
        let listener = inherited.listener(&run.storage_query()).map_err(without_sockets)?;
        inherited.finish().map_err(without_sockets)?;
        places.state_dir.prepare()?;
        let mut turns = Turns::new(process::stop_signal()?)?;
        let books = Books::open(&run.books(name), name, SOURCES)?;
        let ends = Ends { databus, listener, producer: run.timeline_multicast() };
        let files = Disk::shared();
        let Some(service) = Service::open(files, &config, ends, books, &places.state_dir, &mut turns)? else {
            return Ok(());
        };
        process::ready();
        service.serve(&mut turns)
    })
}
