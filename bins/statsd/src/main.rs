//! leela-statsd(8): StatsD and DogStatsD in, metrics out.

use std::process::ExitCode;

use common::books::Books;
use common::exit::{Exit, OrExit};
use common::process::{self, Process};
use hop::{Inlet, Output, Turns, without_sockets};
use leela_statsd::sources::Sources;
use leela_statsd::streams::{Streams, tls};
use leela_statsd::{Config, Counters, Lines, OUTPUT, Statsd};
use sockets::inherited::Inherited;

fn main() -> ExitCode {
    process::main(|config: Config, places| {
        let (name, run) = (Config::NAME, &places.runtime_dir);
        let rules = config.reading().exit(Exit::Config)?;
        let tls = tls::server(&config).exit(Exit::Config)?;
        let mut inherited = Inherited::take().map_err(without_sockets)?;
        let Sources { datagrams, doors } = Sources::take(&mut inherited, &config, tls)?;
        inherited.finish().map_err(without_sockets)?;
        let mut turns = Turns::new(process::stop_signal()?)?;
        let registry = turns.registry();
        let mut books = Books::<Counters>::open(&run.books(name), name, 0)?;
        books.counters.connections = 0;
        let output = Output::to_timeline(run, name, config.ring, &books, registry, OUTPUT)?;
        let connections = if doors.is_empty() { 0 } else { hop::allow_descriptors(config.connections_max)? };
        let streams = Streams::open(doors, &config, connections, registry)?;
        let (hand, timeout) = (run.hand(name), config.drain_timeout.duration());
        let statsd = Statsd::new(Lines::new(rules, config.line_max.len()), streams);
        let inlet = Inlet::open(statsd, datagrams, &hand, books, output, registry, timeout)?;
        process::ready();
        inlet.serve(&mut turns)
    })
}
