//! What is found in a file without its index, and what stands in for a damaged page.

use std::collections::BTreeMap;
use std::io;

use super::index::{Index, Span};
use super::page::{self, Page, Walk};
use super::{Damage, FOOTER_BYTES, HEAD_BYTES, Part, parity};
use crate::files::File;

/// So much is read at a time.
const CHUNK_BYTES: usize = 1 << 20;

/// The longest part that is looked for.
const PART_BYTES_MAX: usize = page::PAGE_BYTES_MAX + parity::HEAD_BYTES;

/// The bytes of a part; `None` when they cannot be read, or it is lost.
pub(super) fn bytes(file: &dyn File, span: Span) -> Option<Vec<u8>> {
    let mut bytes = vec![0; span.bytes as usize];
    (span.bytes > 0 && file.read_exact_at(span.offset, &mut bytes).is_ok()).then_some(bytes)
}

/// The bytes of a page whose checksum holds.
pub(super) fn page(file: &dyn File, number: u32, span: Span) -> Option<Vec<u8>> {
    let bytes = bytes(file, span)?;
    let is_sound = Page::read(span.offset, &bytes).is_some_and(|page| page.number == number);
    is_sound.then_some(bytes)
}

/// Where the pages and parity pages of a file are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pages<'a> {
    pub(super) spans: &'a [Span],
    pub(super) parities: &'a [Span],
}

impl Pages<'_> {
    /// The bytes of a page out of all others of its lane; whether they are the page's its checksum says. `None` when
    /// another one is damaged as well.
    pub(super) fn give_back(&self, file: &dyn File, number: u32) -> Option<Vec<u8>> {
        let parity = parity::number_of(number);
        let span = *self.parities.get(parity as usize)?;
        let bytes = bytes(file, span)?;
        let (found, body) = parity::read(span.offset, &bytes)?;
        let mut page = (found == parity).then(|| body.to_vec())?;
        for member in parity::members(parity, self.spans.len() as u32) {
            if member != number {
                parity::fold(&self::page(file, member, self.spans[member as usize])?, &mut page);
            }
        }
        Some(page)
    }
}

/// What a scan found.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) index: Index,
    pub(super) damages: Vec<Damage>,
}

/// Looks for pages from the front of a file of `length` bytes. `index_at` is what its footer says, if that is sound.
pub(super) fn scan(file: &dyn File, length: u64, index_at: Option<u64>) -> io::Result<Found> {
    let (pages, parities) = find(file, length)?;
    let count = pages.last_key_value().map_or(0, |(last, _)| *last as usize + 1);
    let parity_count = count.checked_sub(1).map_or(0, |last| {
        let last = last as u32;
        // Of the last ones there are fewer where there are fewer pages than lanes.
        (last / parity::PAGES * parity::LANES + (last % parity::PAGES).min(parity::LANES - 1) + 1) as usize
    });
    let mut spans = vec![Span::default(); count];
    let mut parity_spans = vec![Span::default(); parity_count];
    pages.iter().for_each(|(number, span)| spans[*number as usize] = *span);
    for (number, span) in &parities {
        if let Some(place) = parity_spans.get_mut(*number as usize) {
            *place = *span;
        }
    }
    let end = spans.iter().chain(&parity_spans).map(|span| span.end()).max().unwrap_or(0);
    let end = end.max(HEAD_BYTES as u64);
    let rest = length.saturating_sub(end);
    // Only the footer is damaged: what the index says is all there is to know.
    if let Some(index_bytes) = rest.checked_sub(FOOTER_BYTES as u64).filter(|bytes| *bytes <= length / 2 + 64)
    {
        let mut bytes = vec![0; index_bytes as usize];
        if file.read_exact_at(end, &mut bytes).is_ok()
            && let Some(index) = Index::read(end, &bytes)
        {
            let at = length - FOOTER_BYTES as u64;
            return Ok(Found {
                index,
                damages: vec![Damage::of(Part::Footer, at, FOOTER_BYTES as u64, false)],
            });
        }
    }
    let mut damages = match index_at {
        Some(at) if at == end => {
            vec![Damage::of(Part::Index, at, length - FOOTER_BYTES as u64 - at, false)]
        }
        _ if rest > 0 || count == 0 => vec![Damage::of(Part::End, end, rest, true)],
        _ => vec![Damage::of(Part::End, end, 0, true)],
    };
    find_missing(file, &mut spans, &parity_spans);
    let index = index_of(file, spans, parity_spans, &mut damages);
    Ok(Found { index, damages })
}

/// The pages and parity pages of a file, by their numbers.
fn find(file: &dyn File, length: u64) -> io::Result<(BTreeMap<u32, Span>, BTreeMap<u32, Span>)> {
    let (mut pages, mut parities) = (BTreeMap::new(), BTreeMap::new());
    let chunk_bytes = length.min((CHUNK_BYTES + PART_BYTES_MAX) as u64);
    let mut chunk = vec![0; chunk_bytes as usize];
    let mut begin = 0;
    // No file has more parts than that, whatever a part says of its number.
    let parts_max = length / page::HEAD_BYTES as u64;
    while begin < length {
        let filled = file.read_at(begin, &mut chunk)?;
        if filled == 0 {
            break;
        }
        let mut at = 0;
        while at < filled.min(CHUNK_BYTES) {
            let Some(found) = chunk[at..filled].windows(3).position(|bytes| *bytes == page::MAGIC[..3])
            else {
                break;
            };
            at += found;
            let (offset, bytes) = (begin + at as u64, &chunk[at..filled]);
            at += 1;
            let (number, length, kind) = if let Some(page) = Page::read(offset, bytes) {
                (page.number, page.bytes(), &mut pages)
            } else if let Some((number, body)) = parity::read(offset, bytes) {
                (number, parity::HEAD_BYTES + body.len(), &mut parities)
            } else {
                continue;
            };
            if u64::from(number) < parts_max {
                kind.insert(number, Span { offset, bytes: length as u32 });
                at += length - 1;
            }
        }
        begin += CHUNK_BYTES as u64;
    }
    Ok((pages, parities))
}

/// Gives lost pages back, where the others of their lane are there: a page begins where its blocks end, and they
/// begin where what is before them ends.
fn find_missing(file: &dyn File, spans: &mut [Span], parities: &[Span]) {
    for number in 0..spans.len() {
        if spans[number].bytes > 0 {
            continue;
        }
        let pages = Pages { spans, parities };
        let Some(bytes) = pages.give_back(file, number as u32) else { continue };
        let before = number.checked_sub(1).map_or(HEAD_BYTES as u64, |before| spans[before].end());
        // Parity pages come between where they are due.
        let is_behind_parities = number > 0 && (number as u32).is_multiple_of(parity::PAGES);
        let behind = number as u32 / parity::PAGES * parity::LANES;
        let parity = parities.get((behind as usize).wrapping_sub(1)).filter(|_| is_behind_parities);
        let before = parity.map_or(before, |parity| parity.end());
        let Some(page) = Page::parse(&bytes) else { continue };
        let offset = before.saturating_add(page.blocks_bytes.into());
        if before > 0 && Page::read(offset, &bytes).is_some_and(|page| page.number == number as u32) {
            spans[number] = Span { offset, bytes: page.bytes() as u32 };
        }
    }
}

/// The index of the pages that were found.
fn index_of(file: &dyn File, spans: Vec<Span>, parities: Vec<Span>, damages: &mut Vec<Damage>) -> Index {
    let mut index = Index::default();
    index.parities = parities;
    let (mut before, mut first, mut is_behind_lost) = (Vec::new(), Vec::new(), false);
    for (number, span) in (0..).zip(&spans) {
        let pages = Pages { spans: &spans, parities: &index.parities };
        let bytes = page(file, number, *span).or_else(|| pages.give_back(file, number));
        let read = bytes.as_deref().and_then(|bytes| Page::read(span.offset, bytes));
        let Some(page) = read.filter(|_| span.bytes > 0) else {
            damages.push(Damage::of(Part::Page, span.offset, span.bytes.into(), true));
            index.add_lost_page();
            is_behind_lost = true;
            continue;
        };
        let mut walk = Walk::new(&page, span.offset);
        let last_of_before = before.clone();
        let mut entries = 0;
        while let Ok(Some(placed)) = walk.next_entry(page.body) {
            index.summary.add(&placed.block, walk.key() != &before[..]);
            if entries == 0 {
                walk.key().clone_into(&mut first);
            }
            walk.key().clone_into(&mut before);
            entries += 1;
        }
        if std::mem::take(&mut is_behind_lost) {
            index.add_page_exactly(*span, &first);
        } else {
            index.add_page(*span, &last_of_before, &first);
        }
    }
    index
}

impl Damage {
    pub(super) fn of(part: Part, offset: u64, bytes: u64, is_lost: bool) -> Damage {
        Damage { part, offset, bytes, key: None, is_lost }
    }
}
