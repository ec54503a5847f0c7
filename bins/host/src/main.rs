//! leela-host(8): the host's own numbers and the books of the other processes, as metrics.

use std::process::ExitCode;

use common::books::Books;
use common::process::{self, Process};
use hop::{Output, Turns, without_sockets};
use leela_host::{Config, Host, OUTPUT};
use sockets::inherited::Inherited;

fn main() -> ExitCode {
    process::main(|config: Config, places| {
        let (name, run) = (Config::NAME, &places.runtime_dir);
        // It listens nowhere: a socket that is handed over is a mistake of the unit.
        Inherited::take().and_then(Inherited::finish).map_err(without_sockets)?;
        let mut turns = Turns::new(process::stop_signal()?)?;
        let books = Books::open(&run.books(name), name, 0)?;
        let output = Output::to_timeline(run, name, config.ring, &books, turns.registry(), OUTPUT)?;
        let host = Host::open(&config, run, books, output);
        process::ready();
        host.serve(&mut turns)
    })
}
