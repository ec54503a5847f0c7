//! `leela store import`: records in. What is written twice is there once, so an import may always be done again; from
//! a file it keeps its place, and goes on there.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args;
use common::ask::{Answer, Ask, Status};
use common::exit::{Exit, OrExit as _};
use common::metric::{Event, Note, State};
use common::time::Time;
use common::wire::{Batch, Content, Full};

use super::client::{Client, Interrupted, failed};
use super::line::{self, Record};
use super::progress::Progress;
use crate::instance::Instance;
use crate::output;
use crate::spot;

/// The longest line, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Datagrams that are on their way at the same time.
const WINDOW: usize = 16;
/// The place in the file is kept so often.
const KEEP_EVERY: Duration = Duration::from_millis(500);

/// Put records in, as export prints them.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Import {
    /// A file of Leela's text or JSON lines; `-` is standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Go on where an import of this file stopped
    #[arg(long)]
    resume: bool,
}

const EXAMPLES: &str = "\
Examples:
  leela store import all.ndjson
  leela store import all.ndjson --resume
      go on after it was interrupted
  leela --runtime-dir /run/a store export | leela --runtime-dir /run/b store import -

Exit status: 0, 65 a line is wrong, 69 leela-storage is not running, 75 not now:
again later";

pub(super) fn run(import: &Import, instance: &Instance) -> anyhow::Result<()> {
    if import.file.as_os_str() == "-" {
        if import.resume {
            return Err(Exit::Usage
                .error("standard input has no place to go on at; what is imported twice is there once"));
        }
        return read(io::stdin().lock(), None, 0, instance);
    }
    let path = &import.file;
    let mut file = File::open(path).with_context(|| path.display().to_string()).exit(Exit::Data)?;
    let length = file.metadata().map_or(0, |file| file.len());
    let kept = kept_path(path);
    let start = if import.resume { kept_place(&kept, length)? } else { Kept::default() };
    file.seek(SeekFrom::Start(start.offset)).with_context(|| path.display().to_string()).exit(Exit::IoErr)?;
    let place = Place { path: kept, at: start, length, next: Instant::now() + KEEP_EVERY };
    read(BufReader::with_capacity(1 << 20, file), Some(place), start.lines, instance)
}

/// How far a file is imported.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Kept {
    offset: u64,
    lines: u64,
}

/// Where the place of a file is kept: beside it.
fn kept_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".imported");
    name.into()
}

fn kept_place(kept: &Path, length: u64) -> anyhow::Result<Kept> {
    let text = match fs::read_to_string(kept) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Kept::default()),
        Err(error) => return Err(error).with_context(|| kept.display().to_string()).exit(Exit::IoErr),
    };
    let mut words = text.split_whitespace().map(str::parse::<u64>);
    match (words.next(), words.next()) {
        (Some(Ok(offset)), Some(Ok(lines))) if offset <= length => Ok(Kept { offset, lines }),
        _ => Err(Exit::Data.error(format_args!(
            "{} is no place in this file; take it away, and import from the beginning",
            kept.display()
        ))),
    }
}

/// The place in a file, kept beside it while it is imported.
#[derive(Debug)]
struct Place {
    path: PathBuf,
    at: Kept,
    length: u64,
    next: Instant,
}

impl Place {
    fn keep(&self) -> io::Result<()> {
        fs::write(&self.path, format!("{} {}\n", self.at.offset, self.at.lines))
    }
}

/// Records on their way.
struct Sending {
    client: Client,
    batches: [Batch; 3],
    /// What is on its way: at which line and byte the input was when it was sent.
    sent: VecDeque<Kept>,
    /// All before it is in the log.
    logged: Kept,
    accepted: u64,
    refused: u64,
}

fn read(
    mut from: impl BufRead,
    mut place: Option<Place>,
    lines: u64,
    instance: &Instance,
) -> anyhow::Result<()> {
    let mut client = Client::connect(instance)?;
    let mut payload = Vec::new();
    Ask::Import.write(&mut payload);
    client.send(&payload)?;
    let start = place.as_ref().map_or(Kept { offset: 0, lines }, |place| place.at);
    let mut sending = Sending {
        client,
        batches: [Content::Events, Content::Notes, Content::States].map(Batch::new),
        sent: VecDeque::new(),
        logged: start,
        accepted: 0,
        refused: 0,
    };
    let mut progress = Progress::new();
    let ended = all(&mut from, start, &mut sending, |sending, at| {
        if let Some(place) = &mut place {
            place.at = sending.logged;
            let now = Instant::now();
            if now >= place.next {
                place.next = now + KEEP_EVERY;
                place.keep().with_context(|| place.path.display().to_string()).exit(Exit::IoErr)?;
            }
        }
        progress.tell(|| match &place {
            Some(place) if place.length > 0 => {
                format!("{} records, {} % of the file", sending.accepted, at.offset * 100 / place.length)
            }
            _ => format!("{} records", sending.accepted),
        });
        Ok(())
    });
    progress.over();
    let Sending { accepted, refused, logged, .. } = sending;
    match (&ended, &mut place) {
        (Ok(()), Some(place)) => {
            // It may never have been made.
            let _ = fs::remove_file(&place.path);
        }
        (Err(_), Some(place)) => {
            place.at = logged;
            place.keep().with_context(|| place.path.display().to_string()).exit(Exit::IoErr)?;
        }
        _ => {}
    }
    let refused_too = if refused > 0 {
        format!(", {refused} refused (a bad key, or deleted since)")
    } else {
        String::new()
    };
    match ended {
        Ok(()) => {
            output::say(format_args!("imported {accepted} records{refused_too}"));
            Ok(())
        }
        Err(error) => {
            let status = match error.downcast_ref::<Interrupted>() {
                Some(_) => Exit::TempFail,
                None => Exit::of(&error),
            };
            let way_out = match place {
                Some(_) => "--resume goes on there",
                None => "do it again: what is imported twice is there once",
            };
            let text = format!(
                "{error:#}\n{accepted} records of the first {} lines are imported{refused_too}; {way_out}",
                logged.lines
            );
            Err(anyhow::Error::msg(text)).exit(status)
        }
    }
}

/// Reads and sends all lines.
fn all(
    from: &mut impl BufRead,
    start: Kept,
    sending: &mut Sending,
    mut each: impl FnMut(&mut Sending, Kept) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let now = Time::now();
    let mut at = start;
    let mut line = Vec::new();
    loop {
        line.clear();
        let length =
            io::Read::take(&mut *from, LINE_BYTES_MAX + 1).read_until(b'\n', &mut line).context("reading")?;
        if length == 0 {
            break;
        }
        let before = at;
        at = Kept { offset: at.offset + length as u64, lines: at.lines + 1 };
        let wrong = if length as u64 > LINE_BYTES_MAX {
            Some((0, "a line has at most 1 MiB".to_owned()))
        } else {
            // All of a line, or nothing of it.
            let mut records = Vec::new();
            let read = line::read(&line, now, |record| records.push(record));
            if read.is_ok() {
                for record in &records {
                    sending.push(record, before)?;
                }
            }
            read.err()
        };
        if let Some((offset, what)) = wrong {
            sending.finish(before)?;
            let shown = spot::show(line.trim_ascii(), offset);
            return Err(Exit::Data.error(format_args!("line {}: {what}\n{shown}", at.lines)));
        }
        if at.lines.is_multiple_of(256) {
            each(sending, at)?;
        }
    }
    sending.finish(at)
}

impl Sending {
    /// Takes a record of the line behind `before`.
    fn push(&mut self, record: &Record, before: Kept) -> anyhow::Result<()> {
        let place = match record {
            Record::Event { .. } => 0,
            Record::Note { .. } => 1,
            Record::State { .. } => 2,
        };
        if put(&mut self.batches[place], record) == Err(Full) {
            // All of them go, so that nothing before this line is left.
            self.send_all(before)?;
            if put(&mut self.batches[place], record) == Err(Full) {
                return Err(Exit::Software.error("a record is longer than a datagram"));
            }
        }
        Ok(())
    }

    fn send_all(&mut self, at: Kept) -> anyhow::Result<()> {
        for place in 0..self.batches.len() {
            if self.batches[place].is_empty() {
                continue;
            }
            while self.sent.len() >= WINDOW {
                self.hear()?;
            }
            let Sending { client, batches, sent, logged, .. } = self;
            client.send(batches[place].seal(0, 0))?;
            batches[place].clear();
            // Only with the last one all before the line is there.
            let is_last = batches.iter().all(Batch::is_empty);
            let before = sent.back().copied().unwrap_or(*logged);
            sent.push_back(if is_last { at } else { before });
        }
        Ok(())
    }

    /// Hears what became of the oldest datagram on its way.
    fn hear(&mut self) -> anyhow::Result<()> {
        match self.client.next()? {
            Answer::Status(Status::Accepted { accepted, refused }) => {
                self.accepted += accepted;
                self.refused += refused;
                self.logged = self.sent.pop_front().unwrap_or(self.logged);
                Ok(())
            }
            Answer::Status(status) => {
                failed(&status)?;
                Err(Exit::IoErr.error("leela-storage answered what was not asked"))
            }
            _ => Err(Exit::IoErr.error("leela-storage answered what was not asked")),
        }
    }

    /// Sends what is left, and hears of all.
    fn finish(&mut self, at: Kept) -> anyhow::Result<()> {
        self.send_all(at)?;
        while !self.sent.is_empty() {
            self.hear()?;
        }
        self.logged = at;
        self.client.send(b"")?;
        loop {
            match self.client.next()? {
                Answer::End => return Ok(()),
                Answer::Status(status) => failed(&status)?,
                _ => {}
            }
        }
    }
}

fn put(batch: &mut Batch, record: &Record) -> Result<(), Full> {
    match record {
        Record::Event { key, time, value } => {
            batch.event(&Event { key: key.as_bytes(), time: *time, value: *value })
        }
        Record::Note { key, time, json } => batch.note(&Note { key: key.as_bytes(), time: *time, json }),
        Record::State { key, time, window_ns, kind, bytes } => batch.state(&State {
            key: key.as_bytes(),
            time: *time,
            window_ns: *window_ns,
            kind: *kind,
            bytes,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_in_a_file_is_kept_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let kept = kept_path(&dir.path().join("all.ndjson"));
        assert!(kept.ends_with("all.ndjson.imported"));
        assert_eq!(kept_place(&kept, 100).unwrap(), Kept::default());
        let at = Kept { offset: 90, lines: 4 };
        Place { path: kept.clone(), at, length: 100, next: Instant::now() }.keep().unwrap();
        assert_eq!(kept_place(&kept, 100).unwrap(), at);
        for (length, text) in [(89, "90 4"), (100, "x"), (100, "")] {
            fs::write(&kept, text).unwrap();
            assert_eq!(Exit::of(&kept_place(&kept, length).unwrap_err()), Exit::Data, "{text:?}");
        }
    }
}
