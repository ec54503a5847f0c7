//! Medians that keep a bounded number of values.
//!
//! Of an even number of values the median is the mean of the middle two. A NaN stands above all numbers.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

/// The state of one `median`.
#[derive(Clone, Debug)]
pub(super) enum Median {
    /// Outside a window: of the latest values.
    Latest(Latest),
    /// Inside a window: of all its values.
    Window(Window),
}

impl Median {
    /// The median with `value` among its values.
    pub(super) fn feed(&mut self, value: f64) -> f64 {
        // One NaN, so that the order below is an order of numbers.
        let value = if value.is_nan() { f64::NAN } else { value };
        match self {
            Median::Latest(latest) => latest.feed(value),
            Median::Window(window) => window.feed(value),
        }
    }

    /// Forgets all values; keeps the memory.
    pub(super) fn reset(&mut self) {
        match self {
            Median::Latest(latest) => latest.clear(),
            Median::Window(window) => window.clear(),
        }
    }

    /// Bytes taken besides `self`.
    pub(super) fn heap_bytes(&self) -> usize {
        let values = match self {
            Median::Latest(latest) => latest.arrived.capacity() + latest.sorted.capacity(),
            Median::Window(window) => window.lower.capacity() + window.upper.capacity(),
        };
        values * size_of::<f64>()
    }
}

/// Values in the order they came and in their own order: a step is two searches and one move of memory.
#[derive(Clone, Debug)]
pub(super) struct Latest {
    /// The most values, over 0.
    count: usize,
    arrived: Vec<f64>,
    /// The oldest of `arrived`, once that is full.
    oldest: usize,
    sorted: Vec<f64>,
}

impl Latest {
    pub(super) const fn of(count: usize) -> Latest {
        Latest { count, arrived: Vec::new(), oldest: 0, sorted: Vec::new() }
    }

    fn feed(&mut self, value: f64) -> f64 {
        let to = self.place(value);
        if self.arrived.len() < self.count {
            self.arrived.push(value);
            self.sorted.insert(to, value);
        } else {
            let left = std::mem::replace(&mut self.arrived[self.oldest], value);
            self.oldest = (self.oldest + 1) % self.count;
            let from = self.place(left);
            if from < to {
                self.sorted.copy_within(from + 1..to, from);
                self.sorted[to - 1] = value;
            } else {
                self.sorted.copy_within(to..from, to + 1);
                self.sorted[to] = value;
            }
        }
        let (middle, is_odd) = (self.sorted.len() / 2, self.sorted.len() % 2 == 1);
        if is_odd { self.sorted[middle] } else { self.sorted[middle - 1].midpoint(self.sorted[middle]) }
    }

    /// Where `value` stands, or would: before its equals.
    fn place(&self, value: f64) -> usize {
        self.sorted.partition_point(|other| other.total_cmp(&value).is_lt())
    }

    fn clear(&mut self) {
        self.arrived.clear();
        self.sorted.clear();
        self.oldest = 0;
    }
}

/// The lower and the upper half; the lower has one more when their number is odd.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    lower: BinaryHeap<Ordered>,
    upper: BinaryHeap<Reverse<Ordered>>,
}

impl Window {
    fn feed(&mut self, value: f64) -> f64 {
        let value = Ordered(value);
        if self.upper.peek().is_some_and(|Reverse(least)| value > *least) {
            self.upper.push(Reverse(value));
        } else {
            self.lower.push(value);
        }
        if self.upper.len() > self.lower.len() {
            self.lower.extend(self.upper.pop().map(|Reverse(value)| value));
        } else if self.lower.len() > self.upper.len() + 1 {
            self.upper.extend(self.lower.pop().map(Reverse));
        }
        let lower = self.lower.peek().expect("a value was pushed, and the lower half is never the smaller").0;
        match self.upper.peek() {
            Some(Reverse(upper)) if self.lower.len() == self.upper.len() => lower.midpoint(upper.0),
            _ => lower,
        }
    }

    fn clear(&mut self) {
        self.lower.clear();
        self.upper.clear();
    }
}

#[derive(Clone, Copy, Debug)]
struct Ordered(f64);

impl Ord for Ordered {
    fn cmp(&self, other: &Ordered) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl PartialOrd for Ordered {
    fn partial_cmp(&self, other: &Ordered) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Ordered {
    fn eq(&self, other: &Ordered) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Ordered {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The median by its definition.
    fn sorted_median(values: &[f64]) -> f64 {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        if sorted.len() % 2 == 1 { sorted[middle] } else { sorted[middle - 1].midpoint(sorted[middle]) }
    }

    proptest::proptest! {
        #[test]
        fn a_median_is_that_of_the_sorted_values(
            values in proptest::collection::vec(proptest::prop_oneof![-5..5_i32, -500..500_i32], 1..60),
            count in 1..20_usize,
        ) {
            let values: Vec<f64> = values.into_iter().map(f64::from).collect();
            let mut latest = Median::Latest(Latest::of(count));
            let mut window = Median::Window(Window::default());
            for _ in 0..2 {
                for at in 0..values.len() {
                    let fed = &values[..=at];
                    proptest::prop_assert_eq!(window.feed(values[at]), sorted_median(fed));
                    let kept = &fed[fed.len().saturating_sub(count)..];
                    proptest::prop_assert_eq!(latest.feed(values[at]), sorted_median(kept));
                }
                latest.reset();
                window.reset();
            }
        }
    }

    #[test]
    fn a_nan_stands_above_all_and_goes_again() {
        let mut latest = Median::Latest(Latest::of(3));
        let fed = [1.0, -f64::NAN, 2.0, 3.0, 4.0].map(|value| latest.feed(value));
        assert_eq!(fed[2], 2.0);
        assert_eq!(fed[3..], [3.0, 3.0]);
    }
}
