//! Datagrams on their way in, from a databus.

use std::io;
use std::os::unix::net::UnixDatagram;

use common::books::{Admission, Books, Label, Slots};
use common::wire::{DATAGRAM_BYTES_MAX, Header, HeaderError};
use sockets::databus::Databus;
use sockets::net::Bound;

/// Why a datagram, or a record of it, was refused at a databus.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Refusal {
    /// Longer than any datagram of Leela.
    TooLong,
    /// Shorter than a header, or of another form.
    Form,
    /// Of a version that this process does not read.
    Version,
    /// A content that this process does not know or has no use for.
    Content,
    /// A record that does not fit its datagram; those behind it went with it.
    Record,
    /// A record of a kind that this process does not know.
    UnknownKind,
}

impl Label for Refusal {
    const NAMES: &'static [&'static str] =
        &["too_long", "form", "version", "content", "record", "unknown_kind"];

    fn slot(self) -> usize {
        self as usize
    }
}

/// A datagram that came.
#[derive(Debug)]
pub enum Received<'a> {
    /// Records to apply; so many before them never came.
    Records {
        /// What they are.
        header: Header,
        /// The records, for [`common::wire::Metrics::new`] and its like.
        records: &'a [u8],
        /// The whole datagram, as it came.
        datagram: &'a [u8],
        /// Records that never came: dropped by the sender, or lost in this process's hand.
        missing: u64,
    },
    /// So many records that were applied before.
    Repeated(u64),
    /// Not a datagram of Leela's.
    Refused(Refusal, &'a [u8]),
}

/// The databus of this process.
#[derive(Debug)]
pub struct Input<S = UnixDatagram> {
    databus: Databus<S>,
}

impl Input {
    /// Reads from a bound socket.
    pub fn new(socket: UnixDatagram) -> io::Result<Input> {
        Ok(Input { databus: Databus::new(socket)? })
    }
}

impl<S: Bound> Input<S> {
    /// Reads from any socket that never blocks.
    pub fn over(socket: S) -> Input<S> {
        Input { databus: Databus::over(socket) }
    }

    /// The databus, to register with a poll or as a peer.
    pub fn databus(&mut self) -> &mut Databus<S> {
        &mut self.databus
    }

    /// The next datagram, its numbers booked; `None` when the queue is empty. The books are to be committed
    /// once its records are applied.
    pub fn receive<C: Slots + Default>(&mut self, books: &mut Books<C>) -> io::Result<Option<Received<'_>>> {
        let Some(datagram) = self.databus.receive()? else { return Ok(None) };
        if datagram.len() > DATAGRAM_BYTES_MAX {
            return Ok(Some(Received::Refused(Refusal::TooLong, datagram)));
        }
        let (header, records) = match Header::read(datagram) {
            Ok(read) => read,
            Err(error) => {
                let refusal = match error {
                    HeaderError::Short | HeaderError::Magic => Refusal::Form,
                    HeaderError::Version(_) => Refusal::Version,
                    HeaderError::Content(_) => Refusal::Content,
                };
                return Ok(Some(Received::Refused(refusal, datagram)));
            }
        };
        Ok(Some(match books.admit(&header) {
            Admission::Take { missing } => Received::Records { header, records, datagram, missing },
            Admission::Repeated => Received::Repeated(u64::from(header.count)),
        }))
    }
}
