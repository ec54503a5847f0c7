//! Books as others read them: also those of a process that is stopped or dead.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::OnceLock;

use mapped::banks;

use super::{
    BooksError, CARRIED_WORDS, HEADER_WORDS, Layout, MAGIC, NAME_BYTES, RefusalText, SourceRow, Sources,
    VERSIONS, at, refusals,
};
use crate::time::Time;

/// What a process is doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum State {
    /// It runs.
    Running = 1,
    /// It ended in order and closed its books.
    Ended = 2,
    /// It is stopped by a signal.
    Stopped = 3,
    /// It was killed, or the machine was: its books are open.
    Dead = 4,
}

impl State {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Ended => "ended",
            State::Stopped => "stopped",
            State::Dead => "dead",
        }
    }
}

/// One reading of a process's books.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The process, without `leela-`.
    pub process: String,
    /// The version of Leela that it runs.
    pub release: String,
    /// Its process id.
    pub pid: u64,
    /// What it is doing now.
    pub state: State,
    /// When it was started.
    pub since: Time,
    /// The source of its datagrams.
    pub source: u64,
    /// Counters by name, in the order of the man page.
    pub counters: Vec<(String, u64)>,
    /// What it carries for its ring.
    pub carried: [u64; CARRIED_WORDS],
    /// What it got from whom.
    pub sources: Vec<SourceRow>,
    /// How many inputs it ever refused and kept for show.
    pub refusals: u64,
    pub(super) refusal_bytes: Vec<u8>,
    pub(super) is_of_this_boot: bool,
}

impl Snapshot {
    /// Reads the books at `path`, without asking the process.
    pub fn read(path: &Path) -> Result<Snapshot, BooksError> {
        let io = |source| BooksError::Io { path: path.to_owned(), source };
        let form = |what| BooksError::Form { path: path.to_owned(), what };
        let file = File::open(path).map_err(io)?;
        // Books that are just being made are not there yet.
        if file.metadata().map_err(io)?.len() == 0 {
            return Err(io(io::ErrorKind::NotFound.into()));
        }
        let mut header = [0; HEADER_WORDS * 8];
        file.read_exact_at(&mut header, 0).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => form("it is too short"),
            _ => io(error),
        })?;
        let bytes = |place: usize, n: usize| &header[place * 8..place * 8 + n];
        let word = |place: usize| u64::from_ne_bytes(bytes(place, 8).try_into().expect("8 bytes"));
        if word(at::MAGIC) != MAGIC {
            return Err(form("it does not begin like books"));
        }
        if !VERSIONS.known(u32::try_from(word(at::VERSION)).unwrap_or(u32::MAX)).map_err(io)? {
            return Err(form("it is of another version"));
        }
        let layout = Layout { slots: word(at::SLOTS) as usize, rows: word(at::ROWS) as usize };
        if layout.slots > 4096 || layout.rows > 4096 {
            return Err(form("its sizes are out of range"));
        }
        let length = file.metadata().map_err(io)?.len();
        if length != (layout.words() * 8 + layout.body()) as u64 {
            return Err(form("its length is not what its header says"));
        }
        let bank = banks::read_file(&file, (HEADER_WORDS * 8) as u64, layout.bank()).map_err(io)?;
        // What no refusal was ever written to is not read: in most books that is all of it.
        let read = |from: usize, length: usize| {
            let mut bytes = vec![0; length];
            file.read_exact_at(&mut bytes, (layout.words() * 8 + from) as u64).map(|()| bytes)
        };
        let names = read(0, layout.slots * NAME_BYTES).map_err(io)?;
        let refusal_bytes = read(names.len(), refusals::used(word(at::REFUSALS))).map_err(io)?;
        let text = |bytes: &[u8]| {
            String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or(&[])).into_owned()
        };
        let (values, rest) = bank.split_at(layout.slots);
        let (carried, rows) = rest.split_at(CARRIED_WORDS);
        let names = names.chunks_exact(NAME_BYTES).map(text);
        let pid = word(at::PID);
        let is_of_this_boot = [word(at::BOOT), word(at::BOOT + 1)] == boot_id();
        let state = match word(at::STATE) {
            ended if ended == State::Ended as u64 => State::Ended,
            _ if !is_of_this_boot => State::Dead,
            _ => state_of(pid, word(at::START)),
        };
        Ok(Snapshot {
            process: text(bytes(at::PROCESS, 32)),
            release: text(bytes(at::RELEASE, 32)),
            pid,
            state,
            since: Time::from_ns(word(at::SINCE) as i64),
            source: word(at::SOURCE),
            counters: names.zip(values.iter().copied()).collect(),
            carried: carried.try_into().expect("split at that length"),
            sources: Sources::load(rows),
            refusals: word(at::REFUSALS),
            refusal_bytes,
            is_of_this_boot,
        })
    }

    /// When the process was started, in the kernel's ticks since it booted; none when it is no more.
    pub fn start_ticks(&self) -> Option<u64> {
        match self.state {
            State::Running | State::Stopped => start_of(u32::try_from(self.pid).ok()?),
            State::Ended | State::Dead => None,
        }
    }

    /// The last refused inputs, oldest first.
    pub fn refusals(&self) -> Vec<RefusalText> {
        refusals::read(&self.refusal_bytes, self.refusals)
    }

    /// The value of one counter; 0 when these books do not have it.
    pub fn counter(&self, name: &str) -> u64 {
        self.counters.iter().find(|(have, _)| have == name).map_or(0, |(_, value)| *value)
    }

    /// The sum of a family: `total("refused")` is all of `refused.<reason>`.
    pub fn total(&self, family: &str) -> u64 {
        let of_family = |name: &str| {
            name.strip_prefix(family).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        };
        let values = self.counters.iter().filter(|(name, _)| of_family(name)).map(|(_, value)| *value);
        // Only in a damaged file is the sum that large.
        values.fold(0, u64::saturating_add)
    }
}

/// The kernel's id of this boot; zeros where it has none.
pub(super) fn boot_id() -> [u64; 2] {
    static ID: OnceLock<[u64; 2]> = OnceLock::new();
    *ID.get_or_init(|| {
        let text = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
        let id = u128::from_str_radix(&digits, 16).unwrap_or(0);
        [(id >> 64) as u64, id as u64]
    })
}

/// When a process was started, in clock ticks since boot: with it a pid used again is not mistaken.
pub(super) fn start_of(pid: u32) -> Option<u64> {
    stat_fields(u64::from(pid))?.get(19)?.parse().ok()
}

fn state_of(pid: u64, start: u64) -> State {
    let Some(fields) = stat_fields(pid) else { return State::Dead };
    let same = fields.get(19).and_then(|field| field.parse().ok()) == Some(start);
    match fields.first().map(String::as_str) {
        Some("Z" | "X") | None => State::Dead,
        _ if !same => State::Dead,
        Some("T" | "t") => State::Stopped,
        Some(_) => State::Running,
    }
}

/// The fields of /proc/PID/stat from the third (the state) on; the second may hold blanks and brackets.
fn stat_fields(pid: u64) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}
