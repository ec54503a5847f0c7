//! A place to run leela-dmproc in: the test plays the timeline and the clients.

use std::io::{Read, Write};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;

use common::books::Snapshot;
use common::metric::Event;
use common::query::answer::{Answer, Answers};
use common::time::Time;
use common::wire::{Batch, Content};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sockets::frame;
use tempfile::TempDir;

/// Whoever waits longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(30);

/// A runtime directory of its own, with the timeline's multicast socket in it.
pub(crate) struct Bed {
    directory: TempDir,
    /// Where registrations come.
    pub(crate) multicast: UnixDatagram,
    notify: UnixDatagram,
    batch: Batch,
    /// The number of the next event.
    pub(crate) next: u64,
}

/// A leela-dmproc that runs; killed when it is dropped.
pub(crate) struct Dmproc(Child);

impl Bed {
    pub(crate) fn new() -> Bed {
        let directory = tempfile::tempdir().unwrap();
        let bind = |name: &str| {
            let socket = UnixDatagram::bind(directory.path().join(name)).unwrap();
            socket.set_read_timeout(Some(PATIENCE)).unwrap();
            socket
        };
        let (multicast, notify) = (bind("timeline.multicast"), bind("notify"));
        Bed { multicast, notify, directory, batch: Batch::new(Content::Events), next: 0 }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Starts it, and waits until it is ready.
    pub(crate) fn start(&self, config: &str) -> Dmproc {
        std::fs::write(self.path("dmproc.toml"), config).unwrap();
        let dmproc = Command::new(env!("CARGO_BIN_EXE_leela-dmproc"))
            .args(["--runtime-dir".as_ref(), self.directory.path().as_os_str()])
            .args(["--config".as_ref(), self.path("dmproc.toml").as_os_str()])
            .env("NOTIFY_SOCKET", self.path("notify"))
            .spawn();
        let dmproc = Dmproc(dmproc.expect("it starts"));
        let mut buffer = [0; 256];
        loop {
            let length = self.notify.recv(&mut buffer).expect("it says that it is ready");
            if buffer[..length].starts_with(b"READY=1") {
                return dmproc;
            }
        }
    }

    /// Sends events in one datagram, as the timeline does.
    pub(crate) fn events(&mut self, events: &[(&str, f64, i64)]) {
        let mut filled = 0;
        for &(key, value, ns) in events {
            let event = Event { key: key.as_bytes(), value, time: Time::from_ns(ns) };
            if self.batch.event(&event).is_err() {
                self.send(filled);
                filled = 0;
                self.batch.event(&event).expect("an empty batch takes it");
            }
            filled += 1;
        }
        self.send(filled);
    }

    fn send(&mut self, count: u64) {
        let (sender, databus) = (UnixDatagram::unbound().unwrap(), self.path("dmproc.databus"));
        // It waits while the queue is full.
        sender.send_to(self.batch.seal(77, self.next), databus).unwrap();
        self.batch.clear();
        self.next += count;
    }

    pub(crate) fn client(&self) -> Client {
        let stream = UnixStream::connect(self.path("dmproc.proc")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client { stream, frames: frame::Frames::default() }
    }

    /// A client whose proc is taken.
    pub(crate) fn proc(&self, payload: &str) -> Client {
        let mut client = self.client();
        client.frame(payload);
        assert_eq!(client.text(), "status 0;", "{payload}");
        client
    }

    pub(crate) fn books(&self) -> Snapshot {
        Snapshot::read(&self.path("books/dmproc")).unwrap()
    }
}

impl Dmproc {
    pub(crate) fn id(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill(self.id(), signal).unwrap();
    }

    /// Ends it by a signal.
    pub(crate) fn end(mut self, signal: Signal) -> ExitStatus {
        self.signal(signal);
        self.0.wait().unwrap()
    }
}

impl Drop for Dmproc {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A client of the proc socket.
pub(crate) struct Client {
    pub(crate) stream: UnixStream,
    frames: frame::Frames,
}

impl Client {
    pub(crate) fn frame(&mut self, payload: &str) {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, payload.as_bytes());
        self.stream.write_all(&bytes).unwrap();
    }

    /// The bytes that come next, just so many.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.stream.read_exact(&mut bytes).unwrap();
        bytes
    }

    /// The next payload; None at the end of the stream.
    pub(crate) fn payload(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(payload) = self.frames.next_frame() {
                return Some(payload.to_vec());
            }
            let mut buffer = [0; 65536];
            match self.stream.read(&mut buffer).unwrap() {
                0 => return None,
                length => self.frames.push(&buffer[..length]),
            }
        }
    }

    pub(crate) fn text(&mut self) -> String {
        String::from_utf8(self.payload().expect("a frame comes")).unwrap()
    }

    /// The events that come until so many were got or reported lost; the second is the lost ones.
    pub(crate) fn events(&mut self, count: u64) -> (Vec<(String, f64)>, u64) {
        let (mut events, mut lost) = (Vec::new(), 0);
        while events.len() as u64 + lost < count {
            let payload = self.payload().expect("more events come");
            for answer in Answers::of(&payload) {
                match answer.unwrap() {
                    Answer::Event(event) => {
                        events.push((String::from_utf8(event.key.to_vec()).unwrap(), event.value));
                    }
                    Answer::Lost(more) => lost += more,
                    other => panic!("{other:?}"),
                }
            }
        }
        (events, lost)
    }

    pub(crate) fn is_closed(&mut self) -> bool {
        self.payload().is_none()
    }
}
