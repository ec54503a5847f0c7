//! What leela-statsd counts: the words of its man page.

use common::books::{Family, Label};
use common::counters;

use crate::dialect::Reason;

counters! {
    /// At rest `lines + packed = received + empty`, `received = accepted + refused` and `accepted = passed + dropped`.
    pub struct Counters {
        /// Datagrams that were received.
        datagrams: u64,
        /// Bytes that were received, by streams too.
        bytes: u64,
        /// Lines that were found.
        lines: u64,
        /// Lines without anything.
        empty: u64,
        /// Values behind the first one of their line, and gauges of checks.
        packed: u64,
        /// Values, events and checks that were found; a check is two, a note and a gauge.
        received: u64,
        /// Those that were understood.
        accepted: u64,
        /// Those that were put into the ring, on their way to the timeline.
        passed: u64,
        /// How many of those are notes.
        notes: u64,
        /// What was understood and not passed on.
        dropped: Family<Dropped>,
        /// What was not understood, by reason.
        refused: Family<Reason>,
        /// Lines in whose key something became a `_`.
        rewritten: u64,
        /// Veneur's scope tags, taken away.
        scope_tags: u64,
        /// Sections of a later version, skipped.
        unknown_sections: u64,
        /// Connections, as of now.
        connections: u64,
        /// Connections that were taken.
        connected: u64,
        /// Connections that were not taken.
        turned_away: Family<TurnedAway>,
        /// Connections that were closed here.
        closed: Family<Closed>,
        /// Times when the ring was half full and streams were not read.
        held_back: u64,
        /// Datagrams that the kernel dropped because the receive buffer was full.
        kernel_drops: u64,
        /// Datagrams that were in hand when the process was killed.
        lost_in_crash: u64,
    }
}

macro_rules! labels {
    ($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum $name { $($(#[$doc])* $variant),* }

        impl Label for $name {
            const NAMES: &'static [&'static str] = &[$($word),*];

            fn slot(self) -> usize {
                self as usize
            }
        }
    };
}

labels!(
    /// Why something that was understood is not passed on.
    Dropped {
        /// A rule of the configuration says so.
        Rule = "rule",
    }
);

labels!(
    /// Why a connection was not taken.
    TurnedAway {
        /// There were too many.
        Connections = "connections",
        /// The system had no descriptor or memory for it.
        Accept = "accept",
    }
);

labels!(
    /// Why a connection was closed here.
    Closed {
        /// Nothing came for `idle_timeout`.
        Idle = "idle",
        /// The handshake of TLS took over `handshake_timeout`.
        Handshake = "handshake",
        /// No TLS, or a certificate that is missing or wrong.
        Tls = "tls",
        /// A frame over `frame_max`.
        Frame = "frame",
        /// It broke off.
        Broken = "broken",
    }
);
