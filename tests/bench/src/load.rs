//! What is sent: keys of 27 bytes, and Leela's text of them.

use common::metric::{Kind, Metric};
use common::text;
use common::time::Time;
use common::value::Value;

use crate::sums::Sums;

/// Distinct keys of most rows.
pub(crate) const SERIES: usize = 10_000;

/// Bytes of every key.
pub(crate) const KEY_BYTES: usize = 27;

/// Gauges in a datagram of the row `udp_events`.
pub(crate) const GAUGES: usize = 40;

/// The key of a series.
pub(crate) fn key(series: usize) -> [u8; KEY_BYTES] {
    let text = format!("web{:02}.nginx.requests.{series:06}", series % 100);
    text.into_bytes().try_into().expect("the numbers have a fixed width")
}

/// All keys. As slices: no input knows their length beforehand.
pub(crate) fn keys() -> Vec<Box<[u8]>> {
    (0..SERIES).map(|series| Box::from(key(series))).collect()
}

/// Datagrams of Leela's text that go round all series, all of one length, and what each adds to the sums.
pub(crate) fn texts(time: Time) -> Vec<(Vec<u8>, Sums)> {
    let metrics: Vec<([u8; KEY_BYTES], u64)> =
        (0..SERIES).map(|series| (key(series), 100_000 + series as u64)).collect();
    let datagram = |metrics: &[([u8; KEY_BYTES], u64)]| {
        let (mut text, mut sums) = (Vec::new(), Sums::default());
        for (key, value) in metrics {
            let metric = Metric::new(key, time, Kind::Gauge, Value::U64(*value));
            text::write_metric(&mut text, &metric);
            sums.add(key, *value);
        }
        (text, sums)
    };
    metrics.chunks(GAUGES).map(datagram).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_all_series_comes_in_datagrams_of_one_length() {
        let texts = texts(Time::from_secs(1_700_000_000));
        assert_eq!(texts.len(), SERIES / GAUGES);
        let (first, _) = &texts[0];
        assert!(texts.iter().all(|(text, _)| text.len() == first.len()));
        let expected = "gauge 27|web00.nginx.requests.000000 100000 1700000000.0;";
        assert!(first.starts_with(expected.as_bytes()), "{}", first.escape_ascii());
        assert_eq!(texts.iter().map(|(_, sums)| sums.records).sum::<u64>(), SERIES as u64);
    }
}
