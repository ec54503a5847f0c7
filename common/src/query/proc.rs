//! The proc socket, what clients say: payloads of frames whose length is told by the frame.
//!
//! ```abnf
//! client = [with] proc / close               ; the first frame is [with] proc, any second one ends it
//! with   = "with" SP wish *("," wish) ";"
//! wish   = "reason" / "lost" / "rate" / "only" SP str
//! proc   = "proc" SP "match" SP str WS pipeline ";"
//! close  = "close" ";"
//! str    = 1*DIGIT "|" n*OCTET               ; n = the number, counts bytes
//! ```
//!
//! `with` is how a client asks for more than the original told: why its proc is refused (`reason`), what it lost by
//! reading too slowly (`lost`), how much its proc selects (`rate`); `only` is a second regex that a series has to
//! match as well. What the server says is [`super::answer`].

use super::cursor::Cursor;
use super::error::{QueryError, Spot, meant, quoted};
use super::pipeline::Pipeline;
use super::selector::Selector;
use crate::text::write_u64;

/// The payload that ends a proc.
pub const CLOSE: &[u8] = b"close;";

/// What a client asked for besides events.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct With {
    /// Why the proc is refused.
    pub reason: bool,
    /// How many events were lost for the client was slow.
    pub lost: bool,
    /// How many series the proc selects, and their events a minute.
    pub rate: bool,
}

/// What a client said.
#[derive(Clone, Debug)]
pub enum Instruction {
    /// `proc ...;`, the whole of a client's first frame.
    Proc(Box<Proc>),
    /// `close;`
    Close,
}

/// A proc that is checked.
#[derive(Clone, Debug)]
pub struct Proc {
    /// What the client asked for besides.
    pub with: With,
    /// A series has to match this one too.
    pub only: Option<Selector>,
    /// Which series.
    pub selector: Selector,
    /// What becomes of each.
    pub pipeline: Pipeline,
}

impl Proc {
    /// Whether a series is selected. `key` is as [`crate::key::parse`] leaves it.
    pub fn matches(&self, key: &[u8]) -> bool {
        self.selector.matches(key) && self.only.as_ref().is_none_or(|only| only.matches(key))
    }
}

/// A payload that is refused: the answer is `status 1;`, and the reason to a client that asked for it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Refused {
    /// Why; the spot is in bytes of the payload.
    pub error: QueryError,
    /// What the client asked for, as far as it was read.
    pub with: With,
}

/// Reads the payload of a client's frame.
///
/// # Errors
/// Anything but the whole of one `proc` or `close`.
pub fn parse(payload: &[u8]) -> Result<Instruction, Refused> {
    let mut with = With::default();
    instruction(payload, &mut with).map_err(|error| Refused { error, with })
}

fn instruction(payload: &[u8], with: &mut With) -> Result<Instruction, QueryError> {
    let mut cursor = Cursor::new(payload);
    let mut only = None;
    if cursor.eat(b"with ") {
        only = wishes(&mut cursor, with)?;
    } else if cursor.eat(b"close;") {
        return end(&cursor).map(|()| Instruction::Close);
    }
    let start = cursor.at();
    if !cursor.eat(b"proc ") {
        let word = cursor.word();
        let spot = if word.is_empty() { cursor.next_token() } else { cursor.since(start) };
        let what = match word {
            b"event" => "an event cannot be sent to the proc socket",
            b"close" => "`close` is the whole of a frame: `close;`",
            _ => "a proc stands here",
        };
        return Err(QueryError::new(spot, what, "write `proc match LEN|REGEX PIPELINE;`"));
    }
    let mode = cursor.at();
    if !cursor.eat(b"match ") {
        let word = cursor.word();
        let spot = if word.is_empty() { cursor.next_token() } else { cursor.since(mode) };
        let what = "a proc has one mode, `match`";
        return Err(QueryError::new(spot, what, "write `proc match LEN|REGEX PIPELINE;`"));
    }
    let selector = regex(&mut cursor)?;
    if !cursor.eat_blank() {
        let what = "between the regex and the pipeline stands exactly one blank";
        return Err(QueryError::new(
            cursor.next_token(),
            what,
            "the number before `|` is the regex' length in bytes",
        ));
    }
    let start = cursor.at();
    let text = cursor.take_while(|byte| byte != b';');
    let pipeline = Pipeline::parse(text).map_err(|error| error.moved(start))?;
    if !cursor.eat(b";") {
        return Err(QueryError::new(
            cursor.until_end(),
            "the `;` at the end is missing",
            "write it behind the pipeline",
        ));
    }
    end(&cursor)?;
    Ok(Instruction::Proc(Box::new(Proc { with: *with, only, selector, pipeline })))
}

fn end(cursor: &Cursor<'_>) -> Result<(), QueryError> {
    if cursor.is_done() {
        return Ok(());
    }
    Err(QueryError::new(
        cursor.until_end(),
        "a frame holds one instruction",
        "take away what follows the first `;`",
    ))
}

fn wishes(cursor: &mut Cursor<'_>, with: &mut With) -> Result<Option<Selector>, QueryError> {
    let mut only = None;
    loop {
        let start = cursor.at();
        match cursor.word() {
            b"reason" => with.reason = true,
            b"lost" => with.lost = true,
            b"rate" => with.rate = true,
            b"only" if cursor.eat(b" ") => only = Some(regex(cursor)?),
            word => {
                let known = ["reason", "lost", "rate", "only"];
                let way_out = meant(word, known).map_or_else(
                    || "`with` takes reason, lost, rate and only LEN|REGEX, with `,` between".to_owned(),
                    |word| {
                        if word == "only" {
                            "write `only LEN|REGEX`".to_owned()
                        } else {
                            format!("did you mean `{word}`?")
                        }
                    },
                );
                let spot = if word.is_empty() { cursor.next_token() } else { cursor.since(start) };
                return Err(QueryError::new(spot, format!("{} cannot be asked for", quoted(word)), way_out));
            }
        }
        if cursor.eat(b";") {
            return Ok(only);
        }
        if !cursor.eat(b",") {
            return Err(QueryError::new(
                cursor.next_token(),
                "the wishes of `with` have `,` between",
                "end them with `;`",
            ));
        }
    }
}

fn regex(cursor: &mut Cursor<'_>) -> Result<Selector, QueryError> {
    let gap = cursor.next_token();
    let Some((start, text)) = cursor.text() else {
        let mut ahead = *cursor;
        let spot = if ahead.integer().is_some() && ahead.eat(b"|") { cursor.until_end() } else { gap };
        return Err(QueryError::new(
            spot,
            "a regex with its length stands here",
            "write `LEN|REGEX`, LEN is its bytes: `4|^web`",
        ));
    };
    let text = std::str::from_utf8(text).map_err(|error| {
        let spot = Spot::new(start + error.valid_up_to(), error.error_len().unwrap_or(1));
        QueryError::new(spot, "a regex is UTF-8", "keys are UTF-8 too, so no other byte can match")
    })?;
    Selector::parse(text).map_err(|error| error.moved(start))
}

/// A proc to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask<'a> {
    /// What to ask for besides events.
    pub with: With,
    /// A second regex that a series has to match.
    pub only: Option<&'a str>,
    /// Which series.
    pub regex: &'a str,
    /// What becomes of each.
    pub pipeline: &'a str,
}

/// Where the parts of an [`Ask`] stand in its payload, to find the spot of a refusal in what the user typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Places {
    /// Of the regex.
    pub regex: Spot,
    /// Of the pipeline.
    pub pipeline: Spot,
}

impl Places {
    /// The stretch `at` of the payload in a text that has the regex and the pipeline at these offsets; none when it
    /// begins in neither.
    pub fn in_text(&self, at: Spot, regex_offset: usize, pipeline_offset: usize) -> Option<Spot> {
        [(self.regex, regex_offset), (self.pipeline, pipeline_offset)].into_iter().find_map(
            |(part, offset)| {
                let start = at.offset.checked_sub(part.offset).filter(|&start| start <= part.length)?;
                Some(Spot::new(offset + start, at.length.min(part.length - start)))
            },
        )
    }
}

impl Ask<'_> {
    /// Appends the payload.
    pub fn write(&self, out: &mut Vec<u8>) -> Places {
        let payload = out.len();
        let With { reason, lost, rate } = self.with;
        let mut before = "with ";
        for (is_asked, word) in
            [(reason, "reason"), (lost, "lost"), (rate, "rate"), (self.only.is_some(), "only ")]
        {
            if is_asked {
                out.extend_from_slice(before.as_bytes());
                out.extend_from_slice(word.as_bytes());
                before = ",";
            }
        }
        if let Some(only) = self.only {
            write_text(out, only.as_bytes());
        }
        if before == "," {
            out.push(b';');
        }
        out.extend_from_slice(b"proc match ");
        write_text(out, self.regex.as_bytes());
        let regex = Spot::new(out.len() - payload - self.regex.len(), self.regex.len());
        out.push(b' ');
        let pipeline = Spot::new(out.len() - payload, self.pipeline.len());
        out.extend_from_slice(self.pipeline.as_bytes());
        out.push(b';');
        Places { regex, pipeline }
    }
}

/// Appends `LEN|OCTETS`.
pub(crate) fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    write_u64(out, text.len() as u64);
    out.push(b'|');
    out.extend_from_slice(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proc(payload: &[u8]) -> Proc {
        match parse(payload) {
            Ok(Instruction::Proc(proc)) => *proc,
            other => panic!("{}: {other:?}", payload.escape_ascii()),
        }
    }

    #[test]
    fn a_proc_is_read_as_the_original_did() {
        for (payload, regex, pipeline) in [
            ("proc match 1|. id;", ".", "id"),
            ("proc match 6|foobar id;", "foobar", "id"),
            ("proc match 1|. window 5 (mean);", ".", "window 5 (mean)"),
            ("proc match 1|.\tid;", ".", "id"),
            ("proc match 01|.\nid;", ".", "id"),
            ("proc match 0| id;", "", "id"),
            ("proc match 5|a;b c id;", "a;b c", "id"),
            (
                "proc match 6|gr\u{f6}\u{df} mean | (* 100) | [> 50];",
                "gr\u{f6}\u{df}",
                "mean | (* 100) | [> 50]",
            ),
        ] {
            let proc = proc(payload.as_bytes());
            assert_eq!(
                (proc.selector.to_string(), proc.pipeline.to_string()),
                (regex.into(), pipeline.into())
            );
            assert_eq!(proc.with, With::default());
        }
        assert!(matches!(parse(CLOSE), Ok(Instruction::Close)));
    }

    #[test]
    fn a_client_asks_for_more() {
        let all = With { reason: true, lost: true, rate: true };
        assert_eq!(proc(b"with reason,lost,rate;proc match 1|. id;").with, all);
        let limited = proc(b"with rate,only 4|^web;proc match 1|. id;");
        assert_eq!(limited.with, With { rate: true, ..With::default() });
        assert!(limited.matches(b"web.hits") && !limited.matches(b"db.hits"));
    }

    #[test]
    fn a_payload_that_is_wrong_is_refused_at_the_spot() {
        for (payload, offset, length, words, reason) in [
            ("", 0, 0, "a proc stands here", false),
            ("event 6|foobar 1 0.0;", 0, 5, "an event cannot be sent", false),
            ("close", 0, 5, "`close;`", false),
            ("close;close;", 6, 6, "one instruction", false),
            ("with reason;close;", 12, 5, "`close;`", true),
            ("PROC match 1|. id;", 0, 4, "a proc stands here", false),
            ("proc glob 1|* id;", 5, 4, "one mode", false),
            ("proc match . id;", 11, 1, "a regex with its length", false),
            ("proc match 9|. id;", 11, 7, "a regex with its length", false),
            ("proc match 99999999999999999999999|. id;", 11, 29, "a regex with its length", false),
            ("proc match 2|. id;", 15, 2, "exactly one blank", false),
            ("proc match 1|.id;", 14, 2, "exactly one blank", false),
            ("proc match 1|.  id;", 15, 1, "a function stands here", false),
            ("proc match 1|( id;", 13, 1, "unclosed group", false),
            ("proc match 1|. ;", 15, 0, "the pipeline is empty", false),
            ("proc match 1|.;", 14, 1, "exactly one blank", false),
            ("proc match 1|. window 5 ();", 24, 2, "the window is empty", false),
            ("proc match 1|. meen;", 15, 4, "did you mean `mean`?", false),
            ("proc match 1|. id", 17, 0, "the `;` at the end is missing", false),
            ("proc match 1|. id;\n", 18, 1, "one instruction", false),
            ("proc match 1|. id;proc match 1|. id;", 18, 18, "one instruction", false),
            ("proc match 1|. id WHERE dc=ams;", 18, 12, "`WHERE` is not there yet", false),
            ("with ;proc match 1|. id;", 5, 1, "cannot be asked for", false),
            ("with reason,lots;proc match 1|. id;", 12, 4, "did you mean `lost`?", true),
            ("with lost rate;proc match 1|. id;", 9, 1, "have `,` between", false),
            ("with reason;proc match 1|. meen;", 27, 4, "did you mean `mean`?", true),
            ("with only 1|(;proc match 1|. id;", 12, 1, "unclosed group", false),
            ("with only;proc match 1|. id;", 5, 4, "write `only LEN|REGEX`", false),
        ] {
            let Err(refused) = parse(payload.as_bytes()) else { panic!("{payload:?} is taken") };
            assert_eq!(refused.error.at, Spot::new(offset, length), "{payload:?}: {}", refused.error);
            assert!(refused.error.to_string().contains(words), "{payload:?}: {}", refused.error);
            assert_eq!(refused.with.reason, reason, "{payload:?}");
        }
        let refused = parse(b"proc match 2|a\xff id;").unwrap_err();
        assert_eq!((refused.error.at, refused.error.what.as_str()), (Spot::new(14, 1), "a regex is UTF-8"));
    }

    #[test]
    fn an_ask_is_written() {
        for (with, only, want) in [
            (With::default(), None, "proc match 4|^web mean;"),
            (
                With { reason: true, lost: true, rate: true },
                None,
                "with reason,lost,rate;proc match 4|^web mean;",
            ),
            (With { rate: true, ..With::default() }, Some("a"), "with rate,only 1|a;proc match 4|^web mean;"),
            (With::default(), Some("a"), "with only 1|a;proc match 4|^web mean;"),
        ] {
            let mut out = Vec::new();
            let places = Ask { with, only, regex: "^web", pipeline: "mean" }.write(&mut out);
            let text = String::from_utf8(out).unwrap();
            assert_eq!(text, want);
            assert_eq!(&text[places.regex.offset..places.regex.end()], "^web");
            assert_eq!(&text[places.pipeline.offset..places.pipeline.end()], "mean");
            let read = proc(text.as_bytes());
            assert_eq!((read.with, read.only.map(|only| only.to_string()).as_deref()), (with, only));
        }
    }

    #[test]
    fn a_spot_of_the_payload_is_found_in_what_was_typed() {
        let typed = "SELECT meen FROM ^web;";
        let ask = Ask { with: With::default(), only: None, regex: "^web", pipeline: "meen" };
        let mut payload = Vec::new();
        let places = ask.write(&mut payload);
        let error = parse(&payload).unwrap_err().error;
        assert_eq!(places.in_text(error.at, 17, 7), Some(Spot::new(7, 4)));
        assert_eq!(&typed[7..11], "meen");
        assert_eq!(places.in_text(Spot::new(0, 4), 17, 7), None);
    }

    proptest::proptest! {
        #[test]
        fn the_reader_takes_any_bytes(bytes: Vec<u8>, near in "(with |only |reason|,|;|proc match |[0-9]|\\||\\.| |id|close){0,12}") {
            for payload in [bytes, near.into_bytes()] {
                if let Err(refused) = parse(&payload) {
                    proptest::prop_assert!(refused.error.at.end() <= payload.len(), "{:?}", refused);
                }
            }
        }
    }
}
