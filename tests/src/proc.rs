//! A client of dmproc.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};

use common::text::{self, Message};
use common::time::Time;
use sockets::frame::{self, Frames};

use crate::DEADLINE;
use crate::load::{Numbers, PREFIX};
use crate::recorder::Kept;
use crate::wait::wait_for;

/// What a client has got.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Events that came.
    pub events: u64,
    /// The sum of their values.
    pub sum: f64,
    /// Different values of events of a load.
    pub numbered: u64,
    /// Events of a load whose value had come before.
    pub twice: u64,
    /// Events that are no part of a load.
    pub kept: Vec<Kept>,
    /// Other frames: what a client asked for with `with`.
    pub words: Vec<String>,
    /// The server closed the connection.
    pub ended: bool,
    seen: Numbers,
}

/// A connection with a proc that was taken; a thread reads what comes.
#[derive(Debug)]
pub struct Proc {
    stream: UnixStream,
    heard: Arc<Mutex<Heard>>,
    thread: Option<JoinHandle<()>>,
}

impl Proc {
    /// Connects to `path` and asks; `text` is a frame's whole payload.
    pub(crate) fn open(path: &Path, text: &str) -> Result<Proc, String> {
        let mut stream = UnixStream::connect(path).map_err(|error| error.to_string())?;
        stream.set_read_timeout(Some(DEADLINE)).expect("it is not zero");
        let mut payload = Vec::new();
        frame::write(&mut payload, text.as_bytes());
        // One who is refused at once may be hung up on before this is written; the answer is there to read.
        let written = stream.write_all(&payload);
        let mut frames = Frames::default();
        let Some(answer) = next_frame(&mut stream, &mut frames) else {
            return Err(format!("the connection was closed: {written:?}"));
        };
        if answer != "status 0;" {
            return Err(answer + &next_frame(&mut stream, &mut frames).unwrap_or_default());
        }
        stream.set_read_timeout(None).expect("none is a timeout");
        let mut reader = stream.try_clone().expect("descriptors are left");
        let heard = Arc::<Mutex<Heard>>::default();
        let into = heard.clone();
        let work = move || {
            let mut buffer = vec![0; 1 << 16];
            loop {
                let mut heard = lock(&into);
                while let Some(payload) = frames.next_frame() {
                    heard.frame(payload);
                }
                drop(heard);
                match reader.read(&mut buffer) {
                    Ok(length) if length > 0 => frames.push(&buffer[..length]),
                    _ => break,
                }
            }
            lock(&into).ended = true;
        };
        Ok(Proc { stream, heard, thread: Some(thread::spawn(work)) })
    }

    /// What it has got until now.
    pub fn heard(&self) -> Heard {
        lock(&self.heard).clone()
    }

    /// One look at what it has got, without a copy.
    pub fn look<T>(&self, look: impl FnOnce(&Heard) -> T) -> T {
        look(&lock(&self.heard))
    }

    /// Waits until it has got so many events that are no part of a load, and gives their values.
    #[track_caller]
    pub fn wait_values(&self, count: usize) -> Vec<f64> {
        wait_for(&format!("{count} events of a proc"), || {
            self.look(|heard| {
                (heard.kept.len() >= count).then(|| heard.kept.iter().map(|event| event.value).collect())
            })
        })
    }

    /// Says `close;`, and waits until the server has closed the connection; gives all that came.
    pub fn close(mut self) -> Heard {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, b"close;");
        // A server that was killed is no failure of the client.
        let _ = self.stream.write_all(&bytes);
        self.join();
        self.heard()
    }

    /// Waits until the server has closed the connection, or is gone; gives all that came.
    pub fn wait_end(mut self) -> Heard {
        self.join();
        self.heard()
    }

    fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("frames are Leela's text");
        }
    }
}

impl Heard {
    fn frame(&mut self, payload: &[u8]) {
        let mut is_event = false;
        text::messages(payload, Time::default(), |message| {
            let Ok(Message::Event(event)) = message else { return };
            is_event = true;
            self.events += 1;
            self.sum += event.value;
            if !event.key.starts_with(PREFIX) {
                let key = String::from_utf8_lossy(event.key).into_owned();
                self.kept.push(Kept { key, value: event.value, time: event.time, text: String::new() });
            } else if self.seen.insert(event.value) {
                self.numbered += 1;
            } else {
                self.twice += 1;
            }
        });
        if !is_event {
            self.words.push(String::from_utf8_lossy(payload).into_owned());
        }
    }
}

impl Drop for Proc {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The next frame, as text; none when the server has closed.
fn next_frame(stream: &mut UnixStream, frames: &mut Frames) -> Option<String> {
    let mut buffer = [0; 4096];
    loop {
        if let Some(payload) = frames.next_frame() {
            return Some(String::from_utf8_lossy(payload).into_owned());
        }
        match stream.read(&mut buffer) {
            Ok(length) if length > 0 => frames.push(&buffer[..length]),
            _ => return None,
        }
    }
}
