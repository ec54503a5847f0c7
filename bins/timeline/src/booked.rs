//! The books of leela-timeline: its counters over all its lives.

use common::books::{Family, Label};
use common::counters;
use hop::Refusal as DatagramRefusal;
use sockets::planted;

use crate::counters::{Counters, Reason};
use crate::snapshot::Restored;

impl Label for Reason {
    const NAMES: &'static [&'static str] = &{
        let mut names = [""; Reason::ALL.len()];
        let mut place = 0;
        while place < names.len() {
            names[place] = Reason::ALL[place].word();
            place += 1;
        }
        names
    };

    fn slot(self) -> usize {
        self as usize
    }
}

/// Why a registration was not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum PeerRefusal {
    /// No path, or words that nobody knows.
    Form,
    /// Sent from another socket than it names.
    Sender,
    /// A socket outside the runtime directory.
    Outside,
    /// All places are taken.
    Full,
}

impl Label for PeerRefusal {
    const NAMES: &'static [&'static str] = &["form", "sender", "outside", "full"];

    fn slot(self) -> usize {
        self as usize
    }
}

counters! {
    /// At rest `received = accepted + refused`, `accepted = passed + merged`,
    /// `absolute_applied = absolute_emitted + absolute_open + absolute_lost`, and the same of those that are aggregated,
    /// in records.
    pub struct Booked {
        /// Datagrams that were read from the databus.
        datagrams: u64,
        /// Records of those datagrams that were new.
        received: u64,
        /// Records that were not refused.
        accepted: u64,
        /// Records that gave an event or are a note, one each.
        passed: u64,
        /// Records folded into state, without an event of their own.
        merged: u64,
        /// Records that were refused, by reason.
        refused: Family<Reason>,
        /// Datagrams, or records of them, that could not be read.
        unreadable: Family<DatagramRefusal>,
        /// Records that were applied before and came again.
        repeated: u64,
        /// Records that never came: dropped by their sender, or in hand when a predecessor was killed.
        missing: u64,
        /// Notes that were passed on.
        notes: u64,
        /// Events of windows that the timer closed: they had no record of their own.
        timer_events: u64,
        /// States that were published beside events.
        states: u64,
        /// Events, states and notes that no peer wanted.
        no_peer: u64,
        /// Counters that went back, with no wrap that explains it.
        reset: u64,
        /// Counters that wrapped at 2^32 or 2^64.
        wrapped: u64,
        /// Series that are known now.
        series: u64,
        /// Series that went because they were idle.
        expired: u64,
        /// Absolute records folded into a window.
        absolute_applied: u64,
        /// Absolute records whose window gave its event.
        absolute_emitted: u64,
        /// Absolute records in windows that are open now.
        absolute_open: u64,
        /// Absolute records in windows that were open when a predecessor was killed, or too old to take up.
        absolute_lost: u64,
        /// Counts, samples and members folded into a window.
        aggregated_applied: u64,
        /// Counts, samples and members whose window gave its events.
        aggregated_emitted: u64,
        /// Counts, samples and members in windows that are open now.
        aggregated_open: u64,
        /// Counts, samples and members in windows that were open when a predecessor was killed.
        aggregated_lost: u64,
        /// Of those that were applied, records older than the window they were folded into.
        late: u64,
        /// Of those that were applied, records beyond the window they were folded into.
        ahead: u64,
        /// Records over a limit on series that were folded into an overflow series.
        overflowed: u64,
        /// Peers that are registered now.
        peers: u64,
        /// Registrations that were taken.
        registrations: u64,
        /// Registrations that were not taken, by reason.
        registrations_refused: Family<PeerRefusal>,
        /// Tries to reach a peer whose socket this user may not write to.
        peer_unwritable: u64,
    }
}

/// What a predecessor's books say, to which this life's counts are added.
#[derive(Clone, Debug)]
pub(crate) struct Base(Booked);

impl Base {
    /// Begins where the predecessor's books stand. What was in the state that was saved is counted as applied again;
    /// what was open beyond it is lost.
    pub(crate) fn new(before: &mut Booked, taken_up: &Restored) -> Base {
        let Restored { absolute_records, aggregated_records, .. } = *taken_up;
        if !planted!(OpenForgotten) {
            before.absolute_lost += before.absolute_open.saturating_sub(absolute_records);
            before.aggregated_lost += before.aggregated_open.saturating_sub(aggregated_records);
        }
        let mut base = before.clone();
        base.absolute_applied = base.absolute_applied.saturating_sub(absolute_records);
        base.aggregated_applied = base.aggregated_applied.saturating_sub(aggregated_records);
        Base(base)
    }

    /// The records that were open and are not any more, where so many were lost before.
    pub(crate) fn lost(&self, before: u64) -> u64 {
        self.0.absolute_lost + self.0.aggregated_lost - before
    }

    /// Writes what the timeline counted in this life into the books. Notes are counted there already.
    pub(crate) fn book(&self, counters: &Counters, booked: &mut Booked) {
        let Counters {
            received,
            accepted,
            passed,
            merged,
            refused,
            timer_events,
            states,
            reset,
            wrapped,
            series,
            expired,
            absolute_applied,
            absolute_emitted,
            absolute_open,
            aggregated_applied,
            aggregated_emitted,
            aggregated_open,
            late,
            ahead,
            overflowed,
        } = *counters;
        let Base(base) = self;
        let notes = booked.notes - base.notes;
        booked.received = base.received + received + notes;
        booked.accepted = base.accepted + accepted + notes;
        booked.passed = base.passed + passed + notes;
        booked.merged = base.merged + merged;
        for reason in Reason::ALL {
            booked.refused.set(reason, base.refused.get(reason) + refused[reason as usize]);
        }
        booked.timer_events = base.timer_events + timer_events;
        booked.states = base.states + states;
        booked.reset = base.reset + reset;
        booked.wrapped = base.wrapped + wrapped;
        booked.series = series;
        booked.expired = base.expired + expired;
        booked.absolute_applied = base.absolute_applied + absolute_applied;
        booked.absolute_emitted = base.absolute_emitted + absolute_emitted;
        booked.absolute_open = absolute_open;
        booked.aggregated_applied = base.aggregated_applied + aggregated_applied;
        booked.aggregated_emitted = base.aggregated_emitted + aggregated_emitted;
        booked.aggregated_open = aggregated_open;
        booked.late = base.late + late;
        booked.ahead = base.ahead + ahead;
        booked.overflowed = base.overflowed + overflowed;
    }
}
