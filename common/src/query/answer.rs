//! The proc socket, what the server says: payloads of frames whose length is told by the frame.
//!
//! ```abnf
//! server = *(status / event / reason / lost / rate)
//! status = "status" SP ("0" / "1") ";"                  ; 0: the proc runs; 1: it is refused
//! event  = "event" SP str SP val SP time ";"
//! reason = "reason" SP offset SP length SP str ";"      ; of the spot in the client's payload, in bytes
//! lost   = "lost" SP 1*DIGIT ";"                        ; events since the last `lost`
//! rate   = "rate" SP ["at least" SP] series SP per-minute ";"
//! ```
//!
//! Only a client that asked ([`super::proc`], `with`) is told reason, lost and rate.

use thiserror::Error;

use super::cursor::Cursor;
use super::error::{QueryError, Spot};
use super::number;
use super::proc::write_text;
use crate::metric::Event;
use crate::text;

/// The most bytes of a reason's text; a longer one is cut.
pub const REASON_BYTES_MAX: usize = 4096;

/// One thing the server says.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Answer<'a> {
    /// Whether the proc runs.
    Status(bool),
    /// A value the pipeline gave.
    Event(Event<'a>),
    /// Why the proc is refused.
    Reason {
        /// The spot, in bytes of the client's payload.
        at: Spot,
        /// What is wrong and the way out, one line; UTF-8.
        text: &'a str,
    },
    /// Events that were lost for the client was slow, since the last time it was told.
    Lost(u64),
    /// How much the proc selects.
    Rate {
        /// There may be more: the count was not done in time.
        at_least: bool,
        /// Series.
        series: u64,
        /// Their events a minute.
        per_minute: u64,
    },
}

impl Answer<'_> {
    /// Appends it to a payload.
    pub fn write(&self, out: &mut Vec<u8>) {
        match *self {
            Answer::Status(runs) => out.extend_from_slice(if runs { b"status 0;" } else { b"status 1;" }),
            Answer::Event(event) => text::write_event(out, &event),
            Answer::Reason { at, text: reason } => {
                out.extend_from_slice(b"reason ");
                text::write_u64(out, at.offset as u64);
                out.push(b' ');
                text::write_u64(out, at.length as u64);
                out.push(b' ');
                write_text(out, &reason.as_bytes()[..reason.floor_char_boundary(REASON_BYTES_MAX)]);
                out.push(b';');
            }
            Answer::Lost(events) => {
                out.extend_from_slice(b"lost ");
                text::write_u64(out, events);
                out.push(b';');
            }
            Answer::Rate { at_least, series, per_minute } => {
                out.extend_from_slice(if at_least { b"rate at least " } else { b"rate " });
                text::write_u64(out, series);
                out.push(b' ');
                text::write_u64(out, per_minute);
                out.push(b';');
            }
        }
    }
}

/// Appends the reason of a refusal.
pub fn write_reason(out: &mut Vec<u8>, error: &QueryError) {
    Answer::Reason { at: error.at, text: &error.to_string() }.write(out);
}

/// A payload that no server of ours writes, and where it goes wrong.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("no answer of a proc socket at byte {0}")]
pub struct AnswerError(pub usize);

/// The answers of a payload, in order; after an error there are no more.
#[derive(Clone, Debug)]
pub struct Answers<'a>(Cursor<'a>);

impl<'a> Answers<'a> {
    /// Reads the payload of a server's frame; an empty one has none.
    pub const fn of(payload: &'a [u8]) -> Answers<'a> {
        Answers(Cursor::new(payload))
    }
}

impl<'a> Iterator for Answers<'a> {
    type Item = Result<Answer<'a>, AnswerError>;

    fn next(&mut self) -> Option<Result<Answer<'a>, AnswerError>> {
        if self.0.is_done() {
            return None;
        }
        let start = self.0.at();
        let answer = answer(&mut self.0).filter(|_| self.0.eat(b";"));
        if answer.is_none() {
            self.0.skip(usize::MAX);
        }
        Some(answer.ok_or(AnswerError(start)))
    }
}

/// Without the `;` at its end.
fn answer<'a>(cursor: &mut Cursor<'a>) -> Option<Answer<'a>> {
    let word = cursor.word();
    cursor.eat(b" ").then_some(())?;
    match word {
        b"status" => match cursor.integer()? {
            0 => Some(Answer::Status(true)),
            1 => Some(Answer::Status(false)),
            _ => None,
        },
        b"event" => {
            let (_, key) = cursor.text()?;
            cursor.eat_blank().then_some(())?;
            let value = number::parse(cursor.token())?;
            cursor.eat_blank().then_some(())?;
            let (time, length) = text::number::time(cursor.rest())?;
            cursor.skip(length);
            Some(Answer::Event(Event { key, value, time }))
        }
        b"reason" => {
            let offset = usize::try_from(cursor.integer()?).ok()?;
            cursor.eat(b" ").then_some(())?;
            let length = usize::try_from(cursor.integer()?).ok()?;
            cursor.eat(b" ").then_some(())?;
            let (_, text) = cursor.text()?;
            Some(Answer::Reason { at: Spot::new(offset, length), text: std::str::from_utf8(text).ok()? })
        }
        b"lost" => cursor.integer().map(Answer::Lost),
        b"rate" => {
            let at_least = cursor.eat(b"at least ");
            let series = cursor.integer()?;
            cursor.eat(b" ").then_some(())?;
            Some(Answer::Rate { at_least, series, per_minute: cursor.integer()? })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::time::Time;

    fn event(key: &str, value: f64, ns: i64) -> Answer<'_> {
        Answer::Event(Event { key: key.as_bytes(), value, time: Time::from_ns(ns) })
    }

    #[test]
    fn answers_are_the_original_s_and_ours() {
        for (answer, want) in [
            (Answer::Status(true), "status 0;"),
            (Answer::Status(false), "status 1;"),
            (event("foobar", 1.0, 0), "event 6|foobar 1 0.0;"),
            (event("foobar", 3.0, 500_000_000), "event 6|foobar 3 0.5;"),
            (event("a;b=c", -0.75, 1_350_332_001_000_000_005), "event 5|a;b=c -0.75 1350332001.000000005;"),
            (event("größe", 1e21, 1_000_000_000), "event 7|größe 1e21 1.0;"),
            (event("x", f64::INFINITY, 0), "event 1|x Infinity 0.0;"),
            (event("x", f64::NEG_INFINITY, 0), "event 1|x -Infinity 0.0;"),
            (Answer::Reason { at: Spot::new(15, 4), text: "no; `a|b`" }, "reason 15 4 9|no; `a|b`;"),
            (Answer::Lost(17), "lost 17;"),
            (Answer::Rate { at_least: false, series: 120, per_minute: 720 }, "rate 120 720;"),
            (Answer::Rate { at_least: true, series: 120, per_minute: 720 }, "rate at least 120 720;"),
        ] {
            let mut out = Vec::new();
            answer.write(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), want);
            assert_eq!(Answers::of(&out).collect::<Vec<_>>(), [Ok(answer)], "{want}");
        }
        let mut out = Vec::new();
        event("x", f64::NAN, 0).write(&mut out);
        assert_eq!(out, b"event 1|x NaN 0.0;");
        let read = Answers::of(&out).next();
        assert!(matches!(read, Some(Ok(Answer::Event(event))) if event.value.is_nan()), "{read:?}");
    }

    #[test]
    fn a_payload_may_hold_several_answers() {
        let answers: Vec<_> = Answers::of(b"status 0;event 1|a 1 0.0;lost 2;").collect();
        assert_eq!(answers, [Ok(Answer::Status(true)), Ok(event("a", 1.0, 0)), Ok(Answer::Lost(2))]);
        assert_eq!(Answers::of(b"").next(), None);
    }

    #[test]
    fn a_payload_that_is_no_answer_is_an_error_at_its_place() {
        for (payload, want) in [
            ("status 2;", 0),
            ("status 0", 0),
            ("status 0;\n", 9),
            ("status 0;news 1;", 9),
            ("event 9|a 1 0.0;", 0),
            ("event 1|a  1 0.0;", 0),
            ("event 1|a x 0.0;", 0),
            ("reason 1 2 3|a;", 0),
            (";", 0),
        ] {
            let last = Answers::of(payload.as_bytes()).last();
            assert_eq!(last, Some(Err(AnswerError(want))), "{payload:?}");
        }
    }

    #[test]
    fn a_reason_is_never_longer_than_a_frame() {
        let text = "ö".repeat(50_000);
        let mut out = Vec::new();
        Answer::Reason { at: Spot::default(), text: &text }.write(&mut out);
        assert!(out.len() < REASON_BYTES_MAX + 100);
        assert!(matches!(Answers::of(&out).next(), Some(Ok(Answer::Reason { .. }))));
    }

    proptest! {
        #[test]
        fn reading_undoes_writing(key: String, value in -1e300..1e300_f64, ns: i64, offset: u32, lost: u64) {
            let answers = [
                event(&key, value, ns),
                Answer::Reason { at: Spot::new(offset as usize, 1), text: &key },
                Answer::Lost(lost),
            ];
            let mut out = Vec::new();
            answers.iter().for_each(|answer| answer.write(&mut out));
            prop_assert_eq!(Answers::of(&out).collect::<Result<Vec<_>, _>>(), Ok(answers.to_vec()));
        }

        #[test]
        fn the_reader_takes_any_bytes(
            bytes: Vec<u8>,
            near in "(status |event |reason |lost |rate |at least |;|[0-9]|\\||\\.| |a){0,12}",
        ) {
            for payload in [bytes, near.into_bytes()] {
                prop_assert!(Answers::of(&payload).count() <= payload.len());
            }
        }
    }
}
