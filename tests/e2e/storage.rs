//! What comes out of the timeline is kept, and read back: over restarts, over kill -9, over a full disk.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod disk_full;
mod killed;
mod leela_store;
mod query_socket;

use std::os::unix::net::UnixDatagram;

use common::metric::Note;
use common::time::Time;
use common::wire::{Batch, Content};
use tests::{Process, Sandbox, wait_until};

/// What a test needs of the time in an ask: all of it.
pub(crate) const ALWAYS: &str = "-9000000000 9000000000";

/// A configuration for records of any time.
pub(crate) const FOR_EVER: &str = "retention = \"0s\"\n";

/// udp, timeline and storage, which is a peer of the timeline.
pub(crate) struct Kept {
    pub(crate) storage: Option<Process>,
    _processes: [Process; 2],
    pub(crate) sandbox: Sandbox,
}

impl Kept {
    pub(crate) fn new(storage: &str) -> Kept {
        let mut sandbox = Sandbox::new();
        let timeline = sandbox.start_timeline("");
        let storage = Some(sandbox.start_held("storage", storage));
        sandbox.wait_peer(&sandbox.run().storage_databus());
        let udp = sandbox.start_udp("");
        Kept { storage, _processes: [timeline, udp], sandbox }
    }

    /// Sends Leela's text to udp.
    pub(crate) fn send(&self, text: &str) {
        self.sandbox.client(self.sandbox.listen()).send(text.as_bytes()).unwrap();
    }

    /// Waits until storage has so many records.
    #[track_caller]
    pub(crate) fn wait_passed(&self, records: u64) {
        wait_until(&format!("{records} records are kept"), || {
            self.sandbox.books("storage").counter("passed") >= records
        });
    }

    /// Ends it, by `end`, and starts it again.
    pub(crate) fn again(&mut self, end: impl FnOnce(Process)) {
        end(self.storage.take().expect("it runs"));
        self.storage = Some(self.sandbox.start_held("storage", FOR_EVER));
    }
}

/// `match LEN|REGEX` or `key LEN|KEY`.
pub(crate) fn which(word: &str, text: &str) -> String {
    format!("{word} {}|{text}", text.len())
}

/// The points of a series.
pub(crate) fn points(sandbox: &Sandbox, key: &str) -> Vec<(i64, f64)> {
    let answered = sandbox.ask(&format!("range {} {ALWAYS};", which("key", key)));
    assert!(answered.is_whole && answered.status == "status 0;", "{answered:?}");
    answered.points.iter().map(|(_, time, value)| (time.ns() / 1_000_000, *value)).collect()
}

#[test]
fn an_event_is_read_back_and_the_last_write_of_a_time_holds_over_restarts_too() {
    let mut kept = Kept::new("");
    let now = Time::now().ns() / 1_000_000_000 - 100;
    kept.send(&format!("gauge 4|room 21.5 {now}.25;gauge 4|room 22 {}.0;", now + 10));
    kept.send(&format!("gauge 8|room;x=1 1 {now}.0;"));
    let mut notes = Batch::new(Content::Notes);
    notes.note(&Note { key: b"deploy", time: Time::from_secs(now), json: b"{\"v\":1}" }).unwrap();
    let databus = kept.sandbox.run().timeline_databus();
    UnixDatagram::unbound().unwrap().send_to(notes.seal(0, 0), databus).unwrap();
    kept.wait_passed(4);
    let want = vec![(now * 1000 + 250, 21.5), ((now + 10) * 1000, 22.0)];
    assert_eq!(points(&kept.sandbox, "room"), want);
    kept.again(|storage| assert!(storage.terminate().success()));
    assert_eq!(points(&kept.sandbox, "room"), want, "after a stop");
    // An older time than the last one fills back; one that is there is written anew.
    kept.send(&format!("gauge 4|room 23 {}.0;gauge 4|room 20 {}.0;", now + 10, now + 5));
    kept.wait_passed(6);
    let want = vec![(now * 1000 + 250, 21.5), ((now + 5) * 1000, 20.0), ((now + 10) * 1000, 23.0)];
    assert_eq!(points(&kept.sandbox, "room"), want);
    kept.again(Process::kill9);
    assert_eq!(points(&kept.sandbox, "room"), want, "after a kill");
    let notes = kept.sandbox.ask(&format!("range {} {ALWAYS} notes;", which("match", ".")));
    assert_eq!(notes.notes.len(), 1, "{notes:?}");
    assert_eq!((notes.notes[0].0.as_str(), notes.notes[0].2.as_str()), ("deploy", "{\"v\":1}"));
    let status = kept.sandbox.leela(&["status"]);
    assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
    assert_eq!(kept.sandbox.books("storage").counter("missing"), 0);
}

#[test]
fn what_comes_while_it_is_away_is_kept_for_it() {
    let mut kept = Kept::new("");
    kept.send("gauge 1|a 1;");
    kept.wait_passed(1);
    assert!(kept.storage.take().unwrap().terminate().success());
    (2..50).for_each(|number| kept.send(&format!("gauge 1|b {number};")));
    wait_until("the timeline has made events of them", || {
        kept.sandbox.books("timeline").counter("passed") >= 49
    });
    kept.storage = Some(kept.sandbox.start_held("storage", ""));
    kept.wait_passed(49);
    let books = kept.sandbox.books("storage");
    assert_eq!((books.counter("missing"), books.counter("received")), (0, 49));
}
