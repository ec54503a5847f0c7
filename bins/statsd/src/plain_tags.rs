//! Tags as nearly all clients send them: `name:value,name2:value2`, printable ASCII that needs no care but to be put in
//! order. They are looked at eight bytes at once, put in order as they are found, and written once.

/// More tags than this need more care.
const TAGS_MAX: usize = 32;

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
/// A blank at every byte: printable, and no mark.
const BLANKS: u64 = 0x20 * LOW;

/// The tags of one line, by their names; of those of one name, as they came.
#[derive(Debug)]
pub(crate) struct PlainTags {
    tags: [Tag; TAGS_MAX],
    count: usize,
    /// They came so, and none twice.
    in_order: bool,
}

/// Where a tag stands in the text.
#[derive(Clone, Copy, Debug, Default)]
struct Tag {
    /// The first eight bytes of its name, as a number that sorts as they do.
    rank: u64,
    start: u32,
    /// The `:`, or the end.
    name_end: u32,
    end: u32,
}

impl Tag {
    fn name(self, text: &[u8]) -> &[u8] {
        &text[self.start as usize..self.name_end as usize]
    }

    /// Its name is behind the other's.
    #[inline]
    fn is_behind(self, other: Tag, text: &[u8]) -> bool {
        self.rank > other.rank || self.rank == other.rank && self.name(text) > other.name(text)
    }

    fn has_name_of(self, other: Tag, text: &[u8]) -> bool {
        self.rank == other.rank && self.name(text) == other.name(text)
    }
}

impl Default for PlainTags {
    fn default() -> PlainTags {
        PlainTags { tags: [Tag::default(); TAGS_MAX], count: 0, in_order: true }
    }
}

impl PlainTags {
    /// Reads tags, and puts them in order; false where one of them needs more care: what is not printable ASCII, `;`,
    /// `=`, `|`, a name or value that is empty, one that is no tag at all (`is_other`), one too many.
    #[inline]
    pub(crate) fn read(&mut self, text: &[u8], is_other: impl Fn(&[u8]) -> bool) -> bool {
        (self.count, self.in_order) = (0, true);
        let Ok(length) = u32::try_from(text.len()) else { return false };
        let (mut start, mut name_end, mut is_whole) = (0, u32::MAX, true);
        let is_plain = marks(text, |at| {
            if text[at as usize] == b',' {
                is_whole &= self.put(text, start, name_end, at, &is_other);
                (start, name_end) = (at + 1, u32::MAX);
            } else {
                name_end = name_end.min(at);
            }
        });
        is_plain & is_whole && self.put(text, start, name_end, length, &is_other)
    }

    /// Puts in the tag of `start..end`, whose first `:` is at `colon`; false where it cannot be put in as it is.
    #[inline]
    fn put(
        &mut self,
        text: &[u8],
        start: u32,
        colon: u32,
        end: u32,
        is_other: &impl Fn(&[u8]) -> bool,
    ) -> bool {
        let name_end = colon.min(end);
        let is_tag = start < name_end && (colon == u32::MAX || colon + 1 < end);
        if !is_tag || self.count == TAGS_MAX {
            return false;
        }
        let rank = rank(text, start as usize, (name_end - start) as usize);
        let tag = Tag { rank, start, name_end, end };
        if name_end == end && is_other(tag.name(text)) {
            return false;
        }
        // Few tags. Of those of one name the last stays: it goes behind the others.
        let mut place = self.count;
        while place > 0 && self.tags[place - 1].is_behind(tag, text) {
            self.tags[place] = self.tags[place - 1];
            place -= 1;
        }
        self.in_order &= place == self.count && (place == 0 || tag.is_behind(self.tags[place - 1], text));
        self.tags[place] = tag;
        self.count += 1;
        true
    }

    /// Appends the tags of `text`, which was just read, as they stand in a key.
    #[inline]
    pub(crate) fn write(&self, text: &[u8], key: &mut Vec<u8>) {
        let tags = &self.tags[..self.count];
        if self.in_order {
            let base = key.len() + 1;
            key.push(b';');
            key.extend_from_slice(text);
            for tag in tags {
                key[base + tag.start as usize - 1] = b';';
                if tag.name_end < tag.end {
                    key[base + tag.name_end as usize] = b'=';
                }
            }
            return;
        }
        for (place, tag) in tags.iter().enumerate() {
            if tags.get(place + 1).is_some_and(|next| next.has_name_of(*tag, text)) {
                continue;
            }
            key.push(b';');
            let base = key.len();
            key.extend_from_slice(&text[tag.start as usize..tag.end as usize]);
            if tag.name_end < tag.end {
                key[base + (tag.name_end - tag.start) as usize] = b'=';
            }
        }
    }
}

/// The first eight bytes of a name, zeros behind a shorter one: no name has one in it.
#[inline]
fn rank(text: &[u8], start: usize, length: usize) -> u64 {
    let Some(bytes) = text.get(start..).and_then(|rest| rest.first_chunk::<8>()) else {
        let mut bytes = [0; 8];
        let name = &text[start..start + length];
        bytes[..name.len()].copy_from_slice(name);
        return u64::from_be_bytes(bytes);
    };
    let all = u64::from_be_bytes(*bytes);
    match length {
        0 => 0,
        1..8 => all & u64::MAX << (64 - 8 * length),
        _ => all,
    }
}

/// Calls `mark` for the place of each `,` and `:`, in order; true where all of the text is printable ASCII without
/// `;`, `=` and `|`.
#[inline]
fn marks(text: &[u8], mut mark: impl FnMut(u32)) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    let mut wrong = 0;
    let mut look = |word: u64, at: usize| {
        wrong |= wrong_bytes(word);
        let mut found = zeros(word ^ (u64::from(b',') * LOW)) | zeros(word ^ (u64::from(b':') * LOW));
        while found != 0 {
            mark(at as u32 + found.trailing_zeros() / 8);
            found &= found - 1;
        }
    };
    for (number, word) in words.iter().enumerate() {
        look(u64::from_le_bytes(*word), number * 8);
    }
    if !rest.is_empty() {
        let mut word = BLANKS.to_le_bytes();
        word[..rest.len()].copy_from_slice(rest);
        look(u64::from_le_bytes(word), words.len() * 8);
    }
    wrong & HIGH == 0
}

/// The highest bit of each byte that is 0; exact for every byte.
#[inline]
fn zeros(word: u64) -> u64 {
    !((word & !HIGH).wrapping_add(!HIGH) | word) & HIGH
}

/// A highest bit is set where one of eight bytes is no printable ASCII, or is `;`, `=` or `|`. A borrow reaches a byte
/// only from one that is wrong already.
#[inline]
fn wrong_bytes(word: u64) -> u64 {
    let is = |byte: u8| {
        let word = word ^ (u64::from(byte) * LOW);
        word.wrapping_sub(LOW) & !word
    };
    word.wrapping_sub(BLANKS) & !word | word | is(0x7f) | is(b';') | is(b'=') | is(b'|')
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(text: &str) -> Option<String> {
        let (mut tags, mut key) = (PlainTags::default(), b"n".to_vec());
        let is_read = tags.read(text.as_bytes(), |name| name == b"other");
        tags.write(text.as_bytes(), &mut key);
        is_read.then(|| String::from_utf8(key).unwrap())
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
            ("a:1,a:2", Some("n;a=2")),
            ("a:2,b:1,a:1", Some("n;a=1;b=1")),
            ("longer_name_b:1,longer_name_a:2", Some("n;longer_name_a=2;longer_name_b=1")),
            ("longer_name:1,longer_n:2,longer_name:3", Some("n;longer_n=2;longer_name=3")),
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
        fn they_are_in_order_and_the_last_of_a_name_stays(
            tags in prop::collection::vec(("[ab]{1,9}", "[a-c]{0,3}"), 1..TAGS_MAX),
        ) {
            let text = |name: &str, mark: &str, value: &str| match value {
                "" => name.to_owned(),
                _ => format!("{name}{mark}{value}"),
            };
            let sent: Vec<String> = tags.iter().map(|(name, value)| text(name, ":", value)).collect();
            let last: std::collections::BTreeMap<String, String> = tags.into_iter().collect();
            let want: Vec<String> = last.iter().map(|(name, value)| text(name, "=", value)).collect();
            prop_assert_eq!(written(&sent.join(",")), Some(format!("n;{}", want.join(";"))));
        }

        #[test]
        fn every_mark_is_found(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut found = Vec::new();
            let is_plain = marks(&text, |at| found.push(at as usize));
            let want: Vec<usize> = (0..text.len()).filter(|at| matches!(text[*at], b',' | b':')).collect();
            prop_assert_eq!(found, want);
            let is = |byte: &u8| (0x20..0x7f).contains(byte) && !matches!(byte, b';' | b'=' | b'|');
            prop_assert_eq!(is_plain, text.iter().all(is), "{:?}", text);
        }
    }
}
