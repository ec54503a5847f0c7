//! Leela's text: `gauge 6|foobar 0.75 1350332001.0;`, one message behind the other.

use common::text::{self, Message};

use super::{Intake, Reason};

/// Reads a body.
pub(super) fn read(body: &[u8], intake: &mut Intake) {
    let now = intake.now;
    text::messages(body, now, |message| {
        if intake.is_too_large {
            return;
        }
        let (reason, offset, text) = match message {
            Ok(Message::Metric(metric)) => {
                // The reader refuses what is not finite, and gives keys in their one form.
                let taken = intake.metric(metric.key, metric.time, metric.kind, metric.value);
                debug_assert_eq!(taken, Ok(()));
                return;
            }
            Ok(Message::Note(note)) => match serde_json::from_slice::<serde::de::IgnoredAny>(note.json) {
                Ok(_) => {
                    let taken = intake.note(note.key, note.time, note.json);
                    debug_assert_eq!(taken, Ok(()));
                    return;
                }
                Err(_) => (Reason::Json, 0, note.json),
            },
            Ok(Message::Event(event)) => (Reason::UnknownKind, 0, event.key),
            Err(refused) => (refused.reason.into(), refused.offset, refused.text),
        };
        // It lies in the body, but for a key whose tags were put in order.
        let start = (text.as_ptr() as usize).wrapping_sub(body.as_ptr() as usize);
        let start = if start <= body.len() { start } else { 0 };
        let end = (start + text.len()).min(body.len());
        let detail = match reason {
            Reason::UnknownKind => text::Reason::UnknownKind.way_out(),
            Reason::Value => text::Reason::Value.way_out(),
            Reason::Time => text::Reason::Time.way_out(),
            reason => reason.way_out(),
        };
        intake.refuse(body, start..end, start + offset, reason, detail);
    });
}
