//! The other processes, and this one: their books and their rings, read without asking them.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use common::books::{BooksError, Snapshot, State};
use common::runtime_dir::RuntimeDir;
use hop::account::Counter;
use sockets::peer::{CONTENTS, Peer, Standing};
use sockets::ring::RingFile;

use crate::counters::Area;
use crate::round::Round;

/// Reads the books of every process of the instance, and the rings of those that have one.
pub(crate) fn read(run: &RuntimeDir, round: &mut Round<'_>) {
    let dir = run.books_dir();
    let entries = fs::read_dir(&dir).and_then(|entries| {
        entries.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<Vec<_>, _>>()
    });
    let Some(mut files) = round.read(Area::Books, dir.display(), entries) else { return };
    files.sort();
    for file in files {
        // Books in the making, which are about to take the place of others; and what is no books.
        if Path::new(&file).extension().is_some() {
            continue;
        }
        let path = dir.join(&file);
        let snapshot = Snapshot::read(&path);
        // Gone meanwhile, or just being made.
        if matches!(&snapshot, Err(BooksError::Io { source, .. }) if source.kind() == ErrorKind::NotFound) {
            continue;
        }
        let name = file.to_string_lossy();
        if let Some(books) = round.read(Area::Books, path.display(), snapshot) {
            counters(&name, &books, round);
            // Behind the books, so that nothing is shown as waiting that was sent in between.
            let path = run.rings_dir().join(&file);
            if let Some(Some(ring)) = round.read(Area::Ring, path.display(), RingFile::read(&path)) {
                self::ring(&name, run.path(), &ring, &RingFile::numbers(&books.carried), round);
            }
        }
    }
}

fn counters(process: &str, books: &Snapshot, round: &mut Round<'_>) {
    let running = books.state == State::Running;
    round.level(&format!("leela.{process}.up"), None, u64::from(running));
    for (counter, value) in &books.counters {
        let Counter { name, tag, is_level } = Counter::of(counter);
        let key = format!("leela.{process}.{name}");
        if is_level {
            round.level(&key, tag, *value);
        } else {
            round.count(&key, tag, *value);
        }
    }
}

/// What waits for the peers, and what became of the rest. Peers that come and go (a recorder, `leela tail`) are
/// together, so that each of them does not leave series behind.
fn ring(process: &str, run: &Path, ring: &RingFile, numbers: &[u64; CONTENTS], round: &mut Round<'_>) {
    let name = |word: &str| format!("leela.{process}.ring.{word}");
    let mut passing = None;
    for peer in ring.peers.iter().filter(|peer| peer.standing == Standing::Active) {
        match lasting(run, peer) {
            Some(to) => {
                let tag = Some(("to", to.as_str()));
                round.level(&name("waiting"), tag, peer.waiting(numbers));
                round.count(&name("sent"), tag, peer.sent);
                round.count(&name("dropped"), tag, peer.dropped);
            }
            None => *passing.get_or_insert(0) += peer.waiting(numbers),
        }
    }
    if let Some(waiting) = passing {
        round.level(&name("waiting"), Some(("to", "peers")), waiting);
    }
}

/// The word for a peer that belongs to the instance or is durable: `timeline` for its `timeline.databus`.
fn lasting(run: &Path, peer: &Peer) -> Option<String> {
    let own = peer.path.parent() == Some(run);
    let path = peer.path.strip_prefix(run).unwrap_or(&peer.path).to_string_lossy();
    (own || peer.wants.durable).then(|| path.strip_suffix(".databus").unwrap_or(&path).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::round::tests::round_of;
    use common::books::{Books, CARRIED_WORDS, Family, Label};
    use common::counters;
    use sockets::peer::Wants;
    use sockets::ring::{BYTES_MIN, Ring};

    #[derive(Clone, Copy, Debug)]
    enum Reason {
        Length,
        Value,
    }

    impl Label for Reason {
        const NAMES: &'static [&'static str] = &["length", "value"];
        fn slot(self) -> usize {
            self as usize
        }
    }

    counters! {
        /// Of a test.
        struct Counters {
            /// A count.
            received: u64,
            /// A family.
            refused: Family<Reason>,
            /// A level.
            absolute_open: u64,
        }
    }

    #[test]
    fn books_and_rings_of_all_processes_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let run = RuntimeDir::at(dir.path()).unwrap();
        run.prepare().unwrap();
        let mut books = Books::<Counters>::open(&run.books("udp"), "udp", 0).unwrap();
        let mut ring = Ring::open(&run.ring("udp"), BYTES_MIN, books.source(), &books.carried()).unwrap();
        let wants = |durable| Wants { contents: 1 << 1, text: false, durable, fixed: false };
        ring.join(&run.timeline_databus(), wants(false)).unwrap();
        let left = ring.join(&run.peers().join("tail"), wants(false)).unwrap();
        ring.append(1, 3, b"three");
        ring.leave(left);
        ring.join(&run.peers().join("a"), wants(false)).unwrap();
        ring.join(&run.peers().join("b"), wants(false)).unwrap();
        ring.join(&run.peers().join("ship@x.databus"), wants(true)).unwrap();
        ring.append(1, 2, b"two");
        books.counters.received = u64::MAX;
        books.counters.refused.add(Reason::Value);
        let _ = Reason::Length;
        books.counters.absolute_open = 4;
        let carried = ring.seal();
        books.commit(carried);
        let entry = ring.next_entry(0).unwrap();
        ring.sent(0, &entry);

        let ended = Books::<Counters>::open(&run.books("collectd"), "collectd", 0).unwrap();
        ended.close([0; CARRIED_WORDS]);
        fs::write(run.books("broken"), "what").unwrap();
        fs::write(run.books_dir().join("http.new"), "what").unwrap();
        fs::write(run.books_dir().join(common::growth::FILE), "what").unwrap();

        let (metrics, counters) = round_of(|round| read(&run, round));
        assert_eq!(
            metrics,
            [
                "gauge leela.collectd.up 0",
                "counter leela.collectd.received 0",
                "counter leela.collectd.refused;reason=length 0",
                "counter leela.collectd.refused;reason=value 0",
                "gauge leela.collectd.absolute_open 0",
                "gauge leela.udp.up 1",
                "counter leela.udp.received 18446744073709551615",
                "counter leela.udp.refused;reason=length 0",
                "counter leela.udp.refused;reason=value 1",
                "gauge leela.udp.absolute_open 4",
                "gauge leela.udp.ring.waiting;to=timeline 2",
                "counter leela.udp.ring.sent;to=timeline 3",
                "counter leela.udp.ring.dropped;to=timeline 0",
                "gauge leela.udp.ring.waiting;to=peers/ship@x 2",
                "counter leela.udp.ring.sent;to=peers/ship@x 0",
                "counter leela.udp.ring.dropped;to=peers/ship@x 0",
                "gauge leela.udp.ring.waiting;to=peers 4",
            ]
        );
        assert_eq!((counters.unread.total(), counters.unread.get(Area::Books)), (1, 1));
    }
}
