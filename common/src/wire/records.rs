//! The records of a datagram, decoded while they borrow from it.

use thiserror::Error;

use crate::metric::{Event, Kind, Metric, Note};
use crate::time::Time;
use crate::value::Value;

/// Why a record is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum RecordError {
    /// It reaches past the datagram, or is too short for its content: nothing behind it can be read.
    #[error("a record's length does not fit its datagram")]
    Length,
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

#[inline]
fn metric(record: &[u8]) -> Result<Metric<'_>, RecordError> {
    let (&tag, rest) = record.split_first().ok_or(RecordError::Length)?;
    let (time, rest) = time_and(rest)?;
    let (value, key) = rest.split_first_chunk().ok_or(RecordError::Length)?;
    let bits = u64::from_le_bytes(*value);
    let value = match tag >> 4 {
        1 => Value::U64(bits),
        2 => Value::I64(bits as i64),
        3 => Value::F64(f64::from_bits(bits)),
        _ => return Err(RecordError::Tag(tag)),
    };
    let kind = Kind::from_code(tag & 0xf).ok_or(RecordError::Tag(tag))?;
    Ok(Metric { key, time, kind, value })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Batch, Content, Full, Header, HeaderError};
    use proptest::prelude::*;

    fn gauge(key: &str, value: Value) -> Metric<'_> {
        Metric { key: key.as_bytes(), time: Time::from_ns(-5), kind: Kind::Gauge, value }
    }

    #[test]
    fn metrics_come_back_as_they_went() {
        let sent = [
            gauge("foo;a=b", Value::F64(0.5)),
            Metric { kind: Kind::Counter, ..gauge("c", Value::U64(u64::MAX)) },
            Metric { kind: Kind::Adjust, ..gauge("d", Value::I64(i64::MIN)) },
        ];
        let mut batch = Batch::new(Content::Metrics);
        for metric in &sent {
            assert_eq!(batch.metric(metric), Ok(()));
        }
        let datagram = batch.seal(7, 1000);
        let (header, records) = Header::read(datagram).unwrap();
        assert_eq!(header, Header { content: Content::Metrics, count: 3, source: 7, first: 1000 });
        let got: Vec<Metric<'_>> = Metrics::new(records, header.count).map(Result::unwrap).collect();
        assert_eq!(got, sent);
    }

    #[test]
    fn a_record_of_27_bytes_of_key_takes_46() {
        let mut batch = Batch::new(Content::Metrics);
        let empty = batch.seal(0, 0).len();
        assert_eq!(batch.metric(&gauge("web01.nginx.requests.active", Value::U64(1))), Ok(()));
        assert_eq!(batch.seal(0, 0).len() - empty, 46);
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
        datagram[24 + 20 + 2] = 0x16;
        let got: Vec<_> = Metrics::new(&datagram[24..], 3).collect();
        assert_eq!(
            got,
            [Ok(gauge("a", Value::U64(1))), Err(RecordError::Tag(0x16)), Ok(gauge("a", Value::U64(1)))]
        );
    }

    proptest! {
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
        fn decode_takes_any_bytes(bytes: Vec<u8>, count in 0u32..40) {
            let _ = Header::read(&bytes);
            prop_assert!(Metrics::new(&bytes, count).count() <= count as usize);
            prop_assert!(Events::new(&bytes, count).count() <= count as usize);
            prop_assert!(Notes::new(&bytes, count).count() <= count as usize);
        }
    }
}
