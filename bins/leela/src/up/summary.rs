//! What came in and where it went, while this `leela up` ran: from the books and the rings alone.

use common::books::{Snapshot, SourceRow};
use common::runtime_dir::RuntimeDir;
use sockets::peer::{Peer, Standing};
use sockets::ring::RingFile;

use super::say::{count, counted};
use super::services::{Role, SERVICES};

/// The books and rings of all processes at one moment.
#[derive(Debug)]
pub(super) struct Ledger(Vec<Page>);

/// Of one process; empty where it keeps none (yet).
#[derive(Debug)]
struct Page {
    name: &'static str,
    role: Role,
    books: Option<Snapshot>,
    peers: Vec<PeerLine>,
}

#[derive(Debug)]
struct PeerLine {
    name: String,
    dropped: u64,
    waiting: u64,
}

impl Ledger {
    /// Reads them. What cannot be read counts as nothing.
    pub(super) fn read(run: &RuntimeDir) -> Ledger {
        let page = |name: &'static str, role| {
            let books = Snapshot::read(&run.books(name)).ok();
            let ring = books.as_ref().and_then(|_| RingFile::read(&run.ring(name)).ok().flatten());
            let peers = match (&books, ring) {
                (Some(books), Some(ring)) => peer_lines(books, &ring),
                _ => Vec::new(),
            };
            Page { name, role, books, peers }
        };
        Ledger(SERVICES.iter().map(|service| page(service.name, service.role)).collect())
    }
}

fn peer_lines(books: &Snapshot, ring: &RingFile) -> Vec<PeerLine> {
    let numbers = RingFile::numbers(&books.carried);
    // What fell off for one that left counts too; but a watcher that ended took its socket with it, and what came for
    // it since then is nobody's loss.
    let is_known =
        |peer: &&Peer| peer.standing != Standing::Free && (peer.wants.durable || peer.path.exists());
    ring.peers
        .iter()
        .filter(is_known)
        .map(|peer| PeerLine {
            name: peer.path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            dropped: peer.dropped,
            waiting: peer.waiting(&numbers),
        })
        .collect()
}

/// A process's page, before and after.
struct Span<'a> {
    before: Option<&'a Page>,
    after: &'a Page,
}

impl Span<'_> {
    fn counter(&self, name: &str) -> u64 {
        self.grown(|books| books.counter(name))
    }

    fn grown(&self, value: impl Fn(&Snapshot) -> u64) -> u64 {
        let of = |page: &Page| page.books.as_ref().map_or(0, &value);
        // Books that were begun anew begin at 0.
        of(self.after).checked_sub(self.before.map_or(0, of)).unwrap_or_else(|| of(self.after))
    }

    /// Counters of a family that have grown: `(length, 2)`.
    fn family(&self, family: &str) -> Vec<(String, u64)> {
        let names = self.after.books.iter().flat_map(|books| &books.counters);
        names
            .filter_map(|(name, _)| {
                let label = name.strip_prefix(family)?.strip_prefix('.')?;
                Some((label.to_owned(), self.counter(name)))
            })
            .filter(|(_, grown)| *grown > 0)
            .collect()
    }

    fn dropped(&self, peer: &PeerLine) -> u64 {
        let before = self.before.iter().flat_map(|page| &page.peers).find(|before| before.name == peer.name);
        peer.dropped.saturating_sub(before.map_or(0, |before| before.dropped))
    }
}

/// The line. `unread` are datagrams that were still in a process's UDP sockets.
pub(super) fn line(before: &Ledger, after: &Ledger, unread: &[(&str, u64)]) -> String {
    let spans: Vec<Span<'_>> = after
        .0
        .iter()
        .map(|page| Span { before: before.0.iter().find(|before| before.name == page.name), after: page })
        .collect();
    let mut parts = vec![received(&spans), given(&spans)];
    parts.push(list("refused", refused(&spans), " (`leela refused` shows them)"));
    parts.push(list("lost", lost(&spans, unread), ""));
    let waiting = waiting(&spans);
    if !waiting.is_empty() {
        parts.push(list("waiting for the next start", waiting, ""));
    }
    parts.join("; ")
}

fn received(spans: &[Span<'_>]) -> String {
    let inputs = spans.iter().filter(|span| span.after.role == Role::Input);
    let timeline = spans.iter().filter(|span| span.after.role == Role::Timeline);
    let each: Vec<(&str, u64)> = inputs
        .map(|span| (span.after.name, span.counter("received")))
        // `leela send` and programs like it have no books.
        .chain(timeline.map(|span| ("databus", span.grown(unnumbered))))
        .filter(|(_, received)| *received > 0)
        .collect();
    if each.is_empty() {
        return "in: nothing".to_owned();
    }
    let all = each.iter().map(|(_, received)| received).sum();
    let each: Vec<String> =
        each.iter().map(|(name, received)| format!("{name} {}", count(*received))).collect();
    format!("in: {} ({})", counted(all, "metric"), each.join(", "))
}

/// Records that came from nobody who numbers them.
fn unnumbered(timeline: &Snapshot) -> u64 {
    let numbered = timeline.sources.iter().map(SourceRow::applied).sum();
    timeline.counter("received").saturating_sub(numbered)
}

fn given(spans: &[Span<'_>]) -> String {
    let Some(timeline) = spans.iter().find(|span| span.after.role == Role::Timeline) else {
        return "out: nothing".to_owned();
    };
    let made = timeline.counter("passed") + timeline.counter("timer_events");
    let no_peer = timeline.counter("no_peer").min(made);
    let peers = timeline.after.books.as_ref().map_or(0, |books| books.counter("peers"));
    let mut text = match made - no_peer {
        0 => "out: nothing".to_owned(),
        // The last one has left.
        out if peers == 0 => format!("out: {}", counted(out, "event")),
        out => format!("out: {} to {}", counted(out, "event"), counted(peers, "peer")),
    };
    if no_peer > 0 {
        text.push_str(&format!(", {} that no peer wanted", counted(no_peer, "event")));
    }
    let merged = timeline.counter("merged");
    if merged > 0 {
        text.push_str(&format!(", {} merged into state", counted(merged, "metric")));
    }
    text
}

fn refused(spans: &[Span<'_>]) -> Vec<(String, u64)> {
    let of = |span: &Span<'_>| {
        let name = span.after.name;
        span.family("refused")
            .into_iter()
            .map(|(reason, number)| (format!("{name} {reason}"), number))
            .collect::<Vec<_>>()
    };
    spans.iter().flat_map(of).collect()
}

fn lost(spans: &[Span<'_>], unread: &[(&str, u64)]) -> Vec<(String, u64)> {
    let mut lost = Vec::new();
    let mut to_timeline = 0;
    for span in spans {
        let name = span.after.name;
        for (counter, what) in [
            ("kernel_drops", "datagrams that the kernel dropped at"),
            ("lost_in_crash", "in hand when it was killed, of"),
            ("absolute_lost", "in windows that were open when it was killed, of"),
        ] {
            lost.push((format!("{what} {name}"), span.counter(counter)));
        }
        lost.extend(
            span.family("dropped").into_iter().map(|(why, number)| (format!("{name} {why}"), number)),
        );
        for peer in &span.after.peers {
            if span.after.role == Role::Input {
                to_timeline += span.dropped(peer);
            } else {
                lost.push((format!("from {name} to {}", peer.name), span.dropped(peer)));
            }
        }
    }
    // What the timeline misses are its inputs' drops and what it had in its own hand; drops at the end it has
    // not seen yet.
    let missing =
        spans.iter().filter(|span| span.after.role == Role::Timeline).map(|span| span.counter("missing"));
    lost.push(("on the way to the timeline".to_owned(), to_timeline.max(missing.sum())));
    lost.extend(
        unread
            .iter()
            .map(|(name, number)| (format!("datagrams that {name} had not read when it ended"), *number)),
    );
    lost.retain(|(_, number)| *number > 0);
    lost
}

fn waiting(spans: &[Span<'_>]) -> Vec<(String, u64)> {
    let peers = spans.iter().flat_map(|span| span.after.peers.iter().map(|peer| (span.after.name, peer)));
    peers
        .filter(|(_, peer)| peer.waiting > 0)
        .map(|(name, peer)| (format!("from {name} to {}", peer.name), peer.waiting))
        .collect()
}

/// `nothing lost`, `lost: 3 on the way, 2 elsewhere`.
fn list(what: &str, entries: Vec<(String, u64)>, hint: &str) -> String {
    if entries.is_empty() {
        return format!("nothing {what}");
    }
    let entries: Vec<String> =
        entries.iter().map(|(name, number)| format!("{} {name}", count(*number))).collect();
    format!("{what}: {}{hint}", entries.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::books::{Admission, Books, Family, Label};
    use common::counters;
    use common::wire::{Content, Header};

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
        /// Of an input.
        struct Input {
            /// All.
            received: u64,
            /// Bad.
            refused: Family<Reason>,
            /// Too many.
            kernel_drops: u64,
        }
    }

    counters! {
        /// Of the timeline.
        struct Timeline {
            /// All.
            received: u64,
            /// An event each.
            passed: u64,
            /// No event.
            merged: u64,
            /// By timer.
            timer_events: u64,
            /// For nobody.
            no_peer: u64,
            /// Never came.
            missing: u64,
            /// Now.
            peers: u64,
        }
    }

    fn planted() -> (tempfile::TempDir, RuntimeDir, Books<Input>, Books<Timeline>) {
        let dir = tempfile::tempdir().unwrap();
        let run = RuntimeDir::at(dir.path()).unwrap();
        run.prepare().unwrap();
        let mut udp = Books::<Input>::open(&run.books("udp"), "udp", 0).unwrap();
        udp.counters.received = 5_000;
        udp.counters.refused.add(Reason::Value);
        udp.commit_carried();
        let mut timeline = Books::<Timeline>::open(&run.books("timeline"), "timeline", 4).unwrap();
        numbered(&mut timeline, 0, 4_000);
        timeline.counters.passed = 4_000;
        timeline.counters.no_peer = 4_000;
        timeline.commit_carried();
        (dir, run, udp, timeline)
    }

    /// Books records that udp numbered.
    fn numbered(timeline: &mut Books<Timeline>, first: u64, count: u32) {
        let header = Header { content: Content::Metrics, count, source: 7, first };
        assert_eq!(timeline.admit(&header), Admission::Take { missing: 0 });
        timeline.counters.received += u64::from(count);
    }

    #[test]
    fn the_line_says_what_came_in_and_where_it_went() {
        let (_dir, run, mut udp, mut timeline) = planted();
        let before = Ledger::read(&run);
        let mut host = Books::<Input>::open(&run.books("host"), "host", 0).unwrap();
        host.counters.received = 3;
        host.commit_carried();
        udp.counters.received += 1_200;
        udp.commit_carried();
        numbered(&mut timeline, 4_000, 1_203);
        timeline.counters.received += 5;
        timeline.counters.passed += 1_205;
        timeline.counters.timer_events += 3;
        timeline.counters.peers = 2;
        timeline.commit_carried();
        assert_eq!(
            line(&before, &Ledger::read(&run), &[("udp", 0)]),
            "in: 1,208 metrics (udp 1,200, host 3, databus 5); out: 1,208 events to 2 peers; nothing refused; nothing lost"
        );
    }

    #[test]
    fn the_line_names_what_was_refused_and_what_was_lost() {
        let (_dir, run, mut udp, mut timeline) = planted();
        let before = Ledger::read(&run);
        udp.counters.received += 10;
        udp.counters.refused.add_many(Reason::Length, 2);
        udp.counters.refused.add(Reason::Value);
        udp.counters.kernel_drops += 4;
        udp.commit_carried();
        timeline.counters.passed += 4;
        timeline.counters.no_peer += 3;
        timeline.counters.merged += 2;
        timeline.counters.missing += 1;
        timeline.counters.peers = 1;
        timeline.commit_carried();
        assert_eq!(
            line(&before, &Ledger::read(&run), &[("udp", 7), ("collectd", 0)]),
            "in: 10 metrics (udp 10); out: 1 event to 1 peer, 3 events that no peer wanted, 2 metrics merged into state; \
             refused: 2 udp length, 1 udp value (`leela refused` shows them); \
             lost: 4 datagrams that the kernel dropped at udp, 1 on the way to the timeline, \
             7 datagrams that udp had not read when it ended"
        );
    }

    #[test]
    fn an_instance_that_got_nothing_says_so() {
        let (_dir, run, ..) = planted();
        let ledger = Ledger::read(&run);
        assert_eq!(line(&ledger, &ledger, &[]), "in: nothing; out: nothing; nothing refused; nothing lost");
    }
}
