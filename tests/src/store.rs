//! A client of the query socket.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;

use common::ask::{Answer, Status};
use common::time::Time;
use common::wire::{Content, Notes, Runs, Series, States, Words};
use sockets::frame::{self, Frames};

use crate::sandbox::Sandbox;
use crate::wait::DEADLINE;

/// A connection to leela-storage.
#[derive(Debug)]
pub struct Store {
    stream: UnixStream,
    frames: Frames,
}

/// A whole answer.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Answered {
    /// Points, in the order in which they came.
    pub points: Vec<(String, Time, f64)>,
    /// Notes, as their JSON.
    pub notes: Vec<(String, Time, String)>,
    /// States: of which key, of which time, and their bytes.
    pub states: Vec<(String, Time, Vec<u8>)>,
    /// Series, with the number of their records.
    pub series: Vec<(String, u64)>,
    /// Words, with the number of their series.
    pub words: Vec<(String, u64)>,
    /// JSON.
    pub object: String,
    /// The status, as it was written.
    pub status: String,
    /// False when the connection ended before the answer did.
    pub is_whole: bool,
}

impl Sandbox {
    /// Connects to leela-storage.
    pub fn store(&self) -> Store {
        let path = self.run().storage_query();
        let stream =
            UnixStream::connect(&path).unwrap_or_else(|error| panic!("connecting to {path:?}: {error}"));
        stream.set_read_timeout(Some(DEADLINE)).expect("it is not zero");
        Store { stream, frames: Frames::default() }
    }

    /// One ask, and its whole answer.
    pub fn ask(&self, ask: &str) -> Answered {
        let mut store = self.store();
        store.say(ask.as_bytes());
        store.answer()
    }
}

impl Store {
    /// Sends a frame.
    pub fn say(&mut self, payload: &[u8]) {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, payload);
        self.stream.write_all(&bytes).expect("the server has not closed");
    }

    /// Sends bytes as they are.
    pub fn say_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("the server has not closed");
    }

    /// Reads up to the end of an answer, or of the connection.
    ///
    /// # Panics
    /// When nothing comes within [`DEADLINE`], or what comes is none.
    pub fn answer(&mut self) -> Answered {
        let mut answered = Answered::default();
        while let Some(payload) = self.payload() {
            match Answer::parse(&payload).expect("it is an answer") {
                Answer::End => {
                    answered.is_whole = true;
                    break;
                }
                Answer::Object(object) => object.clone_into(&mut answered.object),
                Answer::Status(status) => {
                    let mut text = Vec::new();
                    Status::write(&status, &mut text);
                    answered.status = String::from_utf8(text).expect("it is text");
                }
                Answer::Records(header, records) => answered.take(header.content, header.count, records),
            }
        }
        answered
    }

    /// The payload of the next frame; none at the end of the connection.
    pub fn payload(&mut self) -> Option<Vec<u8>> {
        let mut buffer = [0; 64 * 1024];
        loop {
            if let Some(payload) = self.frames.next_frame() {
                return Some(payload.to_vec());
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(length) => self.frames.push(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It hung up on what it was sent and did not read.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("reading storage.query: {error}"),
            }
        }
    }
}

impl Answered {
    fn take(&mut self, content: Content, count: u32, records: &[u8]) {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it is text");
        match content {
            Content::Runs => {
                for run in Runs::new(records, count) {
                    let run = run.expect("records are whole");
                    let key = text(run.key);
                    self.points.extend(run.points().map(|(time, value)| (key.clone(), time, value)));
                }
            }
            Content::Notes => self.notes.extend(Notes::new(records, count).map(|note| {
                let note = note.expect("records are whole");
                (text(note.key), note.time, text(note.json))
            })),
            Content::States => self.states.extend(States::new(records, count).map(|state| {
                let state = state.expect("records are whole");
                (text(state.key), state.time, state.bytes.to_vec())
            })),
            Content::Series => self.series.extend(Series::new(records, count).map(|extent| {
                let extent = extent.expect("records are whole");
                (text(extent.key), extent.points)
            })),
            Content::Words => self.words.extend(Words::new(records, count).map(|word| {
                let word = word.expect("records are whole");
                (text(word.word), word.series)
            })),
            Content::Metrics | Content::Events => panic!("a store answers no {}", content.word()),
        }
    }
}
