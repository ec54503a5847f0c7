//! What a store answers, frame by frame.

use thiserror::Error;

use crate::query::cursor::Cursor;
use crate::query::proc::write_text;
use crate::text::write_u64;
use crate::wire::{Header, HeaderError};

/// The most bytes of a reason or a warning; a longer one is cut.
const TEXT_BYTES_MAX: usize = 8192;

/// The payload of one frame of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer<'a> {
    /// Records, for [`crate::wire::Runs::new`] and its like.
    Records(Header, &'a [u8]),
    /// JSON: one of [`super::report`].
    Object(&'a str),
    /// How it ended; while importing, what became of a datagram.
    Status(Status<'a>),
    /// The answer is complete.
    End,
}

/// How an ask ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Status<'a> {
    /// It is done.
    Done {
        /// What was passed over because it is damaged; UTF-8, one line.
        warning: Option<&'a str>,
    },
    /// An imported datagram is in the log.
    Accepted {
        /// Records that were taken.
        accepted: u64,
        /// Records that were not: a bad key, or what cannot be read.
        refused: u64,
    },
    /// The ask is wrong.
    Refused(&'a str),
    /// It could not be done now, or not to its end.
    Failed(&'a str),
}

/// A payload that no store of ours writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum AnswerError {
    /// Records of another form or version.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// Nothing that is known.
    #[error("no answer of a query socket")]
    Form,
}

impl<'a> Answer<'a> {
    /// Reads the payload of a store's frame.
    ///
    /// # Errors
    /// When it is none; nothing behind it can be relied on.
    pub fn parse(payload: &'a [u8]) -> Result<Answer<'a>, AnswerError> {
        match payload.first() {
            None => Ok(Answer::End),
            Some(b'{') => std::str::from_utf8(payload).map(Answer::Object).map_err(|_| AnswerError::Form),
            Some(b's') => status(payload).map(Answer::Status).ok_or(AnswerError::Form),
            Some(_) => Ok(Header::read(payload).map(|(header, records)| Answer::Records(header, records))?),
        }
    }
}

impl Status<'_> {
    /// Appends the payload.
    pub fn write(&self, out: &mut Vec<u8>) {
        let with_text = |out: &mut Vec<u8>, code: &str, text: &str| {
            out.extend_from_slice(code.as_bytes());
            write_text(out, &text.as_bytes()[..text.floor_char_boundary(TEXT_BYTES_MAX)]);
        };
        match *self {
            Status::Done { warning: None } => out.extend_from_slice(b"status 0"),
            Status::Done { warning: Some(warning) } => with_text(out, "status 0 ", warning),
            Status::Accepted { accepted, refused } => {
                out.extend_from_slice(b"status 0 accepted ");
                write_u64(out, accepted);
                if refused > 0 {
                    out.extend_from_slice(b" refused ");
                    write_u64(out, refused);
                }
            }
            Status::Refused(reason) => with_text(out, "status 1 ", reason),
            Status::Failed(reason) => with_text(out, "status 2 ", reason),
        }
        out.push(b';');
    }
}

fn status(payload: &[u8]) -> Option<Status<'_>> {
    let mut cursor = Cursor::new(payload);
    cursor.eat(b"status ").then_some(())?;
    let status = match cursor.integer()? {
        0 if cursor.eat(b" accepted ") => {
            let accepted = cursor.integer()?;
            let refused = if cursor.eat(b" refused ") { cursor.integer()? } else { 0 };
            Status::Accepted { accepted, refused }
        }
        0 if cursor.eat(b" ") => Status::Done { warning: Some(text(&mut cursor)?) },
        0 => Status::Done { warning: None },
        1 if cursor.eat(b" ") => Status::Refused(text(&mut cursor)?),
        2 if cursor.eat(b" ") => Status::Failed(text(&mut cursor)?),
        _ => return None,
    };
    (cursor.eat(b";") && cursor.is_done()).then_some(status)
}

fn text<'a>(cursor: &mut Cursor<'a>) -> Option<&'a str> {
    std::str::from_utf8(cursor.text()?.1).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Batch, Content};

    #[test]
    fn an_answer_is_what_it_makes_again() {
        for (status, want) in [
            (Status::Done { warning: None }, "status 0;"),
            (Status::Done { warning: Some("2 blocks; of `a|b`") }, "status 0 18|2 blocks; of `a|b`;"),
            (Status::Accepted { accepted: 17, refused: 0 }, "status 0 accepted 17;"),
            (Status::Accepted { accepted: 17, refused: 3 }, "status 0 accepted 17 refused 3;"),
            (Status::Refused("no"), "status 1 2|no;"),
            (Status::Failed("größe"), "status 2 7|größe;"),
        ] {
            let mut out = Vec::new();
            status.write(&mut out);
            assert_eq!(String::from_utf8_lossy(&out), want);
            assert_eq!(Answer::parse(&out), Ok(Answer::Status(status)), "{want}");
        }
        assert_eq!(Answer::parse(b""), Ok(Answer::End));
        assert_eq!(Answer::parse(b"{\"a\":1}"), Ok(Answer::Object("{\"a\":1}")));
        let mut batch = Batch::new(Content::Runs);
        assert_eq!(batch.run(b"a", [(crate::time::Time::from_ns(1), 2.0)].into_iter()), 1);
        let answer = Answer::parse(batch.seal(0, 0));
        assert!(matches!(answer, Ok(Answer::Records(header, _)) if header.count == 1), "{answer:?}");
    }

    #[test]
    fn a_payload_that_is_no_answer_is_an_error() {
        for payload in [
            "status 0",
            "status 3;",
            "status 1;",
            "status 0 ;",
            "status 0;x",
            "status 0 9|a;",
            "stats;",
            "status 0 accepted;",
            "event 1|a 1 0.0;",
            "[]",
        ] {
            assert!(Answer::parse(payload.as_bytes()).is_err(), "{payload:?}");
        }
        assert_eq!(Answer::parse(b"{\xff}"), Err(AnswerError::Form));
    }

    #[test]
    fn a_reason_is_never_longer_than_a_frame() {
        let mut out = Vec::new();
        Status::Failed(&"ö".repeat(50_000)).write(&mut out);
        assert!(out.len() < TEXT_BYTES_MAX + 100);
        assert!(matches!(Answer::parse(&out), Ok(Answer::Status(Status::Failed(_)))));
    }

    proptest::proptest! {
        #[test]
        fn the_reader_takes_any_bytes(
            bytes: Vec<u8>, near in "(status |0|1|2|accepted |refused | |;|[0-9]|\\||a){0,10}",
        ) {
            let _ = Answer::parse(&bytes);
            if let Ok(Answer::Status(status)) = Answer::parse(near.as_bytes()) {
                let mut out = Vec::new();
                status.write(&mut out);
                proptest::prop_assert_eq!(Answer::parse(&out), Ok(Answer::Status(status)));
            }
        }
    }
}
