//! leela-storage: its intake, its log and its store, with the disk of the seed; and what has to be in it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::books::{Books, Slots, Snapshot};
use common::metric::Event;
use common::query::selector::Selector;
use common::runtime_dir::RuntimeDir;
use common::time::Time;
use common::wire::{Content, Events, Header};
use leela_storage::counters::Counters;
use leela_storage::service::Intake;
use leela_storage::store::embedded::Embedded;
use leela_storage::store::options::Options;
use leela_storage::store::{Found, Kind, Maintained, Range, Store, Which};
use leela_storage::testing::Loss;

use crate::disk::Disk;
use crate::hop::{Arrival, Hop};
use crate::network::{Network, Reader};
use crate::peer::{print, register};
use crate::process::{Process, guard};

/// A point: its key, and its millisecond.
type Place = (Vec<u8>, i64);

const NAME: &str = "storage";

pub(crate) struct Live {
    intake: Intake<Reader>,
    store: Arc<dyn Store>,
    sync_at: Duration,
}

pub(crate) struct Storage {
    pub(crate) process: Process<Live>,
    pub(crate) disk: Disk,
    pub(crate) options: Options,
    pub(crate) directory: PathBuf,
    pub(crate) path: PathBuf,
    register_at: Duration,
    pub(crate) hop: Hop,
    pub(crate) got: Vec<(u64, u64)>,
    /// What was read when it was killed: it has it, or not.
    in_hand: Vec<Vec<u8>>,
    /// Records that it says it dropped.
    dropped: u64,
    /// What can be read, as far as it is known.
    expected: BTreeMap<Place, u64>,
    /// All that was ever written, in order, and how much of it was durable at the last sync.
    written: Vec<(Place, u64)>,
    durable: usize,
    /// What it said it dropped, and what it had in its hand when it was killed and was not started again. The disk may have
    /// it: after a power cut, which takes the books as well, it may come back.
    doubtful: BTreeSet<(Place, u64)>,
}

impl Storage {
    pub(crate) fn new(directory: PathBuf, options: Options, run: &RuntimeDir) -> Storage {
        let process = Process::new();
        let disk = Disk { files: Default::default(), fuse: process.fuse.clone() };
        Storage {
            process,
            disk,
            options,
            directory,
            path: run.storage_databus(),
            register_at: Duration::ZERO,
            hop: Hop::default(),
            got: Vec::new(),
            in_hand: Vec::new(),
            dropped: 0,
            expected: BTreeMap::new(),
            written: Vec::new(),
            durable: 0,
            doubtful: BTreeSet::new(),
        }
    }

    /// Starts it. It may be killed meanwhile, or the disk may not let it: true when it runs.
    pub(crate) fn start(
        &mut self,
        run: &RuntimeDir,
        network: &Network,
        now: Duration,
        instant: Instant,
    ) -> Result<bool, String> {
        self.disk.fuse = self.process.fuse.clone();
        self.options.directory = self.directory.join("store");
        let log = self.directory.join("log");
        let (files, options) = (self.disk.shared(), self.options.clone());
        let reader = network.open(&self.path, &self.process.fuse);
        let opened = guard(move || -> Result<Live, String> {
            let books = Books::open(&run.books(NAME), NAME, 64).map_err(|err| err.to_string())?;
            let store: Arc<dyn Store> =
                Arc::new(Embedded::open(files.clone(), options).map_err(|err| err.to_string())?);
            let input = hop::Input::over(reader);
            let opened =
                Intake::open(files, Arc::clone(&store), &log, input, books, instant, &mut |_| Ok(false));
            let (intake, _) = opened.map_err(|err| format!("{err:#}"))?.expect("nobody stops it");
            Ok(Live { intake, store, sync_at: now })
        })?;
        let Some(Ok(live)) = opened else {
            self.process.die(now + Duration::from_millis(500));
            return Ok(false);
        };
        self.process.live = Some(live);
        self.settle(run)?;
        Ok(true)
    }

    /// What was in its hand when it was killed is in the log, or it is lost: the successor's books say which.
    fn settle(&mut self, run: &RuntimeDir) -> Result<(), String> {
        let books = Snapshot::read(&run.books(NAME)).map_err(|err| err.to_string())?;
        // It is all of one turn: either all was dropped, or nothing.
        let dropped = books.total("dropped");
        let is_kept = dropped == std::mem::replace(&mut self.dropped, dropped);
        for datagram in std::mem::take(&mut self.in_hand) {
            let (header, records) = Header::read(&datagram).map_err(|err| err.to_string())?;
            let is_row = |row: &&common::books::SourceRow| {
                row.source == header.source && row.content == header.content as u64
            };
            let next = books.sources.iter().find(is_row).map_or(0, |row| row.next);
            if header.first < next {
                self.apply(&header, records, is_kept)?;
            } else {
                self.hop.lose(&header);
            }
        }
        Ok(())
    }

    fn apply(&mut self, header: &Header, records: &[u8], is_kept: bool) -> Result<(), String> {
        if self.hop.arrive(header) == Arrival::Again || header.content != Content::Events {
            return Ok(());
        }
        for (number, event) in (header.first..).zip(Events::new(records, header.count)) {
            let event = event.map_err(|err| err.to_string())?;
            self.got.push((number, print(event.key, event.time.ns(), event.value)));
            let (place, bits) = point(&event);
            if !is_kept {
                self.doubtful.insert((place, bits));
            } else {
                self.written.push((place.clone(), bits));
                self.expected.insert(place, bits);
            }
        }
        Ok(())
    }

    /// A turn. True when it was killed.
    pub(crate) fn turn(
        &mut self,
        run: &RuntimeDir,
        network: &Network,
        now: Duration,
        instant: Instant,
        time: Time,
    ) -> Result<bool, String> {
        let Some(mut live) = self.process.live.take() else { return Ok(false) };
        let is_tick = now >= self.register_at;
        if is_tick {
            self.register_at = now + Duration::from_secs(1);
            register(network, run, &self.path, "events states notes durable");
        }
        let dropped_before = self.dropped;
        let mut said = (0, false);
        let result = &mut said;
        self.process.live = guard(move || {
            live.intake.readable = true;
            // An error of its own databus would end it.
            live.intake.drain(instant, time).expect("the databus can be read");
            result.0 = dropped_of(live.intake.counters());
            if now >= live.sync_at {
                live.sync_at = now + Duration::from_secs(1);
                let synced = live.intake.begin_sync(instant).and_then(|syncing| {
                    let all = syncing.end();
                    Ok(syncing.finish()? >= all)
                });
                result.1 = synced.unwrap_or(false);
            }
            if is_tick {
                for _ in 0..4 {
                    if live.store.maintain(time) != Maintained::Busy {
                        break;
                    }
                }
                live.intake.seal_doubtful();
                live.intake.cut();
                live.intake.commit();
            }
            live
        })?;
        let popped = network.take_popped(&self.path);
        if self.process.live.is_none() {
            self.in_hand.extend(popped);
            return Ok(true);
        }
        let (dropped, is_synced) = said;
        self.dropped = dropped;
        let mut records_new = 0;
        let is_kept = dropped == dropped_before;
        for datagram in popped {
            let (header, records) = Header::read(&datagram).map_err(|err| err.to_string())?;
            if self.hop.is_new(&header) {
                records_new += u64::from(header.count);
            }
            self.apply(&header, records, is_kept)?;
        }
        if !is_kept && dropped - dropped_before != records_new {
            return Err(format!("storage dropped {} of {records_new} records", dropped - dropped_before));
        }
        if is_synced {
            self.durable = self.written.len();
        }
        Ok(false)
    }

    /// It ends in order.
    pub(crate) fn end(&mut self, time: Time) -> Result<(), String> {
        let Some(live) = self.process.live.take() else { return Ok(()) };
        let Live { mut intake, store, .. } = live;
        let _ = guard(move || {
            intake.commit();
            drop(store);
            intake.close(time, |_| {});
        })?;
        Ok(())
    }

    /// The power is gone: what was synced is there, and of the rest some.
    pub(crate) fn power_cut(&mut self, to: &Path, loss: Loss) -> Result<(), String> {
        self.process.live = None;
        self.disk.files.power_cut(&self.directory, to, loss).map_err(|err| err.to_string())?;
        self.disk.files.heal();
        self.disk.files.boot();
        self.directory = to.to_owned();
        for datagram in std::mem::take(&mut self.in_hand) {
            let (header, records) = Header::read(&datagram).map_err(|err| err.to_string())?;
            if header.content == Content::Events {
                self.doubtful.extend(Events::new(records, header.count).flatten().map(|event| point(&event)));
            }
        }
        self.hop = Hop::default();
        self.got.clear();
        self.dropped = 0;
        Ok(())
    }

    /// After a power cut, once it runs again: what was durable can be read, and nothing that nobody wrote.
    pub(crate) fn check_survived(&mut self, now: Time) -> Result<(), String> {
        let found = self.read(now)?;
        let doubtful = std::mem::take(&mut self.doubtful);
        let is_doubtful = |place: &Place, bits: u64| doubtful.contains(&(place.clone(), bits));
        // Of each point what was durable, and what was written since.
        let mut may_be: BTreeMap<&Place, Vec<Option<u64>>> = BTreeMap::new();
        for (at, (place, bits)) in self.written.iter().enumerate() {
            let values = may_be.entry(place).or_insert_with(|| vec![None]);
            if at < self.durable {
                values.clear();
            }
            values.push(Some(*bits));
        }
        for (place, values) in &may_be {
            let is = found.get(*place).copied();
            if !values.contains(&is) && !is.is_some_and(|bits| is_doubtful(place, bits)) {
                return Err(format!(
                    "{place:?} is {is:x?} after the power cut, and may be one of {values:x?}"
                ));
            }
        }
        let is_nobodys =
            |(place, bits): &(&Place, &u64)| !may_be.contains_key(place) && !is_doubtful(place, **bits);
        if let Some((place, bits)) = found.iter().find(is_nobodys) {
            return Err(format!("{place:?} is {bits:x}, which nobody wrote"));
        }
        self.written = found.iter().map(|(place, bits)| (place.clone(), *bits)).collect();
        self.durable = self.written.len();
        self.expected = found;
        Ok(())
    }

    /// All that it was given can be read, and nothing else.
    pub(crate) fn check(&self, now: Time) -> Result<(), String> {
        let found = self.read(now)?;
        if found == self.expected {
            return Ok(());
        }
        let missing = self.expected.iter().filter(|(place, bits)| found.get(*place) != Some(bits));
        let extra = found.iter().filter(|(place, _)| !self.expected.contains_key(*place));
        let (missing, extra): (Vec<_>, Vec<_>) = (missing.collect(), extra.collect());
        Err(format!(
            "the store has {} points, expected {}: not there or other are {} ({:?}), nobody wrote {} ({:?})",
            found.len(),
            self.expected.len(),
            missing.len(),
            missing.first(),
            extra.len(),
            extra.first()
        ))
    }

    fn read(&self, now: Time) -> Result<BTreeMap<Place, u64>, String> {
        let live = self.process.live.as_ref().ok_or("storage does not run")?;
        let all = Selector::parse("").map_err(|err| err.to_string())?;
        let mut points = BTreeMap::new();
        let range = Range {
            which: Which::Match(&all, &[]),
            kind: Kind::Events,
            from: Time::from_ns(i64::MIN),
            to: Time::from_ns(i64::MAX),
            limit: None,
        };
        let ended = live.store.range(&range, now, &mut |found| {
            if let Found::Points { key, times_ms, values } = found {
                for (time_ms, value) in times_ms.iter().zip(values) {
                    points.insert((key.to_vec(), *time_ms), value.to_bits());
                }
            }
            ControlFlow::Continue(())
        });
        let ended = ended.map_err(|err| err.to_string())?;
        if !ended.damage.is_empty() {
            return Err(format!("the store is damaged: {:?}", ended.damage));
        }
        Ok(points)
    }
}

/// Where an event is kept, and its value.
fn point(event: &Event<'_>) -> (Place, u64) {
    ((event.key.to_vec(), event.time.ns().div_euclid(1_000_000)), event.value.to_bits())
}

/// What it says it dropped, for any reason.
fn dropped_of(counters: &Counters) -> u64 {
    let mut names = Vec::new();
    Counters::names("", &mut names);
    let mut values = vec![0; names.len()];
    counters.store(&mut values.iter_mut());
    names.iter().zip(values).filter(|(name, _)| name.starts_with("dropped.")).map(|(_, value)| value).sum()
}
