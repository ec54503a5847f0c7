//! Leela's text: what people and scripts send to leela-udp, what `leela tail` prints into a pipe, and what
//! the proc socket speaks.
//!
//! `gauge 6|foobar 0.75 1350332001.0;`: a word, the key behind its length in bytes, a value, a time. Readers
//! borrow from the datagram and hand each message on as they find it; what is none is [`Refused`] by name,
//! and costs its neighbours nothing. The grammar is in `message.rs` and `number.rs`, and of the older form
//! in `legacy.rs`.

mod legacy;
mod message;
pub mod number;
mod refused;
mod write;

#[cfg(test)]
mod tests;

pub use legacy::lines;
pub use message::{Message, messages, metrics};
pub use refused::{Reason, Refused};
pub use write::{
    write_event, write_f64, write_metric, write_note, write_time, write_u64, write_value, write_weight,
};

use crate::metric::Metric;
use crate::time::Time;

/// Reads a datagram as leela-udp takes it: one that begins with a message has messages, any other has
/// lines of the legacy form. A time that is missing is `now`.
pub fn datagram(datagram: &[u8], now: Time, each: impl FnMut(Result<Metric<'_>, Refused<'_>>)) {
    if message::begins(datagram.trim_ascii_start()) {
        metrics(datagram, now, each);
    } else {
        lines(datagram, now, each);
    }
}

/// True for `ping`, with or without a newline; the answer is `pong` without one.
pub fn is_ping(datagram: &[u8]) -> bool {
    matches!(datagram, b"ping" | b"ping\n")
}
