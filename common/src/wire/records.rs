//! The records of a datagram, decoded while they borrow from it.

use thiserror::Error;

use super::{Extent, Run, WEIGHTED, Word};
use crate::metric::{Event, Kind, Metric, Note, State, Weight};
use crate::time::Time;
use crate::value::Value;

/// Why a record is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum RecordError {
    /// It reaches past the datagram, or is too short for its content: nothing behind it can be read.
    #[error("a record's length does not fit its datagram")]
    Length,
    /// A weight that is none, or 1; the records behind it are read.
    #[error("a record has a weight that is none")]
    Weight,
    /// A metric kind or number form of another version; the records behind it are read.
    #[error("a record has tag {0:#04x}, which this process does not know")]
    Tag(u8),
}

/// The records of a datagram as raw bytes, each without its length.
#[derive(Clone, Debug)]
struct Raw<'a> {
    rest: &'a [u8],
    left: u32,
}

impl<'a> Iterator for Raw<'a> {
    type Item = Result<&'a [u8], RecordError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 {
            return None;
        }
        self.left -= 1;
        let record = self
            .rest
            .split_first_chunk::<2>()
            .and_then(|(length, behind)| behind.split_at_checked(usize::from(u16::from_le_bytes(*length))));
        match record {
            Some((record, rest)) => {
                self.rest = rest;
                Some(Ok(record))
            }
            None => {
                self.left = 0;
                Some(Err(RecordError::Length))
            }
        }
    }
}

#[inline]
fn time_and(record: &[u8]) -> Result<(Time, &[u8]), RecordError> {
    let (time, rest) = record.split_first_chunk().ok_or(RecordError::Length)?;
    Ok((Time::from_ns(i64::from_le_bytes(*time)), rest))
}

macro_rules! records {
    ($(#[$doc:meta])* $name:ident, $item:ident, $decode:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug)]
        pub struct $name<'a>(Raw<'a>);

        impl<'a> $name<'a> {
            /// The `count` records that [`super::Header::read`] found behind a header.
            pub fn new(records: &'a [u8], count: u32) -> Self {
                $name(Raw { rest: records, left: count })
            }
        }

        impl<'a> Iterator for $name<'a> {
            type Item = Result<$item<'a>, RecordError>;

            #[inline]
            fn next(&mut self) -> Option<Self::Item> {
                Some(self.0.next()?.and_then($decode))
            }
        }
    };
}

records!(
    /// The metrics of a datagram.
    Metrics, Metric, metric
);
records!(
    /// The events of a datagram.
    Events, Event, event
);
records!(
    /// The notes of a datagram.
    Notes, Note, note
);
records!(
    /// The states of a datagram.
    States, State, state
);
records!(
    /// The runs of a datagram.
    Runs, Run, run
);
records!(
    /// How far the series of a datagram reach.
    Series, Extent, extent
);
records!(
    /// The words of a datagram.
    Words, Word, word
);

impl<'a> Metrics<'a> {
    /// As `next`, into a place where the metric is to stand: one that is copied there waits for what was just written of
    /// it. Where this is an error, the place is as before.
    #[inline]
    pub fn next_into(&mut self, place: &mut Metric<'a>) -> Option<Result<(), RecordError>> {
        Some(self.0.next()?.and_then(|record| metric_into(record, place)))
    }
}

#[inline]
fn metric(record: &[u8]) -> Result<Metric<'_>, RecordError> {
    let mut metric = Metric::new(&[], Time::from_ns(0), Kind::Gauge, Value::U64(0));
    metric_into(record, &mut metric)?;
    Ok(metric)
}

#[inline(always)]
fn metric_into<'a>(record: &'a [u8], place: &mut Metric<'a>) -> Result<(), RecordError> {
    let (&tag, rest) = record.split_first().ok_or(RecordError::Length)?;
    let (time, rest) = time_and(rest)?;
    // A member may be shorter than a value.
    let Some((value, key)) = rest.split_first_chunk() else { return rare(record, place) };
    let bits = u64::from_le_bytes(*value);
    let value = match tag >> 4 {
        1 => Value::U64(bits),
        2 => Value::I64(bits as i64),
        3 => Value::F64(f64::from_bits(bits)),
        _ => return rare(record, place),
    };
    match Kind::from_code(tag & 0xf) {
        Some(kind) if kind != Kind::Member => *place = Metric::new(key, time, kind, value),
        _ => return Err(RecordError::Tag(tag)),
    }
    Ok(())
}

/// A record whose tag is not that of a number standing for one.
#[inline(never)]
fn rare<'a>(record: &'a [u8], place: &mut Metric<'a>) -> Result<(), RecordError> {
    let (&tag, rest) = record.split_first().ok_or(RecordError::Length)?;
    let (time, rest) = time_and(rest)?;
    if tag == Kind::Member as u8 | 4 << 4 {
        let (length, rest) = rest.split_first_chunk().ok_or(RecordError::Length)?;
        let (key, member) =
            rest.split_at_checked(usize::from(u16::from_le_bytes(*length))).ok_or(RecordError::Length)?;
        *place = Metric::of_member(key, time, member);
        return Ok(());
    }
    let (value, rest) = rest.split_first_chunk().ok_or(RecordError::Length)?;
    let bits = u64::from_le_bytes(*value);
    let value = match (tag & WEIGHTED, (tag & !WEIGHTED) >> 4) {
        (WEIGHTED, 1) => Value::U64(bits),
        (WEIGHTED, 2) => Value::I64(bits as i64),
        (WEIGHTED, 3) => Value::F64(f64::from_bits(bits)),
        _ => return Err(RecordError::Tag(tag)),
    };
    let kind = Kind::from_code(tag & 0xf).filter(|kind| kind.is_weighted()).ok_or(RecordError::Tag(tag))?;
    let (weight, key) = rest.split_first_chunk().ok_or(RecordError::Length)?;
    // A weight that is none, or the one that does not travel.
    let weight = Weight::of_billionths(u64::from_le_bytes(*weight)).filter(|weight| *weight != Weight::ONE);
    *place = Metric::new(key, time, kind, value).weighted(weight.ok_or(RecordError::Weight)?);
    Ok(())
}

#[inline]
fn event(record: &[u8]) -> Result<Event<'_>, RecordError> {
    let (time, rest) = time_and(record)?;
    let (value, key) = rest.split_first_chunk().ok_or(RecordError::Length)?;
    Ok(Event { key, time, value: f64::from_bits(u64::from_le_bytes(*value)) })
}

fn note(record: &[u8]) -> Result<Note<'_>, RecordError> {
    let (time, rest) = time_and(record)?;
    let (length, rest) = rest.split_first_chunk().ok_or(RecordError::Length)?;
    let (key, json) =
        rest.split_at_checked(usize::from(u16::from_le_bytes(*length))).ok_or(RecordError::Length)?;
    Ok(Note { key, time, json })
}

fn state(record: &[u8]) -> Result<State<'_>, RecordError> {
    let (time, rest) = time_and(record)?;
    let (window_ns, rest) = rest.split_first_chunk().ok_or(RecordError::Length)?;
    let (&kind, rest) = rest.split_first().ok_or(RecordError::Length)?;
    let (length, rest) = rest.split_first_chunk().ok_or(RecordError::Length)?;
    let (key, bytes) =
        rest.split_at_checked(usize::from(u16::from_le_bytes(*length))).ok_or(RecordError::Length)?;
    Ok(State { key, time, window_ns: u64::from_le_bytes(*window_ns), kind, bytes })
}

fn run(record: &[u8]) -> Result<Run<'_>, RecordError> {
    let (length, rest) = record.split_first_chunk().ok_or(RecordError::Length)?;
    let (count, rest) = rest.split_first_chunk().ok_or(RecordError::Length)?;
    let (key, points) =
        rest.split_at_checked(usize::from(u16::from_le_bytes(*length))).ok_or(RecordError::Length)?;
    let (eights, []) = points.as_chunks::<8>() else { return Err(RecordError::Length) };
    let count = usize::from(u16::from_le_bytes(*count));
    if eights.len() != count * 2 {
        return Err(RecordError::Length);
    }
    let (times, values) = eights.split_at(count);
    Ok(Run { key, times, values })
}

fn extent(record: &[u8]) -> Result<Extent<'_>, RecordError> {
    let (first, rest) = time_and(record)?;
    let (last, rest) = time_and(rest)?;
    let (points, key) = rest.split_first_chunk().ok_or(RecordError::Length)?;
    Ok(Extent { key, first, last, points: u64::from_le_bytes(*points) })
}

fn word(record: &[u8]) -> Result<Word<'_>, RecordError> {
    let (series, word) = record.split_first_chunk().ok_or(RecordError::Length)?;
    Ok(Word { series: u64::from_le_bytes(*series), word })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Batch, Content, Full, HEADER_BYTES, Header, HeaderError};
    use proptest::prelude::*;

    fn gauge(key: &str, value: Value) -> Metric<'_> {
        Metric::new(key.as_bytes(), Time::from_ns(-5), Kind::Gauge, value)
    }

    #[test]
    fn a_batch_takes_all_of_another_or_nothing() {
        let mut all = Batch::new(Content::Metrics);
        let mut few = Batch::new(Content::Metrics);
        assert_eq!(few.metric(&gauge("foo", Value::U64(1))), Ok(()));
        assert_eq!(few.metric(&gauge("bar", Value::U64(2))), Ok(()));
        while all.append(&few) == Ok(()) {}
        let (count, length) = (all.count(), all.len());
        assert_eq!((all.append(&few), all.count(), all.len()), (Err(Full), count, length));
        let sealed = all.seal(1, 2);
        let records = Metrics::new(&sealed[24..], count).flatten();
        assert!(records.map(|metric| metric.key).eq([&b"foo"[..], b"bar"].repeat(count as usize / 2)));
    }

    #[test]
    fn a_key_may_be_written_where_it_is_to_be() {
        let [mut whole, mut parts] = [Batch::new(Content::Metrics), Batch::new(Content::Metrics)];
        while whole.metric(&gauge("web;dc=ams", Value::F64(0.5))) == Ok(()) {
            let name = gauge("web", Value::F64(0.5));
            assert_eq!(parts.metric_with(&name, 7, |room| room.copy_from_slice(b";dc=ams")), Ok(()));
        }
        let none = |_: &mut [u8]| panic!("there is no room");
        assert_eq!(parts.metric_with(&gauge("web", Value::F64(0.5)), 7, none), Err(Full));
        assert_eq!(parts.seal(1, 2), whole.seal(1, 2));
    }

    #[test]
    fn metrics_come_back_as_they_went() {
        let ten = Weight::of_rate(0.1).unwrap();
        let sent = [
            gauge("foo;a=b", Value::F64(0.5)),
            Metric { kind: Kind::Counter, ..gauge("c", Value::U64(u64::MAX)) },
            Metric { kind: Kind::Adjust, ..gauge("d", Value::I64(i64::MIN)) },
            Metric { kind: Kind::Count, ..gauge("e", Value::F64(0.4)) },
            Metric { kind: Kind::Sample, ..gauge("f", Value::I64(-4)) }.weighted(ten),
            Metric { kind: Kind::Count, ..gauge("g;a=b", Value::U64(4)) }.weighted(ten),
            Metric::of_member(b"users", Time::from_ns(7), b"bob"),
            Metric::of_member(b"users", Time::from_ns(7), b"\xff\0"),
            Metric::of_member(b"u", Time::from_ns(7), b"b"),
        ];
        let mut batch = Batch::new(Content::Metrics);
        for metric in &sent {
            assert_eq!(batch.metric(metric), Ok(()));
        }
        let datagram = batch.seal(7, 1000);
        let (header, records) = Header::read(datagram).unwrap();
        assert_eq!(header, Header { content: Content::Metrics, count: 9, source: 7, first: 1000 });
        let got: Vec<Metric<'_>> = Metrics::new(records, header.count).map(Result::unwrap).collect();
        assert_eq!(got, sent);
    }

    #[test]
    fn a_record_of_27_bytes_of_key_takes_46() {
        let mut batch = Batch::new(Content::Metrics);
        let empty = batch.seal(0, 0).len();
        assert_eq!(batch.metric(&gauge("web01.nginx.requests.active", Value::U64(1))), Ok(()));
        assert_eq!(batch.seal(0, 0).len() - empty, 46);
        // A count that stands for one takes no more, whatever it says.
        let count = Metric { kind: Kind::Count, ..gauge("web01.nginx.requests.active", Value::U64(1)) };
        assert_eq!(batch.metric(&count.weighted(Weight::ONE)), Ok(()));
        assert_eq!(batch.seal(0, 0).len() - empty, 92);
        assert_eq!(batch.metric(&count.weighted(Weight::of_rate(0.5).unwrap())), Ok(()));
        assert_eq!(batch.seal(0, 0).len() - empty, 92 + 54);
    }

    #[test]
    fn a_full_batch_keeps_what_it_has() {
        let mut batch = Batch::new(Content::Events);
        let event = Event { key: &[b'k'; 1000], time: Time::from_ns(1), value: 1.0 };
        let fitting = (0..).take_while(|_| batch.event(&event).is_ok()).count();
        assert_eq!(fitting, (32768 - 24) / 1018);
        assert_eq!(batch.event(&event), Err(Full));
        let (header, records) = Header::read(batch.seal(1, 1)).unwrap();
        assert_eq!(Events::new(records, header.count).flatten().count(), fitting);
    }

    #[test]
    fn a_run_is_parted_where_the_datagram_is_full() {
        let points: Vec<(Time, f64)> =
            (0..5000).map(|n| (Time::from_secs(n), if n == 7 { f64::NAN } else { n as f64 })).collect();
        let mut batch = Batch::new(Content::Runs);
        let mut got = Vec::new();
        let mut sent = 0;
        while sent < points.len() {
            let taken = batch.run(b"web.load", points[sent..].iter().copied());
            assert!(taken > 0, "an empty datagram takes some");
            assert_eq!(
                batch.run(b"web.load", points[..1].iter().copied()),
                usize::from(sent + taken == 5000)
            );
            sent += taken;
            let (header, records) = Header::read(batch.seal(0, 0)).unwrap();
            let run = Runs::new(records, header.count).next().unwrap().unwrap();
            assert_eq!((run.key, run.len(), run.is_empty()), (&b"web.load"[..], taken, false));
            got.extend(run.points().map(|(time, value)| (time, value.to_bits())));
            batch.clear();
        }
        let want: Vec<_> = points.iter().map(|(time, value)| (*time, value.to_bits())).collect();
        assert_eq!(got, want);
        assert_eq!(batch.run(b"none", std::iter::empty()), 0);
        assert!(batch.is_empty());
    }

    #[test]
    fn a_run_whose_count_is_not_its_length_costs_only_itself() {
        let mut batch = Batch::new(Content::Runs);
        for _ in 0..2 {
            assert_eq!(batch.run(b"a", [(Time::from_ns(1), 2.0)].into_iter()), 1);
        }
        let mut datagram = batch.seal(0, 0).to_vec();
        datagram[HEADER_BYTES + 4] = 2;
        let got: Vec<_> =
            Runs::new(&datagram[HEADER_BYTES..], 2).map(|run| run.map(|run| run.len())).collect();
        assert_eq!(got, [Err(RecordError::Length), Ok(1)]);
    }

    #[test]
    fn a_foreign_datagram_is_refused_by_name() {
        let mut good = Batch::new(Content::Notes).seal(1, 1).to_vec();
        assert!(Header::read(&good).is_ok());
        assert_eq!(Header::read(&good[..23]), Err(HeaderError::Short));
        good[3] = 9;
        assert_eq!(Header::read(&good), Err(HeaderError::Content(9)));
        good[2] = 2;
        assert_eq!(Header::read(&good), Err(HeaderError::Version(2)));
        good[0] = b'g';
        assert_eq!(Header::read(&good), Err(HeaderError::Magic));
    }

    #[test]
    fn an_unknown_tag_costs_only_itself() {
        let mut batch = Batch::new(Content::Metrics);
        for _ in 0..3 {
            assert_eq!(batch.metric(&gauge("a", Value::U64(1))), Ok(()));
        }
        let mut datagram = batch.seal(1, 1).to_vec();
        // No kind; a member that is a number; a weighted gauge; a number that is none; a weight behind none.
        for (tag, error) in [
            (0x19, RecordError::Tag(0x19)),
            (0x18, RecordError::Tag(0x18)),
            (0x91, RecordError::Tag(0x91)),
            (0x46, RecordError::Tag(0x46)),
            (0xc8, RecordError::Tag(0xc8)),
            (0x96, RecordError::Length),
        ] {
            datagram[24 + 20 + 2] = tag;
            let got: Vec<_> = Metrics::new(&datagram[24..], 3).collect();
            assert_eq!(
                got,
                [Ok(gauge("a", Value::U64(1))), Err(error), Ok(gauge("a", Value::U64(1)))],
                "{tag:#x}"
            );
            // A place for metrics is filled or left alone.
            let mut metrics = Metrics::new(&datagram[24..], 3);
            let mut place = gauge("b", Value::U64(2));
            let fills = [Ok("a"), Err(error), Ok("a")].map(|fill| match fill {
                Ok(key) => (Some(Ok(())), gauge(key, Value::U64(1))),
                Err(error) => (Some(Err(error)), gauge("b", Value::U64(2))),
            });
            for want in fills {
                place = gauge("b", Value::U64(2));
                assert_eq!((metrics.next_into(&mut place), place), want, "{tag:#x}");
            }
            assert_eq!((metrics.next_into(&mut place), place), (None, gauge("a", Value::U64(1))));
        }
    }

    #[test]
    fn a_weight_that_is_none_costs_only_its_record() {
        let count = Metric { kind: Kind::Count, ..gauge("a", Value::U64(1)) };
        let mut batch = Batch::new(Content::Metrics);
        for _ in 0..2 {
            assert_eq!(batch.metric(&count.weighted(Weight::of_rate(0.5).unwrap())), Ok(()));
        }
        let datagram = batch.seal(1, 1).to_vec();
        for weight in [0, Weight::UNITS, u64::MAX] {
            let mut datagram = datagram.clone();
            datagram[24 + 19..24 + 27].copy_from_slice(&weight.to_le_bytes());
            let got: Vec<_> = Metrics::new(&datagram[24..], 2).map(|one| one.map(|one| one.weight)).collect();
            assert_eq!(got, [Err(RecordError::Weight), Ok(Weight::of_rate(0.5).unwrap())], "{weight}");
        }
    }

    proptest! {
        #[test]
        fn members_and_weights_come_back(
            key in "[ -~é]{1,20}", member in prop::collection::vec(any::<u8>(), 0..20), ns: i64, bits: i64,
            weight in 1..i64::MAX as u64, kind in prop::sample::select(&[Kind::Count, Kind::Sample][..]),
        ) {
            let (key, time) = (key.as_bytes(), Time::from_ns(ns));
            let weight = Weight::of_billionths(weight).unwrap();
            let sent = [
                Metric::of_member(key, time, &member),
                Metric::new(key, time, kind, Value::I64(bits)).weighted(weight),
                Metric::new(key, time, kind, Value::U64(7)),
            ];
            let mut batch = Batch::new(Content::Metrics);
            for metric in &sent {
                prop_assert_eq!(batch.metric(metric), Ok(()));
            }
            let got: Vec<_> = Metrics::new(&batch.seal(1, 2)[24..], 3).map(Result::unwrap).collect();
            prop_assert_eq!(got, sent);
        }

        #[test]
        fn decode_undoes_encode(key in "[ -~é]{1,40}", json in "[ -~]{0,60}", ns: i64, bits: u64) {
            let time = Time::from_ns(ns);
            let mut notes = Batch::new(Content::Notes);
            let note = Note { key: key.as_bytes(), time, json: json.as_bytes() };
            prop_assert_eq!(notes.note(&note), Ok(()));
            prop_assert_eq!(Notes::new(&notes.seal(1, 2)[24..], 1).collect::<Vec<_>>(), vec![Ok(note)]);
            let mut events = Batch::new(Content::Events);
            let event = Event { key: key.as_bytes(), time, value: f64::from_bits(bits) };
            prop_assert_eq!(events.event(&event), Ok(()));
            let got = Events::new(&events.seal(1, 2)[24..], 1).next().unwrap().unwrap();
            prop_assert_eq!((got.key, got.time, got.value.to_bits()), (event.key, time, bits));
        }

        #[test]
        fn states_and_answers_come_back(
            key in "[ -~é]{1,40}", bytes: Vec<u8>, ns: i64, window_ns: u64, kind: u8, points: Vec<(i64, u64)>,
        ) {
            let (key, time) = (key.as_bytes(), Time::from_ns(ns));
            let mut states = Batch::new(Content::States);
            let state = State { key, time, window_ns, kind, bytes: &bytes };
            prop_assert_eq!(states.state(&state), Ok(()));
            prop_assert_eq!(States::new(&states.seal(1, 2)[24..], 1).collect::<Vec<_>>(), vec![Ok(state)]);
            let mut series = Batch::new(Content::Series);
            let extent = Extent { key, first: time, last: Time::from_ns(!ns), points: window_ns };
            prop_assert_eq!(series.extent(&extent), Ok(()));
            prop_assert_eq!(Series::new(&series.seal(0, 0)[24..], 1).collect::<Vec<_>>(), vec![Ok(extent)]);
            let mut words = Batch::new(Content::Words);
            let word = Word { series: window_ns, word: key };
            prop_assert_eq!(words.word(&word), Ok(()));
            prop_assert_eq!(Words::new(&words.seal(0, 0)[24..], 1).collect::<Vec<_>>(), vec![Ok(word)]);
            let mut runs = Batch::new(Content::Runs);
            let sent = points.iter().map(|&(ns, bits)| (Time::from_ns(ns), f64::from_bits(bits)));
            prop_assert_eq!(runs.run(key, sent), points.len());
            let count = runs.count();
            let got: Vec<_> = Runs::new(&runs.seal(0, 0)[24..], count)
                .flatten()
                .flat_map(|run| run.points())
                .map(|(time, value)| (time.ns(), value.to_bits()))
                .collect();
            prop_assert_eq!(got, points);
        }

        #[test]
        fn decode_takes_any_bytes(bytes: Vec<u8>, count in 0u32..40) {
            let _ = Header::read(&bytes);
            prop_assert!(Metrics::new(&bytes, count).count() <= count as usize);
            prop_assert!(Events::new(&bytes, count).count() <= count as usize);
            prop_assert!(Notes::new(&bytes, count).count() <= count as usize);
            prop_assert!(States::new(&bytes, count).count() <= count as usize);
            prop_assert!(Series::new(&bytes, count).count() <= count as usize);
            prop_assert!(Words::new(&bytes, count).count() <= count as usize);
            let points = Runs::new(&bytes, count).flatten().map(|run| run.points().count());
            prop_assert!(points.sum::<usize>() * 16 <= bytes.len());
        }
    }
}
