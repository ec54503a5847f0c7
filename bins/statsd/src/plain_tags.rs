//! Tags as nearly all clients send them: `name:value,name2:value2`, printable ASCII that needs no care but to be put in
//! order. They are put in order as they are found, and written once, where the key is to be.

use std::cmp::Ordering;

use common::copy;

use crate::marks::{BLOCK_BYTES, Marks};

/// More tags than this need more care.
const TAGS_MAX: usize = 32;
/// So do more bytes: no key has them.
const BYTES_MAX: usize = common::key::KEY_BYTES_MAX;

/// The tags of one line, by their names.
#[derive(Debug)]
pub(crate) struct PlainTags {
    /// The first eight bytes of each name, as a number that sorts as they do.
    ranks: [u64; TAGS_MAX],
    places: [Place; TAGS_MAX],
    count: usize,
}

/// Where a tag stands in the text.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    start: u16,
    /// The first `:`, or the end.
    name_end: u16,
    end: u16,
}

impl Place {
    fn name(self, text: &[u8]) -> &[u8] {
        &text[usize::from(self.start)..usize::from(self.name_end)]
    }
}

const _: () = assert!(BYTES_MAX < u16::MAX as usize);

impl Default for PlainTags {
    fn default() -> PlainTags {
        PlainTags { ranks: [0; TAGS_MAX], places: [Place::default(); TAGS_MAX], count: 0 }
    }
}

impl PlainTags {
    /// Reads tags, and puts them in order; false where one of them needs more care: what is not printable ASCII, `;`,
    /// `=`, `|`, a name or value that is empty, a name that was there before, one that is no tag at all (`is_other`), one
    /// too many.
    #[inline]
    pub(crate) fn read(&mut self, text: &[u8], is_other: impl Fn(&[u8]) -> bool) -> bool {
        self.count = 0;
        if text.len() > BYTES_MAX {
            return false;
        }
        let (mut start, mut name_end, mut is_whole) = (0, usize::MAX, true);
        for (number, block) in text.chunks(BLOCK_BYTES).enumerate() {
            let marks = Marks::of(block);
            is_whole &= !marks.has_others;
            let mut left = marks.commas | marks.colons;
            while left != 0 {
                let at = number * BLOCK_BYTES + left.trailing_zeros() as usize;
                let mark = left & left.wrapping_neg();
                left ^= mark;
                if marks.commas & mark != 0 {
                    is_whole &= self.put(text, start, name_end, at, &is_other);
                    (start, name_end) = (at + 1, usize::MAX);
                } else {
                    name_end = name_end.min(at);
                }
            }
        }
        is_whole && self.put(text, start, name_end, text.len(), &is_other)
    }

    /// Puts in the tag of `start..end`, whose first `:` is at `colon`; false where it cannot be put in as it is.
    #[inline(always)]
    fn put(
        &mut self,
        text: &[u8],
        start: usize,
        colon: usize,
        end: usize,
        is_other: &impl Fn(&[u8]) -> bool,
    ) -> bool {
        let name_end = colon.min(end);
        let is_tag = start < name_end && (colon == usize::MAX || colon + 1 < end);
        if !is_tag || self.count == TAGS_MAX {
            return false;
        }
        let [start, name_end, end] = [start, name_end, end].map(|at| at as u16);
        let tag = Place { start, name_end, end };
        if name_end == end && is_other(tag.name(text)) {
            return false;
        }
        let rank = rank(text, tag);
        // Few tags.
        let mut place = self.count;
        while let Some(before) = place.checked_sub(1)
            && self.ranks[before] >= rank
        {
            let other = self.places[before];
            if self.ranks[before] == rank {
                match other.name(text).cmp(tag.name(text)) {
                    Ordering::Less => break,
                    Ordering::Equal => return false,
                    Ordering::Greater => {}
                }
            }
            (self.ranks[place], self.places[place]) = (self.ranks[before], other);
            place = before;
        }
        (self.ranks[place], self.places[place]) = (rank, tag);
        self.count += 1;
        true
    }

    /// Writes the tags of `text`, which was just read, as they stand in a key: into as many bytes as the text has, and one
    /// more.
    #[inline]
    pub(crate) fn write(&self, text: &[u8], mut room: &mut [u8]) {
        for tag in &self.places[..self.count] {
            let [start, name_end, end] = [tag.start, tag.name_end, tag.end].map(usize::from);
            let (key, rest) = room.split_at_mut(1 + end - start);
            key[0] = b';';
            copy::short(&mut key[1..], &text[start..end]);
            if name_end < end {
                key[1 + name_end - start] = b'=';
            }
            room = rest;
        }
    }
}

/// The first eight bytes of a name, zeros behind a shorter one: no name has one in it.
#[inline(always)]
fn rank(text: &[u8], tag: Place) -> u64 {
    let name = tag.name(text);
    match text[usize::from(tag.start)..].first_chunk::<8>() {
        Some(bytes) if name.len() >= 8 => u64::from_be_bytes(*bytes),
        Some(bytes) => u64::from_be_bytes(*bytes) & !(u64::MAX >> (8 * name.len())),
        None => name.iter().fold(0, |rank, byte| rank << 8 | u64::from(*byte)) << (64 - 8 * name.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(text: &str) -> Option<String> {
        let mut tags = PlainTags::default();
        tags.read(text.as_bytes(), |name| name == b"other").then(|| {
            let mut key = vec![0; 1 + text.len()];
            tags.write(text.as_bytes(), &mut key);
            format!("n{}", String::from_utf8(key).unwrap())
        })
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
