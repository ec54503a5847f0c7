//! Tags as nearly all clients send them: `name:value,name2:value2`, printable ASCII that needs no care but to be put in
//! order. They are put in order as they are found, and written once, where the key is to be.

use std::cmp::Ordering;

use common::copy;

use crate::marks::{Block, Marks};

/// More tags than this need more care.
const TAGS_MAX: usize = 32;
/// So do longer lines: no key has their tags.
const LINE_BYTES_MAX: usize = u16::MAX as usize;

/// No `:` was found.
const NONE: usize = usize::MAX;

/// The tags of one line, by their names.
#[derive(Debug, Default)]
pub(crate) struct PlainTags {
    tags: [Tag; TAGS_MAX],
    count: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Tag {
    /// The first eight bytes of its name, as a number that sorts as they do.
    rank: u64,
    place: Place,
}

/// Where a tag stands in its line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(align(8))]
struct Place {
    start: u16,
    /// The first `:`, or the end.
    name_end: u16,
    end: u16,
}

impl Place {
    fn name(self, line: &[u8]) -> &[u8] {
        &line[usize::from(self.start)..usize::from(self.name_end)]
    }
}

impl PlainTags {
    /// Reads the tags that a line has from `start` on, which is in this block or at its end, and puts them in order; false
    /// where one of them needs more care: what is not printable ASCII, `;`, `=`, `|`, a name or value that is empty, a name
    /// that was there before, one that is no tag at all (`is_other`), one too many.
    #[inline]
    pub(crate) fn read(
        &mut self,
        mut block: Block<'_>,
        start: usize,
        is_other: impl Fn(&[u8]) -> bool,
    ) -> bool {
        let line = block.line;
        self.count = 0;
        if line.len() > LINE_BYTES_MAX {
            return false;
        }
        let (mut tag, mut colon) = (start, NONE);
        loop {
            let Marks { commas, colons, bars, has_others } = block.marks;
            let behind = block.from(start);
            if has_others || bars & behind != 0 {
                return false;
            }
            // The end of the line ends a tag, too.
            let mut left = (commas | colons | block.end()) & behind;
            while let Some(at) = block.place(left) {
                let mark = left & left.wrapping_neg();
                left ^= mark;
                if colons & mark != 0 {
                    colon = colon.min(at);
                    continue;
                }
                if !self.put(line, tag, colon, at, &is_other) {
                    return false;
                }
                (tag, colon) = (at + 1, NONE);
            }
            if !block.go_on() {
                return true;
            }
        }
    }

    /// Puts in the tag of `start..end`, whose first `:` is at `colon`; false where it cannot be put in as it is.
    #[inline(always)]
    fn put(
        &mut self,
        line: &[u8],
        start: usize,
        colon: usize,
        end: usize,
        is_other: &impl Fn(&[u8]) -> bool,
    ) -> bool {
        let name_end = colon.min(end);
        let is_empty = start >= name_end || colon.wrapping_add(1) == end;
        if is_empty || self.count == TAGS_MAX || colon == NONE && is_other(&line[start..end]) {
            return false;
        }
        let [place_start, place_name_end, place_end] = [start, name_end, end].map(|at| at as u16);
        let place = Place { start: place_start, name_end: place_name_end, end: place_end };
        let tag = Tag { rank: rank(line, start, name_end - start), place };
        // Few tags: each one moves those behind it on.
        let mut at = self.count;
        while let Some(before) = at.checked_sub(1)
            && self.tags[before].rank >= tag.rank
        {
            let other = self.tags[before];
            if other.rank == tag.rank {
                match other.place.name(line).cmp(place.name(line)) {
                    Ordering::Less => break,
                    Ordering::Equal => return false,
                    Ordering::Greater => {}
                }
            }
            self.tags[at] = other;
            at = before;
        }
        self.tags[at] = tag;
        self.count += 1;
        true
    }

    /// Writes the tags of `line`, which was just read, as they stand in a key: into as many bytes as they have there, and
    /// one more.
    #[inline]
    pub(crate) fn write(&self, line: &[u8], mut room: &mut [u8]) {
        for Tag { place, .. } in &self.tags[..self.count] {
            let [start, name_end, end] = [place.start, place.name_end, place.end].map(usize::from);
            let (key, rest) = room.split_at_mut(1 + end - start);
            key[0] = b';';
            copy::short(&mut key[1..], &line[start..end]);
            if name_end < end {
                key[1 + name_end - start] = b'=';
            }
            room = rest;
        }
    }
}

/// The first eight bytes of a name, zeros behind a shorter one: no name has one in it.
#[inline(always)]
fn rank(line: &[u8], start: usize, bytes: usize) -> u64 {
    match line[start..].first_chunk::<8>() {
        // What stands behind the name goes.
        Some(chunk) => u64::from_be_bytes(*chunk) & !u64::MAX.checked_shr(8 * bytes as u32).unwrap_or(0),
        None => {
            let name = line[start..start + bytes].iter();
            name.fold(0, |rank, byte| rank << 8 | u64::from(*byte)) << (64 - 8 * bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks::BLOCK_BYTES;
    use proptest::prelude::*;

    /// What the tags of a line become, whatever is in front of them: blocks end at any of their places.
    fn written(text: &str) -> Option<String> {
        let mut tags = PlainTags::default();
        let mut written = (0..=2 * BLOCK_BYTES).map(|front| {
            let line = ["|".repeat(front).as_str(), text].concat();
            let mut block = Block::first(line.as_bytes());
            while block.start + BLOCK_BYTES < front && block.go_on() {}
            tags.read(block, front, |name| name == b"other").then(|| {
                let mut key = vec![0; 1 + text.len()];
                tags.write(line.as_bytes(), &mut key);
                format!("n{}", String::from_utf8(key).unwrap())
            })
        });
        let first = written.next().unwrap();
        assert!(written.all(|other| other == first), "{text:?}");
        first
    }

    #[test]
    fn tags_are_put_in_order_or_left_to_others() {
        for (text, want) in [
            ("a:1", Some("n;a=1")),
            ("a", Some("n;a")),
            ("a:1,b:2", Some("n;a=1;b=2")),
            ("b:2,a:1", Some("n;a=1;b=2")),
            ("path:route000000,host:web0000,dc:d0", Some("n;dc=d0;host=web0000;path=route000000")),
            ("a:1:2,b", Some("n;a=1:2;b")),
            ("a:1,a:2", None),
            ("a:2,b:1,a:1", None),
            ("b:1,a", Some("n;a;b=1")),
            ("longer_name_b:1,longer_name_a:2", Some("n;longer_name_a=2;longer_name_b=1")),
            ("longer_name:1,longer_n:2,longer_nam:3", Some("n;longer_n=2;longer_nam=3;longer_name=1")),
            ("longer_name:1,longer_n:2,longer_name:3", None),
            ("ab:1,a:2,abc:3", Some("n;a=2;ab=1;abc=3")),
            ("other:1", Some("n;other=1")),
            ("a:1,other", None),
            ("", None),
            (",", None),
            ("a:1,", None),
            (",a:1", None),
            (":1", None),
            ("a:", None),
            ("a:1,b:,c:3", None),
            ("a:1;b:2", None),
            ("a=1", None),
            ("a:1|", None),
            ("a:\u{7f}", None),
            ("a:\t", None),
            ("a:\u{e9}", None),
            ("averylongname:with\u{0}nul", None),
        ] {
            assert_eq!(written(text).as_deref(), want, "{text:?}");
        }
    }

    #[test]
    fn so_many_are_read_and_no_more() {
        let tags = |count: usize| (0..count).rev().map(|tag| format!("t{tag:02}")).collect::<Vec<_>>();
        let mut want = tags(TAGS_MAX);
        want.reverse();
        assert_eq!(written(&tags(TAGS_MAX).join(",")), Some(format!("n;{}", want.join(";"))));
        assert_eq!(written(&tags(TAGS_MAX + 1).join(",")), None);
    }

    proptest! {
        #[test]
        fn they_are_in_order_and_each_name_is_there_once(
            tags in prop::collection::vec(("[ab]{1,9}", "[a-c]{0,40}"), 1..TAGS_MAX),
        ) {
            let text = |name: &str, mark: &str, value: &str| match value {
                "" => name.to_owned(),
                _ => format!("{name}{mark}{value}"),
            };
            let sent: Vec<String> = tags.iter().map(|(name, value)| text(name, ":", value)).collect();
            let count = tags.len();
            let once: std::collections::BTreeMap<String, String> = tags.into_iter().collect();
            let want: Vec<String> = once.iter().map(|(name, value)| text(name, "=", value)).collect();
            let want = (once.len() == count).then(|| format!("n;{}", want.join(";")));
            prop_assert_eq!(written(&sent.join(",")), want);
        }
    }
}
