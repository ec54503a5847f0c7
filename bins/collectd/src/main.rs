//! leela-collectd(8): collectd's binary network protocol in, metrics out.

use std::process::ExitCode;

use common::books::Books;
use common::process::{self, Process};
use common::time::Time;
use hop::{Output, Turns, without_sockets};
use leela_collectd::tables::Tables;
use leela_collectd::{Collectd, Config, OUTPUT};
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
        let hand = run.hand(name);
        let collectd = Collectd::open(config, tables, sockets, &hand, books, output, turns.registry())?;
        process::ready();
        collectd.serve(&mut turns)
    })
}
