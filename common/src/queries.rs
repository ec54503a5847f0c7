//! The queries that run, in a file beside the books: leela-dmproc writes it once a second, anybody of the group reads it,
//! also while leela-dmproc is too busy to be asked.
//!
//! ```text
//! books/dmproc.queries, JSON, a line each; the first says when it was written, in ns since 1970
//! {"time_ns":1790000000500000000}
//! {"client":"uid 1000 pid 99","asked_ns":1790000000000000000,"proc":"proc match 4|^web id;","series":12,
//!  "delivered":340,"waiting":0,"lost":0}
//! ```
//! It is written anew and renamed, so that it is whole. One that ends in order leaves no queries in it, one that is killed
//! those it told last.

use std::fs;
use std::io::{self, BufRead, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::time::Time;

/// The name of the file, among the books.
pub const FILE: &str = "dmproc.queries";

/// Characters of a proc that are told; what is behind them is left out.
pub const PROC_CHARS_MAX: usize = 256;

/// The longest file that is read: leela-dmproc tells of 1,024 queries at most, each with 256 characters of its text.
const BYTES_MAX: u64 = 4 << 20;

/// All queries at a moment.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Queries {
    /// When it was written.
    pub time: Time,
    /// The queries, in no order; of more than 1,024 those that most frames were made for.
    pub running: Vec<Running>,
}

/// A query that runs.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Running {
    /// Who asked, as far as the kernel says.
    pub client: String,
    /// When, in ns since 1970; with `client` it tells a query from another one.
    pub asked_ns: i64,
    /// What was asked, at most [`PROC_CHARS_MAX`] characters of it.
    pub proc: String,
    /// Series that it has state of.
    pub series: u64,
    /// Frames with an event that its socket took.
    pub delivered: u64,
    /// Frames that wait for room in its socket.
    pub waiting: u64,
    /// Frames that were lost, as it does not read.
    pub lost: u64,
}

#[derive(Serialize, Deserialize)]
struct Head {
    time_ns: i64,
}

/// Why the file cannot be read.
#[derive(Debug, Error)]
pub enum QueriesError {
    /// What the system said.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A line is not what it should be.
    #[error("line {0} is no query")]
    Line(usize),
    /// It is longer than any that leela-dmproc writes.
    #[error("it is too long")]
    Long,
}

impl Queries {
    /// Writes the file at `path`, whole or not at all.
    pub fn write(&self, path: &Path) -> io::Result<()> {
        let new = path.with_extension("queries.new");
        let options = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o640).clone();
        let mut file = BufWriter::new(options.open(&new)?);
        let head = Head { time_ns: self.time.ns() };
        serde_json::to_writer(&mut file, &head)?;
        for query in &self.running {
            file.write_all(b"\n")?;
            serde_json::to_writer(&mut file, query)?;
        }
        file.write_all(b"\n")?;
        file.into_inner().map_err(io::IntoInnerError::into_error)?;
        fs::rename(&new, path)
    }

    /// Reads the file at `path`.
    pub fn read(path: &Path) -> Result<Queries, QueriesError> {
        let file = fs::File::open(path)?;
        if file.metadata()?.len() > BYTES_MAX {
            return Err(QueriesError::Long);
        }
        let mut lines = io::BufReader::new(file).split(b'\n').enumerate();
        let bad = |number: usize| move |_| QueriesError::Line(number + 1);
        let (_, head) = lines.next().ok_or(QueriesError::Line(1))?;
        let head: Head = serde_json::from_slice(&head?).map_err(bad(0))?;
        let mut queries = Queries { time: Time::from_ns(head.time_ns), running: Vec::new() };
        for (number, line) in lines {
            queries.running.push(serde_json::from_slice(&line?).map_err(bad(number))?);
        }
        Ok(queries)
    }
}

/// A proc as it is told: its text, cut.
pub fn shown(proc: &[u8]) -> String {
    String::from_utf8_lossy(proc).chars().take(PROC_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        assert!(matches!(Queries::read(&path), Err(QueriesError::Io(_))));
        let query = Running {
            client: "uid 0 pid 7".into(),
            asked_ns: 5,
            proc: shown("proc match 4|^\u{fc}\" id;\n".as_bytes()),
            series: 1,
            delivered: u64::MAX,
            waiting: 2,
            lost: 3,
        };
        for running in [Vec::new(), vec![query.clone()], vec![query; 100]] {
            let queries = Queries { time: Time::from_secs(9), running };
            queries.write(&path).unwrap();
            assert_eq!(Queries::read(&path).unwrap(), queries);
        }
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_no_such_file_is_refused_with_its_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(FILE);
        for (text, want) in [
            ("", 1),
            ("what", 1),
            ("{\"time_ns\":1}\n{}\n", 2),
            ("{\"time_ns\":1}\n\n", 2),
            ("{\"time_ns\":1}\n{\"client\":\"a\",\"asked_ns\":1,\"proc\":\"\",\"series\":-1}", 2),
        ] {
            fs::write(&path, text).unwrap();
            let read = Queries::read(&path);
            assert!(matches!(read, Err(QueriesError::Line(line)) if line == want), "{text}: {read:?}");
        }
        fs::File::create(&path).unwrap().set_len(BYTES_MAX + 1).unwrap();
        assert!(matches!(Queries::read(&path), Err(QueriesError::Long)));
    }

    #[test]
    fn a_long_proc_is_cut() {
        assert_eq!(shown(&[0xff; 1000]).chars().count(), PROC_CHARS_MAX);
    }
}
