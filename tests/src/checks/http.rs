//! Requests: bodies of writes, packed or not, and what reads ask for.

use common::ask::Ask;
use common::time::Time;
use common::wire::{Content, HEADER_BYTES, Metrics, Notes};
use leela_http::points::{Form, Intake};
use leela_http::testing::{self, Packed, Read};
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

const NOW: Time = Time::from_secs(1_350_332_001);

/// What a read asks for: any path and parameters are refused with a reason, or are a span that has an end behind its
/// beginning, and an ask that storage reads as the same. A second line is the header `Accept`.
pub fn request(bytes: &[u8]) {
    let mut lines = bytes.splitn(2, |byte| *byte == b'\n');
    let (target, accept) = (lines.next().unwrap_or_default(), lines.next());
    if let Ok(text) = std::str::from_utf8(target) {
        testing::moment(text, NOW);
    }
    match testing::read(target, accept.unwrap_or_default(), NOW) {
        Ok(Some(Read::V1 { from, to, .. })) => assert!(from <= to, "{from} to {to}"),
        Ok(Some(Read::V2(ask))) => {
            let mut written = Vec::new();
            ask.write(&mut written);
            let again = Ask::parse(&written);
            let mut twice = Vec::new();
            again.unwrap_or_else(|error| panic!("{}: {error}", written.escape_ascii())).write(&mut twice);
            assert_eq!(twice, written);
        }
        Ok(None) => {}
        Err(told) => assert!(!told.is_empty() && !told.chars().any(char::is_control), "{told:?}"),
    }
}

/// Packed bodies: whatever they say of themselves, no more comes out than was asked for, within the memory.
pub fn packed(bytes: &[u8]) {
    const MAX: usize = 1 << 18;
    for (packed, magic) in [(Packed::Gzip, &b"\x1f\x8b\x08"[..]), (Packed::Zstd, b"\x28\xb5\x2f\xfd")] {
        for body in [bytes.to_vec(), [magic, bytes].concat()] {
            match testing::unpacked(packed, &body, MAX, 1 << 20) {
                Ok(bytes) => assert!(bytes.len() <= MAX),
                Err(told) => assert!(!told.is_empty()),
            }
        }
    }
}

/// Bodies of `/v1`: what is taken is answered, and costs no more than the memory for bodies.
pub fn items(body: &[u8]) {
    const MEMORY: usize = 1 << 20;
    for is_data in [false, true] {
        match testing::items(body, is_data, NOW, MEMORY) {
            Ok((taken, answer)) => {
                assert!(answer <= MEMORY && taken <= body.len());
                assert_eq!(taken == 0, answer == 0);
            }
            Err(told) => assert!(!told.is_empty()),
        }
    }
}
