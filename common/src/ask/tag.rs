//! Tests of a series' tags: `dc=ams`, `host!=web01`.

use crate::query::proc::write_text;

/// The most tests of an ask.
pub const TESTS_MAX: usize = 64;

/// A test of one tag. A tag without a value has an empty one.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct TagTest {
    /// The tag.
    pub tag: String,
    /// The value it is compared with.
    pub value: String,
    /// True for `!=`, which also holds for a series without the tag.
    pub is_not: bool,
}

impl TagTest {
    /// Whether a series has the tag with that value; with `!=`, whether it has not. `key` is as
    /// [`crate::key::parse`] leaves it.
    pub fn holds(&self, key: &[u8]) -> bool {
        let (wanted, value) = (self.tag.as_bytes(), self.value.as_bytes());
        let has = key.split(|byte| *byte == b';').skip(1).any(|tag| {
            let (tag, of) = match tag.iter().position(|byte| *byte == b'=') {
                Some(at) => (&tag[..at], &tag[at + 1..]),
                None => (tag, &[][..]),
            };
            (tag, of) == (wanted, value)
        });
        has != self.is_not
    }
}

/// Bytes of a tag or value that stands for itself in a test.
pub(super) fn is_plain(byte: u8) -> bool {
    byte > b' ' && !b"!=,;|".contains(&byte)
}

/// Appends the tests of an ask, if there are any.
pub(super) fn write_where(out: &mut Vec<u8>, tests: &[TagTest]) {
    for (place, test) in tests.iter().enumerate() {
        out.extend_from_slice(if place == 0 { b" where " } else { b"," });
        write_part(out, &test.tag);
        out.extend_from_slice(if test.is_not { b"!=" } else { b"=" });
        if !test.value.is_empty() {
            write_part(out, &test.value);
        }
    }
}

fn write_part(out: &mut Vec<u8>, part: &str) {
    if !part.is_empty() && part.bytes().all(is_plain) {
        out.extend_from_slice(part.as_bytes());
    } else {
        write_text(out, part.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_sees_the_tags_of_a_key_and_nothing_else() {
        for (tag, value, key, want) in [
            ("dc", "ams", "web;dc=ams", true),
            ("dc", "ams", "web;dc=amsterdam", false),
            ("dc", "ams", "web;a=1;dc=ams;z=2", true),
            ("dc", "ams", "web", false),
            ("dc", "ams", "dc=ams", false),
            ("dc", "", "web;dc", true),
            ("dc", "", "web;dc=ams", false),
            ("dc", "", "web", false),
            ("x", "1=2", "web;x=1=2", true),
        ] {
            let test = TagTest { tag: tag.to_owned(), value: value.to_owned(), is_not: false };
            assert_eq!(test.holds(key.as_bytes()), want, "{tag}={value} of {key}");
            assert_eq!(
                TagTest { is_not: true, ..test }.holds(key.as_bytes()),
                !want,
                "{tag}!={value} of {key}"
            );
        }
    }
}
