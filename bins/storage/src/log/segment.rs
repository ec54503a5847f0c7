//! The bytes of a segment: its head and its entries.

use std::io;
use std::path::PathBuf;

use common::Versions;

use super::Position;

/// The versions that there are.
pub const VERSIONS: Versions = Versions::new(1, 1, 1);

/// Bytes of a segment's head.
pub(super) const HEAD_BYTES: usize = 48;

/// Bytes of an entry before its payload.
pub(super) const ENTRY_BYTES: usize = 12;

/// Bytes of a sync mark's payload.
pub(super) const MARK_BYTES: usize = 16;

/// The longest payload that is looked at; longer ones are damage.
const PAYLOAD_BYTES_MAX: usize = 1 << 20;

const MAGIC: &[u8; 8] = b"LeelaLog";
const MARK: [u8; 3] = *b"\xa7Lg";
const SUFFIX: &str = ".log";

/// Where a segment lies.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) path: PathBuf,
    /// The position of its first entry.
    pub(super) first: u64,
    /// Bytes of the file, with its head.
    pub(super) bytes: u64,
    /// Behind its last datagram; its end, where that is not known.
    pub(super) taken: u64,
}

impl Place {
    /// Behind its last entry.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(self.bytes.saturating_sub(HEAD_BYTES as u64))
    }
}

/// The name of the segment whose first entry is at `first`.
pub(super) fn name(first: u64) -> String {
    format!("{first:016x}{SUFFIX}")
}

/// The position of the first entry, from a segment's name; `None` when it is none.
pub(super) fn first(file_name: &str) -> Option<u64> {
    let digits = file_name.strip_suffix(SUFFIX)?;
    let first = u64::from_str_radix(digits, 16).ok()?;
    // One position, one name.
    (name(first) == file_name).then_some(first)
}

/// What a segment says of itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Head {
    pub(super) boot: [u8; 16],
    pub(super) sequence: u64,
    pub(super) first: u64,
}

impl Head {
    pub(super) fn to_bytes(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSIONS.written().to_le_bytes());
        bytes[16..32].copy_from_slice(&self.boot);
        bytes[32..40].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[40..].copy_from_slice(&self.first.to_le_bytes());
        let sum = Head::sum(&bytes);
        bytes[12..16].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    fn sum(bytes: &[u8; HEAD_BYTES]) -> u32 {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&bytes[..12]);
        crc.update(&bytes[16..]);
        crc.finalize()
    }

    /// Reads it; `None` when it is damaged, or of a version that is not read.
    pub(super) fn read(segment: &[u8]) -> Option<Head> {
        Head::known(segment).ok().flatten()
    }

    /// As [`Head::read`]; fails where a later release wrote it.
    pub(super) fn known(segment: &[u8]) -> io::Result<Option<Head>> {
        let Some(bytes) = segment.first_chunk::<HEAD_BYTES>() else { return Ok(None) };
        let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
        let (version, sum) = (word(8) as u32, (word(8) >> 32) as u32);
        if bytes[..8] != *MAGIC || sum != Head::sum(bytes) || !VERSIONS.known(version)? {
            return Ok(None);
        }
        let boot = bytes[16..32].try_into().expect("16 bytes");
        Ok(Some(Head { boot, sequence: word(32), first: word(40) }))
    }
}

/// What an entry's payload is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(super) enum Kind {
    Datagram = 1,
    Sync = 2,
}

fn sum(position: u64, head: &[u8], payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&position.to_le_bytes());
    crc.update(head);
    crc.update(payload);
    crc.finalize()
}

/// Appends the entry that begins at `position`.
pub(super) fn write_entry(position: u64, kind: Kind, payload: &[u8], out: &mut Vec<u8>) {
    let mut head = [0; ENTRY_BYTES];
    head[..3].copy_from_slice(&MARK);
    head[3] = kind as u8;
    head[4..8].copy_from_slice(&(payload.len() as u32).to_le_bytes());
    let sum = sum(position, &head[..8], payload);
    head[8..].copy_from_slice(&sum.to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(payload);
}

/// An entry whose checksum holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Whole<'a> {
    /// Its kind's code.
    pub(super) kind: u8,
    pub(super) payload: &'a [u8],
}

impl<'a> Whole<'a> {
    /// The entry at the beginning of `bytes`, which is at `position`.
    pub(super) fn read(position: u64, bytes: &'a [u8]) -> Option<Whole<'a>> {
        let (head, rest) = bytes.split_first_chunk::<ENTRY_BYTES>()?;
        if head[..3] != MARK {
            return None;
        }
        let length = u32::from_le_bytes(head[4..8].try_into().expect("4 bytes")) as usize;
        if length > PAYLOAD_BYTES_MAX {
            return None;
        }
        let payload = rest.get(..length)?;
        let want = u32::from_le_bytes(head[8..].try_into().expect("4 bytes"));
        (sum(position, &head[..8], payload) == want).then_some(Whole { kind: head[3], payload })
    }

    /// Bytes of the whole entry.
    pub(super) fn bytes(&self) -> usize {
        ENTRY_BYTES + self.payload.len()
    }
}

/// How many bytes to pass over to the next entry that is whole; all of them when there is none. `bytes` are at
/// `position`, and the first of them begins no entry.
pub(super) fn damaged_bytes(position: u64, bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(found) = bytes.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == MARK[0])) {
        at += found;
        if Whole::read(position + at as u64, &bytes[at..]).is_some() {
            return at;
        }
        at += 1;
    }
    bytes.len()
}

impl Position {
    pub(super) fn of(place: &Place, offset: usize) -> Position {
        Position(place.first + (offset - HEAD_BYTES) as u64)
    }
}
