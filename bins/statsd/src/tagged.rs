//! Lines that say no more than `name:number|type|#tags`, taken apart by their marks.

use crate::dialect::{Plain, Type};
use crate::marks::Block;

/// A line that is plain in front of its tags, which may be anything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tagged<'a> {
    pub(crate) plain: Plain<'a>,
    /// Where in the line the tags begin.
    pub(crate) tags: usize,
    /// The block that has the mark in front of the type: the tags begin in it, or at its end.
    pub(crate) block: Block<'a>,
}

impl<'a> Tagged<'a> {
    /// The same as [`crate::dialect::Metric::parse`] would find, sooner; none for all other lines, also wrong ones.
    #[inline(always)]
    pub(crate) fn parse(line: &'a [u8]) -> Option<Tagged<'a>> {
        let mut block = Block::first(line);
        let mut colon = None;
        let bar = loop {
            if block.marks.has_others {
                return None;
            }
            colon = colon.or(block.place(block.marks.colons));
            match block.place(block.marks.bars) {
                Some(bar) => break bar,
                None if block.go_on() => {}
                None => return None,
            }
        };
        let colon = colon.filter(|colon| (1..bar).contains(colon))?;
        let (kind, behind) = match &line[bar + 1..] {
            [b'c', behind @ ..] => (Type::Count, behind),
            [b'g', behind @ ..] => (Type::Gauge, behind),
            [b'm', b's', behind @ ..] => (Type::Timer, behind),
            [b'h', behind @ ..] => (Type::Histogram, behind),
            [b'd', behind @ ..] => (Type::Distribution, behind),
            _ => return None,
        };
        let tags = line.len() - behind.strip_prefix(b"|#")?.len();
        let plain = Plain::of(&line[..colon], &line[colon + 1..bar], kind)?;
        Some(Tagged { plain, tags, block })
    }
}
