//! What became of records, by the numbers of both ends.

use std::collections::VecDeque;
use std::path::PathBuf;

use common::books::{Admission, Sources};
use common::wire::{Content, Header};
use proptest::prelude::*;
use sockets::peer::Wants;
use sockets::ring::{BYTES_MIN, Ring};

use super::*;

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
        Case { label: "all there", peer: (100, 0, 0), rows: &[(0, 100, 0)], first: 0, want: (100, 0, 0, 0) },
        Case { label: "nothing yet", peer: (100, 0, 0), rows: &[], first: 0, want: (0, 0, 0, 100) },
        Case { label: "under way", peer: (100, 0, 0), rows: &[(0, 90, 0)], first: 0, want: (90, 0, 0, 10) },
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
    let wants = Wants { contents: 1 << 2, text: false, durable: false, fixed: false };
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

/// What happens to a sender, a kernel's queue and a receiver.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Commit(u32),
    /// The kernel takes a datagram.
    Take,
    /// One falls off the ring.
    Drop,
    /// The receiver applies one.
    Receive,
    /// The receiver is killed with one in its hand.
    Kill,
    /// And its queue goes with it.
    KillAll,
    /// The peer leaves, or comes back.
    Leave,
}

/// Both ends with their books, and what is true.
struct World {
    ring: Ring,
    place: usize,
    sources: Sources,
    /// First numbers and counts of what is in the ring, and in the kernel's queue.
    waiting: VecDeque<(u64, u32)>,
    queue: VecDeque<(u64, u32)>,
    applied: u64,
    dropped: u64,
    lost: u64,
}

const EVENTS: u8 = Content::Events as u8;
const PEER: &str = "/run/leela/dmproc.databus";
const WANTS: Wants = Wants { contents: 1 << EVENTS, text: false, durable: false, fixed: false };

impl World {
    /// The stream stands at `before` when the peer comes first.
    fn new(dir: &Path, before: u32) -> World {
        let mut ring = Ring::open(&dir.join("ring"), BYTES_MIN, 1, &[0; 16]).unwrap();
        ring.skip_numbers(EVENTS, before);
        let place = ring.join(Path::new(PEER), WANTS).unwrap();
        let (waiting, queue) = (VecDeque::new(), VecDeque::new());
        World { ring, place, sources: Sources::new(4), waiting, queue, applied: 0, dropped: 0, lost: 0 }
    }

    fn left(&self) -> bool {
        self.ring.peers()[self.place].standing == Standing::Left
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Commit(count) if self.left() => self.ring.skip_numbers(EVENTS, count),
            Step::Commit(count) => {
                self.waiting.push_back((self.ring.next_number(EVENTS), count));
                self.ring.append(EVENTS, count, b"datagram");
                self.ring.seal();
            }
            Step::Take | Step::Drop => {
                let Some(entry) = self.ring.next_entry(self.place).filter(|_| !self.waiting.is_empty())
                else {
                    return;
                };
                let Some(datagram) = self.waiting.pop_front() else { return };
                if step == Step::Take {
                    self.ring.sent(self.place, &entry);
                    self.queue.push_back(datagram);
                } else {
                    self.ring.dropped(self.place, &entry);
                    self.dropped += u64::from(datagram.1);
                }
            }
            Step::Receive => {
                let Some((first, count)) = self.queue.pop_front() else { return };
                let header = Header { content: Content::Events, count, source: 1, first };
                assert!(matches!(self.sources.admit(&header), Admission::Take { .. }));
                self.applied += u64::from(count);
            }
            Step::Kill => self.lost += self.queue.pop_front().map_or(0, |(_, count)| u64::from(count)),
            Step::KillAll => {
                self.lost += self.queue.drain(..).map(|(_, count)| u64::from(count)).sum::<u64>();
            }
            Step::Leave if self.left() => {
                assert_eq!(self.ring.join(Path::new(PEER), WANTS).unwrap(), self.place);
            }
            Step::Leave => {
                self.ring.leave(self.place);
                self.dropped += self.waiting.drain(..).map(|(_, count)| u64::from(count)).sum::<u64>();
            }
        }
    }

    fn account(&self) -> Account {
        let peer = &self.ring.peers()[self.place];
        Account::of(peer, &Arrived::of(self.sources.rows().iter(), first(peer)))
    }
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (1..5_u32).prop_map(Step::Commit),
        4 => Just(Step::Take),
        1 => Just(Step::Drop),
        4 => Just(Step::Receive),
        1 => Just(Step::Kill),
        1 => Just(Step::KillAll),
        1 => Just(Step::Leave),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_the_books_tell_it(before in 0..3_u32, steps in prop::collection::vec(step(), 0..80)) {
        let dir = tempfile::tempdir().unwrap();
        let mut world = World::new(dir.path(), before);
        for step in steps {
            world.step(step);
            let account = world.account();
            prop_assert_eq!((account.received, account.dropped), (world.applied, world.dropped), "after {:?}", step);
            let gone = world.lost + world.queue.iter().map(|(_, count)| u64::from(*count)).sum::<u64>();
            prop_assert_eq!(account.lost + account.under_way, gone, "after {:?}", step);
            prop_assert!(account.lost <= world.lost, "after {:?}", step);
        }
        // At rest, after one more that arrives.
        if world.left() {
            world.step(Step::Leave);
        }
        world.step(Step::Commit(1));
        while !world.waiting.is_empty() {
            world.step(Step::Take);
        }
        while !world.queue.is_empty() {
            world.step(Step::Receive);
        }
        let account = world.account();
        prop_assert_eq!((account.lost, account.under_way), (world.lost, 0));
    }
}
