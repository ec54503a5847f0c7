//! A hop: from a sender's ring to one of its peers.
//!
//! Both ends count the same stream by its numbers. The ring's place says from which number on (`first`), and what
//! became of them here: taken by the kernel, dropped, waiting. The receiver's row says up to which number it got,
//! and how many of those it applied. What the kernel took and nobody applied is under way, or went with a receiver
//! that was killed: that is seen at the next number it gets.

use std::path::Path;

use common::books::{Snapshot, SourceRow, State};
use serde::Serialize;
use sockets::peer::{Peer, Standing};
use sockets::ring::RingFile;

use super::reading::Reading;

/// The most records of one datagram: 32 KiB of the smallest.
const RECORDS_MAX: u64 = 32 * 1024 / 16;

/// One hop of the report, in records: `sent = received + dropped + waiting + in_flight + lost_in_crash`.
#[derive(Serialize, Clone, PartialEq, Eq, Debug)]
pub struct Hop {
    /// The process that sends.
    pub from: String,
    /// The process that receives; `peers/<name>` for one without books.
    pub to: String,
    /// Committed for the receiver since it has its place.
    pub sent: u64,
    /// Applied by it; none for one without books.
    pub received: Option<u64>,
    /// Fell off the ring.
    pub dropped: u64,
    /// In the ring, or in the queue of a receiver that does not run.
    pub waiting: u64,
    /// In the queue of one that runs, or in its hand.
    pub in_flight: Option<u64>,
    /// Taken by the kernel and never applied.
    pub lost_in_crash: Option<u64>,
    /// What the receiver does; none for one without books.
    #[serde(skip)]
    pub receiver: Option<State>,
    /// The receiver has left, or is gone.
    #[serde(skip)]
    pub left: bool,
}

impl Hop {
    /// Records that no kernel queue of `datagrams_max` datagrams can hold, and that nothing else explains.
    pub(super) fn difference(&self, datagrams_max: u64) -> u64 {
        // One more datagram may be in the receiver's hand.
        let in_queue = (datagrams_max + 1).saturating_mul(RECORDS_MAX);
        self.in_flight.unwrap_or(0).saturating_sub(in_queue)
    }
}

/// Every hop that the rings have a place for.
pub(super) fn hops(reading: &Reading) -> Vec<Hop> {
    let mut hops = Vec::new();
    for (process, ring) in &reading.rings {
        let Some(sender) = reading.books.iter().find(|books| books.process == *process) else { continue };
        // A ring that its process has not taken up yet says nothing of this source.
        if ring.source != sender.source {
            continue;
        }
        let peers = ring.peers.iter().filter(|peer| peer.standing != Standing::Free);
        hops.extend(peers.map(|peer| hop(sender, peer, &reading.books)));
    }
    hops
}

fn hop(sender: &Snapshot, peer: &Peer, books: &[Snapshot]) -> Hop {
    let ring_waiting = peer.waiting(&RingFile::numbers(&sender.carried));
    let mut hop = Hop {
        from: sender.process.clone(),
        to: foreign_name(&peer.path),
        sent: peer.sent + peer.dropped + ring_waiting,
        received: None,
        dropped: peer.dropped,
        waiting: ring_waiting,
        in_flight: None,
        lost_in_crash: None,
        receiver: None,
        left: peer.standing == Standing::Left,
    };
    let Some(receiver) = process_of(&peer.path) else { return hop };
    hop.to = receiver.to_owned();
    let receiver = books.iter().find(|books| books.process == receiver);
    let rows: Vec<SourceRow> = receiver.iter().flat_map(|books| &books.sources).copied().collect();
    let rows = rows.iter().filter(|row| row.source == sender.source && peer.wants.content(row.content as u8));
    let arrived = Arrived::of(rows, first(peer));
    let mut account = Account::of(peer, &arrived);
    if receiver.is_none_or(|books| books.state != State::Running) {
        hop.waiting += std::mem::take(&mut account.under_way);
    }
    hop.dropped = account.dropped;
    hop.received = Some(account.received);
    hop.in_flight = Some(account.under_way);
    hop.lost_in_crash = Some(account.lost);
    hop.receiver = receiver.map(|books| books.state);
    hop
}

/// `timeline` of `/run/leela/timeline.databus`; none for a consumer in `peers/`.
fn process_of(path: &Path) -> Option<&str> {
    path.file_name()?
        .to_str()?
        .strip_suffix(".databus")
        .filter(|_| !path.parent().is_some_and(|dir| dir.ends_with("peers")))
}

fn foreign_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    match path.parent().and_then(Path::file_name) {
        Some(dir) if dir == "peers" => format!("peers/{name}"),
        _ => name.into_owned(),
    }
}

/// The sum of the first numbers, over its contents, that the peer's place counts.
fn first(peer: &Peer) -> u64 {
    let marks: u64 = peer
        .marks
        .iter()
        .enumerate()
        .filter(|(code, _)| peer.wants.content(*code as u8))
        .map(|(_, mark)| mark)
        .sum();
    let before = match peer.standing {
        // The marks are those of when it left: all before them was offered, or passed while it was away.
        Standing::Left => peer.sent + peer.dropped + peer.away,
        Standing::Active | Standing::Free => peer.base + peer.away,
    };
    marks.saturating_sub(before)
}

/// What a receiver knows of a sender's numbers from the peer's first one on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Arrived {
    /// Numbers up to the last one that came.
    passed: u64,
    /// Those that were applied; none when that cannot be told.
    applied: Option<u64>,
}

impl Arrived {
    fn of<'a>(rows: impl Iterator<Item = &'a SourceRow>, first: u64) -> Arrived {
        let (mut joined, mut next, mut missing) = (0, 0, 0);
        for row in rows {
            joined += row.joined;
            next += row.next;
            missing += row.missing;
        }
        let applied = (next - joined).saturating_sub(missing);
        if next == 0 {
            return Arrived { passed: 0, applied: Some(0) };
        }
        match joined >= first {
            true => Arrived { passed: next - first, applied: Some(applied) },
            // The receiver counts from before this place was given: how much of that it applied is not known.
            false => Arrived { passed: next.saturating_sub(first), applied: None },
        }
    }
}

/// What became of the records that the kernel took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Account {
    received: u64,
    dropped: u64,
    lost: u64,
    under_way: u64,
}

impl Account {
    fn of(peer: &Peer, arrived: &Arrived) -> Account {
        let Peer { sent, dropped, away, .. } = *peer;
        let Some(applied) = arrived.applied else {
            let received = sent.min(arrived.passed);
            return Account { received, dropped, lost: 0, under_way: sent - received };
        };
        // A sender that was killed between the kernel's taking a datagram and its own noting it may drop that one
        // later: it counts where it arrived.
        let twice = applied.saturating_sub(sent).min(dropped);
        let (sent, dropped) = (sent + twice, dropped - twice);
        let missing = arrived.passed.saturating_sub(applied);
        let lost = missing.saturating_sub(dropped + away).min(sent.saturating_sub(applied));
        let under_way = sent.saturating_sub(applied + lost);
        Account { received: applied, dropped, lost, under_way }
    }
}

#[cfg(test)]
mod tests;
