//! What can be read back of a load.

use common::time::{SECOND_NS, Time};

use crate::core::Core;
use crate::load::{KEYS, Pour};
use crate::row::Row;

/// What can be read back of the gauges, of those that the timeline put out.
pub(crate) fn stored(core: &Core, case: &str, pour: Pour, begin: Time, came_out: u64) -> Row {
    let storage = core.books("storage");
    let (from, to) = (begin.plus_ns(-SECOND_NS), begin.plus_ns(3600 * SECOND_NS));
    let (mut read, mut whole, mut in_order) = (0, true, true);
    for key in 0..KEYS {
        let ask = format!("range key 12|load.k{key:06} {from} {to};");
        let answered = core.sandbox.ask(&ask);
        whole &= answered.is_whole && answered.status == "status 0;";
        in_order &= answered.points.is_sorted_by(|a, b| a.1 < b.1);
        let right = |(_, time, value): &(String, Time, f64)| {
            let number = *value as u64;
            number % KEYS == key && *time == begin_of(begin, number)
        };
        in_order &= answered.points.iter().all(right);
        read += answered.points.len() as u64;
    }
    Row::new(case, pour.says("gauges"))
        .sums(came_out, read)
        .counted("missing at storage", storage.counter("missing"))
        .must(whole, "an answer broke")
        .must(in_order, "a point is there twice, or another than was sent")
}

fn begin_of(begin: Time, number: u64) -> Time {
    // A store keeps milliseconds.
    let ns = begin.plus_ns((number / KEYS) as i64 * 1_000_000).ns();
    Time::from_ns(ns.div_euclid(1_000_000) * 1_000_000)
}
