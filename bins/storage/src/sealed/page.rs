//! A page of the directory: the blocks that lie before it, and whose they are.

use common::key::KEY_BYTES_MAX;
use common::wire::Content;

use super::{Block, Placed, SUM_BYTES};
use crate::varint;

/// A page is closed when it has so many bytes.
pub(super) const PAGE_BYTES: usize = 1024;

/// No page is longer: the last entry of one has a key of [`KEY_BYTES_MAX`] and its numbers.
pub(super) const PAGE_BYTES_MAX: usize = PAGE_BYTES + KEY_BYTES_MAX + 64;

/// Bytes of a page before its entries.
pub(super) const HEAD_BYTES: usize = 20;

/// The first bytes of every page; they are looked for when the index is damaged.
pub(super) const MAGIC: [u8; 4] = *b"LePg";

const SAME_KEY: u8 = 1 << 2;
const SAME_COUNT: u8 = 1 << 3;
const SAME_SEQUENCE: u8 = 1 << 4;
const HEADLESS: u8 = 1 << 5;
const CONTENT: u8 = 3;

/// The code of a content in an entry.
fn code(content: Content) -> u8 {
    content as u8 - 2
}

/// The content of a code.
fn content(code: u8) -> Option<Content> {
    [Content::Events, Content::States, Content::Notes].get(usize::from(code)).copied()
}

/// The entry before, of which the next one says only what is different.
#[derive(Clone, Debug, Default)]
struct Last {
    key: Vec<u8>,
    first_ms: i64,
    span_ms: i64,
    count: u32,
    sequence: u64,
}

/// A page that is being filled.
#[derive(Debug)]
pub(super) struct Builder {
    bytes: Vec<u8>,
    entries: u16,
    blocks_bytes: u32,
    last: Last,
}

impl Builder {
    pub(super) fn new() -> Builder {
        Builder { bytes: vec![0; HEAD_BYTES], entries: 0, blocks_bytes: 0, last: Last::default() }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes.len() >= PAGE_BYTES || self.entries == u16::MAX || self.blocks_bytes >= 1 << 30
    }

    /// Adds the entry of a block that has `length` bytes in the file, and whether its head was left out.
    pub(super) fn push(&mut self, key: &[u8], block: &Block, length: u32, is_headless: bool) {
        let last = &mut self.last;
        let is_same_key = self.entries > 0 && last.key == key;
        let mut flags = code(block.content);
        for (holds, flag) in [
            (is_same_key, SAME_KEY),
            (last.count == block.count, SAME_COUNT),
            (last.sequence == block.sequence, SAME_SEQUENCE),
            (is_headless, HEADLESS),
        ] {
            flags |= if holds { flag } else { 0 };
        }
        let out = &mut self.bytes;
        out.push(flags);
        if !is_same_key {
            let shared = last.key.iter().zip(key).take_while(|(one, other)| one == other).count();
            let (trimmed, suffix) = (last.key.len() - shared, &key[shared..]);
            if trimmed < 15 && suffix.len() < 15 {
                out.push((trimmed << 4 | suffix.len()) as u8);
            } else {
                out.push(0xff);
                varint::write(trimmed as u64, out);
                varint::write(suffix.len() as u64, out);
            }
            out.extend_from_slice(suffix);
            last.key.truncate(shared);
            last.key.extend_from_slice(suffix);
        }
        let span_ms = block.last_ms.wrapping_sub(block.first_ms);
        varint::write_difference(block.first_ms, last.first_ms, out);
        varint::write_difference(span_ms, last.span_ms, out);
        if last.count != block.count {
            varint::write(u64::from(block.count), out);
        }
        if last.sequence != block.sequence {
            varint::write_difference(block.sequence as i64, last.sequence as i64, out);
        }
        varint::write(u64::from(length), out);
        (last.first_ms, last.span_ms) = (block.first_ms, span_ms);
        (last.count, last.sequence) = (block.count, block.sequence);
        self.entries += 1;
        self.blocks_bytes += length;
    }

    /// The key of the last entry.
    pub(super) fn last_key(&self) -> &[u8] {
        &self.last.key
    }

    /// The page's bytes, to be written at `offset`.
    pub(super) fn seal(&mut self, number: u32, offset: u64) -> &[u8] {
        let bytes = (self.bytes.len() - HEAD_BYTES) as u16;
        self.bytes[..4].copy_from_slice(&MAGIC);
        self.bytes[8..12].copy_from_slice(&number.to_le_bytes());
        self.bytes[12..14].copy_from_slice(&bytes.to_le_bytes());
        self.bytes[14..16].copy_from_slice(&self.entries.to_le_bytes());
        self.bytes[16..20].copy_from_slice(&self.blocks_bytes.to_le_bytes());
        let sum = sum(offset, &self.bytes);
        self.bytes[4..8].copy_from_slice(&sum.to_le_bytes());
        &self.bytes
    }

    /// Begins the next page.
    pub(super) fn clear(&mut self) {
        self.bytes.truncate(HEAD_BYTES);
        (self.entries, self.blocks_bytes) = (0, 0);
        let mut key = std::mem::take(&mut self.last.key);
        key.clear();
        self.last = Last { key, ..Last::default() };
    }
}

/// Of a page or a parity page: over its place in the file and all of it but the sum.
pub(super) fn sum(offset: u64, page: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    crc.update(&offset.to_le_bytes());
    crc.update(&page[..4]);
    crc.update(&page[8..]);
    crc.finalize()
}

/// A page.
#[derive(Clone, Copy, Debug)]
pub(super) struct Page<'a> {
    pub(super) number: u32,
    pub(super) entries: u16,
    /// Bytes of its blocks, which end where the page begins.
    pub(super) blocks_bytes: u32,
    /// Its entries' bytes.
    pub(super) body: &'a [u8],
}

impl<'a> Page<'a> {
    /// The page at the beginning of `bytes`, which is at `offset` of the file; `None` when it is damaged.
    pub(super) fn read(offset: u64, bytes: &'a [u8]) -> Option<Page<'a>> {
        let page = Page::parse(bytes)?;
        let (want, sum) = (bytes.get(4..8)?, sum(offset, &bytes[..page.bytes()]));
        (want == sum.to_le_bytes() && u64::from(page.blocks_bytes) <= offset).then_some(page)
    }

    /// A page whose checksum was seen to hold before.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Page<'a>> {
        let head: &[u8; HEAD_BYTES] = bytes.first_chunk()?;
        let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("4 bytes"));
        let length = HEAD_BYTES + (word(12) & 0xffff) as usize;
        if head[..4] != MAGIC || length > PAGE_BYTES_MAX {
            return None;
        }
        let body = bytes.get(HEAD_BYTES..length)?;
        Some(Page { number: word(8), entries: (word(12) >> 16) as u16, blocks_bytes: word(16), body })
    }

    /// Bytes of the whole page.
    pub(super) fn bytes(&self) -> usize {
        HEAD_BYTES + self.body.len()
    }
}

/// A walk over the entries of the page at `offset`.
#[derive(Clone, Debug, Default)]
pub(super) struct Walk {
    last: Last,
    left: u16,
    at: usize,
    /// Where the next block begins.
    block_offset: u64,
}

/// An entry is not what a writer writes, though the checksum holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Malformed;

impl Walk {
    /// Begins with the first entry; the page's body is given to each [`Walk::next_entry`].
    pub(super) fn new(page: &Page<'_>, offset: u64) -> Walk {
        let block_offset = offset.saturating_sub(page.blocks_bytes.into());
        Walk { left: page.entries, block_offset, ..Walk::default() }
    }

    /// The key of the entry that came last.
    pub(super) fn key(&self) -> &[u8] {
        &self.last.key
    }

    /// The next entry of the page that this walk was begun with.
    pub(super) fn next_entry(&mut self, body: &[u8]) -> Result<Option<Placed>, Malformed> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        let mut rest = body.get(self.at..).ok_or(Malformed)?;
        let before = rest.len();
        let placed = self.read(&mut rest).ok_or(Malformed);
        if placed.is_err() {
            self.left = 0;
        }
        self.at += before - rest.len();
        placed.map(Some)
    }

    fn read(&mut self, rest: &mut &[u8]) -> Option<Placed> {
        let last = &mut self.last;
        let flags = byte(rest)?;
        let content = content(flags & CONTENT)?;
        if flags & SAME_KEY == 0 {
            let (trimmed, suffix) = match byte(rest)? {
                0xff => (varint::read(rest)?, varint::read(rest)?),
                both => (u64::from(both >> 4), u64::from(both & 15)),
            };
            let shared = last.key.len().checked_sub(usize::try_from(trimmed).ok()?)?;
            let (suffix, behind) = rest.split_at_checked(usize::try_from(suffix).ok()?)?;
            *rest = behind;
            last.key.truncate(shared);
            last.key.extend_from_slice(suffix);
            if last.key.len() > KEY_BYTES_MAX {
                return None;
            }
        }
        last.first_ms = varint::read_difference(last.first_ms, rest)?;
        last.span_ms = varint::read_difference(last.span_ms, rest)?;
        if flags & SAME_COUNT == 0 {
            last.count = u32::try_from(varint::read(rest)?).ok()?;
        }
        if flags & SAME_SEQUENCE == 0 {
            last.sequence = varint::read_difference(last.sequence as i64, rest)? as u64;
        }
        let length = u32::try_from(varint::read(rest)?).ok().filter(|length| *length >= SUM_BYTES as u32)?;
        let block = Block {
            content,
            first_ms: last.first_ms,
            last_ms: last.first_ms.wrapping_add(last.span_ms),
            count: last.count,
            sequence: last.sequence,
        };
        let offset = self.block_offset;
        self.block_offset = offset.checked_add(u64::from(length))?;
        Some(Placed { block, offset, length, is_headless: flags & HEADLESS != 0 })
    }
}

fn byte(rest: &mut &[u8]) -> Option<u8> {
    let (byte, behind) = rest.split_first()?;
    *rest = behind;
    Some(*byte)
}
