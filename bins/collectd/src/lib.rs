//! leela-collectd(8): packets of collectd's binary network protocol in, metrics and notes out. It knows the
//! protocol and no metric's meaning.

pub mod config;
pub mod counters;

pub mod packet;
pub mod part;
pub mod reason;

pub mod names;
pub mod note;
pub mod types_db;

pub mod security;
pub mod users;

pub mod file;
pub mod tables;

pub mod group;

use common::books::{Books, Refusal};
use common::time::Time;
use hop::{Counted, Datagram, Output, Protocol};

use packet::Reader;
use reason::Reason;
use tables::Tables;

pub use config::Config;
pub use counters::Counters;

/// The first token of the output; those below it are sockets.
pub const OUTPUT: usize = 1 << 16;

const _: () = assert!(Reason::COUNT <= u32::BITS as usize, "a bit for each reason");

/// collectd's packets, and what is needed to read them.
#[derive(Debug)]
pub struct Packets {
    reader: Reader,
    tables: Tables,
    config: Config,
}

impl Packets {
    /// Reads packets as `config` says.
    pub fn new(config: Config, tables: Tables) -> Packets {
        Packets { reader: Reader::default(), tables, config }
    }
}

impl Protocol for Packets {
    type Counters = Counters;

    fn counted(counters: &mut Counters) -> Counted<'_> {
        let Counters { datagrams, bytes, kernel_drops, lost_in_crash, .. } = counters;
        Counted { datagrams, bytes, kernel_drops, lost_in_crash }
    }

    fn take(&mut self, datagram: Datagram<'_>, books: &mut Books<Counters>, output: &mut Output) {
        let Packets { reader, tables, config } = self;
        // One packet can hold thousands of faults; the first of each reason says what is wrong.
        let mut shown = 0_u32;
        let rules = tables.rules(config);
        let remarks = reader.read(datagram.bytes, datagram.time, &rules, |found| match found {
            Ok(found) => {
                books.counters.received += 1;
                books.counters.accepted += 1;
                books.counters.passed += 1;
                match found {
                    packet::Output::Metric(metric) => output.metric(&metric),
                    packet::Output::Note(note) => {
                        books.counters.notes += 1;
                        output.note(&note);
                    }
                }
            }
            Err(refused) => {
                let bit = 1 << refused.reason as u32;
                books.counters.received += refused.values;
                books.counters.refused.add_many(refused.reason, refused.values);
                if !refused.reason.is_fault() || shown & bit != 0 {
                    return;
                }
                shown |= bit;
                let (peer, reason) = (datagram.peer(), refused.reason.name());
                tracing::debug!(peer, reason, "refused");
                let (text, offset) = (datagram.bytes, refused.offset);
                books.refuse(&Refusal { time: datagram.time, peer: &peer, reason, text, offset });
            }
        });
        let packet::Remarks { unknown_parts, rewritten, untyped, unverified } = remarks;
        books.counters.unknown_parts += unknown_parts;
        books.counters.rewritten += rewritten;
        books.counters.untyped += untyped;
        books.counters.unverified += unverified;
    }

    fn tick(&mut self, now: Time) {
        self.tables.refresh(now);
    }
}
