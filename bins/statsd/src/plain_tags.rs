//! Tags as nearly all clients send them: `name:value,name2:value2`, printable ASCII that needs no care but to be put in
//! order. They are looked at eight bytes at once, and written once.

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;
/// A blank at every byte: printable, and no mark.
const BLANKS: u64 = 0x20 * LOW;

/// The tags of one line.
#[derive(Debug, Default)]
pub(crate) struct PlainTags {
    tags: Vec<Tag>,
    /// Each name is behind the one before it.
    in_order: bool,
}

/// Where a tag stands in the text.
#[derive(Clone, Copy, Debug)]
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
}

impl PlainTags {
    /// Reads tags, and puts them in order; false where one of them needs more care: what is not printable ASCII, `;`,
    /// `=`, a name or value that is empty, one that is no tag at all (`is_other`).
    #[inline]
    pub(crate) fn read(&mut self, text: &[u8], is_other: impl Fn(&[u8]) -> bool) -> bool {
        self.tags.clear();
        self.in_order = true;
        let (mut start, mut name_end, mut before) = (0, None, 0);
        let mut is_whole = text.len() <= u32::MAX as usize;
        let mut end_of =
            |tags: &mut Vec<Tag>, in_order: &mut bool, start: usize, name_end: Option<usize>, end| {
                let name = &text[start..name_end.unwrap_or(end)];
                let is_tag = !name.is_empty() && name_end.is_none_or(|at| at + 1 < end);
                let rank = rank(text, start, name.len());
                if rank <= before {
                    let is_behind = |last: &Tag| (last.rank, last.name(text)) < (rank, name);
                    *in_order &= tags.last().is_none_or(is_behind);
                }
                before = rank;
                let (from, to) = (start as u32, end as u32);
                tags.push(Tag { rank, start: from, name_end: name_end.map_or(to, |at| at as u32), end: to });
                is_tag && !(name_end.is_none() && is_other(name))
            };
        let is_plain = marks(text, |at| {
            if text[at] == b',' {
                is_whole &= end_of(&mut self.tags, &mut self.in_order, start, name_end.take(), at);
                start = at + 1;
            } else if name_end.is_none() {
                name_end = Some(at);
            }
        });
        is_whole &= end_of(&mut self.tags, &mut self.in_order, start, name_end, text.len());
        if !self.in_order {
            // Few tags, and stable: of those of one name the last stays.
            self.tags.sort_by(|a, b| a.rank.cmp(&b.rank).then_with(|| a.name(text).cmp(b.name(text))));
        }
        is_plain && is_whole
    }

    /// Appends the tags of `text`, which was just read, as they stand in a key.
    #[inline]
    pub(crate) fn write(&self, text: &[u8], key: &mut Vec<u8>) {
        if self.in_order {
            let base = key.len() + 1;
            key.push(b';');
            key.extend_from_slice(text);
            for tag in &self.tags {
                key[base + tag.start as usize - 1] = b';';
                if tag.name_end < tag.end {
                    key[base + tag.name_end as usize] = b'=';
                }
            }
            return;
        }
        for (place, tag) in self.tags.iter().enumerate() {
            let is_given_again = self
                .tags
                .get(place + 1)
                .is_some_and(|next| next.rank == tag.rank && next.name(text) == tag.name(text));
            if is_given_again {
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
/// `;` and `=`.
#[inline]
fn marks(text: &[u8], mut mark: impl FnMut(usize)) -> bool {
    let (words, rest) = text.as_chunks::<8>();
    let mut bad = 0;
    let mut look = |word: u64, at: usize| {
        let is = |byte: u8| zeros(word ^ (u64::from(byte) * LOW));
        // Below a blank, DEL, or beyond ASCII.
        bad |= word.wrapping_sub(BLANKS) & !word | is(0x7f) | word | is(b';') | is(b'=');
        let mut found = is(b',') | is(b':');
        while found != 0 {
            mark(at + (found.trailing_zeros() / 8) as usize);
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
    bad & HIGH == 0
}

/// The highest bit of each byte that is 0; exact for every byte.
#[inline]
fn zeros(word: u64) -> u64 {
    !((word & !HIGH).wrapping_add(!HIGH) | word) & HIGH
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
            ("a:\u{7f}", None),
            ("a:\t", None),
            ("a:\u{e9}", None),
            ("averylongname:with\u{0}nul", None),
        ] {
            assert_eq!(written(text).as_deref(), want, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_mark_is_found(text in prop::collection::vec(any::<u8>(), 0..40)) {
            let mut found = Vec::new();
            let is_plain = marks(&text, |at| found.push(at));
            let want: Vec<usize> = (0..text.len()).filter(|at| matches!(text[*at], b',' | b':')).collect();
            prop_assert_eq!(found, want);
            let is = |byte: &u8| (0x20..0x7f).contains(byte) && !matches!(byte, b';' | b'=');
            prop_assert_eq!(is_plain, text.iter().all(is), "{:?}", text);
        }
    }
}
