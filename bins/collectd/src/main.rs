//! leela-collectd(8): collectd's binary network protocol in, metrics out.

use std::process::ExitCode;

use common::books::Books;
use common::exit::{Exit, OrExit};
use common::process::{self, Process};
use common::time::Time;
use hop::{Inlet, Output, Turns, without_sockets};
use leela_collectd::tables::Tables;
use leela_collectd::{Config, OUTPUT, Packets, group};
use sockets::inherited::Inherited;

fn main() -> ExitCode {
    process::main(|config: Config, places| {
        let (name, run) = (Config::NAME, &places.runtime_dir);
        let tables = Tables::open(&config, Time::now())?;
        let mut inherited = Inherited::take().map_err(without_sockets)?;
        let sockets = inherited
            .udp(name, &config.listen, config.readers, config.receive_buffer.len())
            .map_err(without_sockets)?;
        inherited.finish().map_err(without_sockets)?;
        let mut turns = Turns::new(process::stop_signal()?)?;
        let books = Books::open(&run.books(name), name, 0)?;
        let output = Output::to_timeline(run, name, config.ring, &books, turns.registry(), OUTPUT)?;
        group::join(&sockets, &config.join).exit(Exit::Config)?;
        let (hand, timeout) = (run.hand(name), config.drain_timeout.duration());
        let packets = Packets::new(config, tables);
        let inlet = Inlet::open(packets, sockets, &hand, books, output, turns.registry(), timeout)?;
        process::ready();
        inlet.serve(&mut turns)
    })
}
