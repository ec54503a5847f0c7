//! The files of the store: they may be damaged, torn, or made by somebody who computed the checksums.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use common::wire::Content;
use leela_storage::block;
use leela_storage::files::Disk;
use leela_storage::log::{Log, Mark, Position};
use leela_storage::sealed::{Block, Sealed, SealedWriter};
use leela_storage::store::small;

use super::in_directory;

/// Blocks. Even first byte: the others are one, and what can be read of it is written and read again; odd: they are
/// points.
pub fn block(bytes: &[u8]) {
    let Some((how, given)) = bytes.split_first() else { return };
    let (mut times, mut values) = (Vec::new(), Vec::new());
    if how % 2 == 0 {
        let mut records = Vec::new();
        if block::decode_records(given, &mut times, &mut records).is_ok() {
            let mut again = Vec::new();
            block::encode_records(&times, &records, &mut again);
            let (mut times_again, mut records_again) = (Vec::new(), Vec::new());
            block::decode_records(&again, &mut times_again, &mut records_again).expect("it was just written");
            assert_eq!((times_again, records_again), (times.clone(), records));
        }
        times.clear();
        if block::decode(given, &mut times, &mut values).is_err() {
            assert!(times.is_empty() && values.is_empty(), "of a damaged block something is left");
            return;
        }
    } else {
        let (mut time, mut value) = (i64::from(*how), 0.0);
        for point in given.chunks(4).take(block::POINTS_MAX) {
            let byte = |at: usize| point.get(at).copied().unwrap_or(0);
            // Near the one before, or anywhere.
            time = match byte(0) {
                0 => time.wrapping_mul(0x9e37_79b9),
                step => time.wrapping_add(10_000 + i64::from(step) - 128),
            };
            value = match byte(1) {
                0 => f64::from_bits(u64::from_le_bytes([byte(2), byte(3), 0, 0, 0, 1, byte(3), byte(2)])),
                1 => value,
                scale => {
                    f64::from(i16::from_le_bytes([byte(2), byte(3)])) / 10_f64.powi(i32::from(scale % 5))
                }
            };
            times.push(time);
            values.push(value);
        }
        if times.is_empty() {
            return;
        }
    }
    assert!(times.len() == values.len() && (1..=block::POINTS_MAX).contains(&times.len()));
    let mut again = Vec::new();
    block::encode(&times, &values, &mut again);
    let (mut times_again, mut values_again) = (Vec::new(), Vec::new());
    block::decode(&again, &mut times_again, &mut values_again).expect("it was just written");
    assert_eq!(times_again, times);
    assert!(values_again.iter().map(|value| value.to_bits()).eq(values.iter().map(|value| value.to_bits())));
}

/// Flips bits of a file: two bytes say where, one which.
fn flip(file: &mut [u8], flips: &[u8]) {
    for flip in flips.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([flip[0], flip[1]]));
        let length = file.len();
        if let Some(byte) = file.get_mut(at % length.max(1)) {
            *byte ^= flip[2];
        }
    }
}

/// The log. The first byte says how many flips follow, the rest is datagrams, each with its length before it; or, when
/// it is 255, what lies behind the last entry. Whatever is there, all that is handed out was logged, and it goes on.
pub fn log(bytes: &[u8]) {
    let Some((how, given)) = bytes.split_first() else { return };
    let (flips, rest) = match how {
        255 => (&[][..], given),
        how => given.split_at((usize::from(how % 8) * 3).min(given.len())),
    };
    in_directory(|directory| log_in(directory, *how, flips, rest));
}

fn log_in(directory: &Path, how: u8, flips: &[u8], given: &[u8]) {
    let mut rest = given;
    let open = |acknowledged| Log::open(Disk::shared(), directory, acknowledged).expect("it can be opened");
    let mut logged = vec![b"first".to_vec()];
    let (mut log, _) = open(Position(0));
    log.append(&logged[0]).expect("there is room");
    while let (Some((length, behind)), true) = (rest.split_first(), how != 255) {
        let (datagram, behind) = behind.split_at(usize::from(*length).min(behind.len()));
        logged.push(datagram.to_vec());
        log.stage(datagram);
        if length % 5 == 0 {
            log.sync(Mark { number: logged.len() as u64, ..Mark::default() }).expect("there is room");
        }
        rest = behind;
    }
    let end = log.commit().expect("there is room");
    let (path, _) = log.segments().pop().expect("one was written");
    drop(log);
    let mut file = fs::read(&path).expect("it was just written");
    flip(&mut file, flips);
    if how == 255 {
        file.extend_from_slice(given);
    }
    fs::write(&path, &file).expect("there is room");

    let (mut log, mut replay) = open(Position(0));
    let (mut position, mut handed_out) = (Position(0), 0);
    let mut left = logged.iter();
    while let Some(entry) = replay.next_entry() {
        assert!(entry.position > position && entry.position <= end, "{position:?}");
        position = entry.position;
        handed_out += 1;
        assert!(
            left.any(|datagram| datagram == entry.datagram),
            "what was never logged, or not in this order"
        );
    }
    let report = replay.report().clone();
    assert!(report.damaged_bytes <= file.len() as u64);
    assert!(handed_out == logged.len() || !report.damages.is_empty(), "{handed_out}: {report:?}");
    assert!(log.append(b"next").expect("there is room") > end);
    let (_, mut replay) = open(position);
    assert_eq!(replay.next_entry().map(|entry| entry.datagram.to_vec()), Some(b"next".to_vec()));
}

/// The checksum of a page or an index: over its place in the file, and all of it but the sum.
fn sum(offset: u64, part: &mut [u8]) {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&offset.to_le_bytes());
    crc.update(&part[..4]);
    crc.update(&part[8..]);
    part[4..8].copy_from_slice(&crc.finalize().to_le_bytes());
}

/// All that can be read of a file.
fn readable(path: &Path) -> Option<Blocks> {
    let files = Disk::shared();
    let _ = Sealed::verify(&files, path);
    let sealed = Sealed::open(&files, path).ok()?;
    let mut all = Blocks::new();
    let (mut entries, mut steps) = (sealed.entries(), 0);
    loop {
        steps += 1;
        assert!(steps < 1 << 20, "a directory without an end");
        match entries.next_entry() {
            Ok(None) => break,
            Ok(Some((key, placed))) => {
                let mut bytes = Vec::new();
                if sealed.read(key, &placed, &mut bytes).is_ok() {
                    all.push((key.to_vec(), placed.block, bytes));
                }
            }
            Err(_) => {}
        }
    }
    let mut found = Vec::new();
    for key in [b"a", b"b", b"\xff"] {
        let _ = sealed.find(key, &mut found);
    }
    Some(all)
}

type Blocks = Vec<(Vec<u8>, Block, Vec<u8>)>;

/// A good file of several pages, and what is in it.
fn good() -> &'static (Vec<u8>, Blocks) {
    static GOOD: OnceLock<(Vec<u8>, Blocks)> = OnceLock::new();
    GOOD.get_or_init(|| {
        in_directory(|directory| {
            let path = directory.join("file");
            let mut writer = SealedWriter::create(Disk::shared(), &path).expect("a file can be made");
            for number in 0..BLOCKS {
                let content = if number % 5 == 4 { Content::Notes } else { Content::Events };
                let (first_ms, sequence) = (i64::from(number) * 1000, u64::from(number % 3));
                let mut coded = Vec::new();
                match content {
                    Content::Notes => block::encode_records(&[first_ms], &[b"{}"], &mut coded),
                    _ => block::encode(&[first_ms], &[f64::from(number)], &mut coded),
                }
                let block = Block { content, first_ms, last_ms: first_ms, count: 1, sequence };
                writer.block(&[b'a' + number; 200], &block, &coded).expect("there is room");
            }
            writer.finish().expect("there is room");
            let blocks = readable(&path).expect("a good file can be opened");
            assert_eq!(blocks.len(), usize::from(BLOCKS));
            (fs::read(&path).expect("it was just written"), blocks)
        })
    })
}

/// Of the good file; its keys are long, so that so few are enough for several pages.
const BLOCKS: u8 = 24;

/// Sealed files. The first byte says what the others are, modulo 4: 0 a whole file; 1 a page, 2 an index, each with its
/// checksum; 3 flips of a good file, and of the same one cut off behind as many bytes as the first two say.
pub fn sealed(bytes: &[u8]) {
    let Some((how, given)) = bytes.split_first() else { return };
    let (good, all) = good();
    let (head, footer) = (&good[..16], &good[good.len() - 24..]);
    let made = match how % 4 {
        0 => given.to_vec(),
        1 => {
            // Its pages are looked for: there is no index.
            let mut page = b"LePg\0\0\0\0\0\0\0\0".to_vec();
            page.extend_from_slice(&(given.len().saturating_sub(6) as u16).to_le_bytes());
            page.extend_from_slice(given);
            page.resize(page.len().max(20), 0);
            sum(16, &mut page);
            [head, &page, footer].concat()
        }
        2 => {
            let offset = good.len() as u64 - 24;
            let mut index = [b"LeIx\0\0\0\0", given].concat();
            sum(offset, &mut index);
            let mut footer = footer.to_vec();
            footer[..8].copy_from_slice(&offset.to_le_bytes());
            let crc = crc32fast::hash(&footer[..20]);
            footer[20..].copy_from_slice(&crc.to_le_bytes());
            [&good[..good.len() - 24], &index, &footer].concat()
        }
        _ => {
            let mut file = good.clone();
            flip(&mut file, given);
            file
        }
    };
    in_directory(|directory| {
        let path = directory.join("file");
        fs::write(&path, &made).expect("there is room");
        let left = readable(&path);
        if how % 4 == 3 {
            let mut whole = all.iter();
            let left = left.unwrap_or_default();
            assert!(left.iter().all(|block| whole.any(|one| one == block)), "a block that was never written");
            assert!(
                given.len() < 3 || given.len() > 5 || left.len() + 1 >= all.len(),
                "one flipped byte costs more than a block"
            );
            let cut = given.first_chunk().map_or(0, |bytes| usize::from(u16::from_le_bytes(*bytes)));
            fs::write(&path, &made[..cut.min(made.len())]).expect("there is room");
            readable(&path);
        }
    });
}

/// State files, whose checksum is right, and rows of the index. Even first byte: a state file is read and written as the
/// same, or refused; odd: so is a row, whose names are read again from the rows that are made of them.
pub fn kept(bytes: &[u8]) {
    let Some((how, given)) = bytes.split_first() else { return };
    if how % 2 == 0 {
        let mut file = [b"LeelaSta\x01\0\0\0\0\0\0\0", given].concat();
        let crc = crc32fast::hash(given);
        file[12..16].copy_from_slice(&crc.to_le_bytes());
        if let Some(again) = small::state_again(&file) {
            // A number may be written in more bytes than it needs, and more may follow.
            assert!(again.len() <= file.len());
            assert_eq!(small::state_again(&again), Some(again));
        }
        return;
    }
    let row = [&crc32fast::hash(given).to_le_bytes()[..], given].concat();
    let Some(mut names) = small::names_of(&row) else { return };
    names.sort();
    names.dedup();
    let again: Vec<Vec<u8>> = small::rows_of(&names)
        .iter()
        .flat_map(|row| small::names_of(row).expect("it was just made"))
        .collect();
    assert_eq!(again, names);
}
