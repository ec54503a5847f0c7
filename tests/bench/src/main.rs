//! `bench [ROW...]`: how fast Leela is. Each row prints its figures, with a ratio to a baseline of the same run,
//! and fails where what was sent and what came differ. README.md says what the figures mean.

mod batching;
mod fanout;
mod hop;
mod hop_latency;
mod http_read;
mod http_write;
mod idle;
mod live;
mod peers;
mod statsd;
mod store_read;
mod store_write;
mod udp_events;
mod xmpp_latency;

mod clients;
mod core;
mod cores;
mod disk;
mod http;
mod receiver;
mod storage;
mod udp_load;
mod writer;

mod child;
mod clock;
mod figure;
mod load;
mod memory;
mod points;
mod raw_http;
mod raw_udp;
mod readme;
mod singles;
mod sums;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use crate::figure::Figure;

/// How fast Leela is
#[derive(Debug, Parser)]
#[command(name = "bench", args_conflicts_with_subcommands = true)]
struct Arguments {
    /// Rows to run; all without
    rows: Vec<Row>,
    /// Sizes that show only that a row works
    #[arg(long)]
    tiny: bool,
    /// Writes the figures of these rows into README.md
    #[arg(long, conflicts_with = "tiny")]
    write: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What this program is when it starts itself again.
#[derive(Debug, Subcommand)]
enum Role {
    #[command(hide = true)]
    Sum(receiver::Options),
    #[command(hide = true)]
    Raw {
        socket: PathBuf,
        bytes: u64,
        #[arg(long)]
        stamps: bool,
    },
    #[command(hide = true)]
    RawUdp(raw_udp::Options),
    #[command(hide = true)]
    RawHttp(raw_http::Options),
    #[command(hide = true)]
    Clients(clients::Options),
    #[command(hide = true)]
    Chat(xmpp_latency::Options),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Row {
    Hop,
    HopLatency,
    Fanout,
    UdpEvents,
    Batching,
    Live,
    StoreWrite,
    StoreRss,
    StoreRead,
    StorePeers,
    HttpWrite,
    HttpRead,
    XmppLatency,
    StatsdPacked,
    StatsdSingle,
    StatsdTagged,
    StatsdTimers,
    StatsdFootprint,
    StatsdFlush,
    StatsdPeers,
    Idle,
}

impl Row {
    fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }

    fn run(self, scale: Scale) -> anyhow::Result<Vec<Figure>> {
        match self {
            Row::Hop => hop::run(scale),
            Row::HopLatency => hop_latency::run(scale),
            Row::Fanout => fanout::run(scale),
            Row::UdpEvents => udp_events::run(scale),
            Row::Batching => batching::run(scale),
            Row::Live => live::run(scale),
            Row::Idle => idle::run(scale),
            Row::StoreWrite => store_write::write(scale),
            Row::StoreRss => store_write::rss(scale),
            Row::StoreRead => store_read::run(scale),
            Row::StorePeers => peers::run(scale),
            Row::HttpWrite => http_write::run(scale),
            Row::HttpRead => http_read::run(scale),
            Row::XmppLatency => xmpp_latency::run(scale),
            Row::StatsdPacked => statsd::packed(scale),
            Row::StatsdSingle => statsd::single(scale),
            Row::StatsdTagged => statsd::tagged(scale),
            Row::StatsdTimers => statsd::timers(scale),
            Row::StatsdFootprint => statsd::footprint(scale),
            Row::StatsdFlush => statsd::flush(scale),
            Row::StatsdPeers => statsd::peers(scale),
        }
    }
}

/// How much is run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Scale {
    /// Figures.
    Full,
    /// Only that it works.
    Tiny,
}

impl Scale {
    fn pick<T>(self, full: T, tiny: T) -> T {
        match self {
            Scale::Full => full,
            Scale::Tiny => tiny,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.role {
        Some(Role::Sum(options)) => receiver::serve(options),
        Some(Role::Raw { socket, bytes, stamps }) => receiver::serve_raw(&socket, bytes, stamps),
        Some(Role::RawUdp(options)) => raw_udp::serve(&options),
        Some(Role::RawHttp(options)) => raw_http::serve(&options),
        Some(Role::Clients(options)) => clients::serve(&options),
        Some(Role::Chat(options)) => xmpp_latency::serve(&options),
        None => run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let scale = if arguments.tiny { Scale::Tiny } else { Scale::Full };
    let rows = if arguments.rows.is_empty() { Row::value_variants() } else { &arguments.rows };
    let load = tests::load_average();
    println!("{}; load average {load:.1}", tests::machine());
    let (mut figures, mut failed) = (Vec::new(), 0);
    for row in rows {
        match row.run(scale) {
            Ok(found) => {
                found.iter().for_each(|figure| println!("{figure}"));
                figures.extend(found);
            }
            Err(error) => {
                println!("{row:?} failed: {error:#}");
                failed += 1;
            }
        }
    }
    anyhow::ensure!(failed == 0, "{failed} of {} rows failed", rows.len());
    if arguments.write {
        let names = |rows: &[Row]| rows.iter().map(|row| row.name()).collect::<Vec<_>>();
        readme::write(&names(Row::value_variants()), &names(rows), &figures, load)?;
    }
    Ok(())
}
