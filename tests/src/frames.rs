//! A client of the proc socket that reads frame by frame, and not before the test does.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;

use sockets::frame::{self, Frames};

use crate::sandbox::Sandbox;
use crate::wait::DEADLINE;

/// A connection to leela-dmproc.
#[derive(Debug)]
pub struct ByFrames {
    stream: UnixStream,
    frames: Frames,
}

impl Sandbox {
    /// Connects to leela-dmproc and asks; no answer is read.
    pub fn by_frames(&self, payload: &str) -> ByFrames {
        let path = self.run().dmproc_proc();
        let stream =
            UnixStream::connect(&path).unwrap_or_else(|error| panic!("connecting to {path:?}: {error}"));
        stream.set_read_timeout(Some(DEADLINE)).expect("it is not zero");
        let mut asked = ByFrames { stream, frames: Frames::default() };
        asked.say(payload);
        asked
    }
}

impl ByFrames {
    /// Sends a frame.
    pub fn say(&mut self, payload: &str) {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, payload.as_bytes());
        self.stream.write_all(&bytes).expect("the server has not closed");
    }

    /// The payload of the next frame; none at the end of the stream.
    ///
    /// # Panics
    /// When nothing comes within [`DEADLINE`].
    pub fn frame(&mut self) -> Option<String> {
        let mut buffer = [0; 16 * 1024];
        loop {
            if let Some(payload) = self.frames.next_frame() {
                return Some(String::from_utf8(payload.to_vec()).expect("answers are text"));
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(length) => self.frames.push(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // It hung up on what it was sent and did not read.
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("reading dmproc.proc: {error}"),
            }
        }
    }

    /// The next `count` frames.
    pub fn frames(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.frame().expect("the server goes on")).collect()
    }
}
