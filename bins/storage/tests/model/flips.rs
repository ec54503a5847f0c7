//! A byte of any file of a store is another one: the store opens, serves the rest, and says what is wrong.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use common::metric::{Event, Note};
use common::query::selector::Selector;
use common::time::Time;
use common::wire::{Batch, Content, Header};
use leela_storage::files::Disk;
use leela_storage::log::{Log, Mark};
use leela_storage::store::embedded::Embedded;
use leela_storage::store::options::Options;
use leela_storage::store::{Kind, Maintained, Range, Store, Which};

use crate::case::take;
use crate::random::Random;

const FLIPS: u64 = 2000;
const SERIES: usize = 40;

type Found = BTreeMap<(String, i64), Vec<u8>>;

/// A store of two sealed files, an index, and a log with what is sealed and what is not.
fn make(directory: &Path) -> Found {
    let mut options = Options::at(directory.join("store"));
    (options.min_free, options.block_points) = (0, 20);
    let store = Embedded::open(Disk::shared(), options).unwrap();
    let (mut log, _) = Log::open(Disk::shared(), &directory.join("log"), store.acknowledged()).unwrap();
    let mut want = Found::new();
    let mut now = Time::from_secs(1_800_000_000);
    for round in 0..3 {
        let mut events = Batch::new(Content::Events);
        let mut notes = Batch::new(Content::Notes);
        for series in 0..SERIES {
            let key = format!("web{series:02}.cpu;dc={}", ["ams", "fra"][series % 2]);
            for step in 0..40_i64 {
                let time_ms = (now.ns() / 1_000_000) + step * 1000;
                let value = (series as f64 + step as f64 / 100.0) * f64::from(round + 1);
                let event = Event { key: key.as_bytes(), time: Time::from_ns(time_ms * 1_000_000), value };
                if events.event(&event).is_ok() {
                    want.insert((key.clone(), time_ms), value.to_bits().to_le_bytes().to_vec());
                }
            }
        }
        let json = format!("{{\"round\":{round}}}");
        let note = Note { key: b"deploy", time: now, json: json.as_bytes() };
        assert!(notes.note(&note).is_ok());
        want.insert(("deploy".to_owned(), now.ns() / 1_000_000), json.into_bytes());
        for batch in [&mut events, &mut notes] {
            let datagram = batch.seal(1, 1);
            let position = log.append(datagram).unwrap();
            let (header, records) = Header::read(datagram).unwrap();
            assert_eq!(store.write(&header, records, position).stored, u64::from(header.count));
        }
        log.sync(Mark::default()).unwrap();
        now = now.plus_ns(86_400_000_000_000);
        if round < 2 {
            while store.maintain(now) == Maintained::Busy {}
            now = now.plus_ns(3_600_000_000_000);
            while store.maintain(now) == Maintained::Busy {}
            assert_eq!(store.stats(now).points_in_memory, 0);
        }
    }
    want
}

fn files_of(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for part in ["store", "log"] {
        files.extend(std::fs::read_dir(directory.join(part)).unwrap().map(|entry| entry.unwrap().path()));
    }
    files.sort();
    files
}

/// What a store holds, and whether anything of it is reported as damaged.
fn read(directory: &Path) -> (Found, bool) {
    let mut options = Options::at(directory.join("store"));
    options.min_free = 0;
    let store = Embedded::open(Disk::shared(), options).unwrap();
    let (_, mut replay) = Log::open(Disk::shared(), &directory.join("log"), store.acknowledged()).unwrap();
    while let Some(entry) = replay.next_entry() {
        let (header, records) = Header::read(entry.datagram).unwrap();
        let _ = store.write(&header, records, entry.position);
    }
    let report = replay.report();
    let mut is_reported = !report.damages.is_empty();
    let mut found = Vec::new();
    for kind in [Kind::Events, Kind::Notes] {
        let all = Selector::parse("").unwrap();
        let (from, to) = (Time::from_ns(i64::MIN), Time::from_ns(i64::MAX));
        let range = Range { which: Which::Match(&all, &[]), kind, from, to, limit: None };
        let ended = store.range(&range, to, &mut |one| {
            take(one, &mut found);
            ControlFlow::Continue(())
        });
        is_reported |= !ended.unwrap().damage.is_empty();
    }
    let verified = store.verify(&mut || true).unwrap();
    let stats = store.stats(Time::from_secs(1_800_000_000));
    is_reported |= !verified.damage.is_empty() || !stats.damage.is_empty() || stats.index_rebuilt > 0;
    (found.into_iter().map(|(key, (time, _), bytes)| ((key, time), bytes)).collect(), is_reported)
}

#[test]
fn a_flipped_byte_of_any_file_costs_its_block_and_is_reported() {
    let memory = Path::new("/dev/shm");
    let room = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
    let sound = room.path().join("sound");
    let want = make(&sound);
    assert_eq!(read(&sound), (want.clone(), false));
    let files = files_of(&sound);
    assert!(files.len() >= 6, "{files:?}");
    let contents: Vec<Vec<u8>> = files.iter().map(|file| std::fs::read(file).unwrap()).collect();
    let mut random = Random::new(2026);
    let (mut lost, mut reported) = (0, 0);
    for number in 0..FLIPS {
        let directory = room.path().join(number.to_string());
        // Every file has its share of the flips, and in the larger ones they go everywhere.
        let which = random.below(files.len() as u64) as usize;
        let at = random.below(contents[which].len() as u64) as usize;
        for (place, (file, bytes)) in files.iter().zip(&contents).enumerate() {
            let to = directory.join(file.strip_prefix(&sound).unwrap());
            std::fs::create_dir_all(to.parent().unwrap()).unwrap();
            let mut bytes = bytes.clone();
            if place == which {
                bytes[at] ^= 1 << random.below(8);
            }
            std::fs::write(&to, bytes).unwrap();
        }
        let (found, is_reported) = read(&directory);
        let label = format!("flip {number}: byte {at} of {:?}", files[which]);
        for (place, bytes) in &found {
            assert_eq!(want.get(place), Some(bytes), "{label}: {place:?}");
        }
        let missing = want.len() - found.len();
        // A datagram of the log is lost whole; a block has at most 40 points.
        let is_log = files[which].extension().is_some_and(|extension| extension == "log");
        assert!(missing <= if is_log { SERIES * 40 } else { 40 }, "{label}: {missing} are missing");
        assert!(missing == 0 || is_reported, "{label}: {missing} are missing, and nothing is said");
        lost += u64::from(missing > 0);
        reported += u64::from(is_reported);
        std::fs::remove_dir_all(&directory).unwrap();
    }
    println!("{lost} of {FLIPS} flips cost something, {reported} were reported");
    assert!(lost > 0 && reported >= lost);
}
