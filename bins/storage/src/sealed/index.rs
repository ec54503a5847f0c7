//! The index of a file: where its pages are, and from which key on each one goes.

use super::{Summary, page};
use crate::varint;

/// Bytes of the index before its body.
const HEAD_BYTES: usize = 8;

const MAGIC: [u8; 4] = *b"LeIx";

/// A part of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Span {
    pub(super) offset: u64,
    /// 0 when it is lost.
    pub(super) bytes: u32,
}

impl Span {
    pub(super) fn end(self) -> u64 {
        self.offset + u64::from(self.bytes)
    }
}

/// Where everything is.
#[derive(Clone, Debug, Default)]
pub(super) struct Index {
    pub(super) summary: Summary,
    pub(super) pages: Vec<Span>,
    pub(super) parities: Vec<Span>,
    /// For each page a key that is not above its first and above all before it, one behind the other.
    least: Vec<u8>,
    /// Where they end.
    least_ends: Vec<u32>,
}

impl Index {
    /// Adds a page. `before` is the last key of the page before, `first` the page's first.
    pub(super) fn add_page(&mut self, span: Span, before: &[u8], first: &[u8]) {
        // As short as it can be told from the key before.
        let shared = before.iter().zip(first).take_while(|(one, other)| one == other).count();
        self.add(span, first.get(..=shared).unwrap_or(first));
    }

    /// Adds a page behind one that is lost: its first key is all that is known.
    pub(super) fn add_page_exactly(&mut self, span: Span, first: &[u8]) {
        self.add(span, first);
    }

    /// Adds a page that is lost: any key behind those of the page before may be in it.
    pub(super) fn add_lost_page(&mut self) {
        let least = self.pages.len().checked_sub(1).map_or(Vec::new(), |before| self.least(before).to_vec());
        self.add(Span::default(), &least);
    }

    fn add(&mut self, span: Span, least: &[u8]) {
        self.pages.push(span);
        self.least.extend_from_slice(least);
        self.least_ends.push(self.least.len() as u32);
    }

    pub(super) fn least(&self, page: usize) -> &[u8] {
        let begin = page.checked_sub(1).map_or(0, |before| self.least_ends[before]);
        &self.least[begin as usize..self.least_ends[page] as usize]
    }

    /// The pages in which a key may be.
    pub(super) fn pages_of(&self, key: &[u8]) -> std::ops::Range<usize> {
        let below = |than: &dyn Fn(&[u8]) -> bool| {
            let (mut low, mut high) = (0, self.pages.len());
            while low < high {
                let middle = (low + high) / 2;
                if than(self.least(middle)) { low = middle + 1 } else { high = middle }
            }
            low
        };
        let mut begin = below(&|least| least < key).saturating_sub(1);
        while begin > 0 && self.least(begin) == self.least(begin - 1) {
            begin -= 1;
        }
        begin..below(&|least| least <= key)
    }

    /// Bytes of it in memory.
    pub(super) fn memory_bytes(&self) -> usize {
        (self.pages.capacity() + self.parities.capacity()) * size_of::<Span>()
            + self.least.capacity()
            + self.least_ends.capacity() * size_of::<u32>()
    }

    /// The index's bytes, to be written at `offset`.
    pub(super) fn seal(&self, offset: u64) -> Vec<u8> {
        let mut out = vec![0; HEAD_BYTES];
        out[..4].copy_from_slice(&MAGIC);
        let Summary { series, blocks, points, first_ms, last_ms, sequence, bytes: _ } = self.summary;
        for number in [series, blocks, points, first_ms as u64, last_ms as u64, sequence] {
            varint::write(number, &mut out);
        }
        for spans in [&self.pages, &self.parities] {
            varint::write(spans.len() as u64, &mut out);
            let mut end = 0;
            for span in spans {
                varint::write(span.offset - end, &mut out);
                varint::write(u64::from(span.bytes), &mut out);
                end = span.end();
            }
        }
        let mut before: &[u8] = b"";
        for page in 0..self.pages.len() {
            let least = self.least(page);
            let shared = before.iter().zip(least).take_while(|(one, other)| one == other).count();
            varint::write(shared as u64, &mut out);
            varint::write((least.len() - shared) as u64, &mut out);
            out.extend_from_slice(&least[shared..]);
            before = least;
        }
        let sum = page::sum(offset, &out);
        out[4..8].copy_from_slice(&sum.to_le_bytes());
        out
    }

    /// Reads the index at `offset`; `None` when it is damaged.
    pub(super) fn read(offset: u64, bytes: &[u8]) -> Option<Index> {
        let head: &[u8; HEAD_BYTES] = bytes.first_chunk()?;
        if head[..4] != MAGIC || head[4..] != page::sum(offset, bytes).to_le_bytes() {
            return None;
        }
        let mut rest = &bytes[HEAD_BYTES..];
        let mut numbers = [0; 6];
        for number in &mut numbers {
            *number = varint::read(&mut rest)?;
        }
        let [series, blocks, points, first_ms, last_ms, sequence] = numbers;
        let (first_ms, last_ms) = (first_ms as i64, last_ms as i64);
        let summary = Summary { series, blocks, points, first_ms, last_ms, sequence, bytes: 0 };
        let mut index = Index { summary, ..Index::default() };
        for spans in [&mut index.pages, &mut index.parities] {
            let count = varint::read(&mut rest)?;
            let mut end = 0_u64;
            for _ in 0..count {
                let begin = end.checked_add(varint::read(&mut rest)?)?;
                let bytes = u32::try_from(varint::read(&mut rest)?).ok()?;
                end = begin.checked_add(u64::from(bytes)).filter(|end| *end <= offset)?;
                let is_long = bytes as usize > page::PAGE_BYTES_MAX + super::parity::HEAD_BYTES;
                spans.push(Some(Span { offset: begin, bytes }).filter(|_| bytes > 0 && !is_long)?);
            }
            spans.shrink_to_fit();
        }
        let mut before = Vec::new();
        for _ in 0..index.pages.len() {
            let shared = usize::try_from(varint::read(&mut rest)?).ok()?;
            let suffix = usize::try_from(varint::read(&mut rest)?).ok()?;
            let (suffix, behind) = rest.split_at_checked(suffix)?;
            rest = behind;
            before.truncate(Some(shared).filter(|shared| *shared <= before.len())?);
            before.extend_from_slice(suffix);
            if before.len() > common::key::KEY_BYTES_MAX {
                return None;
            }
            index.least.extend_from_slice(&before);
            index.least_ends.push(u32::try_from(index.least.len()).ok()?);
        }
        index.least.shrink_to_fit();
        index.least_ends.shrink_to_fit();
        rest.is_empty().then_some(index)
    }
}
