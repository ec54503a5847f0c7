//! Values that are told together: of each series how many there were, the least, the greatest and the last.

use std::collections::BTreeMap;
use std::time::Instant;

use common::time::Time;
use common::value::Shortest;
use serde_json::{Value, json};

use crate::json;
use crate::utc;

/// What a series takes beside its key.
const SERIES_BYTES: usize = 64;
/// Series that are told by name; of the others it is said how many there are.
const SHOWN: usize = 10;

/// Values that wait to be told.
#[derive(Debug)]
pub(crate) struct Digest {
    /// When the first of them came.
    pub(crate) since: Instant,
    /// Values in it.
    pub(crate) values: u64,
    /// Values that leela-dmproc lost meanwhile.
    pub(crate) lost: u64,
    /// Values that waited too long, and until when that was.
    gone: Option<(u64, Time)>,
    series: BTreeMap<String, Series>,
    /// Values of series for which there was no room.
    others: u64,
    bytes: usize,
    bytes_max: usize,
}

#[derive(Clone, Copy, Debug)]
struct Series {
    values: u64,
    least: f64,
    greatest: f64,
    last: f64,
    time: Time,
}

impl Digest {
    /// An empty one, of at most so many bytes.
    pub(crate) fn new(since: Instant, bytes_max: usize) -> Digest {
        let series = BTreeMap::new();
        Digest { since, values: 0, lost: 0, gone: None, series, others: 0, bytes: 0, bytes_max }
    }

    /// What came until now has waited too long: of it nothing but its number stays, which is given.
    pub(crate) fn expire(&mut self, now: Instant, time: Time) -> u64 {
        let Digest { values, lost, gone: before, bytes_max, .. } = *self;
        let gone = match values {
            0 => before,
            values => Some((values + before.map_or(0, |(before, _)| before), time)),
        };
        *self = Digest { lost, gone, ..Digest::new(now, bytes_max) };
        values
    }

    /// Takes a value in.
    pub(crate) fn fold(&mut self, key: &str, value: f64, time: Time) {
        self.values += 1;
        if let Some(series) = self.series.get_mut(key) {
            series.values += 1;
            series.least = series.least.min(value);
            series.greatest = series.greatest.max(value);
            if time >= series.time {
                (series.last, series.time) = (value, time);
            }
            return;
        }
        let bytes = key.len() + SERIES_BYTES;
        if self.bytes + bytes > self.bytes_max {
            self.others += 1;
            return;
        }
        self.bytes += bytes;
        let series = Series { values: 1, least: value, greatest: value, last: value, time };
        self.series.insert(key.to_owned(), series);
    }

    /// For people.
    pub(crate) fn text(&self, number: u32) -> String {
        let count =
            |many: u64, one: &str| if many == 1 { format!("1 {one}") } else { format!("{many} {one}s") };
        let mut text = match self.values {
            0 => format!("#{number}:"),
            values => format!("#{number} {} of {}:", count(values, "value"), self.series_told()),
        };
        for (key, series) in self.series.iter().take(SHOWN) {
            let at = utc::text(series.time);
            text.push_str(&format!("\n{key} {} at {at}", Shortest(series.last)));
            if series.values > 1 {
                let (values, least) = (series.values, Shortest(series.least));
                let greatest = Shortest(series.greatest);
                text.push_str(&format!(" ({values} values, {least} to {greatest})"));
            }
        }
        if self.series.len() > SHOWN {
            text.push_str(&format!("\nand {} more series", self.series.len() - SHOWN));
        }
        if let Some((values, time)) = self.gone {
            let verb = if values == 1 { "is" } else { "are" };
            let values = count(values, "value");
            text.push_str(&format!(
                "\n{values} before {} {verb} gone: they waited too long",
                utc::text(time)
            ));
        }
        if self.lost > 0 {
            text.push_str(&format!("\n{} lost: they came too fast", count(self.lost, "value")));
        }
        text
    }

    fn series_told(&self) -> String {
        let at_least = if self.others > 0 { "at least " } else { "" };
        match self.series.len() {
            1 => format!("{at_least}1 series"),
            many => format!("{at_least}{many} series"),
        }
    }

    /// For scripts.
    pub(crate) fn json(&self) -> Value {
        let series: Vec<Value> = self
            .series
            .iter()
            .map(|(key, series)| {
                json!({
                    "name": key,
                    "count": series.values,
                    "min": json::number(series.least),
                    "max": json::number(series.greatest),
                    "value": json::number(series.last),
                    "timestamp": json::number(series.time.as_secs_f64()),
                })
            })
            .collect();
        let gone = self.gone.map_or(0, |(values, _)| values);
        json!({"count": self.values, "gone": gone, "lost": self.lost, "others": self.others, "series": series})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(values: &[(&str, f64, i64)], bytes_max: usize) -> Digest {
        let mut digest = Digest::new(Instant::now(), bytes_max);
        values.iter().for_each(|&(key, value, time)| digest.fold(key, value, Time::from_secs(time)));
        digest
    }

    #[test]
    fn a_digest_says_what_there_was() {
        for (values, want) in [
            (&[("a", 1.0, 0)][..], "#2 1 value of 1 series:\na 1 at 1970-01-01 00:00:00 UTC"),
            (
                &[("b", 3.0, 0), ("a", 0.5, 0), ("b", -1.0, 60), ("b", 2.0, 120)],
                "#2 4 values of 2 series:\na 0.5 at 1970-01-01 00:00:00 UTC\n\
                 b 2 at 1970-01-01 00:02:00 UTC (3 values, -1 to 3)",
            ),
        ] {
            assert_eq!(digest(values, 1000).text(2), want);
        }
        let json = json::text(&digest(&[("a", 1.0, 0), ("a", 3.0, 1)], 1000).json());
        assert_eq!(
            json,
            "{\"count\": 2, \"gone\": 0, \"lost\": 0, \"others\": 0, \"series\": [{\"count\": 2, \"max\": 3.0, \"min\": 1.0, \
             \"name\": \"a\", \"timestamp\": 1.0, \"value\": 3.0}]}"
        );
    }

    #[test]
    fn of_what_waited_too_long_the_number_stays() {
        let mut digest = digest(&[("a", 1.0, 0), ("b", 3.0, 1)], 1000);
        let later = Instant::now() + std::time::Duration::from_secs(60);
        assert_eq!(digest.expire(later, Time::from_secs(60)), 2);
        assert_eq!((digest.since, digest.values), (later, 0));
        assert_eq!(
            digest.text(1),
            "#1:\n2 values before 1970-01-01 00:01:00 UTC are gone: they waited too long"
        );
        digest.fold("a", 5.0, Time::from_secs(61));
        assert_eq!(digest.expire(later, Time::from_secs(120)), 1);
        assert_eq!(digest.expire(later, Time::from_secs(150)), 0);
        digest.fold("a", 7.0, Time::from_secs(181));
        assert_eq!(
            digest.text(1),
            "#1 1 value of 1 series:\na 7 at 1970-01-01 00:03:01 UTC\n\
             3 values before 1970-01-01 00:02:00 UTC are gone: they waited too long"
        );
        assert_eq!((&digest.json()["gone"], &digest.json()["count"]), (&json!(3), &json!(1)));
    }

    #[test]
    fn a_digest_is_bounded_and_says_so() {
        let keys: Vec<String> = (0..100_000).map(|number| format!("series.{number:06}")).collect();
        let mut full = Digest::new(Instant::now(), 16 << 10);
        keys.iter().for_each(|key| full.fold(key, 1.0, Time::from_secs(0)));
        full.lost = 7;
        let text = full.text(1);
        assert!(text.starts_with("#1 100000 values of at least "), "{text}");
        assert!(text.ends_with(" more series\n7 values lost: they came too fast"), "{text}");
        assert!(full.bytes <= 16 << 10 && text.len() < 1 << 10, "{}", text.len());
    }
}
