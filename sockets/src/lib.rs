//! Datagrams and framed streams between Leela's processes: bytes and paths, no metrics.
//!
//! A process takes its sockets from [`inherited`], reads datagrams from a [`databus`] or by [`udp`], and sends by
//! a [`sender`]: one [`ring`] of numbered datagrams with a cursor and a connected socket for each [`peer`].
//! Consumers make themselves peers by [`registration`]. [`frame`] cuts streams into frames; [`pace`] says when to
//! read again.

pub mod databus;
pub mod frame;
pub mod inherited;
pub mod meminfo;
pub mod pace;
pub mod peer;
pub mod registration;
pub mod ring;
pub mod sender;
pub mod udp;
