//! What the log holds at a start goes into the store again; what a predecessor logged and did not come to book is
//! counted.

use std::time::{Duration, Instant};

use common::ask::report::PowerCut;
use common::books::{Admission, Books};
use common::exit::{Exit, OrExit};
use common::wire::Header;

use super::intake::{book, is_kept};
use crate::counters::Counters;
use crate::log::{Replay, Report};
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
    store: &dyn Store,
    books: &mut Books<Counters>,
    stop: &mut dyn FnMut(Instant) -> anyhow::Result<bool>,
) -> anyhow::Result<TakenIn> {
    let begun = Instant::now();
    let (mut looked, mut said) = (begun, begun);
    let mut all = Written::default();
    let mut datagrams = 0_u64;
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
    use crate::log::{Mark, Position};
    use common::time::Time;
    use common::wire::Content;

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
}
