//! The query as its user typed it: checked here, so that an error is told at once, also while leela-dmproc is
//! away.

use common::exit::Exit;
use common::query::caret;
use common::query::error::{QueryError, Spot};
use common::query::pipeline::Pipeline;
use common::query::proc::{Ask, Places, With};
use common::query::selector::Selector;
use common::query::statement;
use sockets::frame;

/// A query that is well formed, and the frame that asks it.
#[derive(Debug)]
pub(super) struct Asked {
    /// What was typed, on one line.
    typed: String,
    regex_offset: usize,
    pipeline_offset: usize,
    places: Places,
    frame: Vec<u8>,
}

/// Why leela-dmproc refused a query, as far as it said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Reason {
    /// The spot in the payload.
    pub(super) at: Spot,
    /// What is wrong, and the way out.
    pub(super) text: String,
}

impl Asked {
    /// Checks a statement, or a pipeline and a regex. A wrong one exits 65 and shows the spot.
    pub(super) fn parse(words: &[String]) -> anyhow::Result<Asked> {
        match words {
            [pipeline, regex] => {
                // As two words of a shell.
                let typed = format!("'{pipeline}' '{regex}'");
                let (pipeline_offset, regex_offset) = (1, pipeline.len() + 4);
                Pipeline::parse(pipeline).map_err(|error| wrong(&typed, &error.moved(pipeline_offset)))?;
                Selector::parse(regex).map_err(|error| wrong(&typed, &error.moved(regex_offset)))?;
                Asked::new(typed.clone(), (regex, regex_offset), (pipeline, pipeline_offset))
            }
            words => {
                let typed = words.concat();
                let split = statement::split(&typed).map_err(|error| wrong(&typed, &error))?;
                split.check().map_err(|error| wrong(&typed, &error))?;
                let (regex, pipeline) = (split.regex, split.pipeline);
                Asked::new(typed.clone(), (regex.text, regex.offset), (pipeline.text, pipeline.offset))
            }
        }
    }

    fn new(
        typed: String,
        (regex, regex_offset): (&str, usize),
        (pipeline, pipeline_offset): (&str, usize),
    ) -> anyhow::Result<Asked> {
        let with = With { reason: true, lost: true, rate: false };
        let mut payload = Vec::new();
        let places = Ask { with, only: None, regex, pipeline }.write(&mut payload);
        let mut frame = Vec::new();
        if !frame::write_with(&mut frame, |out| out.extend_from_slice(&payload)) {
            return Err(Exit::Data.error("the query is over 65,535 bytes; write a shorter one"));
        }
        Ok(Asked { typed, regex_offset, pipeline_offset, places, frame })
    }

    /// The frame that asks it.
    pub(super) fn frame(&self) -> &[u8] {
        &self.frame
    }

    /// The error of a query that is well formed here and refused there.
    pub(super) fn refused(&self, reason: Option<Reason>) -> anyhow::Error {
        let Some(Reason { at, text }) = reason else {
            return Exit::Data.error(
                "leela-dmproc refused the query and did not say why; it may be of an older version, see \
                 leela-dmproc(8)",
            );
        };
        match self.places.in_text(at, self.regex_offset, self.pipeline_offset) {
            Some(at) => {
                let (what, way_out) = text.split_once("; ").unwrap_or((&text, "see leela-dmproc(8)"));
                wrong(&self.typed, &QueryError { at, what: what.into(), way_out: way_out.into() })
            }
            None => Exit::Data.error(format_args!("leela-dmproc refused the query: {text}")),
        }
    }
}

fn wrong(typed: &str, error: &QueryError) -> anyhow::Error {
    Exit::Data.error(format_args!("the query is wrong\n{}", caret::render(typed, error).trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(words: &[&str]) -> Result<Asked, String> {
        let words: Vec<String> = words.iter().map(|&word| word.to_owned()).collect();
        Asked::parse(&words).map_err(|error| format!("{error:#}"))
    }

    #[test]
    fn a_statement_and_two_words_ask_the_same() {
        let want = b"with reason,lost;proc match 5|^room window 5 (mean);";
        for words in [
            &["SELECT window 5 (mean) FROM ^room;"][..],
            &["select window 5 (mean) from ^room"],
            &["window 5 (mean)", "^room"],
        ] {
            assert_eq!(&asked(words).unwrap().frame()[2..], want, "{words:?}");
        }
    }

    #[test]
    fn a_wrong_query_is_shown_as_it_was_typed() {
        for (words, want) in [
            (
                &["SELECT meen FROM ^web"][..],
                "SELECT meen FROM ^web\n       ^^^^\nthere is no function `meen`",
            ),
            (&["meen", "^web"], "'meen' '^web'\n ^^^^\nthere is no function `meen`"),
            (&["mean", "^w(eb"], "'mean' '^w(eb'\n          ^\n"),
            (&["mean"], "mean\n^^^^\n"),
        ] {
            let error = asked(words).unwrap_err();
            let shown = error.strip_prefix("the query is wrong\n").unwrap();
            assert!(shown.starts_with(want), "{words:?}: {shown}");
        }
    }

    #[test]
    fn a_refusal_of_dmproc_points_into_what_was_typed() {
        let asked = asked(&["SELECT mean FROM ^web;"]).unwrap();
        let payload = String::from_utf8(asked.frame()[2..].to_vec()).unwrap();
        let reason = |at, text: &str| Some(Reason { at, text: text.to_owned() });
        for (reason, want) in [
            (
                reason(Spot::new(payload.find("mean").unwrap(), 4), "no; go"),
                "the query is wrong\nSELECT mean FROM ^web;\n       ^^^^\nno; go",
            ),
            (
                reason(Spot::new(payload.find("^web").unwrap(), 1), "no; go"),
                "the query is wrong\nSELECT mean FROM ^web;\n                 ^\nno; go",
            ),
            (reason(Spot::new(0, 4), "no; go"), "leela-dmproc refused the query: no; go"),
            (None, "leela-dmproc refused the query and did not say why"),
        ] {
            let error = asked.refused(reason);
            assert!(error.to_string().starts_with(want), "{error}");
            assert_eq!(Exit::of(&error), Exit::Data);
        }
    }
}
