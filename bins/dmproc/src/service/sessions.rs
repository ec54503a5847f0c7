//! The clients of the proc socket: taken, heard, answered, let go.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use common::books::{Label, Refusal};
use common::queries::shown;
use common::query::answer::Answer;
use common::query::error::Spot;
use common::query::proc::{self, Instruction, Proc};
use common::time::Time;
use mio::net::UnixStream;

use super::{LOOKS_A_TURN, Service};
use crate::clients::{Asked, Heard, Stage, farewell};
use crate::counters::{Lost, ProcRefusal};
use crate::outbox::Outbox;
use crate::scan::Scan;

/// Clients that are taken in one turn.
const ACCEPTED_A_TURN: usize = 64;
/// Procs are read and checked for so long in one turn, and one at least: the dearest regex takes 30 ms.
const ASKING_A_TURN: Duration = Duration::from_millis(2);

impl Service {
    pub(super) fn accept(&mut self, now: Instant) {
        for _ in 0..ACCEPTED_A_TURN {
            match self.listener.accept() {
                Ok((stream, _)) => {
                    self.can_accept = true;
                    self.take(stream, now);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.acceptable = false;
                    return;
                }
                Err(error)
                    if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {}
                Err(error) => {
                    // Tried again with the next tick.
                    self.acceptable = false;
                    self.books.counters.accept_failed += 1;
                    if std::mem::take(&mut self.can_accept) {
                        tracing::error!(%error, clients = self.clients.count(), "no further client can be taken");
                    }
                    return;
                }
            }
        }
    }

    fn take(&mut self, mut stream: UnixStream, now: Instant) {
        self.is_uncommitted = true;
        self.books.counters.connected += 1;
        if self.clients.count() >= self.config.connections_max {
            self.books.counters.procs_refused.add(ProcRefusal::Connections);
            let mut out = Outbox::new(0);
            out.answer(&Answer::Status(false));
            farewell(&mut stream, &mut out, &mut self.buffer);
            return;
        }
        let due = now + self.config.handshake_timeout.duration();
        match self.clients.insert(stream, due, self.config.client_buffer.len()) {
            Ok(place) => self.hear(place, now),
            Err(error) => {
                self.books.counters.accept_failed += 1;
                tracing::error!(%error, "a client cannot be watched");
            }
        }
    }

    /// Goes on with a client whose socket became ready.
    pub(super) fn resume(&mut self, place: u32, now: Instant) {
        if self.clients.get_mut(place).is_some_and(|client| client.is_blocked) {
            self.write(place);
        }
        self.hear(place, now);
    }

    pub(super) fn hear(&mut self, place: u32, now: Instant) {
        let timeout = self.config.handshake_timeout.duration();
        let Some(client) = self.clients.get_mut(place) else { return };
        match client.hear(&mut self.buffer, now, timeout) {
            Heard::Nothing => {}
            Heard::Proc => self.asking.push_back(place),
            Heard::End => self.end(place, Lost::HungUp),
        }
    }

    /// Reads and checks the procs that came.
    pub(super) fn ask(&mut self, now: Instant) {
        let until = now + ASKING_A_TURN;
        while let Some(place) = self.asking.pop_front() {
            self.ask_one(place, now);
            if !self.asking.is_empty() && Instant::now() >= until {
                return;
            }
        }
    }

    fn ask_one(&mut self, place: u32, now: Instant) {
        let Some(client) = self.clients.get_mut(place) else { return };
        let Stage::Asking(payload) = std::mem::replace(&mut client.stage, Stage::Silent) else { return };
        match proc::parse(&payload) {
            Ok(Instruction::Proc(proc)) => self.begin(place, proc, &payload, now),
            Ok(Instruction::Close) => {
                let text = "no proc runs that could be closed; write `proc match LEN|REGEX PIPELINE;`";
                self.refuse(place, ProcRefusal::Query, Some((&payload, Spot::new(0, 5), text)));
            }
            Err(refused) => {
                client.tells_reason = refused.with.reason;
                let (at, text) = (refused.error.at, refused.error.to_string());
                self.refuse(place, ProcRefusal::Query, Some((&payload, at, &text)));
            }
        }
    }

    fn begin(&mut self, place: u32, proc: Box<Proc>, payload: &[u8], now: Instant) {
        let Some(client) = self.clients.get_mut(place) else { return };
        let with = proc.with;
        (client.out.tells_lost, client.tells_reason) = (with.lost, with.reason);
        let query = self.engine.begin(proc, place);
        let (peer, text) = (client.peer().into(), shown(payload).into());
        client.stage = Stage::Running(Asked { query, time: Time::now(), peer, text });
        client.out.answer(&Answer::Status(true));
        self.books.counters.procs_taken += 1;
        self.is_uncommitted = true;
        if with.rate {
            self.scans.push_back(Scan::new(place, query, now));
        }
        self.write(place);
        // What came behind the proc.
        self.hear(place, now);
    }

    /// Tells a client that its proc does not run, or runs no more; `why` is its payload, the spot and the reason.
    pub(super) fn refuse(&mut self, place: u32, refusal: ProcRefusal, why: Option<(&[u8], Spot, &str)>) {
        let Some(client) = self.clients.get_mut(place) else { return };
        self.books.counters.procs_refused.add(refusal);
        client.out.answer(&Answer::Status(false));
        if let Some((payload, at, text)) = why {
            if client.tells_reason {
                client.out.answer(&Answer::Reason { at, text });
            }
            let peer = client.peer();
            tracing::debug!(peer, reason = text, "a proc is refused");
            let (time, reason) = (Time::now(), refusal.name());
            self.books.refuse(&Refusal { time, peer: &peer, reason, text: payload, offset: at.offset });
        }
        self.write(place);
        let lost = match refusal {
            ProcRefusal::State => Lost::State,
            _ => Lost::HungUp,
        };
        self.end(place, lost);
    }

    /// Lets a client go; what waited for it is lost.
    pub(super) fn end(&mut self, place: u32, lost: Lost) {
        let Some(mut client) = self.clients.remove(place) else { return };
        if let Stage::Running(asked) = client.stage {
            self.engine.end(asked.query);
            self.scans.retain(|scan| scan.client != place);
        }
        self.books.counters.frames.lost.add_many(lost, client.out.waiting());
        self.is_uncommitted = true;
        farewell(&mut client.stream, &mut Outbox::new(0), &mut self.buffer);
    }

    /// Gives a client what its socket takes.
    pub(super) fn write(&mut self, place: u32) {
        let Some(client) = self.clients.get_mut(place) else { return };
        client.out.is_touched = false;
        if client.out.len() == 0 && !client.is_blocked {
            return;
        }
        self.is_uncommitted = true;
        let wrote = client.out.write(&mut client.stream).and_then(|wrote| {
            self.books.counters.frames.delivered += wrote.delivered;
            self.clients.watch_room(place, wrote.is_blocked)
        });
        if wrote.is_err() {
            self.end(place, Lost::HungUp);
        }
    }

    /// Tells clients that asked how much they selected.
    pub(super) fn scan(&mut self, now: Instant) {
        let moment = self.moment(now);
        let mut is_spent = false;
        for _ in 0..self.scans.len() {
            let Some(mut scan) = self.scans.pop_front() else { return };
            let is_done = !is_spent && self.engine.scan(&mut scan, LOOKS_A_TURN, moment);
            is_spent = true;
            if !is_done && now < scan.due {
                // The next turn goes on with another one.
                self.scans.push_back(scan);
                continue;
            }
            if let Some(client) = self.clients.get_mut(scan.client) {
                client.out.answer(&scan.answer(is_done));
                self.write(scan.client);
            }
        }
    }
}
