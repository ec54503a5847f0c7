//! Spans of windows that were entered before the clock jumped, and how often.

/// Spans that are kept apart.
const SPANS: usize = 8;

/// Which windows were entered, by their numbers. Where there are too many spans, two are taken together, and what lies
/// between them counts as entered: never is less known of a window than is so.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Entered {
    spans: [Span; SPANS],
    len: usize,
}

/// Windows from the first to the last one, each of which was entered so often, at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Span {
    first: i64,
    last: i64,
    times: u32,
}

impl Entered {
    /// These windows were entered once more.
    pub(crate) fn add(&mut self, first: i64, last: i64) {
        self.add_times(first, last, 1);
    }

    /// These windows were entered so often.
    pub(crate) fn add_times(&mut self, first: i64, last: i64, times: u32) {
        if first > last || times == 0 {
            return;
        }
        // Run after run of a clock that goes on is one span.
        let goes_on = |span: &&mut Span| span.last.saturating_add(1) == first && span.times == times;
        if let Some(span) = self.spans[..self.len].iter_mut().find(goes_on) {
            span.last = last;
            return;
        }
        if self.len == SPANS {
            self.join_two();
        }
        self.spans[self.len] = Span { first, last, times };
        self.len += 1;
    }

    /// How often a window was entered, at most.
    pub(crate) fn times(&self, number: i64) -> u32 {
        let has = |span: &&Span| (span.first..=span.last).contains(&number);
        self.spans().iter().filter(has).fold(0, |sum: u32, span| sum.saturating_add(span.times))
    }

    /// The spans: their first and last windows, and how often these were entered.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (i64, i64, u32)> {
        self.spans().iter().map(|span| (span.first, span.last, span.times))
    }

    fn spans(&self) -> &[Span] {
        &self.spans[..self.len]
    }

    /// Takes the two spans together that are nearest to each other, and do not overlap where others do not.
    fn join_two(&mut self) {
        self.spans[..self.len].sort_unstable_by_key(|span| (span.first, span.last));
        let cost = |at: &usize| {
            let (one, other) = (self.spans[*at], self.spans[at + 1]);
            (one.last >= other.first, one.last.abs_diff(other.first))
        };
        let Some(at) = (0..self.len - 1).min_by_key(cost) else { return };
        let (one, other) = (self.spans[at], self.spans[at + 1]);
        let times = match one.last < other.first {
            true => one.times.max(other.times),
            false => one.times.saturating_add(other.times),
        };
        self.spans[at] = Span { first: one.first, last: one.last.max(other.last), times };
        self.spans.copy_within(at + 2..self.len, at + 1);
        self.len -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_is_less_known_than_is_so() {
        let mut entered = Entered::default();
        let mut spans = Vec::new();
        // Spans of many lengths, near each other and far, over each other too.
        for step in 0..60_i64 {
            let first = step * step * 7 % 400;
            let last = first + step % 13;
            entered.add(first, last);
            spans.push(first..=last);
            for number in 0..500 {
                let times = spans.iter().filter(|span| span.contains(&number)).count() as u32;
                assert!(entered.times(number) >= times, "{number} after {spans:?}");
                assert!(spans.len() > SPANS || entered.times(number) == times, "{number} after {spans:?}");
            }
        }
        entered.add(5, 4);
        assert_eq!(entered.iter().count(), SPANS);
    }

    #[test]
    fn a_clock_that_goes_on_is_one_span() {
        let mut entered = Entered::default();
        for number in 0..100 {
            entered.add(number * 3, number * 3 + 2);
        }
        assert_eq!(entered.iter().collect::<Vec<_>>(), [(0, 299, 1)]);
    }
}
