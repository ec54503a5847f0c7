//! leela-udp(8): Leela's text over UDP in, metrics out. It knows the text and no metric's meaning.

mod config;
mod counters;

use common::books::{Books, Refusal};
use common::text;
use hop::{Counted, Datagram, Output, Protocol};

pub use config::Config;
pub use counters::Counters;

/// The first token of the output; those below it are sockets.
pub const OUTPUT: usize = 1 << 16;

/// Leela's text: each datagram holds messages, each by itself, or is `ping`.
#[derive(Clone, Copy, Debug)]
pub struct Text;

impl Protocol for Text {
    type Counters = Counters;

    fn counted(counters: &mut Counters) -> Counted<'_> {
        let Counters { datagrams, bytes, kernel_drops, lost_in_crash, .. } = counters;
        Counted { datagrams, bytes, kernel_drops, lost_in_crash }
    }

    fn take(&mut self, datagram: Datagram<'_>, books: &mut Books<Counters>, output: &mut Output) {
        if text::is_ping(datagram.bytes) {
            books.counters.pings += 1;
            datagram.answer(b"pong");
            return;
        }
        text::datagram(datagram.bytes, datagram.time, |message| {
            books.counters.received += 1;
            match message {
                Ok(metric) => {
                    books.counters.accepted += 1;
                    books.counters.passed += 1;
                    output.metric(&metric);
                }
                Err(refused) => {
                    books.counters.refused.add(refused.reason);
                    let (peer, reason) = (datagram.peer(), refused.reason.name());
                    tracing::debug!(peer, reason, "refused");
                    let (text, offset) = (refused.text, refused.offset);
                    books.refuse(&Refusal { time: datagram.time, peer: &peer, reason, text, offset });
                }
            }
        });
    }
}
