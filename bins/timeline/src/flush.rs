//! Windows of counts, samples and members come out: a slice at a time, so that nothing waits for long.

use common::key;
use common::metric::{Event, State as Published};
use common::sketch::{MEMBERS, SAMPLES};
use common::time::{SECOND_NS, Time};
use sockets::planted;

use crate::emitted::{BOUND, BUCKET, Part, Profile, TOTAL, UNIQUE, with_suffix};
use crate::index::NONE;
use crate::series::{Counted, NO_ZEROS, Sampled, State, Text};
use crate::tally::Tally;
use crate::timeline::{Output, Timeline};
use crate::windows::Closing;

/// What a slice may cost. A series that is looked at is 1, which is some 20 ns; so a slice is less than a millisecond.
const COST_A_SLICE: u32 = 20_000;
/// An event, with its part in the ring.
const EVENT: u32 = 10;
/// So many values, bins or bytes of a state.
const BYTES_A_COST: usize = 16;
/// The estimate of a set that is not exact.
const ESTIMATE: u32 = 1_000;

impl Timeline {
    /// Emits what is in the window that is due, for less than a millisecond. True when there is more: whoever calls it
    /// goes on when what came out has room. To be called as often as [`Timeline::tick`].
    pub fn flush(&mut self, now: Time, out: &mut impl Output) -> bool {
        self.windows.turn(now);
        let Some(closing) = self.windows.closing() else { return false };
        let end = self.table.series.end();
        let is_needed = self.aggregated > 0 || !self.rules().emitted.keep_gauges.is_empty();
        let mut left = COST_A_SLICE;
        while left > 0 && self.flushed < end && is_needed {
            let cost = self.emit(self.flushed, &closing, now, out);
            self.flushed += 1;
            left = left.saturating_sub(cost);
        }
        if self.flushed < end && is_needed {
            return true;
        }
        self.flushed = 0;
        self.windows.done();
        self.windows.turn(now);
        self.windows.closing().is_some()
    }

    /// Emits one series' part of a window; gives what it cost.
    fn emit(&mut self, id: u32, closing: &Closing, now: Time, out: &mut impl Output) -> u32 {
        let zeros_max = self.rules().zeros_max();
        let Some(series) = self.table.series.get_mut(id) else { return 1 };
        let text = series.text;
        match &mut series.state {
            State::Gauge(gauge) if gauge.kept && gauge.time < closing.start => {
                let value = gauge.value.as_f64();
                self.counters.timer_events += 1;
                out.event(Event { key: self.table.emitted(text), time: closing.end, value });
                1 + EVENT
            }
            State::Count { quiet, tallies } => {
                let tally = std::mem::take(&mut tallies[closing.slot]);
                if planted!(JumpLosesWindow) && now > closing.end.plus_ns(60 * SECOND_NS) {
                    self.came_out(tally.records);
                    return 1;
                }
                if tally.records > 0 {
                    *quiet = 0;
                } else if *quiet < zeros_max {
                    *quiet += 1;
                } else {
                    return 1;
                }
                self.emit_count(text, tally, closing, out)
            }
            State::Sample { profile, slots } => {
                let (profile, slot) = (*profile, std::mem::replace(&mut slots[closing.slot], NONE));
                if slot == NONE {
                    return 1;
                }
                let sampled = self.pools.samples.remove(slot);
                self.emit_samples(text, profile, sampled, closing, out)
            }
            State::Member { slots } => {
                let slot = std::mem::replace(&mut slots[closing.slot], NONE);
                if slot == NONE {
                    return 1;
                }
                let counted = self.pools.members.remove(slot);
                self.emit_members(text, counted, closing, out)
            }
            _ => 1,
        }
    }

    fn emit_count(&mut self, text: Text, tally: Tally, closing: &Closing, out: &mut impl Output) -> u32 {
        let key = self.table.emitted(text);
        let total = tally.sum().as_f64();
        let (time, seconds) = (closing.end, closing.window_ns as f64 / SECOND_NS as f64);
        out.event(Event { key, time, value: total / seconds });
        with_suffix(&mut self.scratch, key, TOTAL);
        out.event(Event { key: &self.scratch, time, value: total });
        self.counters.timer_events += 2;
        self.came_out(tally.records);
        1 + 2 * EVENT
    }

    fn emit_samples(
        &mut self,
        text: Text,
        profile: u8,
        sampled: Sampled,
        closing: &Closing,
        out: &mut impl Output,
    ) -> u32 {
        let Sampled { mut samples, records } = sampled;
        let mut cost = 1 + (samples.memory() / BYTES_A_COST) as u32;
        let (key, time) = (self.table.emitted(text), closing.end);
        let profile = self.rules.emitted.profile(profile);
        let mut events = 0;
        let scratch = &mut self.scratch;
        let mut put = |out: &mut _, suffix: &str, value: f64| {
            with_suffix(scratch, key, suffix);
            event(out, scratch, time, value);
            events += 1;
        };
        let mut quantiles = Vec::with_capacity(profile.quantiles().len());
        samples.quantiles(profile.quantiles(), |value| quantiles.push(value));
        let mut quantiles = quantiles.into_iter();
        for (word, part) in profile.parts() {
            let value = match part {
                Part::Count => Some(samples.count()),
                Part::Sum => Some(samples.sum()),
                Part::Min => samples.min(),
                Part::Max => samples.max(),
                Part::Mean => samples.mean(),
                Part::Stddev => samples.stddev(),
                Part::Hmean => samples.hmean(),
                Part::Quantile(_) => quantiles.next(),
            };
            if let Some(value) = value {
                put(out, word, value);
            }
        }
        if !profile.bounds().is_empty() {
            events += buckets(key, time, profile, &mut samples, out);
        }
        if out.wants_states() {
            self.scratch.clear();
            samples.encode(&mut self.scratch);
            cost += (self.scratch.len() / BYTES_A_COST) as u32 + EVENT;
            let (window_ns, bytes) = (closing.window_ns.unsigned_abs(), &*self.scratch);
            out.state(Published { key, time, window_ns, kind: SAMPLES, bytes });
            self.counters.states += 1;
        }
        self.counters.timer_events += u64::from(events);
        self.came_out(records);
        cost + events * EVENT
    }

    fn emit_members(
        &mut self,
        text: Text,
        counted: Counted,
        closing: &Closing,
        out: &mut impl Output,
    ) -> u32 {
        let Counted { members, records } = counted;
        let (key, time) = (self.table.emitted(text), closing.end);
        let mut cost = 1 + EVENT + if members.is_exact() { 0 } else { ESTIMATE };
        with_suffix(&mut self.scratch, key, UNIQUE);
        out.event(Event { key: &self.scratch, time, value: members.unique() });
        if out.wants_states() {
            self.scratch.clear();
            members.encode(&mut self.scratch);
            cost += (self.scratch.len() / BYTES_A_COST) as u32 + EVENT;
            let (window_ns, bytes) = (closing.window_ns.unsigned_abs(), &*self.scratch);
            out.state(Published { key, time, window_ns, kind: MEMBERS, bytes });
            self.counters.states += 1;
        }
        self.counters.timer_events += 1;
        self.came_out(records);
        cost
    }

    fn came_out(&mut self, records: u32) {
        self.counters.aggregated_emitted += u64::from(records);
        self.counters.aggregated_open -= u64::from(records);
    }
}

fn event(out: &mut impl Output, key: &[u8], time: Time, value: f64) {
    out.event(Event { key, time, value });
}

/// The histogram: how many samples are at most each bound. A series that has a tag of the bound's name has none.
fn buckets(
    key: &[u8],
    time: Time,
    profile: &Profile,
    samples: &mut common::sketch::Samples,
    out: &mut impl Output,
) -> u32 {
    let mut name = Vec::with_capacity(key.len() + BUCKET.len() + 1);
    with_suffix(&mut name, key, BUCKET);
    let Ok(name) = String::from_utf8(name) else { return 0 };
    if key::tags(&name).any(|(tag, _)| tag == BOUND) {
        return 0;
    }
    let mut texts = profile.bound_texts().iter();
    let mut events = 0;
    samples.up_to(profile.bounds(), |count| {
        if let Some(text) = texts.next() {
            event(out, key::with_tag(&name, BOUND, text).as_bytes(), time, count);
            events += 1;
        }
    });
    events
}

// A count never has as many zeros behind it as would be none.
const _: () = assert!(NO_ZEROS == u16::MAX);

#[cfg(test)]
mod tests;
