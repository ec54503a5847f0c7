//! The timeline: records in, events out.

use std::borrow::Cow;
use std::time::Duration;

use common::key::{self, KEY_BYTES_MAX};
use common::metric::{Event, Kind, Metric, State as Published};
use common::time::Time;

use crate::counters::{Counters, Reason};
use crate::emitted::with_suffix;
use crate::growth::Growth;
use crate::index::NONE;
use crate::limits::{Census, Place, first_part};
use crate::rules::{Clock, Rules};
use crate::series::{Class, Pools, Sampled, Series, State};
use crate::table::{BATCH, Table};
use crate::wheel::Wheel;
use crate::windows::Windows;

/// Windows the timer looks at in one [`Timeline::tick`].
const WINDOWS_A_TICK: u32 = 1024;

/// Series the search for idle ones looks at in one [`Timeline::tick`], and those it takes out.
const LOOKS_A_TICK: u32 = 8192;
const EXPIRED_A_TICK: u32 = 512;

/// The search for idle series comes round so many times in a `ttl`.
const ROUNDS_A_TTL: f64 = 8.0;

/// Takes what comes out of the timeline. A closure that takes an event is one that does not ask for the refused.
pub trait Output {
    /// An event; its key is only lent.
    fn event(&mut self, event: Event<'_>);

    /// The state of a window, beside its events; its key and bytes are only lent.
    fn state(&mut self, state: Published<'_>) {
        let _ = state;
    }

    /// Whether anybody takes states: if not, none are made.
    fn wants_states(&self) -> bool {
        false
    }

    /// A record that was refused, and counted.
    fn refused(&mut self, metric: &Metric<'_>, reason: Reason) {
        let _ = (metric, reason);
    }
}

impl<F: FnMut(Event<'_>)> Output for F {
    fn event(&mut self, event: Event<'_>) {
        self(event);
    }
}

/// All series, and the rules that make events of records.
#[derive(Debug)]
pub struct Timeline {
    pub(crate) rules: Rules,
    pub(crate) table: Table,
    pub(crate) census: Census,
    pub(crate) wheel: Wheel,
    pub(crate) windows: Windows,
    pub(crate) pools: Pools,
    pub(crate) counters: Counters,
    growth: Growth,
    /// Series of kinds that are gathered in windows of the wall clock.
    pub(crate) aggregated: u64,
    /// Those whose key may be a name that another series emits: mostly none, and then nobody looks for them.
    lookalikes: u64,
    /// Keys and states in the making.
    pub(crate) scratch: Vec<u8>,
    /// The next number that a flush looks at.
    pub(crate) flushed: u32,
    /// The next number the search for idle series looks at.
    hand: u32,
    /// Numbers it is behind, and when that was counted.
    behind: f64,
    hand_moved: Duration,
}

impl Timeline {
    /// An empty timeline. The rules are those [`Rules::check`] accepts.
    pub fn new(rules: Rules) -> Timeline {
        Timeline {
            table: Table::new(),
            census: Census::new(rules.limits),
            wheel: Wheel::new(),
            windows: rules.windows(),
            pools: Pools::new(),
            counters: Counters::default(),
            growth: Growth::new(),
            aggregated: 0,
            lookalikes: 0,
            scratch: Vec::new(),
            flushed: 0,
            hand: 0,
            behind: 0.0,
            hand_moved: Duration::ZERO,
            rules,
        }
    }

    /// What was counted so far; the identities of [`Counters`] hold.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Where new series came from of late; to be asked for once a second. `mono` is as in [`Timeline::apply`].
    pub fn growth(&mut self, now: Time, mono: Duration) -> common::growth::Growth {
        self.growth.tell(now, mono)
    }

    /// Which windows are open, when the clock is there.
    pub(crate) fn windows_at(&mut self, now: Time) -> &Windows {
        self.windows.turn(now);
        &self.windows
    }

    /// The rules in force.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// Applies records in their order. `source` is the datagram's; `mono` the time since a start that stays the
    /// same, on the monotonic clock.
    pub fn apply(
        &mut self,
        records: &[Metric<'_>],
        source: u64,
        now: Time,
        mono: Duration,
        out: &mut impl Output,
    ) {
        self.windows.turn(now);
        let clock = self.rules.clock(now, mono, self.windows);
        for batch in records.chunks(BATCH) {
            self.apply_batch(batch, source, &clock, out);
        }
    }

    fn apply_batch(&mut self, batch: &[Metric<'_>], source: u64, clock: &Clock, out: &mut impl Output) {
        let mut ids = [NONE; BATCH];
        self.table.locate(batch, &mut ids);
        if batch.iter().any(|metric| metric.kind == Kind::Sample) {
            self.look(batch, &ids, clock);
        }
        let removals = self.table.removals;
        let mut refused = 0;
        let mut passed = 0;
        for (metric, &id) in batch.iter().zip(&ids) {
            let located = if self.table.removals == removals { id } else { NONE };
            match self.apply_one(metric, located, source, clock, out) {
                Ok(true) => passed += 1,
                Ok(false) => {}
                Err(reason) => {
                    refused += 1;
                    self.counters.refuse(reason);
                    out.refused(metric, reason);
                }
            }
        }
        let received = batch.len() as u64;
        self.counters.received += received;
        self.counters.accepted += received - refused;
        self.counters.passed += passed;
        self.counters.merged += received - refused - passed;
    }

    /// Reads what samples are going to change: in steps, each of which waits for the memory of all of them at once.
    fn look(&self, batch: &[Metric<'_>], ids: &[u32; BATCH], clock: &Clock) {
        let mut slots = [NONE; BATCH];
        for ((metric, &id), slot) in batch.iter().zip(ids).zip(&mut slots) {
            if let Some(State::Sample { slots, .. }) = self.table.series.get(id).map(|series| &series.state) {
                *slot = slots[clock.windows.slot(metric.time)];
            }
        }
        let mut seen = 0;
        for &slot in &slots[..batch.len()] {
            seen ^= self.pools.samples.get(slot).map_or(0, |sampled| sampled.samples.look());
        }
        for (metric, &slot) in batch.iter().zip(&slots) {
            let look = |sampled: &Sampled| sampled.samples.look_at(metric.value.as_f64());
            seen ^= self.pools.samples.get(slot).map_or(0, look);
        }
        std::hint::black_box(seen);
    }

    /// True when the record gave an event.
    #[inline]
    fn apply_one(
        &mut self,
        metric: &Metric<'_>,
        located: u32,
        source: u64,
        clock: &Clock,
        out: &mut impl Output,
    ) -> Result<bool, Reason> {
        clock.check(metric)?;
        let mut id = located;
        let mut plain = true;
        match self.table.series.get(id) {
            Some(series) if !series.is_idle(clock) && !matches!(series.state, State::Spelling(..)) => {}
            _ => {
                id = self.resolve(metric, source, clock)?;
                plain = false;
            }
        }
        let series = self.table.series.get_mut(id).expect("it was found or entered");
        let point = series.take(metric, clock, &mut self.pools, &mut self.counters);
        let text = series.text;
        if matches!(series.state, State::Absolute(_)) {
            self.wheel.link(&mut self.table.series, id);
        }
        let Some(point) = point? else { return Ok(false) };
        // The record's own bytes are in the cache already.
        let key = if plain && text.emitted_len == 0 { metric.key } else { self.table.emitted(text) };
        out.event(Event { key, time: point.time, value: point.value });
        Ok(true)
    }

    /// The series of a record that was not located: new, known by another spelling, or idle for too long.
    #[cold]
    fn resolve(&mut self, metric: &Metric<'_>, source: u64, clock: &Clock) -> Result<u32, Reason> {
        if let Some(id) = self.find_live(Class::of(metric.kind), metric.key, clock) {
            match self.table.series.get(id).map(|series| series.state) {
                Some(State::Spelling(of, _)) if self.is_spelling_of(id, of, clock) => {
                    self.see(id, clock);
                    return Ok(of);
                }
                Some(State::Spelling(..)) => self.remove(id),
                _ => return Ok(id),
            }
        }
        self.enter(metric, source, clock)
    }

    /// Opens the series of a key that is not in the table.
    fn enter(&mut self, metric: &Metric<'_>, source: u64, clock: &Clock) -> Result<u32, Reason> {
        let emitted = self.emitted_key(metric.key)?;
        let class = Class::of(metric.kind);
        if emitted.as_bytes() != metric.key
            && let Some(of) = self.find_live(class, emitted.as_bytes(), clock)
        {
            // Known by another spelling; without room for one more, it is looked up the long way each time.
            if let Some(place) = self.census.enter(metric.key, source) {
                self.insert(metric.key, emitted.as_bytes(), State::Spelling(of, class), place, clock);
            }
            return Ok(of);
        }
        self.check_names(metric.kind, &emitted, clock)?;
        let emitted = emitted.as_bytes();
        match self.census.enter(metric.key, source) {
            Some(place) => {
                // A gauge that is too old is refused before it opens a series.
                if matches!(metric.kind, Kind::Gauge | Kind::Adjust) && metric.time < clock.oldest {
                    self.census.leave(place);
                    return Err(Reason::TooOld);
                }
                self.growth.entered(metric.key);
                Ok(self.insert(metric.key, emitted, State::new(metric.kind), place, clock))
            }
            None => {
                self.growth.turned_away(metric.key);
                self.overflow(metric, clock)
            }
        }
    }

    /// Refuses a new series that would emit a name which another one has.
    fn check_names(&mut self, kind: Kind, emitted: &str, clock: &Clock) -> Result<(), Reason> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let mut name = Ok(());
        for suffix in 0.. {
            let Some(suffix) = self.rules.emitted.suffix(kind, emitted, suffix) else { break };
            // A dot as well.
            if emitted.len() + 1 + suffix.word.len() + suffix.more > KEY_BYTES_MAX {
                name = Err(Reason::BadKey);
            } else if self.lookalikes > 0 {
                with_suffix(&mut scratch, emitted.as_bytes(), suffix.word);
                if self.find_live(Class::Plain, &scratch, clock).is_some() {
                    name = name.and(Err(Reason::KindConflict));
                }
            }
        }
        self.scratch = scratch;
        name?;
        // Its own key is looked up by all of its class anyhow; another series may emit it.
        if Class::of(kind) == Class::Plain
            && let Some((kind, key)) = self.rules.emitted.origin(emitted)
            && self.has(kind, &key, clock)
        {
            return Err(Reason::KindConflict);
        }
        Ok(())
    }

    /// True when a series of a kind that is aggregated has this key.
    fn has(&mut self, kind: Kind, key: &str, clock: &Clock) -> bool {
        let found = self.find_live(Class::of(kind), key.as_bytes(), clock);
        let state = found.and_then(|id| self.table.series.get(id)).map(|series| series.state);
        // Of the plain ones a count alone emits another name.
        state.is_some_and(|state| kind != Kind::Count || matches!(state, State::Count { .. }))
    }

    /// Over the limit: the overflow series of the kinds whose sums must stay right.
    fn overflow(&mut self, metric: &Metric<'_>, clock: &Clock) -> Result<u32, Reason> {
        if !matches!(metric.kind, Kind::Absolute | Kind::Count | Kind::Sample | Kind::Member) {
            return Err(Reason::SeriesLimit);
        }
        let class = Class::of(metric.kind);
        let suffix = format!("leela_overflow;kind={}", metric.kind.word());
        let part = String::from_utf8_lossy(first_part(metric.key)).into_owned();
        for (text, last) in [
            (format!("{part}.{suffix}"), false),
            (format!("leela.overflow;kind={}", metric.kind.word()), true),
        ] {
            let Ok(emitted) = self.emitted_key(text.as_bytes()).map(Cow::into_owned) else { continue };
            let id = match self.find_live(class, emitted.as_bytes(), clock) {
                Some(id) => id,
                None if self.check_names(metric.kind, &emitted, clock).is_err() => continue,
                None => match self.census.enter_overflow(last) {
                    Some(place) => {
                        let state = State::new(metric.kind);
                        self.insert(emitted.as_bytes(), emitted.as_bytes(), state, place, clock)
                    }
                    None => continue,
                },
            };
            let is_own = |state: &State| match metric.kind {
                Kind::Absolute => matches!(state, State::Absolute(_)),
                Kind::Count => matches!(state, State::Count { .. }),
                _ => state.is_aggregated(),
            };
            if self.table.series.get(id).is_some_and(|series| is_own(&series.state)) {
                self.counters.overflowed += 1;
                return Ok(id);
            }
        }
        Err(Reason::SeriesLimit)
    }

    /// The key in its one form, with the tags joined.
    pub(crate) fn emitted_key<'a>(&self, text: &'a [u8]) -> Result<Cow<'a, str>, Reason> {
        let mut key = key::parse(text).map_err(|_| Reason::BadKey)?;
        for (tag, value) in &self.rules.tags {
            key = Cow::Owned(key::with_tag(&key, tag, value));
        }
        if key.len() > KEY_BYTES_MAX { Err(Reason::BadKey) } else { Ok(key) }
    }

    /// The series of a class with this text, unless it is idle for too long: then it goes now.
    fn find_live(&mut self, class: Class, text: &[u8], clock: &Clock) -> Option<u32> {
        let id = self.table.find(class, text)?;
        if self.table.series.get(id)?.is_idle(clock) {
            self.expire(id);
            return None;
        }
        Some(id)
    }

    /// True while the series that `id` is another spelling of is there.
    fn is_spelling_of(&self, id: u32, of: u32, clock: &Clock) -> bool {
        let (Some(spelling), Some(series)) = (self.table.series.get(id), self.table.series.get(of)) else {
            return false;
        };
        !matches!(series.state, State::Free | State::Spelling(..))
            && spelling.state.class() == series.state.class()
            && !series.is_idle(clock)
            && self.table.emitted(spelling.text) == self.table.emitted(series.text)
    }

    fn see(&mut self, id: u32, clock: &Clock) {
        if let Some(series) = self.table.series.get_mut(id) {
            series.seen = clock.moment;
        }
    }

    pub(crate) fn insert(
        &mut self,
        looked_up: &[u8],
        emitted: &[u8],
        mut state: State,
        place: Place,
        clock: &Clock,
    ) -> u32 {
        let owns = !matches!(state, State::Spelling(..));
        self.counters.series += u64::from(owns);
        self.aggregated += u64::from(state.is_aggregated());
        match &mut state {
            State::Sample { profile, .. } => *profile = self.rules.emitted.profile_of(emitted),
            State::Gauge(gauge) => gauge.kept = self.rules.emitted.keeps(emitted),
            _ => {}
        }
        self.lookalikes += u64::from(self.is_lookalike(state.class(), looked_up, emitted));
        let Place { part, source } = place;
        let series = Series { part, source, state, seen: clock.moment, ..Series::default() };
        self.table.insert(looked_up, emitted, owns, series)
    }

    fn expire(&mut self, id: u32) {
        if !matches!(self.table.series.get(id).map(|series| series.state), Some(State::Spelling(..))) {
            self.counters.expired += 1;
        }
        self.remove(id);
    }

    /// True for the keys of a series that another one could emit.
    fn is_lookalike(&self, class: Class, looked_up: &[u8], emitted: &[u8]) -> bool {
        let emitted_names = &self.rules.emitted;
        let may_be_emitted = |key| {
            emitted_names.may_have_origin(key)
                && std::str::from_utf8(key).is_ok_and(|key| emitted_names.origin(key).is_some())
        };
        class == Class::Plain
            && (may_be_emitted(emitted) || looked_up != emitted && may_be_emitted(looked_up))
    }

    fn remove(&mut self, id: u32) {
        if let Some(Series { text, state, .. }) = self.table.series.get(id) {
            let (looked_up, emitted) = (self.table.looked_up(*text), self.table.emitted(*text));
            self.lookalikes -= u64::from(self.is_lookalike(state.class(), looked_up, emitted));
        }
        let series = self.table.remove(id);
        if !matches!(series.state, State::Spelling(..)) {
            self.counters.series -= 1;
        }
        self.aggregated -= u64::from(series.state.is_aggregated());
        self.census.leave(Place { part: series.part, source: series.source });
    }

    /// What time alone brings about, but for [`Timeline::flush`]: absolute windows close, idle series go. To be called
    /// every 100 ms or so; it works for less than a millisecond, and is true when there is more to do, which waits for
    /// the next call.
    pub fn tick(&mut self, now: Time, mono: Duration, out: &mut impl Output) -> bool {
        self.windows.turn(now);
        let clock = self.rules.clock(now, mono, self.windows);
        let mut budget = WINDOWS_A_TICK;
        while let Some(id) = self.wheel.due(&mut self.table.series, clock.moment, &mut budget) {
            let Some(series) = self.table.series.get_mut(id) else { continue };
            let State::Absolute(window) = &mut series.state else { continue };
            let point = window.time_out(&mut self.counters);
            let text = series.text;
            self.counters.timer_events += 1;
            out.event(Event { key: self.table.emitted(text), time: point.time, value: point.value });
        }
        let more = self.search_idle(&clock, mono);
        more || budget == 0
    }

    fn search_idle(&mut self, clock: &Clock, mono: Duration) -> bool {
        let end = self.table.series.end();
        let elapsed = mono.saturating_sub(self.hand_moved).as_secs_f64();
        self.hand_moved = mono;
        let round = self.rules.ttl.as_secs_f64() / ROUNDS_A_TTL;
        self.behind = (self.behind + elapsed / round * f64::from(end)).min(f64::from(end));
        let looks = (self.behind as u32).min(LOOKS_A_TICK);
        let mut expired = 0;
        for _ in 0..looks {
            if expired == EXPIRED_A_TICK {
                break;
            }
            self.hand = if self.hand + 1 < end { self.hand + 1 } else { 0 };
            self.behind -= 1.0;
            match self.table.series.get(self.hand) {
                Some(series) if !matches!(series.state, State::Free) && series.is_idle(clock) => {
                    self.expire(self.hand);
                    expired += 1;
                }
                _ => {}
            }
        }
        self.behind >= 1.0
    }
}

#[cfg(test)]
mod tests;
