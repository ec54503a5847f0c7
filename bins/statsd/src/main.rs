//! leela-statsd(8): StatsD and DogStatsD in, metrics out.

use std::process::ExitCode;

use common::books::Books;
use common::exit::{Exit, OrExit};
use common::process::{self, Process};
use hop::{Inlet, Output, Turns, without_sockets};
use leela_statsd::{Config, Lines, OUTPUT};
use sockets::inherited::Inherited;

fn main() -> ExitCode {
    process::main(|config: Config, places| {
        let (name, run) = (Config::NAME, &places.runtime_dir);
        let rules = config.reading().exit(Exit::Config)?;
        let mut inherited = Inherited::take().map_err(without_sockets)?;
        let sockets = inherited
            .udp(name, &config.listen, config.readers, config.receive_buffer.len())
            .map_err(without_sockets)?;
        inherited.finish().map_err(without_sockets)?;
        let mut turns = Turns::new(process::stop_signal()?)?;
        let books = Books::open(&run.books(name), name, 0)?;
        let output = Output::to_timeline(run, name, config.ring, &books, turns.registry(), OUTPUT)?;
        let (hand, timeout) = (run.hand(name), config.drain_timeout.duration());
        let inlet = Inlet::open(Lines::new(rules), sockets, &hand, books, output, turns.registry(), timeout)?;
        process::ready();
        inlet.serve(&mut turns)
    })
}
