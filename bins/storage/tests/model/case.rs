//! One case: a store, its log, and the map beside them.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::Duration;

use common::metric::{Event, Note, State};
use common::query::selector::Selector;
use common::time::Time;
use common::wire::{Batch, Content, Header};
use leela_storage::log::{Log, Mark};
use leela_storage::store::embedded::Embedded;
use leela_storage::store::fault::Fault;
use leela_storage::store::options::{Keep, Options};
use leela_storage::store::{Found, Kind, Maintained, Range, Store, Which};
use leela_storage::testing::{self, Loss, Op, TestFiles};
use nix::errno::Errno;

use crate::expected::{Chosen, Contents, Expected, Place, Write};
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

    /// Mostly now, sometimes late or early, often the same again.
    fn time_ms(&mut self) -> i64 {
        let now_ms = self.now.ns() / 1_000_000;
        match self.random.below(20) {
            0..8 => now_ms + self.random.below(10) as i64 * 1000,
            8..15 => now_ms - self.random.below(12) as i64 * 10_000,
            15..17 => {
                (now_ms / DAY_MS - self.random.below(2) as i64) * DAY_MS + self.random.below(3) as i64 - 1
            }
            17..20 if self.is_tidy => now_ms - self.random.below(60_000) as i64,
            17 => now_ms - self.random.below(10) as i64 * DAY_MS / 2,
            18 => -(self.random.below(5) as i64),
            _ => now_ms + 40 * DAY_MS,
        }
    }

    fn value(&mut self) -> f64 {
        match self.random.below(12) {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => -0.0,
            3 => f64::from_bits(self.random.next()),
            _ => self.random.below(10_000) as f64 / 100.0,
        }
    }

    fn write(&mut self) -> Result<(), String> {
        if self.store().full().is_some() {
            return Ok(());
        }
        let content = match self.random.below(12) {
            0 => 1,
            1 => 2,
            _ => 0,
        };
        let mut writes = Vec::new();
        let count = if self.random.percent(10) { 60 } else { 1 + self.random.below(8) };
        self.batches[content].clear();
        for _ in 0..count {
            let key = KEYS[self.random.below(self.keys as u64) as usize];
            let time_ms = self.time_ms();
            // Within a millisecond: it is the time of the millisecond that has begun.
            let time = Time::from_ns(time_ms * 1_000_000 + self.random.below(1_000_000) as i64);
            let (kind, under, bytes) = match content {
                0 => {
                    let value = self.value();
                    let event = Event { key: key.as_bytes(), time, value };
                    let _ = self.batches[0].event(&event);
                    (Kind::Events, Vec::new(), value.to_bits().to_le_bytes().to_vec())
                }
                1 => {
                    let (window_ns, kind) = (self.random.below(3) * 1000, self.random.below(2) as u8);
                    let bytes = self.random.next().to_le_bytes();
                    let bytes = &bytes[..self.random.below(9) as usize];
                    let state = State { key: key.as_bytes(), time, window_ns, kind, bytes };
                    let _ = self.batches[1].state(&state);
                    let under = [&window_ns.to_le_bytes()[..], &[kind]].concat();
                    (Kind::States, under, bytes.to_vec())
                }
                _ => {
                    let json = format!("{{\"n\":{}}}", self.random.below(1000));
                    let note = Note { key: key.as_bytes(), time, json: json.as_bytes() };
                    let _ = self.batches[2].note(&note);
                    (Kind::Notes, Vec::new(), json.into_bytes())
                }
            };
            writes.push(Write { kind, key: key.to_owned(), place: (time_ms, under), bytes });
        }
        let datagram = self.batches[content].seal(7, 1).to_vec();
        // What is not in the log is not written, and nobody was told that it was.
        let Ok(position) = self.log.as_mut().expect("it is open").append(&datagram) else { return Ok(()) };
        let (header, records) = Header::read(&datagram).map_err(|err| err.to_string())?;
        let written = self.store().write(&header, records, position);
        if written.stored != writes.len() as u64 {
            return Err(format!("{} records were written: {written:?}", writes.len()));
        }
        writes.into_iter().for_each(|write| self.expected.write(write));
        self.retain();
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

    fn check_range(&mut self) -> Result<(), String> {
        let chosen = self.choice();
        let kind = *self.random.pick(&[Kind::Events, Kind::Events, Kind::Events, Kind::States, Kind::Notes]);
        let (a, b) = (self.time_ms(), self.time_ms());
        let (from, to) =
            if self.random.percent(30) { (i64::MIN / 1_000_000, a) } else { (a.min(b), a.max(b)) };
        let limit = self.random.percent(20).then(|| self.random.below(30));
        self.compare(&chosen, kind, from, to, limit)
    }

    fn compare(
        &self,
        chosen: &Chosen,
        kind: Kind,
        from: i64,
        to: i64,
        limit: Option<u64>,
    ) -> Result<(), String> {
        let mut want = self.expected.range(chosen, kind, from, to);
        let is_cut = limit.is_some_and(|limit| want.len() as u64 > limit);
        want.truncate(limit.map_or(usize::MAX, |limit| limit as usize));
        let mut got = Vec::new();
        let asked = chosen.asked();
        let range = Range {
            which: asked.which(),
            kind,
            from: Time::from_ns(from * 1_000_000),
            to: Time::from_ns(to * 1_000_000),
            limit,
        };
        let ended = self.store().range(&range, self.now, &mut |found| {
            take(found, &mut got);
            ControlFlow::Continue(())
        });
        let ended = ended.map_err(|err| err.to_string())?;
        if got != want {
            let wrong = got
                .iter()
                .zip(&want)
                .position(|(got, want)| got != want)
                .unwrap_or(got.len().min(want.len()));
            return Err(format!(
                "{kind:?} of {chosen:?} from {from} to {to}, limit {limit:?}: {} records for {}, at {wrong} {:?} for {:?}",
                got.len(),
                want.len(),
                got.get(wrong),
                want.get(wrong)
            ));
        }
        if !ended.damage.is_empty()
            || ended.records != got.len() as u64
            || (limit.is_some() && ended.is_cut != is_cut)
        {
            return Err(format!("{chosen:?}, limit {limit:?}, cut {is_cut}: {ended:?}"));
        }
        Ok(())
    }

    fn check_all(&mut self) -> Result<(), String> {
        let all = Chosen::all();
        for kind in Kind::ALL {
            self.compare(&all, kind, i64::MIN / 1_000_000, i64::MAX / 1_000_000, None)?;
        }
        Ok(())
    }

    fn check_series(&mut self) -> Result<(), String> {
        let chosen = self.choice();
        let want = self.expected.series(&chosen);
        let asked = chosen.asked();
        let mut got = Vec::new();
        let ended = self.store().series(asked.which(), None, self.now, &mut |extent| {
            let key = String::from_utf8_lossy(extent.key).into_owned();
            got.push((key, extent.first.ns() / 1_000_000, extent.last.ns() / 1_000_000, extent.points));
            ControlFlow::Continue(())
        });
        let _ = ended.map_err(|err| err.to_string())?;
        let got_keys: Vec<&String> = got.iter().map(|(key, ..)| key).collect();
        let want_keys: Vec<&String> = want.keys().collect();
        if got_keys != want_keys {
            let all = self.contents();
            let extra = got.iter().filter(|(key, ..)| !want.contains_key(key));
            let extra: Vec<_> =
                extra.map(|one| (one, Kind::ALL.map(|kind| all.get(&(kind, one.0.clone()))))).collect();
            println!("{extra:?} now {} horizon", self.now);
            return Err(format!("series of {chosen:?}: {got_keys:?} for {want_keys:?}"));
        }
        for ((key, first, last, points), (_, reach)) in got.iter().zip(&want) {
            // What retention takes out of the midst of a block is still counted.
            if *first > reach.0 || *last != reach.1 || *points == 0 {
                return Err(format!(
                    "{key} reaches from {first} to {last} with {points} points, not {reach:?}"
                ));
            }
        }
        let mut names = Vec::new();
        let ended = self.store().names(asked.which(), None, &mut |name| {
            names.push(String::from_utf8_lossy(name).into_owned());
            ControlFlow::Continue(())
        });
        let _ = ended.map_err(|err| err.to_string())?;
        if !names.is_sorted_by(|a, b| a < b) || !want_keys.iter().all(|key| names.contains(key)) {
            return Err(format!("names of {chosen:?}: {names:?} for {want_keys:?}"));
        }
        Ok(())
    }

    fn check_tags(&mut self) -> Result<(), String> {
        let all = self.expected.series(&Chosen::all());
        let words = self.store().tags(Some(b"dc")).map_err(|err| err.to_string())?;
        for value in ["ams", "fra", "par"] {
            let want = all.keys().filter(|key| key.contains(&format!(";dc={value}"))).count() as u64;
            let got = words.iter().find(|word| word.word == value.as_bytes()).map_or(0, |word| word.series);
            // A series that is gone is named until the index is made anew.
            if got < want {
                return Err(format!("{got} series have dc={value}, not {want}"));
            }
        }
        Ok(())
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

    fn restart(&mut self, is_clean: bool) -> Result<(), String> {
        if let Some(store) = self.store.take()
            && is_clean
        {
            store.close(self.now).map_err(|err| format!("closing: {err}"))?;
        }
        self.log = None;
        self.open()
    }

    fn power_cut(&mut self) -> Result<(), String> {
        let loss = if self.random.percent(50) { Loss::All } else { Loss::Some(self.random.next()) };
        self.cuts += 1;
        let after = self._room.path().join(self.cuts.to_string());
        self.files.power_cut(&self.directory, &after, loss).map_err(|err| err.to_string())?;
        (self.store, self.log) = (None, None);
        self.directory = after;
        self.files.boot();
        self.open()?;
        let found = self.contents();
        self.expected.settle(found)
    }

    fn contents(&self) -> Contents {
        let mut contents = Contents::new();
        for kind in Kind::ALL {
            let all = Selector::parse("").unwrap();
            let range = Range {
                which: Which::Match(&all, &[]),
                kind,
                from: Time::from_ns(i64::MIN),
                to: Time::from_ns(i64::MAX),
                limit: None,
            };
            let mut got = Vec::new();
            let _ = self.store().range(&range, self.now, &mut |found| {
                take(found, &mut got);
                ControlFlow::Continue(())
            });
            for (key, place, bytes) in got {
                contents.entry((kind, key)).or_default().insert(place, bytes);
            }
        }
        contents
    }

    /// The disk fails for a while: live goes on, reads too, and afterwards all is as it should be, also when that is the
    /// next process's to see.
    fn trouble(&mut self) -> Result<(), String> {
        let (ops, errno) = *self.random.pick(&[
            (Op::OF_FULL_DISK, Errno::ENOSPC),
            (Op::OF_READ_ONLY, Errno::EROFS),
            (&[Op::Write, Op::Sync][..], Errno::EIO),
            (&[Op::Rename, Op::SyncDir][..], Errno::EIO),
        ]);
        let (skip, times) = (self.random.below(30), *self.random.pick(&[1, 3, u64::MAX]));
        self.files.fail(testing::Fault { ops, skip, times, errno });
        for _ in 0..6 {
            self.write()?;
            self.now = self.now.plus_ns(3_000_000_000_000);
            self.maintain()?;
        }
        self.retain();
        self.check_all().map_err(|what| format!("while {errno:?}: {what}"))?;
        self.files.heal();
        // It may end before anything was tried again.
        match self.random.below(6) {
            0 => return self.power_cut(),
            1 => {
                self.restart(false)?;
                return self.check_all().map_err(|what| format!("killed after {errno:?}: {what}"));
            }
            _ => {}
        }
        // What a failed sync was to make durable is so when it is sealed.
        self.now = self.now.plus_ns(4_000_000_000_000);
        self.retain();
        for _ in 0..100 {
            if self.store().maintain(self.now) != Maintained::Busy {
                break;
            }
        }
        if self.store().stats(self.now).points_in_memory > 0 {
            return Err(format!(
                "{errno:?} is over, and it is not sealed: {:?}",
                self.store().stats(self.now)
            ));
        }
        self.expected.sync();
        match self.store().stats(self.now).failing {
            Some(failing) => Err(format!("{errno:?} is over, and it still fails: {failing:?}")),
            None => self.check_all(),
        }
    }

    fn snapshot(&mut self) -> Result<(), String> {
        let to = self._room.path().join(format!("snapshot-{}", self.random.next()));
        self.store().snapshot(&to).map_err(|err| format!("snapshot: {err}"))?;
        let options = Options { directory: to, ..self.options.clone() };
        let copy = Embedded::open(self.files.shared(), options).map_err(|err| err.to_string())?;
        let from = copy.acknowledged();
        let (_, mut replay) =
            Log::open(self.files.shared(), &self.copy_of_log()?, from).map_err(|err| err.to_string())?;
        while let Some(entry) = replay.next_entry() {
            let (header, records) = Header::read(entry.datagram).map_err(|err| err.to_string())?;
            let _ = copy.write(&header, records, entry.position);
        }
        let own = self.store.replace(copy);
        let checked = self.check_all().map_err(|what| format!("in a snapshot: {what}"));
        self.store = own;
        checked
    }

    fn copy_of_log(&mut self) -> Result<PathBuf, String> {
        let to = self._room.path().join(format!("log-{}", self.random.next()));
        std::fs::create_dir(&to).map_err(|err| err.to_string())?;
        for file in std::fs::read_dir(self.directory.join("log")).map_err(|err| err.to_string())?.flatten() {
            std::fs::copy(file.path(), to.join(file.file_name())).map_err(|err| err.to_string())?;
        }
        Ok(to)
    }

    fn verify(&mut self) -> Result<(), String> {
        let verified = self.store().verify(&mut || true).map_err(|err| err.to_string())?;
        if verified.damage.is_empty() { Ok(()) } else { Err(format!("case {}: {verified:?}", self.number)) }
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

pub(crate) fn take(found: Found<'_>, got: &mut Vec<(String, Place, Vec<u8>)>) {
    let text = |key: &[u8]| String::from_utf8_lossy(key).into_owned();
    match found {
        Found::Points { key, times_ms, values } => {
            for (time, value) in times_ms.iter().zip(values) {
                got.push((text(key), (*time, Vec::new()), value.to_bits().to_le_bytes().to_vec()));
            }
        }
        Found::Note(note) => {
            got.push((text(note.key), (note.time.ns() / 1_000_000, Vec::new()), note.json.to_vec()));
        }
        Found::State(state) => {
            let under = [&state.window_ns.to_le_bytes()[..], &[state.kind]].concat();
            got.push((text(state.key), (state.time.ns() / 1_000_000, under), state.bytes.to_vec()));
        }
    }
}
