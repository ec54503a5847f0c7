//! Keys of series: `name` or `name;tag=value;tag2=value2`, Graphite's tagged form.
//!
//! A key is UTF-8 of at most 1,024 bytes without control characters; its tags are sorted by name; of a tag
//! given twice the last value stays; a tag without a value is `;tag`. Case is kept.

use std::borrow::Cow;

use thiserror::Error;

/// The longest key, in bytes.
pub const KEY_BYTES_MAX: usize = 1024;

/// Why a text is no key.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum KeyError {
    /// Nothing, or nothing before the first `;`.
    #[error("the name is empty")]
    EmptyName,
    /// `;;`, `;=value` or a `;` at the end.
    #[error("a tag has no name")]
    EmptyTag,
    /// Over [`KEY_BYTES_MAX`].
    #[error("a key has at most 1,024 bytes")]
    TooLong,
    /// A byte below 0x20, or 0x7f, or a C1 control.
    #[error("a key has no control characters")]
    Control,
    /// Not UTF-8.
    #[error("a key is UTF-8")]
    NotUtf8,
}

/// The key in its one form: tags sorted, each once. Borrows when the text is in that form already.
pub fn parse(text: &[u8]) -> Result<Cow<'_, str>, KeyError> {
    if text.len() > KEY_BYTES_MAX {
        return Err(KeyError::TooLong);
    }
    let is_plain = is_plain(text);
    let text = std::str::from_utf8(text).map_err(|_| KeyError::NotUtf8)?;
    if is_plain {
        return Ok(Cow::Borrowed(text));
    }
    if text.chars().any(char::is_control) {
        return Err(KeyError::Control);
    }
    if name(text).is_empty() {
        return Err(KeyError::EmptyName);
    }
    if tags(text).any(|(tag, _)| tag.is_empty()) {
        return Err(KeyError::EmptyTag);
    }
    if tags(text).map(|(tag, _)| tag).is_sorted_by(|a, b| a < b)
        && !text.ends_with('=')
        && !text.contains("=;")
    {
        return Ok(Cow::Borrowed(text));
    }
    Ok(Cow::Owned(normal(text)))
}

/// True only for printable ASCII that is a name and tags in the one form: sorted, each once, none with an empty value.
/// Every new series comes through here.
fn is_plain(text: &[u8]) -> bool {
    // By itself, and to its end, it is many bytes at a time.
    if !text.iter().fold(true, |is, byte| is & (0x20..0x7f).contains(byte)) {
        return false;
    }
    let Some(name_end) = text.iter().position(|byte| *byte == b';') else { return !text.is_empty() };
    let tags = &text[name_end + 1..];
    let (mut start, mut equals, mut before) = (0, None, &b""[..]);
    for at in 0..=tags.len() {
        match tags.get(at) {
            Some(b'=') => equals = equals.or(Some(at)),
            Some(b';') | None => {
                let tag = &tags[start..equals.unwrap_or(at)];
                // The first one is over nothing: it has a name.
                if tag <= before || equals.is_some_and(|equals| equals + 1 == at) {
                    return false;
                }
                (start, equals, before) = (at + 1, None, tag);
            }
            Some(_) => {}
        }
    }
    name_end > 0
}

/// The part before the first `;`.
pub fn name(key: &str) -> &str {
    // Names are short: a search that looks at many bytes at once takes longer.
    &key[..key.bytes().position(|byte| byte == b';').unwrap_or(key.len())]
}

/// The tags of a key with their values, in the order of the text; a tag without a value has an empty one.
pub fn tags(key: &str) -> impl Iterator<Item = (&str, &str)> {
    key.split(';').skip(1).map(|tag| tag.split_once('=').unwrap_or((tag, "")))
}

/// The key with `tag=value` joined, unless it has that tag already. The result may be over [`KEY_BYTES_MAX`].
pub fn with_tag(key: &str, tag: &str, value: &str) -> String {
    if tags(key).any(|(have, _)| have == tag) {
        return key.to_owned();
    }
    normal(&format!("{key};{tag}={value}"))
}

fn normal(text: &str) -> String {
    let mut sorted = std::collections::BTreeMap::new();
    for (tag, value) in tags(text) {
        sorted.insert(tag, value);
    }
    let mut key = name(text).to_owned();
    for (tag, value) in sorted {
        key.push(';');
        key.push_str(tag);
        if !value.is_empty() {
            key.push('=');
            key.push_str(value);
        }
    }
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_form() {
        for (text, want) in [
            ("foo", Ok("foo")),
            ("Foo Bar/baz", Ok("Foo Bar/baz")),
            ("größe", Ok("größe")),
            ("a;x=1;y=2", Ok("a;x=1;y=2")),
            ("a;y=2;x=1", Ok("a;x=1;y=2")),
            ("a;x=1;x=2", Ok("a;x=2")),
            ("a;x;b", Ok("a;b;x")),
            ("a;x=", Ok("a;x")),
            ("a;x=;y=1", Ok("a;x;y=1")),
            ("a;x=1=2", Ok("a;x=1=2")),
            ("a;x==", Ok("a;x==")),
            ("", Err(KeyError::EmptyName)),
            (";x=1", Err(KeyError::EmptyName)),
            ("a;", Err(KeyError::EmptyTag)),
            ("a;=1", Err(KeyError::EmptyTag)),
            ("a;;x=1", Err(KeyError::EmptyTag)),
            ("a\nb", Err(KeyError::Control)),
            ("a\u{85}b", Err(KeyError::Control)),
            ("a\u{7f}", Err(KeyError::Control)),
        ] {
            assert_eq!(parse(text.as_bytes()).as_deref(), want.as_ref().map(|key| *key), "{text:?}");
        }
        assert_eq!(parse(b"\xff"), Err(KeyError::NotUtf8));
        assert_eq!(parse(&[b'a'; 1025]), Err(KeyError::TooLong));
        assert!(parse(&[b'a'; 1024]).is_ok());
    }

    #[test]
    fn a_tag_in_the_key_wins() {
        assert_eq!(with_tag("a;b=1", "a", "2"), "a;a=2;b=1");
        assert_eq!(with_tag("a;b=1", "b", "2"), "a;b=1");
    }

    proptest::proptest! {
        #[test]
        fn a_key_that_is_sorted_is_its_normal_form(text in "[a-c;=]{0,12}|a(;[a-d](=[ab=]{0,2})?){0,4}") {
            if is_plain(text.as_bytes()) {
                proptest::prop_assert!(!name(&text).is_empty());
                proptest::prop_assert!(tags(&text).all(|(tag, _)| !tag.is_empty()));
                proptest::prop_assert_eq!(&normal(&text), &text);
            }
        }

        #[test]
        fn parsing_twice_changes_nothing(text in "[a-c;=é]{0,12}") {
            if let Ok(key) = parse(text.as_bytes()) {
                let again = parse(key.as_bytes());
                proptest::prop_assert_eq!(again.as_deref(), Ok(&*key));
            }
        }
    }
}
