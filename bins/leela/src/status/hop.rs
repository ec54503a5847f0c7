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
pub(super) struct Hop {
    pub(super) from: String,
    pub(super) to: String,
    /// Committed for the receiver since it has its place.
    pub(super) sent: u64,
    /// Applied by it; none for one without books.
    pub(super) received: Option<u64>,
    /// Fell off the ring.
    pub(super) dropped: u64,
    /// In the ring, or in the queue of a receiver that does not run.
    pub(super) waiting: u64,
    /// In the queue of one that runs, or in its hand.
    pub(super) in_flight: Option<u64>,
    /// Taken by the kernel and never applied.
    pub(super) lost_in_crash: Option<u64>,
    /// What the receiver does; none for one without books.
    #[serde(skip)]
    pub(super) receiver: Option<State>,
    /// The receiver has left, or is gone.
    #[serde(skip)]
    pub(super) left: bool,
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
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn row(joined: u64, next: u64, missing: u64) -> SourceRow {
        SourceRow { source: 1, content: 2, joined, next, missing, repeated: 0 }
    }

    #[test]
    fn what_the_kernel_took_is_received_lost_or_under_way() {
        struct Case {
            label: &'static str,
            /// sent, dropped, away
            peer: (u64, u64, u64),
            rows: &'static [(u64, u64, u64)],
            first: u64,
            /// received, dropped, lost, under way
            want: (u64, u64, u64, u64),
        }
        let cases = [
            Case {
                label: "all there",
                peer: (100, 0, 0),
                rows: &[(0, 100, 0)],
                first: 0,
                want: (100, 0, 0, 0),
            },
            Case { label: "nothing yet", peer: (100, 0, 0), rows: &[], first: 0, want: (0, 0, 0, 100) },
            Case {
                label: "under way",
                peer: (100, 0, 0),
                rows: &[(0, 90, 0)],
                first: 0,
                want: (90, 0, 0, 10),
            },
            Case {
                label: "dropped before the first",
                peer: (90, 10, 0),
                rows: &[(10, 100, 0)],
                first: 0,
                want: (90, 10, 0, 0),
            },
            Case {
                label: "dropped amid",
                peer: (90, 10, 0),
                rows: &[(0, 100, 10)],
                first: 0,
                want: (90, 10, 0, 0),
            },
            Case {
                label: "dropped, not yet seen",
                peer: (90, 10, 0),
                rows: &[(0, 90, 0)],
                first: 0,
                want: (90, 10, 0, 0),
            },
            Case {
                label: "killed with 5 in hand",
                peer: (100, 0, 0),
                rows: &[(0, 100, 5)],
                first: 0,
                want: (95, 0, 5, 0),
            },
            Case {
                label: "killed and dropped",
                peer: (90, 10, 0),
                rows: &[(0, 100, 15)],
                first: 0,
                want: (85, 10, 5, 0),
            },
            Case {
                label: "killed at first, then dropped",
                peer: (90, 10, 0),
                rows: &[(12, 100, 0)],
                first: 0,
                want: (88, 10, 2, 0),
            },
            Case {
                label: "away between two stays",
                peer: (100, 0, 40),
                rows: &[(0, 140, 40)],
                first: 0,
                want: (100, 0, 0, 0),
            },
            Case {
                label: "joined late",
                peer: (100, 0, 0),
                rows: &[(500, 600, 0)],
                first: 500,
                want: (100, 0, 0, 0),
            },
            Case {
                label: "joined late, killed at once",
                peer: (100, 0, 0),
                rows: &[(510, 600, 0)],
                first: 500,
                want: (90, 0, 10, 0),
            },
            Case {
                label: "two contents",
                peer: (30, 0, 0),
                rows: &[(0, 20, 0), (0, 10, 0)],
                first: 0,
                want: (30, 0, 0, 0),
            },
            Case {
                label: "its place was given anew",
                peer: (100, 0, 0),
                rows: &[(0, 600, 7)],
                first: 500,
                want: (100, 0, 0, 0),
            },
            Case {
                label: "given anew, under way",
                peer: (100, 0, 0),
                rows: &[(0, 580, 7)],
                first: 500,
                want: (80, 0, 0, 20),
            },
            Case {
                label: "taken and dropped at a kill",
                peer: (90, 10, 0),
                rows: &[(0, 95, 0)],
                first: 0,
                want: (95, 5, 0, 0),
            },
        ];
        for Case { label, peer: (sent, dropped, away), rows, first, want } in cases {
            let rows: Vec<SourceRow> =
                rows.iter().map(|&(joined, next, missing)| row(joined, next, missing)).collect();
            let mut peer = peer_at("/run/leela/timeline.databus");
            (peer.sent, peer.dropped, peer.away) = (sent, dropped, away);
            let account = Account::of(&peer, &Arrived::of(rows.iter(), first));
            assert_eq!((account.received, account.dropped, account.lost, account.under_way), want, "{label}");
            let sum = account.received + account.dropped + account.lost + account.under_way;
            assert_eq!(sum, sent + dropped, "{label}: the sum");
        }
    }

    fn peer_at(path: &str) -> Peer {
        let wants = sockets::peer::Wants { contents: 1 << 2, text: false, durable: false, fixed: false };
        Peer {
            standing: Standing::Active,
            path: PathBuf::from(path),
            wants,
            marks: [0; 8],
            cursor: 0,
            sent: 0,
            dropped: 0,
            base: 0,
            away: 0,
        }
    }

    #[test]
    fn a_place_knows_its_first_number() {
        let mut peer = peer_at("/a");
        peer.marks[2] = 150;
        peer.marks[1] = 9999;
        (peer.sent, peer.dropped, peer.base, peer.away) = (12, 20, 30, 20);
        assert_eq!(first(&peer), 100);
        peer.standing = Standing::Left;
        assert_eq!(first(&peer), 98);
    }

    #[test]
    fn a_path_names_its_process() {
        for (path, process, foreign) in [
            ("/run/leela/timeline.databus", Some("timeline"), "timeline.databus"),
            ("/run/leela/peers/leela-tail.7", None, "peers/leela-tail.7"),
            ("/run/leela/peers/x.databus", None, "peers/x.databus"),
        ] {
            assert_eq!(
                (process_of(Path::new(path)), foreign_name(Path::new(path))),
                (process, foreign.to_owned())
            );
        }
    }

    #[test]
    fn only_more_than_a_queue_holds_is_a_difference() {
        let hop = |in_flight| Hop {
            from: String::new(),
            to: String::new(),
            sent: 0,
            received: Some(0),
            dropped: 0,
            waiting: 0,
            in_flight: Some(in_flight),
            lost_in_crash: Some(0),
            receiver: Some(State::Running),
            left: false,
        };
        assert_eq!(hop(12 * RECORDS_MAX).difference(11), 0);
        assert_eq!(hop(12 * RECORDS_MAX + 3).difference(11), 3);
    }
}
