//! One hop of Leela's way: what joins the records and books of `common` with the bytes and rings of `sockets`,
//! so that every process does it in the one right order.
//!
//! - [`Output`]: records into batches, batches into the ring, the ring's head into the books, and only then out.
//! - [`Input`]: a datagram's header read, its numbers booked, its records handed on.
//! - [`Inlet`]: the datagram sockets of an input, and what else it reads from, for any [`Protocol`].
//! - [`account`]: the books and rings of all processes, accounted for.
//! - [`Turns`]: the loop that waits for both, for signals and for deadlines.

pub mod account;

mod descriptors;
mod exit;
mod inlet;
mod input;
mod output;
mod turns;

pub use descriptors::allow_descriptors;
pub use exit::without_sockets;
pub use inlet::{Counted, Datagram, Inlet, OWN_TOKENS, Progress, Protocol, Socket};
pub use input::{Input, Received, Refusal};
pub use output::{Output, OutputError};
pub use turns::{Turn, Turns};
