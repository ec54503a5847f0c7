//! Parity pages: with all pages of a lane but one they give that one back.

use super::page;

/// Pages that are taken together.
pub(super) const PAGES: u32 = 64;

/// Of them every fourth is in the same lane: neighbours are in different ones.
pub(super) const LANES: u32 = 4;

/// Bytes of a parity page before its body.
pub(super) const HEAD_BYTES: usize = 16;

/// The first bytes of every parity page.
pub(super) const MAGIC: [u8; 4] = *b"LePx";

/// The number of the parity page in which a page is.
pub(super) const fn number_of(page: u32) -> u32 {
    page / PAGES * LANES + page % LANES
}

/// The pages that are in a parity page, of a file that has `pages`.
pub(super) fn members(parity: u32, pages: u32) -> impl Iterator<Item = u32> {
    let first = u64::from(parity / LANES) * u64::from(PAGES) + u64::from(parity % LANES);
    let end = (u64::from(parity / LANES) + 1) * u64::from(PAGES);
    (first..end.min(u64::from(pages))).step_by(LANES as usize).map(|page| page as u32)
}

/// Adds bytes to a parity, or takes them out again.
pub(super) fn fold(page: &[u8], into: &mut Vec<u8>) {
    if into.len() < page.len() {
        into.resize(page.len(), 0);
    }
    for (sum, byte) in into.iter_mut().zip(page) {
        *sum ^= byte;
    }
}

/// The parities of the pages that were written since the last parity pages.
#[derive(Debug, Default)]
pub(super) struct Parities {
    lanes: [Vec<u8>; LANES as usize],
    pages: u32,
}

impl Parities {
    /// Takes a page; says whether the parity pages are due.
    pub(super) fn add(&mut self, page: &[u8]) -> bool {
        fold(page, &mut self.lanes[(self.pages % LANES) as usize]);
        self.pages += 1;
        self.pages == PAGES
    }

    /// The bodies that have anything in them; begins anew.
    pub(super) fn take(&mut self) -> impl Iterator<Item = Vec<u8>> + use<> {
        let Parities { lanes, pages: _ } = std::mem::take(self);
        lanes.into_iter().filter(|lane| !lane.is_empty())
    }
}

/// The parity page that is written at `offset`.
pub(super) fn seal(number: u32, offset: u64, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEAD_BYTES];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&number.to_le_bytes());
    bytes[12..16].copy_from_slice(&(body.len() as u32).to_le_bytes());
    bytes.extend_from_slice(body);
    let sum = page::sum(offset, &bytes);
    bytes[4..8].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// The number and the body of the parity page at the beginning of `bytes`; `None` when it is damaged.
pub(super) fn read(offset: u64, bytes: &[u8]) -> Option<(u32, &[u8])> {
    let head: &[u8; HEAD_BYTES] = bytes.first_chunk()?;
    let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("4 bytes"));
    let length = word(12) as usize;
    if head[..4] != MAGIC || length > page::PAGE_BYTES_MAX {
        return None;
    }
    let page = bytes.get(..HEAD_BYTES + length)?;
    (word(4) == page::sum(offset, page)).then_some((word(8), &page[HEAD_BYTES..]))
}
