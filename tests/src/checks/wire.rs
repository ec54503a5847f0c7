//! The binary form of datagrams.

use common::metric::{Event, Metric, Note, State};
use common::time::Time;
use common::value::Value;
use common::wire::{
    Batch, Content, Events, Extent, Full, HEADER_BYTES, Header, Metrics, Notes, RecordError, Run, Runs,
    Series, States, Word, Words,
};

/// Headers, metrics, events and notes: any bytes end, and a datagram that is whole is what its records make again.
pub fn wire(datagram: &[u8]) {
    for count in [0, 1, u32::MAX] {
        // Each record takes two bytes at least, and the first that does not fit is the last.
        let records_max = (datagram.len() / 2 + 1).min(count as usize);
        assert!(Metrics::new(datagram, count).count() <= records_max);
        assert!(Events::new(datagram, count).count() <= records_max);
        assert!(Notes::new(datagram, count).count() <= records_max);
        assert!(States::new(datagram, count).count() <= records_max);
        assert!(Series::new(datagram, count).count() <= records_max);
        assert!(Words::new(datagram, count).count() <= records_max);
        let points: usize = Runs::new(datagram, count).flatten().map(|run| run.points().count()).sum();
        assert!(points * 16 <= datagram.len(), "more points than bytes");
    }
    let Ok((header, records)) = Header::read(datagram) else { return };
    match header.content {
        Content::Metrics => {
            again(datagram, &header, Metrics::new(records, header.count), Batch::metric, bits_m);
        }
        Content::Events => {
            again(datagram, &header, Events::new(records, header.count), Batch::event, bits_e);
        }
        Content::Notes => {
            let of = |note: &Note<'_>| (note.key.to_vec(), note.time, note.json.to_vec());
            again(datagram, &header, Notes::new(records, header.count), Batch::note, of);
        }
        Content::States => {
            let of =
                |state: &State<'_>| (state.key.to_vec(), state.time, state.window_ns, state.bytes.to_vec());
            again(datagram, &header, States::new(records, header.count), Batch::state, of);
        }
        Content::Runs => {
            let of = |run: &Run<'_>| (run.key.to_vec(), run.points().map(bits_p).collect::<Vec<_>>());
            // A run without a point is none that a batch writes.
            let runs = Runs::new(records, header.count);
            if !runs.clone().flatten().any(|run| run.is_empty()) {
                again(datagram, &header, runs, put_run, of);
            }
        }
        Content::Series => {
            let of = |extent: &Extent<'_>| (extent.key.to_vec(), extent.first, extent.last, extent.points);
            again(datagram, &header, Series::new(records, header.count), Batch::extent, of);
        }
        Content::Words => {
            let of = |word: &Word<'_>| (word.word.to_vec(), word.series);
            again(datagram, &header, Words::new(records, header.count), Batch::word, of);
        }
    }
}

/// Values by their bits: a NaN is itself.
fn bits_m(metric: &Metric<'_>) -> impl PartialEq + std::fmt::Debug + use<> {
    let (tag, bits) = match metric.value {
        Value::U64(value) => (1, value),
        Value::I64(value) => (2, value as u64),
        Value::F64(value) => (3, value.to_bits()),
    };
    (metric.key.to_vec(), metric.time, metric.kind, tag, bits, metric.weight, metric.member.to_vec())
}

fn bits_p((time, value): (Time, f64)) -> (Time, u64) {
    (time, value.to_bits())
}

fn put_run(batch: &mut Batch, run: &Run<'_>) -> Result<(), Full> {
    match batch.run(run.key, run.points()) {
        taken if taken == run.len() => Ok(()),
        0 => Err(Full),
        taken => panic!("{taken} of {} points of a run that came in a datagram", run.len()),
    }
}

fn bits_e(event: &Event<'_>) -> impl PartialEq + std::fmt::Debug + use<> {
    (event.key.to_vec(), event.time, event.value.to_bits())
}

fn again<R, B: PartialEq + std::fmt::Debug>(
    datagram: &[u8],
    header: &Header,
    records: impl Iterator<Item = Result<R, RecordError>> + Clone,
    mut put: impl FnMut(&mut Batch, &R) -> Result<(), Full>,
    bits: impl Fn(&R) -> B,
) {
    let mut batch = Batch::new(header.content);
    let mut whole = true;
    for record in records {
        match record {
            Ok(record) => {
                let before = (batch.count(), bits(&record));
                // What is over a datagram came in none.
                whole &= put(&mut batch, &record).is_ok();
                assert_eq!((batch.count(), bits(&record)), (before.0 + u32::from(whole), before.1));
            }
            Err(_) => whole = false,
        }
        if !whole {
            return;
        }
    }
    assert_eq!(batch.count(), header.count, "records came without an error, and not all");
    let sealed = batch.seal(header.source, header.first);
    assert!(sealed.len() >= HEADER_BYTES);
    assert_eq!(sealed, &datagram[..sealed.len()], "the same records make another datagram");
}
