//! What leela-udp counts: the words of its man page.

use common::books::Family;
use common::counters;
use common::text::Reason;

counters! {
    /// At rest `received = accepted + refused` and `accepted = passed`, in metrics.
    pub struct Counters {
        /// Datagrams that were received, pings too.
        datagrams: u64,
        /// Bytes of those datagrams.
        bytes: u64,
        /// Datagrams that were `ping`, answered by `pong`.
        pings: u64,
        /// Metrics and lines that were found in datagrams.
        received: u64,
        /// Metrics that were understood.
        accepted: u64,
        /// Metrics that were put into the ring, on their way to the timeline.
        passed: u64,
        /// What was not understood, by reason.
        refused: Family<Reason>,
        /// Datagrams that the kernel dropped because the receive buffer was full.
        kernel_drops: u64,
        /// Datagrams that were in hand when the process was killed.
        lost_in_crash: u64,
    }
}
