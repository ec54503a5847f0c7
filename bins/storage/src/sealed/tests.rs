use std::fs;
use std::path::Path;

use common::wire::Content;

use super::*;
use crate::block;
use crate::files::{Disk, SharedFiles};

type Blocks = Vec<(Vec<u8>, Block, Vec<u8>)>;

/// A place in memory: these tests open thousands of files.
fn directory() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// Blocks of `series` series, of some of them several.
fn blocks(series: usize) -> Blocks {
    let mut all = Blocks::new();
    for number in 0..series {
        let key = format!("web{:02}.nginx.requests.{number:06};dc=ams", number / 100).into_bytes();
        for part in 0..=(number % 7 == 3) as i64 {
            let times: Vec<i64> = (0..3).map(|at| 1_700_000_000_000 + part * 100_000 + at * 10_001).collect();
            let mut bytes = Vec::new();
            let content = if number % 5 == 4 { Content::Notes } else { Content::Events };
            match content {
                Content::Events => block::encode(&times, &[number as f64, 0.5, 7.25], &mut bytes),
                _ => block::encode_records(&times, &[b"{}", b"{\"a\":1}", b""], &mut bytes),
            }
            let sequence = (number % 3) as u64;
            let block = Block { content, first_ms: times[0], last_ms: times[2], count: 3, sequence };
            all.push((key.clone(), block, bytes));
        }
    }
    all
}

fn write(path: &Path, blocks: &Blocks) -> Summary {
    let mut writer = SealedWriter::create(Disk::shared(), path).unwrap();
    for (key, block, bytes) in blocks {
        writer.block(key, block, bytes).unwrap();
    }
    writer.finish().unwrap()
}

/// All blocks that can be read, and how many errors came between.
fn readable(sealed: &Sealed) -> (Blocks, usize) {
    let (mut all, mut errors) = (Blocks::new(), 0);
    let mut entries = sealed.entries();
    loop {
        match entries.next_entry() {
            Ok(None) => return (all, errors),
            Ok(Some((key, placed))) => {
                let mut bytes = Vec::new();
                match sealed.read(key, &placed, &mut bytes) {
                    Ok(()) => all.push((key.to_vec(), placed.block, bytes)),
                    Err(_) => errors += 1,
                }
            }
            Err(_) => errors += 1,
        }
    }
}

fn open(path: &Path) -> Result<Sealed, SealedError> {
    let files: SharedFiles = Disk::shared();
    Sealed::open(&files, path)
}

#[test]
fn what_was_written_is_found_by_key_and_in_order() {
    let directory = directory();
    let path = directory.path().join("a");
    for series in [0, 1, 2, 130, 1000, 9000] {
        let want = blocks(series);
        let summary = write(&path, &want);
        assert_eq!(Disk::shared().list(directory.path()).unwrap(), ["a"]);
        assert_eq!(summary.bytes, fs::metadata(&path).unwrap().len());
        let sealed = open(&path).unwrap();
        assert_eq!(sealed.summary(), summary);
        assert_eq!((summary.series, summary.blocks), (series as u64, want.len() as u64));
        assert!(sealed.memory_bytes() < 512 + series, "{series}: {}", sealed.memory_bytes());
        assert_eq!(readable(&sealed), (want.clone(), 0), "{series}");
        for group in want.chunk_by(|one, next| one.0 == next.0) {
            let mut found = Vec::new();
            sealed.find(&group[0].0, &mut found).unwrap();
            let found: Vec<Block> = found.iter().map(|placed| placed.block).collect();
            assert_eq!(found, group.iter().map(|(_, block, _)| *block).collect::<Vec<_>>());
        }
        for key in ["", "a", "web00.nginx", "web00.nginx.requests.000000;dc=amsterdam", "zzz"] {
            let mut found = Vec::new();
            sealed.find(key.as_bytes(), &mut found).unwrap();
            assert!(found.is_empty(), "{key:?}");
        }
        assert!(sealed.damages().is_empty());
        assert_eq!(Sealed::verify(&Disk::shared(), &path).unwrap(), []);
    }
}

#[test]
fn one_key_may_fill_many_pages_and_keys_may_be_long() {
    let directory = directory();
    let path = directory.path().join("a");
    let mut want = Blocks::new();
    for (key, parts) in [("a".repeat(1000), 3), ("a".repeat(1000) + "b", 400), ("b".repeat(1024), 1)] {
        for part in 0..parts {
            let mut bytes = Vec::new();
            let first_ms = part * 7919 % 1000 + part * 1_000_000;
            block::encode(&[first_ms], &[1.0], &mut bytes);
            let sequence = u64::MAX - part as u64;
            let block = Block { content: Content::Events, first_ms, last_ms: first_ms, count: 1, sequence };
            want.push((key.clone().into_bytes(), block, bytes));
        }
    }
    write(&path, &want);
    let sealed = open(&path).unwrap();
    assert_eq!(readable(&sealed), (want.clone(), 0));
    for (key, parts) in [("a".repeat(1000), 3), ("a".repeat(1000) + "b", 400), ("b".repeat(1024), 1)] {
        let mut found = Vec::new();
        sealed.find(key.as_bytes(), &mut found).unwrap();
        assert_eq!(found.len(), parts);
    }
}

#[test]
fn the_order_is_kept_and_a_file_has_its_name_only_when_it_is_whole() {
    let directory = directory();
    let path = directory.path().join("a");
    let block = |first_ms, content| Block { content, first_ms, last_ms: first_ms, count: 1, sequence: 0 };
    let mut writer = SealedWriter::create(Disk::shared(), &path).unwrap();
    writer.block(b"b", &block(5, Content::States), b"").unwrap();
    writer.block(b"b", &block(5, Content::States), b"").unwrap();
    writer.block(b"b", &block(4, Content::Notes), b"").unwrap();
    for (key, block) in [
        (b"a", block(9, Content::Notes)),
        (b"b", block(3, Content::Notes)),
        (b"b", block(9, Content::Events)),
    ] {
        let done = writer.block(key, &block, b"");
        assert!(matches!(done, Err(SealedError::Order { .. })), "{key:?} {block:?}");
    }
    assert!(!path.exists() && directory.path().join("a.new").exists());
    drop(writer);
    assert_eq!(Disk::shared().list(directory.path()).unwrap(), [""; 0]);
    fs::write(directory.path().join("a.new"), "of one that was killed").unwrap();
    write(&path, &blocks(3));
    assert_eq!(Disk::shared().list(directory.path()).unwrap(), ["a"]);
}

#[test]
fn any_flipped_byte_costs_its_block_at_most_and_is_reported() {
    let directory = directory();
    let path = directory.path().join("a");
    let want = blocks(100);
    write(&path, &want);
    let whole = fs::read(&path).unwrap();
    let sealed = open(&path).unwrap();
    // Two pages, each with a parity page of its own.
    assert_eq!(whole.windows(4).filter(|bytes| *bytes == page::MAGIC).count(), 4);
    let mut places = Vec::new();
    let mut entries = sealed.entries();
    while let Some((_, placed)) = entries.next_entry().unwrap() {
        places.push(placed.offset..placed.offset + u64::from(placed.length));
    }
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        fs::write(&path, &bytes).unwrap();
        let sealed = open(&path).unwrap();
        let (got, errors) = readable(&sealed);
        let hit = places.iter().position(|place| place.contains(&(at as u64)));
        assert_eq!(errors, usize::from(hit.is_some()), "{at}");
        let left = want.iter().enumerate().filter(|(number, _)| Some(*number) != hit);
        assert!(got.iter().eq(left.map(|(_, block)| block)), "{at}");
        let damages = Sealed::verify(&Disk::shared(), &path).unwrap();
        assert_eq!(damages.len(), 1, "{at} {damages:?}");
        let Damage { offset, bytes, is_lost, .. } = damages[0];
        assert!((offset..offset + bytes).contains(&(at as u64)), "{at} {damages:?}");
        assert_eq!(is_lost, hit.is_some(), "{at} {damages:?}");
    }
}

#[test]
fn a_file_cut_anywhere_gives_all_but_its_end() {
    let directory = directory();
    let path = directory.path().join("a");
    let want = blocks(900);
    write(&path, &want);
    let whole = fs::read(&path).unwrap();
    for cut in (0..whole.len()).step_by(97) {
        fs::write(&path, &whole[..cut]).unwrap();
        let Ok(sealed) = open(&path) else {
            assert!(cut < 2000 + page::PAGE_BYTES, "{cut}");
            continue;
        };
        let (got, errors) = readable(&sealed);
        assert_eq!(errors, 0);
        assert!(got.iter().eq(&want[..got.len()]), "{cut}");
        // Of a page it is some hundred blocks with it.
        assert!(got.len() as f64 > want.len() as f64 * cut as f64 / whole.len() as f64 - 160.0, "{cut}");
        assert!(sealed.damages().iter().any(|damage| damage.is_lost) || got == want, "{cut}");
        assert_eq!(sealed.damages().is_empty(), cut == whole.len());
    }
}

#[test]
fn a_lost_sector_costs_its_blocks_and_with_index_and_pages_gone_the_others_are_still_there() {
    let directory = directory();
    let path = directory.path().join("a");
    let want = blocks(5000);
    write(&path, &want);
    let whole = fs::read(&path).unwrap();
    let mut partial = 0;
    for begin in (0..whole.len()).step_by(4096) {
        let mut bytes = whole.clone();
        let end = (begin + 4096).min(whole.len());
        bytes[begin..end].fill(0);
        fs::write(&path, &bytes).unwrap();
        let sealed = open(&path).unwrap();
        let (got, errors) = readable(&sealed);
        // A sector may hold a page and its parity page, where these come right behind it.
        partial += usize::from(got.len() + errors < want.len());
        assert!(
            errors <= 4096 / 15 && got.len() + errors + 300 >= want.len(),
            "{begin} {} {errors}",
            got.len()
        );
        // The end of the file too: the pages are looked for, and the lost ones given back.
        let length = bytes.len();
        bytes[length - 60..].fill(0);
        fs::write(&path, &bytes).unwrap();
        let sealed = open(&path).unwrap();
        let (got, errors) = readable(&sealed);
        assert!(errors <= 4096 / 15, "{begin} {errors}");
        assert!(got.len() + errors + 300 >= want.len(), "{begin} {} {errors}", got.len());
    }
    assert!(partial <= 2, "{partial} of {} sectors", whole.len() / 4096);
}

#[test]
fn two_lost_pages_of_one_lane_are_said_to_be_lost_where_they_are_asked_for() {
    let directory = directory();
    let path = directory.path().join("a");
    let want = blocks(5000);
    write(&path, &want);
    let mut bytes = fs::read(&path).unwrap();
    let pages: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(&page::MAGIC)).collect();
    for page in [pages[2], pages[6]] {
        bytes[page + 30] ^= 1;
    }
    for has_index in [true, false] {
        if !has_index {
            let length = bytes.len();
            bytes[length - 40] ^= 1;
        }
        fs::write(&path, &bytes).unwrap();
        let sealed = open(&path).unwrap();
        let (got, errors) = readable(&sealed);
        assert_eq!(errors, 2);
        assert!(got.len() + 250 > want.len());
        let mut found = Vec::new();
        let mut lost = 0;
        for (key, _, _) in &want {
            found.clear();
            match sealed.find(key, &mut found) {
                Ok(()) => assert!(!found.is_empty(), "{}", String::from_utf8_lossy(key)),
                Err(_) => lost += 1,
            }
        }
        assert!((100..500).contains(&lost), "{lost}");
    }
}

#[test]
fn what_is_no_sealed_file_is_foreign() {
    let directory = directory();
    let path = directory.path().join("a");
    write(&path, &blocks(3));
    let mut other_version = fs::read(&path).unwrap();
    other_version[8] = 9;
    let sum = crc32fast::hash(&other_version[..12]);
    other_version[12..16].copy_from_slice(&sum.to_le_bytes());
    for bytes in [&b""[..], b"x", &[0; 4096], b"LeelaSld", &other_version] {
        fs::write(&path, bytes).unwrap();
        assert!(
            matches!(open(&path), Err(SealedError::Foreign { .. })),
            "{:?}",
            &bytes[..bytes.len().min(9)]
        );
    }
}
