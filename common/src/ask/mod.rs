//! The query socket of a store: what clients ask, what it answers. Payloads of frames, whose length is told by the
//! frame; an empty frame ends every answer, and a connection may ask again behind it.
//!
//! ```abnf
//! ask       = range / series / names / tags / stats / delete / verify / snapshot / import
//! range     = "range" SP which SP from SP to [SP kind] [limit] [where] ";"   ; both times are inclusive
//! series    = "series" SP which [limit] [where] ";"        ; how far each reaches
//! names     = "names" SP which [limit] [where] ";"         ; their keys, at once: nothing sealed is read
//! tags      = "tags" [SP str] ";"                          ; the tags there are; the values of one
//! stats     = "stats" ";"
//! delete    = "delete" SP which [where] [SP "dry-run"] ";"
//! verify    = "verify" ";"
//! snapshot  = "snapshot" SP str ";"                        ; a directory
//! import    = "import" ";"                                 ; datagrams follow, one a frame, and an empty frame
//! which     = ("key" / "match") SP str                     ; one key; a regex as queries have it
//! kind      = "events" / "states" / "notes"                ; events
//! limit     = SP "limit" SP 1*DIGIT                        ; records in all
//! where     = SP "where" SP test *("," test)
//! test      = (plain / str) ("=" / "!=") (*1plain / str)
//! plain     = 1*(any byte but blanks and the ones of "!=,;|")
//! str       = 1*DIGIT "|" n*OCTET                          ; n = the number, counts bytes
//!
//! answer    = *(datagram / object) status                  ; a frame each, then an empty one
//! status    = "status" SP (done / refused / failed) ";"
//! done      = "0" [SP accepted] [SP str]                   ; str: what was passed over because it is damaged
//! accepted  = "accepted" SP 1*DIGIT [SP "refused" SP 1*DIGIT]    ; records of an imported datagram, once logged
//! refused   = "1" SP str                                   ; the ask is wrong, and why
//! failed    = "2" SP str                                   ; it could not be done now, and why
//! ```
//!
//! Datagrams are as drawn in [`crate::wire`], unnumbered: runs of points, states, notes, series or words; series
//! after series in the order of keys, each in the order of time. Objects are JSON, those of [`report`]. An answer
//! without its status and its empty frame is incomplete.

mod answer;
mod parse;
pub mod report;
mod tag;

pub use answer::{Answer, AnswerError, Status};
pub use tag::{TESTS_MAX, TagTest};

use crate::query::error::QueryError;
use crate::query::proc::write_text;
use crate::query::selector::Selector;
use crate::text::write_u64;
use crate::time::Time;
use crate::wire::Content;

/// Which series.
#[derive(Clone, Debug)]
pub enum Which {
    /// The one of this key.
    Key(String),
    /// All that a regex selects.
    Match(Box<Selector>),
}

/// Which series, in all.
#[derive(Clone, Debug)]
pub struct Selection {
    /// By key or by regex.
    pub which: Which,
    /// And all of these hold.
    pub tests: Vec<TagTest>,
}

impl Selection {
    /// The one series of a key.
    pub fn key(key: impl Into<String>) -> Selection {
        Selection { which: Which::Key(key.into()), tests: Vec::new() }
    }

    /// All that a regex selects.
    pub fn matching(selector: Selector) -> Selection {
        Selection { which: Which::Match(Box::new(selector)), tests: Vec::new() }
    }
}

/// Records of a time.
#[derive(Clone, Debug)]
pub struct Range {
    /// Of which series.
    pub selection: Selection,
    /// The first time, inclusive.
    pub from: Time,
    /// The last time, inclusive.
    pub to: Time,
    /// Events, states or notes.
    pub content: Content,
    /// At most so many records in all.
    pub limit: Option<u64>,
}

/// What a client asks for.
#[derive(Clone, Debug)]
pub enum Ask {
    /// Records of a time.
    Range(Range),
    /// How far series reach.
    Series(Selection, Option<u64>),
    /// Keys.
    Names(Selection, Option<u64>),
    /// The tags there are; with a tag, its values.
    Tags(Option<String>),
    /// How the store is.
    Stats,
    /// Takes series away.
    Delete {
        /// Which.
        selection: Selection,
        /// Only say what would go.
        is_dry: bool,
    },
    /// Compares every checksum.
    Verify,
    /// Makes a copy in a directory.
    Snapshot(String),
    /// Takes the datagrams of the frames behind it.
    Import,
}

impl Ask {
    /// Reads the payload of a client's frame.
    ///
    /// # Errors
    /// Anything but the whole of one ask; the spot is in bytes of the payload.
    pub fn parse(payload: &[u8]) -> Result<Ask, QueryError> {
        parse::ask(payload)
    }

    /// The word it begins with.
    pub const fn word(&self) -> &'static str {
        match self {
            Ask::Range(_) => "range",
            Ask::Series(..) => "series",
            Ask::Names(..) => "names",
            Ask::Tags(_) => "tags",
            Ask::Stats => "stats",
            Ask::Delete { .. } => "delete",
            Ask::Verify => "verify",
            Ask::Snapshot(_) => "snapshot",
            Ask::Import => "import",
        }
    }

    /// Appends the payload.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.word().as_bytes());
        match self {
            Ask::Range(range) => {
                write_which(out, &range.selection.which);
                for time in [range.from, range.to] {
                    out.push(b' ');
                    out.extend_from_slice(time.to_string().as_bytes());
                }
                out.push(b' ');
                out.extend_from_slice(range.content.word().as_bytes());
                write_limit(out, range.limit);
                tag::write_where(out, &range.selection.tests);
            }
            Ask::Series(selection, limit) | Ask::Names(selection, limit) => {
                write_which(out, &selection.which);
                write_limit(out, *limit);
                tag::write_where(out, &selection.tests);
            }
            Ask::Delete { selection, is_dry } => {
                write_which(out, &selection.which);
                tag::write_where(out, &selection.tests);
                if *is_dry {
                    out.extend_from_slice(b" dry-run");
                }
            }
            Ask::Tags(Some(text)) | Ask::Snapshot(text) => {
                out.push(b' ');
                write_text(out, text.as_bytes());
            }
            Ask::Tags(None) | Ask::Stats | Ask::Verify | Ask::Import => {}
        }
        out.push(b';');
    }
}

fn write_which(out: &mut Vec<u8>, which: &Which) {
    match which {
        Which::Key(key) => {
            out.extend_from_slice(b" key ");
            write_text(out, key.as_bytes());
        }
        Which::Match(selector) => {
            out.extend_from_slice(b" match ");
            write_text(out, selector.to_string().as_bytes());
        }
    }
}

fn write_limit(out: &mut Vec<u8>, limit: Option<u64>) {
    if let Some(limit) = limit {
        out.extend_from_slice(b" limit ");
        write_u64(out, limit);
    }
}
