//! Bodies of writes.

use common::time::Time;
use common::wire::{Content, HEADER_BYTES, Metrics, Notes};
use leela_http::points::{Form, Intake};
use serde::de::IgnoredAny;

/// Room for the records of a body.
const ROOM_BYTES: usize = 1 << 20;

/// JSON, lines and text: any bytes end; what is accepted is in the batches, finite and of keys in their one form; what
/// is refused has its place; and what was read once is read the same again.
pub fn points(body: &[u8]) {
    for form in [Form::Json, Form::Lines, Form::Text] {
        let mut intake = Intake::new(Time::from_secs(1), ROOM_BYTES, Vec::new());
        intake.read(form, body);
        let told = (intake.accepted, intake.refused(), intake.faults.clone());
        assert_eq!(intake.received(), told.0 + told.1);
        assert!(intake.faults.len() as u64 <= told.1);
        for fault in &intake.faults {
            assert!(fault.offset <= body.len() && fault.text_offset <= fault.text.len(), "{fault:?}");
            assert!(
                fault.line >= 1 && fault.line <= body.len() as u64 + 1 && fault.index <= intake.received()
            );
        }
        if intake.is_too_large {
            return;
        }
        let mut records = 0;
        for mut batch in intake.into_sent() {
            records += u64::from(batch.count());
            let (content, count) = (batch.content(), batch.count());
            let sealed = &batch.seal(1, 1)[HEADER_BYTES..];
            let one_form = |key: &[u8]| {
                let text = std::str::from_utf8(key).expect("a key is UTF-8");
                assert_eq!(common::key::parse(key).as_deref(), Ok(text));
            };
            match content {
                Content::Metrics => Metrics::new(sealed, count).for_each(|metric| {
                    let metric = metric.expect("it was written just now");
                    assert!(metric.value.is_finite());
                    one_form(metric.key);
                }),
                Content::Notes => Notes::new(sealed, count).for_each(|note| {
                    let note = note.expect("it was written just now");
                    assert!(serde_json::from_slice::<IgnoredAny>(note.json).is_ok());
                    one_form(note.key);
                }),
                other => panic!("{other:?} in a body"),
            }
        }
        assert_eq!(records, told.0);
        let mut again = Intake::new(Time::from_secs(1), ROOM_BYTES, Vec::new());
        again.read(form, body);
        assert_eq!((again.accepted, again.refused(), again.faults), told);
    }
}
