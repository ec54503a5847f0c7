//! What leela-collectd counts: the words of its man page.

use common::books::Family;
use common::counters;

use crate::reason::Reason;

counters! {
    /// At rest `received = accepted + refused` and `accepted = passed`, in values and notifications.
    pub struct Counters {
        /// Datagrams that were received.
        datagrams: u64,
        /// Bytes of those datagrams.
        bytes: u64,
        /// Values and notifications that were found in datagrams.
        received: u64,
        /// Values and notifications that were understood.
        accepted: u64,
        /// Values and notifications that were put into the ring, on their way to the timeline.
        passed: u64,
        /// How many of those are notifications.
        notes: u64,
        /// What yields nothing, by reason.
        refused: Family<Reason>,
        /// Parts of an unknown type, skipped.
        unknown_parts: u64,
        /// Values and notifications in whose key a `;` became a `_`.
        rewritten: u64,
        /// Values that got a number for want of their source's name in types.db.
        untyped: u64,
        /// Signatures that were not looked at, as there is no AuthFile.
        unverified: u64,
        /// Datagrams that the kernel dropped because the receive buffer was full.
        kernel_drops: u64,
        /// Datagrams that were in hand when the process was killed.
        lost_in_crash: u64,
    }
}
