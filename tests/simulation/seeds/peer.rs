//! A consumer of events: the real reading side, at a pace of its own.

use std::time::Duration;

use common::books::Books;
use common::counters;
use common::runtime_dir::RuntimeDir;
use common::wire::{Content, Events, Header, Notes};
use hop::Received;
use sockets::registration;
use std::path::PathBuf;

use crate::hop::{Arrival, Hop};
use crate::ledger::Out;
use crate::network::{Network, Reader};
use crate::process::{Process, guard};

counters! {
    /// Of a consumer.
    pub(crate) struct Counters {
        /// Records that were applied.
        received: u64,
        /// All of them.
        accepted: u64,
        /// All of them.
        passed: u64,
        /// Records that never came.
        missing: u64,
        /// Records that came again.
        repeated: u64,
    }
}

pub(crate) struct Live {
    books: Books<Counters>,
    input: hop::Input<Reader>,
}

pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) words: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) process: Process<Live>,
    /// Datagrams that it reads in a turn.
    pub(crate) pace: u64,
    /// Stopped by a signal.
    pub(crate) is_stopped: bool,
    pub(crate) register_at: Duration,
    pub(crate) hop: Hop,
    /// Events that it got, by number.
    pub(crate) got: Vec<(u64, u64)>,
    pub(crate) applied: u64,
    /// What came out, at the one that misses nothing.
    pub(crate) is_witness: bool,
}

/// What tells an event from another one.
pub(crate) fn print(key: &[u8], time_ns: i64, value: f64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in key.iter().chain(&time_ns.to_le_bytes()).chain(&value.to_bits().to_le_bytes()) {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

impl Peer {
    pub(crate) fn new(name: &'static str, words: &'static str, pace: u64, run: &RuntimeDir) -> Peer {
        Peer {
            name,
            words,
            path: if name == "dmproc" { run.dmproc_databus() } else { run.peers().join(name) },
            process: Process::new(),
            pace,
            is_stopped: false,
            register_at: Duration::ZERO,
            hop: Hop::default(),
            got: Vec::new(),
            applied: 0,
            is_witness: name == "witness",
        }
    }

    pub(crate) fn start(&mut self, run: &RuntimeDir, network: &Network) -> Result<(), String> {
        let books = Books::open(&run.books(self.name), self.name, 64).map_err(|err| err.to_string())?;
        let input = hop::Input::over(network.open(&self.path, &self.process.fuse));
        self.process.live = Some(Live { books, input });
        Ok(())
    }

    /// Registers, and reads what it has time for. True when it was killed.
    pub(crate) fn turn(
        &mut self,
        run: &RuntimeDir,
        network: &Network,
        now: Duration,
        out: &mut Out,
    ) -> Result<bool, String> {
        if self.is_stopped {
            return Ok(false);
        }
        let Some(mut live) = self.process.live.take() else { return Ok(false) };
        if now >= self.register_at {
            self.register_at = now + registration::INTERVAL;
            register(network, run, &self.path, self.words);
        }
        let pace = self.pace;
        self.process.live = guard(move || {
            let Live { books, input } = &mut live;
            for _ in 0..pace {
                let Ok(Some(received)) = input.receive(books) else { break };
                let counters = &mut books.counters;
                match received {
                    Received::Records { header, missing, .. } => {
                        let count = u64::from(header.count);
                        counters.received += count;
                        counters.accepted += count;
                        counters.passed += count;
                        counters.missing += missing;
                    }
                    Received::Repeated(records) => counters.repeated += records,
                    Received::Refused(refusal, _) => panic!("{refusal:?}"),
                }
            }
            books.commit_carried();
            live
        })?;
        let popped = network.take_popped(&self.path);
        let is_killed = self.process.live.is_none();
        for datagram in popped {
            let (header, records) = Header::read(&datagram).map_err(|err| err.to_string())?;
            // Its books are committed last: killed, it has nothing of this turn.
            if is_killed {
                self.hop.lose(&header);
            } else if self.hop.arrive(&header) == Arrival::New {
                self.applied += u64::from(header.count);
                self.take(&header, records, out)?;
            }
        }
        Ok(is_killed)
    }

    fn take(&mut self, header: &Header, records: &[u8], out: &mut Out) -> Result<(), String> {
        match header.content {
            Content::Events => {
                for (number, event) in (header.first..).zip(Events::new(records, header.count)) {
                    let event = event.map_err(|err| err.to_string())?;
                    self.got.push((number, print(event.key, event.time.ns(), event.value)));
                    if self.is_witness {
                        out.event(number, event.key, event.time, event.value)?;
                    }
                }
            }
            Content::Notes if self.is_witness => {
                for note in Notes::new(records, header.count) {
                    let note = note.map_err(|err| err.to_string())?;
                    let digits = note.json.iter().filter(|byte| byte.is_ascii_digit());
                    out.notes.push(digits.fold(0, |all, digit| all * 10 + u64::from(digit - b'0')));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Sends a registration, as a consumer does every second.
pub(crate) fn register(network: &Network, run: &RuntimeDir, path: &std::path::Path, words: &str) {
    let mut payload = path.as_os_str().as_encoded_bytes().to_vec();
    payload.push(0);
    payload.extend_from_slice(words.as_bytes());
    // One that finds no room is sent again.
    network.send(path, &run.timeline_multicast(), payload);
}
