//! A consumer of the timeline's events that counts what it gets.

use std::collections::HashMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::runtime_dir::RuntimeDir;
use common::sketch::Sketch;
use common::time::Time;
use common::wire::{Content, DATAGRAM_BYTES_MAX, Events, Header, Notes, States};
use sockets::registration::{self, INTERVAL};

use crate::load::{Numbers, PREFIX};
use crate::sandbox::Home;
use crate::wait::wait_for;

/// How often the thread looks whether it is to pause or to end.
const LOOK: Duration = Duration::from_millis(20);

/// An event or a note that was not part of a load.
#[derive(Clone, PartialEq, Debug)]
pub struct Kept {
    /// Its key.
    pub key: String,
    /// Its value; of a note 0.
    pub value: f64,
    /// Its time.
    pub time: Time,
    /// The JSON of a note, or the text of a datagram to a peer that asked for text; else empty.
    pub text: String,
}

/// What a recorder has got. Events of a load are numbered by their values and counted; others are kept.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Datagrams that came.
    pub datagrams: u64,
    /// Events that came, without those that came again.
    pub events: u64,
    /// The sum of their values.
    pub sum: f64,
    /// Numbers of the stream that were jumped over.
    pub gaps: u64,
    /// Events that came again, by their numbers.
    pub repeated: u64,
    /// Events of a load whose value had come before, though their number had not.
    pub twice: u64,
    /// Different values of events of a load.
    pub numbered: u64,
    /// The sum of these values.
    pub numbered_sum: f64,
    /// The sum of the values of events `<name>.total`.
    pub totals: f64,
    /// Events and notes that are no part of a load; of those that [`Recorder::keep_only`] leaves out, none.
    pub kept: Vec<Kept>,
    /// The keys of states that came, with what they hold.
    pub states: Vec<(String, Sketch)>,
    /// The longest time between two datagrams.
    pub gap_max: Duration,
    /// Events that had come before it.
    pub gap_max_at: u64,
    seen: Numbers,
    only: Option<&'static str>,
    next: HashMap<(u64, u8), u64>,
    last: Option<Instant>,
}

impl Tally {
    fn datagram(&mut self, datagram: &[u8], now: Instant) {
        self.datagrams += 1;
        if let Some(last) = self.last.replace(now)
            && now - last > self.gap_max
        {
            (self.gap_max, self.gap_max_at) = (now - last, self.events);
        }
        let Ok((header, records)) = Header::read(datagram) else {
            let text = String::from_utf8_lossy(datagram).into_owned();
            self.kept.push(Kept { key: String::new(), value: 0.0, time: Time::default(), text });
            return;
        };
        let next = self.next.entry((header.source, header.content as u8)).or_insert(header.first);
        if header.first < *next {
            self.repeated += u64::from(header.count);
            return;
        }
        self.gaps += header.first - *next;
        *next = header.first + u64::from(header.count);
        match header.content {
            Content::Events => {
                for event in Events::new(records, header.count) {
                    let event = event.expect("records are whole");
                    self.events += 1;
                    self.sum += event.value;
                    match event.key.starts_with(PREFIX) {
                        true if self.seen.insert(event.value) => {
                            self.numbered += 1;
                            self.numbered_sum += event.value;
                        }
                        true => self.twice += 1,
                        false => self.keep(event.key, event.value, event.time, b""),
                    }
                }
            }
            Content::Notes => {
                for note in Notes::new(records, header.count) {
                    let note = note.expect("records are whole");
                    self.keep(note.key, 0.0, note.time, note.json);
                }
            }
            Content::States => {
                for state in States::new(records, header.count) {
                    let state = state.expect("records are whole");
                    let key = String::from_utf8(state.key.to_vec()).expect("keys are UTF-8");
                    let sketch =
                        Sketch::decode(state.kind, state.bytes).expect("what is published is a state");
                    self.states.push((key, sketch));
                }
            }
            other => panic!("the consumer asked for no {}", other.word()),
        }
    }

    fn keep(&mut self, key: &[u8], value: f64, time: Time, text: &[u8]) {
        let name = key.split(|byte| *byte == b';').next().unwrap_or_default();
        if text.is_empty() && name.ends_with(b".total") {
            self.totals += value;
        }
        if self.only.is_some_and(|only| !key.starts_with(only.as_bytes())) {
            return;
        }
        let owned = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("it is UTF-8");
        self.kept.push(Kept { key: owned(key), value, time, text: owned(text) });
    }
}

#[derive(Debug, Default)]
struct Shared {
    tally: Mutex<Tally>,
    paused: AtomicBool,
    ended: AtomicBool,
}

/// A consumer bound in `peers/`: a thread registers it every second and reads what comes. It goes silent when
/// it is dropped.
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Recorder {
    /// One in the runtime directory of a sandbox, which stays as long.
    pub(crate) fn start(home: Arc<Home>, name: &str, words: &str) -> Recorder {
        let run = home.run.clone();
        Recorder::at_while(home, &run, name, words)
    }

    /// One in a runtime directory.
    pub(crate) fn at(run: &RuntimeDir, name: &str, words: &str) -> Recorder {
        Recorder::at_while((), run, name, words)
    }

    fn at_while(kept: impl Send + 'static, run: &RuntimeDir, name: &str, words: &str) -> Recorder {
        let (path, words) = (run.peers().join(name), words.to_owned());
        let multicast = run.timeline_multicast();
        let socket = UnixDatagram::bind(&path).unwrap_or_else(|error| panic!("binding {path:?}: {error}"));
        // A timeline with a user of its own writes as one of the group.
        fs::set_permissions(&path, Permissions::from_mode(0o660)).expect("the socket is ours");
        socket.set_read_timeout(Some(LOOK)).expect("it is not zero");
        // A timeline that is stopped does not take registrations.
        socket.set_write_timeout(Some(LOOK)).expect("it is not zero");
        let shared = Arc::new(Shared::default());
        let recorder = shared.clone();
        let work = move || {
            let _kept = kept;
            let mut buffer = [0; DATAGRAM_BYTES_MAX + 1];
            let mut register_at = Instant::now();
            while !recorder.ended.load(Relaxed) {
                if recorder.paused.load(Relaxed) {
                    thread::park_timeout(LOOK);
                    continue;
                }
                let now = Instant::now();
                if now >= register_at {
                    register_at = now + INTERVAL;
                    // Nobody there, or a full queue: the next one may do.
                    let _ = registration::register(&socket, &path, &words, &multicast);
                }
                match socket.recv(&mut buffer) {
                    Ok(length) => recorder.tally().datagram(&buffer[..length], now),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(error) => panic!("reading {path:?}: {error}"),
                }
            }
        };
        Recorder { shared, thread: Some(thread::spawn(work)) }
    }

    /// What it has got until now.
    pub fn tally(&self) -> Tally {
        self.shared.tally().clone()
    }

    /// One look at what it has got, without a copy.
    pub fn look<T>(&self, look: impl FnOnce(&Tally) -> T) -> T {
        look(&self.shared.tally())
    }

    /// Waits until it has got so many events or notes that are no part of a load, and gives them all.
    #[track_caller]
    pub fn wait_kept(&self, count: usize) -> Vec<Kept> {
        wait_for(&format!("{count} events"), || {
            self.look(|tally| (tally.kept.len() >= count).then(|| tally.kept.clone()))
        })
    }

    /// Keeps from now on only what has a key that begins so; the rest is only counted.
    pub fn keep_only(&self, prefix: &'static str) {
        self.shared.tally().only = Some(prefix);
    }

    /// Neither reads nor registers any more, as a process that is stopped.
    pub fn pause(&self) {
        self.shared.paused.store(true, Relaxed);
    }

    /// Reads and registers again.
    pub fn resume(&self) {
        self.shared.paused.store(false, Relaxed);
    }
}

impl Shared {
    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.shared.ended.store(true, Relaxed);
        let failed = self.thread.take().is_some_and(|thread| thread.join().is_err());
        assert!(!failed || thread::panicking(), "the recorder's thread failed");
    }
}
