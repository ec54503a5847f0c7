//! Datagrams and framed streams between Leela's processes: bytes and paths, no metrics.
//!
//! A process takes its sockets from [`inherited`], reads datagrams from a [`databus`] or by [`udp`], and sends by
//! a [`sender`]: one [`ring`] of numbered datagrams with a cursor and a connected socket for each [`peer`].
//! Consumers make themselves peers by [`registration`]. [`frame`] cuts streams into frames; [`pace`] says when to
//! read again.

/// Whether a bug is planted; never in what is shipped. For crates with a feature `faults`.
#[macro_export]
macro_rules! planted {
    ($fault:ident) => {{
        #[cfg(feature = "faults")]
        let is_planted = $crate::planted::is($crate::planted::Fault::$fault);
        #[cfg(not(feature = "faults"))]
        let is_planted = false;
        is_planted
    }};
}

pub mod databus;
pub mod frame;
pub mod inherited;
pub mod meminfo;
pub mod net;
pub mod pace;
pub mod peer;
#[cfg(feature = "faults")]
pub mod planted;
pub mod registration;
pub mod ring;
pub mod sender;
pub mod udp;
