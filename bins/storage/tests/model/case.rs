//! One case: a store, its log, and the map beside them.

mod check;
mod outage;
mod write;

use std::path::PathBuf;
use std::time::Duration;

use common::query::selector::Selector;
use common::time::Time;
use common::wire::{Batch, Content, Header};
use leela_storage::log::{Log, Mark};
use leela_storage::store::embedded::Embedded;
use leela_storage::store::fault::Fault;
use leela_storage::store::options::{Keep, Options};
use leela_storage::store::{Maintained, Store};
use leela_storage::testing::TestFiles;

pub(crate) use self::check::take;
use crate::expected::{Chosen, Expected};
use crate::random::Random;

pub(crate) const OPERATIONS: u32 = 200;

const DAY_MS: i64 = 86_400_000;
const KEYS: [&str; 14] = [
    "a",
    "b",
    "web01.cpu;dc=ams;host=a",
    "web01.cpu;dc=fra;host=a",
    "web01.cpu;dc=fra;host=b",
    "web02.cpu;dc=ams",
    "web02.cpu;dc=par",
    "web02.disk",
    "db.load;dc=ams",
    "db.load",
    "db.locks;kind",
    "größe;ort=köln",
    "keep.me;dc=ams",
    "drop.me",
];

pub(crate) struct Case {
    number: u64,
    random: Random,
    _room: tempfile::TempDir,
    directory: PathBuf,
    files: TestFiles,
    options: Options,
    now: Time,
    store: Option<Embedded>,
    log: Option<Log>,
    expected: Expected,
    batches: [Batch; 3],
    cuts: u32,
    /// Keys that this case uses; others may be of a delete only.
    keys: usize,
    /// Nothing comes very late.
    is_tidy: bool,
    /// What is done is told; for a case that is run alone.
    is_told: bool,
}

impl Case {
    pub(crate) fn new(number: u64, fault: Option<Fault>) -> Case {
        let mut random = Random::new(number);
        // Nothing waits for a disk there; it is not asked to keep anything.
        let memory = std::path::Path::new("/dev/shm");
        let room = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let room = room.unwrap();
        let directory = room.path().join("0");
        let mut options = Options::at(directory.join("store"));
        options.head_bytes_max = 17_000 + random.below(4) * 800;
        options.memory_bytes_max = 400_000;
        options.seal_after = Duration::from_secs(60 * (1 + random.below(60)));
        options.settle = Duration::from_secs(60 * (1 + random.below(20)));
        options.block_points = *random.pick(&[2, 5, 16, 100]);
        options.min_free = 0;
        options.span = Duration::from_secs(*random.pick(&[3600, 86_400]));
        if random.percent(50) {
            options.retention = Some(Duration::from_secs(86_400 * (1 + random.below(4))));
            let rules: &[(&str, Option<u64>)] =
                if random.percent(50) { &[("^keep", None), ("^drop", Some(1))] } else { &[] };
            for (regex, days) in rules {
                let selector = Selector::parse(regex).unwrap();
                options
                    .keep
                    .push(Keep { selector, age: days.map(|days| Duration::from_secs(days * 86_400)) });
            }
        }
        options.fault = fault;
        let is_tidy = random.percent(70);
        Case {
            number,
            keys: 2 + random.below(KEYS.len() as u64 - 2) as usize,
            random,
            directory,
            _room: room,
            files: TestFiles::default(),
            options,
            now: Time::from_secs(1_800_000_000),
            store: None,
            log: None,
            expected: Expected::default(),
            batches: [Content::Events, Content::States, Content::Notes].map(Batch::new),
            cuts: 0,
            is_tidy,
            is_told: std::env::var_os("LEELA_CASE").is_some(),
        }
    }

    /// What is wrong, if anything is.
    pub(crate) fn run(mut self) -> Result<(), String> {
        self.open()?;
        for operation in 0..OPERATIONS {
            self.step().map_err(|what| format!("operation {operation}: {what}"))?;
        }
        self.restart(true)?;
        self.check_all()
    }

    fn store(&self) -> &Embedded {
        self.store.as_ref().expect("it is open")
    }

    fn step(&mut self) -> Result<(), String> {
        let operation = self.random.below(100);
        if self.is_told {
            let (store, log) = (self.store(), self.log.as_ref().expect("it is open").end());
            println!("{operation} now {} log {log:?} acknowledged {:?}", self.now, store.acknowledged());
        }
        match operation {
            0..38 => self.write(),
            38..54 => self.maintain(),
            54..59 => self.pass_time(),
            59..64 => self.sync(),
            64..67 => self.cut_log(),
            67..80 => self.check_range(),
            80..84 => self.check_series(),
            84..86 => self.check_tags(),
            86..89 => self.delete(),
            89..91 => self.restart(true),
            91..93 => self.restart(false),
            93..95 => self.power_cut(),
            95..97 => self.trouble(),
            97..98 => self.snapshot(),
            98..99 => self.verify(),
            _ => self.check_all(),
        }
    }

    fn open(&mut self) -> Result<(), String> {
        self.options.directory = self.directory.join("store");
        let store =
            Embedded::open(self.files.shared(), self.options.clone()).map_err(|err| err.to_string())?;
        let log_directory = self.directory.join("log");
        let (log, mut replay) = Log::open(self.files.shared(), &log_directory, store.acknowledged())
            .map_err(|err| err.to_string())?;
        while let Some(entry) = replay.next_entry() {
            let (header, records) = Header::read(entry.datagram).map_err(|err| err.to_string())?;
            let written = store.write(&header, records, entry.position);
            if written.unreadable + written.bad_key > 0 {
                return Err(format!("the replay refused {written:?}"));
            }
        }
        // What the last process did not sync is synced before anything says that it is durable.
        let _ = log.sync_old();
        let damage = store.stats(self.now).damage;
        if !damage.is_empty() {
            return Err(format!("damage at the start: {damage:?}"));
        }
        (self.store, self.log) = (Some(store), Some(log));
        Ok(())
    }

    /// What is too old by now is not expected any more.
    fn retain(&mut self) {
        let (now, options) = (self.now, &self.options);
        self.expected.retain(|key| horizon_ms(options, key, now));
    }

    fn maintain(&mut self) -> Result<(), String> {
        for _ in 0..1 + self.random.below(6) {
            if self.store().maintain(self.now) != Maintained::Busy {
                break;
            }
        }
        Ok(())
    }

    fn pass_time(&mut self) -> Result<(), String> {
        let seconds = *self.random.pick(&[1, 30, 600, 4000, 20_000]);
        self.now = self.now.plus_ns(seconds * 1_000_000_000);
        self.retain();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), String> {
        if self.log.as_mut().expect("it is open").sync(Mark::default()).is_ok() {
            self.expected.sync();
        }
        Ok(())
    }

    fn cut_log(&mut self) -> Result<(), String> {
        let acknowledged = self.store().acknowledged();
        let _ = self.log.as_mut().expect("it is open").cut(acknowledged);
        Ok(())
    }

    fn choice(&mut self) -> Chosen {
        if self.random.percent(30) {
            return Chosen::Key((*self.random.pick(&KEYS)).to_owned());
        }
        let regex =
            *self.random.pick(&["", ".", "^web", "^web01[.]cpu$", "cpu", "^db[.]l", "o", "^none", "me$"]);
        let tests = ["dc=ams", "dc=fra", "host=a", "ort=köln", "dc=none"];
        let count = *self.random.pick(&[0, 0, 1, 1, 2]);
        let tests = (0..count).map(|_| {
            let (tag, value) = self.random.pick(&tests).split_once('=').expect("they are written so");
            (tag.to_owned(), value.to_owned(), self.random.percent(30))
        });
        Chosen::matching(regex, tests.collect())
    }

    fn delete(&mut self) -> Result<(), String> {
        let chosen = self.choice();
        self.sync()?;
        let asked = chosen.asked();
        let is_dry = self.random.percent(20);
        let want = self.expected.series(&chosen).len() as u64;
        match self.store().delete(asked.which(), is_dry, self.now) {
            Ok(deleted) if deleted.series != want => {
                Err(format!("{deleted:?} of {chosen:?}, not {want} series"))
            }
            Ok(_) => {
                if !is_dry {
                    self.expected.delete(&chosen);
                }
                Ok(())
            }
            Err(err) => Err(format!("deleting: {err}")),
        }
    }
}

/// Where the age of a series ends: its own account of the rules.
fn horizon_ms(options: &Options, key: &str, now: Time) -> i64 {
    let age = match key.split('.').next() {
        _ if options.retention.is_none() => None,
        Some("keep") if !options.keep.is_empty() => None,
        Some("drop") if !options.keep.is_empty() => Some(Duration::from_secs(86_400)),
        _ => options.retention,
    };
    age.map_or(i64::MIN, |age| now.ns() / 1_000_000 - age.as_millis() as i64)
}
