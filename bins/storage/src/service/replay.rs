//! What the log holds at a start goes into the store again; what a predecessor logged and did not come to book is
//! counted.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use common::ask::report::PowerCut;
use common::books::{Admission, Books};
use common::exit::{Exit, OrExit};
use common::wire::Header;

use super::intake::{book, book_log, is_kept};
use crate::counters::Counters;
use crate::log::{Log, Position, Replay, Report};
use crate::store::{Full, Store, Written};

/// The signal and the watchdog are looked at so often.
const LOOK: Duration = Duration::from_millis(50);
/// It says how far it is so often.
const SAY: Duration = Duration::from_secs(2);
/// While memory is full, sealing has so long to make room.
const PATIENCE: Duration = Duration::from_secs(60);

/// How taking in ended.
#[derive(Debug)]
pub(super) enum TakenIn {
    /// All is in the store; the machine may have gone down while a predecessor ran.
    All(Option<PowerCut>),
    /// The process is told to stop.
    Stopped,
}

/// Takes all in. `stop` waits until the moment that it is given, and says whether the process is told to stop.
pub(super) fn take_in(
    mut replay: Replay,
    log: &mut Log,
    store: &dyn Store,
    books: &mut Books<Counters>,
    stop: &mut dyn FnMut(Instant) -> anyhow::Result<bool>,
) -> anyhow::Result<TakenIn> {
    let begun = Instant::now();
    let (mut looked, mut said) = (begun, begun);
    let mut all = Written::default();
    let mut datagrams = 0_u64;
    let booked_end = Position(books.counters.log_end);
    let mut dropped_from = None;
    while let Some(entry) = replay.next_entry() {
        let now = Instant::now();
        if now - looked >= LOOK {
            looked = now;
            if stop(now)? || !has_room(store, stop)? {
                return Ok(TakenIn::Stopped);
            }
            if now - said >= SAY {
                said = now;
                tracing::info!(datagrams, records = all.stored, "taking in the log");
            }
        }
        let Ok((header, records)) = Header::read(entry.datagram) else { continue };
        if !is_kept(header.content) {
            continue;
        }
        // Of a write that failed a part may be there; what is booked of it was booked as dropped.
        let is_behind = entry.start >= booked_end && entry.start.is_of_the_opening_of(booked_end);
        if is_behind && is_booked(books, &header) {
            dropped_from.get_or_insert(entry.start);
            continue;
        }
        let written = store.write(&header, records, entry.position);
        datagrams += 1;
        all.stored += written.stored;
        all.deleted += written.deleted;
        if is_unbooked(books, &header) {
            book(&mut books.counters, &written);
            books.counters.datagrams += 1;
        }
    }
    let report = replay.report();
    books.counters.replayed += all.stored;
    books.counters.damaged += report.damages.len() as u64;
    if datagrams > 0 {
        let took = common::span::Span::from_millis(begun.elapsed().as_millis() as u64);
        tracing::info!(datagrams, records = all.stored, %took, "the log is taken in");
    }
    tell(report);
    let power_cut = power_cut(report);
    if let Some(cut) = &power_cut {
        books.counters.power_cuts += 1;
        tracing::warn!(
            last_event = cut.last_number,
            time = cut.last_time,
            "the machine went down while leela-storage ran: what came in the last second may be missing; this was \
             the last event that was durable"
        );
    }
    if let Some(position) = dropped_from {
        tracing::info!("the log ends in what could not be written, and was dropped: it is passed over");
        log.end_old_at(position).context("ending the log before what was dropped")?;
    }
    book_log(&mut books.counters, log);
    books.commit_carried();
    Ok(TakenIn::All(power_cut))
}

/// Waits until sealing has made room in memory; false when the process is told to stop. On a full disk the rest is
/// taken in as long as memory has room: what was received can be read.
fn has_room(
    store: &dyn Store,
    stop: &mut dyn FnMut(Instant) -> anyhow::Result<bool>,
) -> anyhow::Result<bool> {
    let begun = Instant::now();
    while store.full() == Some(Full::Memory) {
        if begun.elapsed() > PATIENCE {
            let why = "the log cannot be taken in: memory is full, and sealing does not get on; make room on the disk, \
                       or raise `memory_max` of storage.toml";
            return Err(anyhow::anyhow!(why)).exit(Exit::TempFail);
        }
        if stop(Instant::now() + LOOK)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a datagram of the log was booked.
fn is_booked(books: &Books<Counters>, header: &Header) -> bool {
    header.source != 0
        && books.sources.rows().iter().any(|row| {
            row.source == header.source && row.content == header.content as u64 && row.next > header.first
        })
}

/// Whether a datagram of the log was not booked: its numbers are behind those of its source. It is now. Of a source
/// that is not known any more nothing is said.
fn is_unbooked(books: &mut Books<Counters>, header: &Header) -> bool {
    let is_next = books.sources.rows().iter().any(|row| {
        row.source == header.source && row.content == header.content as u64 && row.next <= header.first
    });
    if header.source == 0 || !is_next {
        return false;
    }
    match books.admit(header) {
        Admission::Take { missing } => {
            books.counters.missing = books.counters.missing.saturating_add(missing);
            true
        }
        Admission::Repeated => false,
    }
}

fn tell(report: &Report) {
    for damage in &report.damages {
        if damage.is_torn_end {
            tracing::info!(
                segment = %damage.path.display(), offset = damage.offset, bytes = damage.bytes,
                "the log ends in the middle of a datagram, which was not received whole"
            );
        } else {
            tracing::error!(
                segment = %damage.path.display(), offset = damage.offset, bytes = damage.bytes,
                "a damaged place of the log is passed over"
            );
        }
    }
    if report.missing_segments > 0 {
        tracing::error!(segments = report.missing_segments, "segments of the log are missing");
    }
}

/// What is known of the last event before the machine went down.
fn power_cut(report: &Report) -> Option<PowerCut> {
    // A process that was told to stop leaves no log.
    let (_, mark) = report.last_sync.filter(|_| report.boot_changed)?;
    Some(PowerCut { last_number: mark.number, last_time: mark.time.as_secs_f64() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Mark;
    use crate::store::embedded::Embedded;
    use crate::store::options::Options;
    use crate::testing::{Fault, Op, TestFiles};
    use common::metric::Event;
    use common::time::Time;
    use common::wire::{Batch, Content};
    use nix::errno::Errno;

    #[test]
    fn a_power_cut_is_told_with_the_last_event_that_was_durable() {
        let synced = Some((Position(5), Mark { number: 17, time: Time::from_secs(9) }));
        let cut = Some(PowerCut { last_number: 17, last_time: 9.0 });
        for (label, boot_changed, entries, last_sync, want) in [
            ("in the same boot", false, 3, synced, None),
            ("in another boot", true, 3, synced, cut),
            ("in another boot, and the store has it all", true, 0, synced, cut),
            ("ended in order: there is no log", true, 0, None, None),
            ("nothing was ever durable", true, 3, None, None),
        ] {
            let report = Report { boot_changed, entries, last_sync, ..Report::default() };
            assert_eq!(power_cut(&report), want, "{label}");
        }
    }

    #[test]
    fn what_was_logged_and_not_booked_is_booked_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut books = Books::<Counters>::open(&dir.path().join("storage"), "storage", 4).unwrap();
        let header = |source, first| Header { content: Content::Events, count: 10, source, first };
        assert!(matches!(books.admit(&header(7, 0)), Admission::Take { missing: 0 }));
        for (label, header, want) in [
            ("booked before", header(7, 0), false),
            ("the next one", header(7, 10), true),
            ("again", header(7, 10), false),
            ("behind a gap", header(7, 25), true),
            ("of a source that is not known any more", header(8, 0), false),
            ("of nobody", header(0, 0), false),
        ] {
            assert_eq!(is_unbooked(&mut books, &header), want, "{label}");
        }
        assert_eq!(books.counters.missing, 5);
    }
    #[test]
    fn what_was_dropped_is_not_taken_in_though_the_disk_has_it() {
        let dir = tempfile::tempdir().unwrap();
        let files = TestFiles::default();
        let book = || Books::<Counters>::open(&dir.path().join("storage"), "storage", 4).unwrap();
        let open = || Log::open(files.shared(), &dir.path().join("log"), Position(0)).unwrap();
        let datagram = |number: u64| {
            let mut batch = Batch::new(Content::Events);
            let time = Time::from_secs(1_780_000_000 + number as i64);
            batch.event(&Event { key: b"a", time, value: number as f64 }).unwrap();
            batch.seal(7, number).to_vec()
        };
        let admit = |books: &mut Books<Counters>, datagram: &[u8]| {
            assert!(matches!(
                books.admit(&Header::read(datagram).unwrap().0),
                Admission::Take { missing: 0 }
            ));
        };
        let (mut books, (mut log, _)) = (book(), open());
        log.append(&datagram(0)).unwrap();
        admit(&mut books, &datagram(0));
        // The second write is half done, and cannot be undone; then the process is killed.
        files.fail(Fault { ops: &[Op::Write], skip: 0, times: 1, errno: Errno::ENOSPC });
        files.fail(Fault { ops: &[Op::SetLen], skip: 0, times: 1, errno: Errno::EROFS });
        log.stage(&datagram(1));
        log.stage(&datagram(2));
        log.commit().unwrap_err();
        admit(&mut books, &datagram(1));
        admit(&mut books, &datagram(2));
        book_log(&mut books.counters, &log);
        books.commit_carried();
        drop((log, books));
        let taken_in = |number: usize| {
            let mut options = Options::at(dir.path().join(format!("store{number}")));
            options.min_free = 0;
            let store = Embedded::open(files.shared(), options).unwrap();
            let (mut books, (mut log, replay)) = (book(), open());
            let before = books.counters.replayed;
            let done = take_in(replay, &mut log, &store, &mut books, &mut |_| Ok(false)).unwrap();
            assert!(matches!(done, TakenIn::All(None)));
            (books.counters.replayed - before, log)
        };
        // A start is killed before it has written anything; another one logs, and is killed before it books that.
        assert_eq!(taken_in(1).0, 1);
        let (records, mut log) = taken_in(2);
        assert_eq!(records, 1);
        log.append(&datagram(3)).unwrap();
        drop(log);
        assert_eq!([taken_in(3).0, taken_in(4).0], [2, 2]);
        assert_eq!(book().counters.received, 1, "what was logged and not booked");
    }
}
