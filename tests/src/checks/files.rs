//! Files that outlive a process: they may be damaged, or another's.

use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use common::Ahead;
use common::books::{Admission, Books, BooksError, CARRIED_WORDS, Family, Label, Snapshot};
use common::counters;
use common::growth::{self, Growth, GrowthFile};
use common::queries::{self, Queries};
use common::wire::{Content, Header};
use sockets::peer::{CONTENTS, Standing, Wants};
use sockets::ring::{BYTES_MIN, Ring, RingFile};

use super::in_directory;

/// Those in front of what a file of growth has.
const HEADER_BYTES: usize = 64;

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
    /// The counters of a small process.
    struct Counters {
        /// All.
        received: u64,
        /// Of these, the bad ones.
        refused: Family<Reason>,
    }
}

/// The first `bytes` bytes: those given, then the same again and again.
fn repeated(given: &[u8], bytes: usize) -> Vec<u8> {
    let mut all = given[..given.len().min(bytes)].to_vec();
    while !all.is_empty() && all.len() < bytes {
        all.extend_from_within(..all.len().min(bytes - all.len()));
    }
    all
}

/// As much of a file is given again and again at most: the head of a ring, and more than its smallest entries behind it.
const AGAIN_BYTES_MAX: usize = 64 * 1024;

/// Makes a file of `bytes` bytes: those given, then the same again and again at its front, and zeros, which nobody has to
/// write.
fn write_stretched(path: &Path, given: &[u8], bytes: usize, again: bool) {
    match again {
        true => fs::write(path, repeated(given, bytes.min(AGAIN_BYTES_MAX))),
        false => fs::write(path, &given[..given.len().min(bytes)]),
    }
    .and_then(|()| fs::File::options().write(true).open(path)?.set_len(bytes as u64))
    .expect("a temporary file can be written");
}

/// As many bytes as books with this header have; `None` where that is out of range.
fn books_bytes(given: &[u8]) -> Option<usize> {
    let word = |at: usize| Some(u64::from_ne_bytes(*given.get(at * 8..)?.first_chunk()?));
    let (slots, rows) = (usize::try_from(word(8)?).ok()?, usize::try_from(word(9)?).ok()?);
    if slots > 64 || rows > 64 {
        return None;
    }
    let bank = slots + CARRIED_WORDS + rows * 6;
    Some((64 + 1 + 2 * bank) * 8 + slots * 64 + 256 * 512)
}

/// Books: any file is read or refused, what is read can be shown, and a process can go on with it. The first byte
/// says whether the file is as given, or stretched to the length that its header tells.
pub fn books(bytes: &[u8]) {
    let Some((how, given)) = bytes.split_first() else { return };
    let length = if how % 4 == 0 { None } else { books_bytes(given) };
    in_directory(|directory| {
        let path = directory.join("books");
        write_stretched(&path, given, length.unwrap_or(given.len()), how % 4 == 1);
        if let Ok(snapshot) = Snapshot::read(&path) {
            assert_eq!(snapshot.total("refused"), snapshot.total("refused"));
            assert!(snapshot.refusals().len() <= 256);
            for row in &snapshot.sources {
                assert!(row.applied() <= row.next);
            }
            let mut names = snapshot.counters.iter();
            assert!(names.all(|(name, _)| name.len() <= 3 * 64));
        }
        // Whatever it was, the next instance begins, counts and leaves books that hold; but for those of a later release,
        // which wait for it.
        let mut books = match Books::<Counters>::open(&path, "test", 4) {
            Err(BooksError::Io { source, .. }) if Ahead::is_why(&source) => {
                let left = fs::read(&path).expect("it is there");
                write_stretched(&path, given, length.unwrap_or(given.len()), how % 4 == 1);
                assert_eq!(left, fs::read(&path).expect("it was just written"));
                return;
            }
            books => books.expect("books can always be begun"),
        };
        books.counters = Counters { received: 7, ..Counters::default() };
        books.counters.refused.add(Reason::Length);
        books.counters.refused.add(Reason::Value);
        let header = Header { content: Content::Metrics, count: 5, source: 77, first: 3 };
        if let Admission::Take { missing } = books.admit(&header) {
            assert!(missing <= header.first);
        }
        assert_eq!(books.admit(&header), Admission::Repeated);
        assert_ne!(books.source(), 0);
        let source = books.source();
        books.close([9; CARRIED_WORDS]);
        let after = Snapshot::read(&path).expect("books that were just closed can be read");
        assert_eq!((after.counter("received"), after.source, after.carried), (7, source, [9; CARRIED_WORDS]));
    });
}

/// Rings: any file is read or refused, and a process can go on with it: what waits is handed out or dropped, and
/// what is appended comes. The first bytes are what the books carry: head and numbers.
pub fn ring(bytes: &[u8]) {
    let Some((how, rest)) = bytes.split_first() else { return };
    let Some((head, given)) = rest.split_first_chunk() else { return };
    let head = u64::from(u32::from_le_bytes(*head)) & !7;
    let mut carried = [0; CARRIED_WORDS];
    carried[0] = head;
    carried[1..=CONTENTS].fill(u64::from(*how));
    // Eight words of header, 64 places.
    let places = 8 + 64 * (2 + 14 + CONTENTS + 11);
    let length = if how % 4 == 0 { given.len() } else { places * 8 + BYTES_MIN as usize };
    in_directory(|directory| {
        let path = directory.join("ring");
        write_stretched(&path, given, length, how % 4 == 1);
        let numbers = RingFile::numbers(&carried);
        let read = match RingFile::read(&path) {
            Ok(read) => read,
            // A later release's: nobody here opens it.
            Err(error) => {
                assert!(Ahead::is_why(&error), "{error}");
                return assert!(Ring::open(&path, BYTES_MIN, 1, &carried).is_err());
            }
        };
        let source = read.as_ref().map_or(1, |ring| ring.source);
        for peer in read.iter().flat_map(|ring| &ring.peers) {
            peer.waiting(&numbers);
        }
        let mut ring = Ring::open(&path, BYTES_MIN, source, &carried).expect("a ring can always be begun");
        assert!((0.0..=1.0).contains(&ring.filling()), "{}", ring.filling());
        let wants = Wants { contents: 1 << 2, text: false, durable: false, fixed: false };
        let joined = ring.join(Path::new("/run/leela/new"), wants).ok();
        ring.append(2, 3, b"one");
        ring.append(1, 1, b"another");
        ring.seal();
        for place in 0..ring.peers().len() {
            if ring.peers()[place].standing != Standing::Active {
                continue;
            }
            let mut handed_out = 0;
            while let Some(entry) = ring.next_entry(place) {
                handed_out += 1;
                assert!(ring.datagram(&entry).len() <= BYTES_MIN as usize);
                if Some(place) == joined {
                    assert_eq!((ring.datagram(&entry), entry.count), (&b"one"[..], 3));
                }
                ring.sent(place, &entry);
                assert!(handed_out <= BYTES_MIN / 16, "a ring without an end");
            }
            assert_eq!(ring.next_entry(place).map(|entry| entry.next), None);
            assert!(Some(place) != joined || (handed_out, ring.waiting(place)) == (1, 0));
        }
    });
}

/// The timeline's file of growth: any file is read or refused, what is read can be shown, and is written as what is read
/// again; a process can go on with whatever is there. The first byte says whether the others lie over the beginning of a
/// good file, over its contents, or are all of it.
pub fn growth(bytes: &[u8]) {
    let Some((how, given)) = bytes.split_first() else { return };
    in_directory(|directory| {
        let path = directory.join(growth::FILE);
        let mut file = good_growth(&path).to_vec();
        match how % 4 {
            0 => file = given.to_vec(),
            how => {
                let start = if how == 1 { 0 } else { HEADER_BYTES };
                // Again and again, so that both banks have it.
                let room = file.len() - start;
                let length = if how == 3 && !given.is_empty() { room } else { given.len().min(room) };
                file[start..start + length].copy_from_slice(&repeated(given, length));
            }
        }
        fs::write(&path, &file).expect("a temporary file can be written");
        let found = Growth::read(&path);
        if let Ok(found) = &found {
            assert!(found.names.len() <= growth::NAMES_MAX && found.tags.len() <= growth::TAGS_MAX);
            assert!(found.a_minute(found.total()) >= 0.0);
            assert!(found.culprit().is_none_or(|row| found.names.contains(row)));
            assert!(found.culprit_tag().is_none_or(|row| found.tags.contains(row)));
        }
        let mut file = GrowthFile::open(&path).expect("it can always be begun");
        let mut again = |growth: &Growth| {
            file.write(growth);
            Growth::read(&path).expect("it was just written")
        };
        // Texts that were none are cut once.
        let cut = again(&found.unwrap_or_default());
        assert_eq!(again(&cut), cut);
    });
}

/// A file that holds no growth, as it is written to `path` the first time.
fn good_growth(path: &Path) -> &'static [u8] {
    static GOOD: OnceLock<Vec<u8>> = OnceLock::new();
    GOOD.get_or_init(|| {
        GrowthFile::open(path).expect("it can always be begun").write(&Growth::default());
        fs::read(path).expect("it was just written")
    })
}

/// dmproc's file of queries: any file is read or refused, and what is read is written as what is read again. Behind a first
/// byte that is odd they stand behind a good first line.
pub fn queries(bytes: &[u8]) {
    let Some((how, given)) = bytes.split_first() else { return };
    in_directory(|directory| {
        let path = directory.join(queries::FILE);
        let head: &[u8] = if how % 2 == 1 { b"{\"time_ns\":1}\n" } else { b"" };
        fs::write(&path, [head, given].concat()).expect("a temporary file can be written");
        if let Ok(found) = Queries::read(&path) {
            found.write(&path).expect("a temporary file can be written");
            assert_eq!(Queries::read(&path).expect("it was just written"), found);
        }
    });
}
