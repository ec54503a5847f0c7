//! `leela store export`: records out, in the order of keys and times, so that it can go on where it stopped.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Read, Seek as _, SeekFrom, Write};
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, ValueEnum};
use common::ask::{Answer, Ask};
use common::exit::{self, Exit, OrExit as _};
use common::metric::Event;
use common::time::Time;
use common::wire::{Content, Header, Notes, Runs, States};

use super::client::{Client, Interrupted};
use super::line::{self, Lines, Record};
use super::progress::Progress;
use super::when::{Selected, Stretch};
use crate::instance::Instance;
use crate::output;
use crate::spot;

/// Print records, as Leela's text or as JSON lines.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Export {
    #[command(flatten)]
    selected: Selected,
    #[command(flatten)]
    stretch: Stretch,
    /// events, notes or states; may be given several times [default: all that the form can say]
    #[arg(long, value_name = "KIND", value_enum, hide_possible_values = true)]
    kind: Vec<Kind>,
    /// text (Leela's text) or json (an object a line) [default: text]
    #[arg(short, long, value_name = "FORM", value_enum, hide_possible_values = true)]
    output: Option<Form>,
    /// Write to this file, which is not there yet
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Go on behind the last record of the file
    #[arg(long, requires = "file")]
    resume: bool,
}

const EXAMPLES: &str = "\
Examples:
  leela store export '^web' --from 1d
  leela store export -o json --file all.ndjson
  leela store export -o json --file all.ndjson --resume
      go on after it was interrupted
  leela store export --kind notes '^deploy'

Exit status: 0, 65 the pattern is wrong, 69 leela-storage is not running,
75 it is incomplete";

#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
enum Form {
    Text,
    Json,
}

/// In this order they are printed.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Kind {
    Events,
    Notes,
    States,
}

impl Kind {
    fn content(self) -> Content {
        match self {
            Kind::Events => Content::Events,
            Kind::Notes => Content::Notes,
            Kind::States => Content::States,
        }
    }
}

/// A record's place in the order of an export.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Place {
    kind: Kind,
    key: Vec<u8>,
    time: Time,
}

pub(super) fn run(export: &Export, instance: &Instance) -> anyhow::Result<()> {
    let lines = match export.output {
        Some(Form::Json) => Lines::Json,
        Some(Form::Text) | None => Lines::Text,
    };
    let mut kinds = match export.kind.as_slice() {
        [] if lines == Lines::Json => vec![Kind::Events, Kind::Notes, Kind::States],
        [] => vec![Kind::Events, Kind::Notes],
        kinds => kinds.to_vec(),
    };
    if lines == Lines::Text && kinds.contains(&Kind::States) {
        return Err(Exit::Usage.error("states have no form in Leela's text; write `-o json`"));
    }
    kinds.sort_unstable();
    kinds.dedup();
    let selection = export.selected.selection()?;
    let (out, after) = target(export)?;
    let mut client = Client::connect(instance)?;
    let mut print =
        Print { out, lines, after, line: Vec::new(), last: None, printed: 0, progress: Progress::new() };
    let mut ended = Ok(());
    for kind in kinds {
        if print.after.as_ref().is_some_and(|after| after.kind > kind) {
            continue;
        }
        let ask = Ask::Range(export.stretch.range(selection.clone(), kind.content()));
        match client.ask(&ask, |answer| print.answer(kind, &answer)) {
            Ok(done) => done.tell(),
            Err(error) => {
                ended = Err(error);
                break;
            }
        }
    }
    print.progress.over();
    // What came is there, also when not all came.
    let flushed = print.out.flush().context("writing");
    ended.and(flushed).map_err(|error| print.incomplete(error, export))
}

/// Where records go, and the one they go on behind.
fn target(export: &Export) -> anyhow::Result<(Box<dyn Write>, Option<Place>)> {
    let Some(path) = &export.file else { return Ok((Box::new(output::out()), None)) };
    let named = || path.display().to_string();
    if !export.resume {
        let file = OpenOptions::new().write(true).create_new(true).open(path);
        return match file {
            Ok(file) => Ok((buffered(file), None)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Exit::Usage.error(format_args!(
                    "{} is there already; --resume goes on behind its last record, or take it away",
                    path.display()
                )))
            }
            Err(error) => Err(error).with_context(named).exit(Exit::IoErr),
        };
    }
    let mut file = match OpenOptions::new().read(true).write(true).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let file = OpenOptions::new().write(true).create_new(true).open(path).with_context(named)?;
            return Ok((buffered(file), None));
        }
        Err(error) => return Err(error).with_context(named).exit(Exit::IoErr),
    };
    let (end, last) = last_line(&mut file).with_context(named).exit(Exit::IoErr)?;
    let after = match last {
        Some(line) => Some(place_of(&line).ok_or_else(|| {
            Exit::Data.error(format_args!(
                "{}: its last line is no record, so there is no place to go on behind\n{}",
                path.display(),
                spot::plain(&line)
            ))
        })?),
        None => None,
    };
    // Half a line is written anew.
    file.set_len(end).and_then(|()| file.seek(SeekFrom::Start(end))).with_context(named).exit(Exit::IoErr)?;
    Ok((buffered(file), after))
}

fn buffered(file: File) -> Box<dyn Write> {
    Box::new(BufWriter::with_capacity(256 * 1024, file))
}

/// The last whole line, and where it ends.
fn last_line(file: &mut File) -> io::Result<(u64, Option<Vec<u8>>)> {
    let length = file.metadata()?.len();
    let mut back = 64 * 1024_u64;
    loop {
        let start = length.saturating_sub(back);
        file.seek(SeekFrom::Start(start))?;
        let mut tail = Vec::new();
        Read::by_ref(file).take(length - start).read_to_end(&mut tail)?;
        let end = tail.iter().rposition(|byte| *byte == b'\n');
        let Some(end) = end else {
            if start == 0 {
                return Ok((0, None));
            }
            back *= 4;
            continue;
        };
        match tail[..end].iter().rposition(|byte| *byte == b'\n') {
            Some(before) => return Ok((start + end as u64 + 1, Some(tail[before + 1..end].to_vec()))),
            None if start == 0 => return Ok((end as u64 + 1, Some(tail[..end].to_vec()))),
            None => back *= 4,
        }
    }
}

/// The place of the last record of a line.
fn place_of(line: &[u8]) -> Option<Place> {
    let mut place = None;
    line::read(line, Time::default(), |record| {
        let (kind, key, time) = match record {
            Record::Event { key, time, .. } => (Kind::Events, key, time),
            Record::Note { key, time, .. } => (Kind::Notes, key, time),
            Record::State { key, time, .. } => (Kind::States, key, time),
        };
        place = Some(Place { kind, key: key.into_bytes(), time });
    })
    .ok()?;
    place
}

/// Prints what comes.
struct Print {
    out: Box<dyn Write>,
    lines: Lines,
    /// Up to here it is there already.
    after: Option<Place>,
    line: Vec<u8>,
    /// The last record that was printed.
    last: Option<Place>,
    printed: u64,
    progress: Progress,
}

impl Print {
    fn answer(&mut self, kind: Kind, answer: &Answer<'_>) -> anyhow::Result<()> {
        let Answer::Records(header, records) = answer else { return Ok(()) };
        self.records(kind, header, records)?;
        let Print { progress, printed, last, .. } = self;
        progress.tell(|| {
            let key = last.as_ref().map(|last| spot::plain(&last.key)).unwrap_or_default();
            format!("{printed} records, at {key}")
        });
        Ok(())
    }

    fn records(&mut self, kind: Kind, header: &Header, records: &[u8]) -> anyhow::Result<()> {
        match kind {
            Kind::Events => {
                for run in Runs::new(records, header.count) {
                    let run = run.context("reading storage.query").exit(Exit::IoErr)?;
                    let known = self.known(kind, run.key);
                    for (time, value) in run.points() {
                        if known.is_none_or(|known| time > known) {
                            line::event(&mut self.line, self.lines, &Event { key: run.key, time, value });
                            self.printed += 1;
                        }
                    }
                    let last = run.points().last().map(|(time, _)| time);
                    self.put(kind, run.key, last)?;
                }
            }
            Kind::Notes => {
                for note in Notes::new(records, header.count) {
                    let note = note.context("reading storage.query").exit(Exit::IoErr)?;
                    if self.known(kind, note.key).is_none_or(|known| note.time > known) {
                        line::note(&mut self.line, self.lines, &note);
                        self.printed += 1;
                    }
                    self.put(kind, note.key, Some(note.time))?;
                }
            }
            Kind::States => {
                for state in States::new(records, header.count) {
                    let state = state.context("reading storage.query").exit(Exit::IoErr)?;
                    // Of one time there may be several; who imports them twice has them once.
                    if self.known(kind, state.key).is_none_or(|known| state.time >= known) {
                        line::state(&mut self.line, &state);
                        self.printed += 1;
                    }
                    self.put(kind, state.key, Some(state.time))?;
                }
            }
        }
        Ok(())
    }

    /// The last time of a series that is there already; `None` when nothing of it is.
    fn known(&self, kind: Kind, key: &[u8]) -> Option<Time> {
        let after = self.after.as_ref()?;
        match (kind, key).cmp(&(after.kind, after.key.as_slice())) {
            std::cmp::Ordering::Less => Some(Time::from_ns(i64::MAX)),
            std::cmp::Ordering::Equal => Some(after.time),
            std::cmp::Ordering::Greater => None,
        }
    }

    fn put(&mut self, kind: Kind, key: &[u8], time: Option<Time>) -> anyhow::Result<()> {
        if self.line.is_empty() {
            return Ok(());
        }
        if let Some(time) = time {
            match &mut self.last {
                Some(last) if last.kind == kind && last.key == key => last.time = time,
                last => *last = Some(Place { kind, key: key.to_vec(), time }),
            }
        }
        let written = self.out.write_all(&self.line).context("writing");
        self.line.clear();
        written
    }

    /// The error of an export that stopped: where it did, and how to go on.
    fn incomplete(&self, error: anyhow::Error, export: &Export) -> anyhow::Error {
        if exit::is_broken_pipe(&error) {
            return error;
        }
        let place = match &self.last {
            Some(last) => format!(
                "after {} records, the last of {} at {}",
                self.printed,
                spot::plain(&last.key),
                last.time
            ),
            None => "before the first record".to_owned(),
        };
        let way_out = match &export.file {
            Some(path) => format!("`--file {} --resume` goes on there", path.display()),
            None => "with --file FILE it can be resumed".to_owned(),
        };
        let status = match error.downcast_ref::<Interrupted>() {
            Some(_) => Exit::TempFail,
            None => Exit::of(&error),
        };
        let text = format!("{error:#}\nit ended {place}; {way_out}");
        Err::<(), _>(anyhow::Error::msg(text)).exit(status).expect_err("it is an error")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_whole_line_of_a_file_is_found() {
        let long = format!("a\n{}\nhalf", "x".repeat(300_000));
        for (text, end, last) in [
            ("", 0, None),
            ("half", 0, None),
            ("one\n", 4, Some("one")),
            ("one\ntwo\nhalf", 8, Some("two")),
            (&long, 300_003, Some(&long[2..300_002])),
        ] {
            let mut file = tempfile::tempfile().unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let want = (end, last.map(|last| last.as_bytes().to_vec()));
            assert_eq!(last_line(&mut file).unwrap(), want, "{}", &text[..text.len().min(20)]);
        }
    }

    #[test]
    fn records_are_in_the_order_of_kinds_keys_and_times() {
        let place = |line: &str| place_of(line.as_bytes()).unwrap();
        let lines = [
            "event 1|a 1 5.0;",
            "event 1|a 1 6.0;",
            "event 3|a;b 1 1.0;",
            "event 1|b 1 1.0;",
            "data 1|a 2|{} 1.0;",
            "{\"key\":\"a\",\"time\":1,\"window\":1,\"kind\":1,\"state\":\"\"}",
        ];
        assert!(lines.windows(2).all(|pair| place(pair[0]) < place(pair[1])));
        assert_eq!(place_of(b"nonsense"), None);
    }
}
