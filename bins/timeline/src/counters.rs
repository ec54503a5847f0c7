//! What the timeline counted, and why it refused.

/// Why a record was refused. The words are those of the books and the man page.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Reason {
    /// Its time is more than ten minutes ahead of this host's clock.
    Future,
    /// A gauge or an adjust further back than `backfill_max`.
    TooOld,
    /// A counter or a derive that is not newer than the last one.
    Stale,
    /// NaN or an infinity.
    NotFinite,
    /// The key is none, or is longer than a key may be once `[tags]` are joined.
    BadKey,
    /// A count or a sample that is too much for its window: 3.9e19 counted, or 1.8e10 samples.
    OutOfRange,
    /// A member that is empty, or over 1,024 bytes.
    Member,
    /// Another kind of metric owns the name.
    KindConflict,
    /// It would open a series, and there are too many.
    SeriesLimit,
}

impl Reason {
    /// Every reason, in the order of [`Counters::refused`].
    pub const ALL: [Reason; 9] = [
        Reason::Future,
        Reason::TooOld,
        Reason::Stale,
        Reason::NotFinite,
        Reason::BadKey,
        Reason::OutOfRange,
        Reason::Member,
        Reason::KindConflict,
        Reason::SeriesLimit,
    ];

    /// The word in the books.
    pub const fn word(self) -> &'static str {
        match self {
            Reason::Future => "future",
            Reason::TooOld => "too_old",
            Reason::Stale => "stale",
            Reason::NotFinite => "not_finite",
            Reason::BadKey => "bad_key",
            Reason::OutOfRange => "out_of_range",
            Reason::Member => "member",
            Reason::KindConflict => "kind_conflict",
            Reason::SeriesLimit => "series_limit",
        }
    }
}

/// Counts of records since the process began, but for `series` and those that are open, which are of now.
///
/// After every call `received = accepted + refused`, `accepted = passed + merged`, `absolute_applied =
/// absolute_emitted + absolute_open` and `aggregated_applied = aggregated_emitted + aggregated_open`; events are
/// `passed + timer_events`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// Records given to the timeline.
    pub received: u64,
    /// Records that were not refused.
    pub accepted: u64,
    /// Records that gave an event, one each.
    pub passed: u64,
    /// Records folded into state, without an event of their own.
    pub merged: u64,
    /// Refused records, by [`Reason`], in the order of [`Reason::ALL`].
    pub refused: [u64; Reason::ALL.len()],
    /// Events of windows that the timer closed: they had no record of their own.
    pub timer_events: u64,
    /// States that were published beside events.
    pub states: u64,
    /// Counters that went back, with no wrap that explains it.
    pub reset: u64,
    /// Counters that wrapped at 2^32 or 2^64.
    pub wrapped: u64,
    /// Series that are known now.
    pub series: u64,
    /// Series that went because they were idle.
    pub expired: u64,
    /// Absolute records folded into a window, those of a state that was taken up included.
    pub absolute_applied: u64,
    /// Absolute records whose window gave its event.
    pub absolute_emitted: u64,
    /// Absolute records in windows that are open now.
    pub absolute_open: u64,
    /// Records of counts, samples and members folded into a window, those of a state that was taken up included.
    pub aggregated_applied: u64,
    /// Records of counts, samples and members whose window gave its events.
    pub aggregated_emitted: u64,
    /// Records of counts, samples and members in windows that are open now.
    pub aggregated_open: u64,
    /// Of those that were applied, records older than the window they were folded into.
    pub late: u64,
    /// Of those that were applied, records beyond the window they were folded into.
    pub ahead: u64,
    /// Records over a limit on series that were folded into an overflow series.
    pub overflowed: u64,
}

impl Counters {
    /// Refused records of all reasons.
    pub fn refused_all(&self) -> u64 {
        self.refused.iter().sum()
    }

    /// True when the identities hold.
    pub fn balanced(&self) -> bool {
        self.received == self.accepted + self.refused_all()
            && self.accepted == self.passed + self.merged
            && self.absolute_applied == self.absolute_emitted + self.absolute_open
            && self.aggregated_applied == self.aggregated_emitted + self.aggregated_open
    }

    /// Each counter but the refusals, under its word in the books.
    pub fn rows(&self) -> [(&'static str, u64); 19] {
        let Counters {
            received,
            accepted,
            passed,
            merged,
            refused: _,
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
        } = *self;
        [
            ("received", received),
            ("accepted", accepted),
            ("passed", passed),
            ("merged", merged),
            ("timer_events", timer_events),
            ("states", states),
            ("reset", reset),
            ("wrapped", wrapped),
            ("series", series),
            ("expired", expired),
            ("absolute_applied", absolute_applied),
            ("absolute_emitted", absolute_emitted),
            ("absolute_open", absolute_open),
            ("aggregated_applied", aggregated_applied),
            ("aggregated_emitted", aggregated_emitted),
            ("aggregated_open", aggregated_open),
            ("late", late),
            ("ahead", ahead),
            ("overflowed", overflowed),
        ]
    }

    pub(crate) fn refuse(&mut self, reason: Reason) {
        self.refused[reason as usize] += 1;
    }
}
