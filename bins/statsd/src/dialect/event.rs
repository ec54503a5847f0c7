//! `_e{5,4}:title|text|...`: an event.

use super::reason::{Fault, Reason};
use super::section::{self, Sections};

/// An event's line, taken apart. In title and text `\n` stands for a line feed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Event<'a> {
    /// As long as its head says, so that a `|` may be in it: in bytes, or, as hot-shots counts, in units of UTF-16.
    pub title: &'a [u8],
    /// The same.
    pub text: &'a [u8],
    /// Behind `h:`: the host it is about.
    pub host: Option<&'a [u8]>,
    /// Behind `k:`: what it belongs together with.
    pub aggregation_key: Option<&'a [u8]>,
    /// Behind `p:`: `normal` or `low`.
    pub priority: Option<&'a [u8]>,
    /// Behind `s:`: what kind of program sent it.
    pub source: Option<&'a [u8]>,
    /// Behind `t:`: `error`, `warning`, `info` or `success`.
    pub alert: Option<&'a [u8]>,
    /// And what all lines may have.
    pub sections: Sections<'a>,
}

impl<'a> Event<'a> {
    /// Takes apart a line that begins with `_e{`.
    pub fn parse(line: &'a [u8]) -> Result<Event<'a>, Fault> {
        let wrong = |part: &[u8]| Fault::at(Reason::Event, line, part);
        let rest = line.strip_prefix(b"_e{").ok_or(wrong(line))?;
        let (title_length, rest) = length(rest).ok_or(wrong(rest))?;
        let rest = rest.strip_prefix(b",").ok_or(wrong(rest))?;
        let (text_length, rest) = length(rest).ok_or(wrong(rest))?;
        let rest = rest.strip_prefix(b"}:").ok_or(wrong(rest))?;
        let by_bytes = texts(rest, title_length, text_length, |_, length| Some(length));
        let (title, text, sections) = by_bytes
            .or_else(|spot| texts(rest, title_length, text_length, bytes_of_units).map_err(|_| spot))
            .map_err(wrong)?;
        let mut event = Event { title, text, ..Event::default() };
        if let Some(sections) = sections {
            section::each(sections, |section| event.take(line, section))?;
        }
        Ok(event)
    }

    fn take(&mut self, line: &[u8], section: &'a [u8]) -> Result<(), Fault> {
        let Some(section) = self.sections.take(line, section)? else { return Ok(()) };
        let (place, text) = match section {
            [b'd', b':', text @ ..] => (&mut self.sections.time, text),
            [b'h', b':', text @ ..] => (&mut self.host, text),
            [b'k', b':', text @ ..] => (&mut self.aggregation_key, text),
            [b'p', b':', text @ ..] => (&mut self.priority, text),
            [b's', b':', text @ ..] => (&mut self.source, text),
            [b't', b':', text @ ..] => (&mut self.alert, text),
            _ => return self.sections.skip(line, section),
        };
        section::once(place, line, section, text)
    }
}

/// Title, text, and the sections behind a `|`.
type Texts<'a> = (&'a [u8], &'a [u8], Option<&'a [u8]>);

/// Takes title and text of these lengths off `rest`; `bytes` says how many bytes a length is of a text. Else gives the
/// spot where they do not fit.
fn texts(
    rest: &[u8],
    title: usize,
    text: usize,
    bytes: fn(&[u8], usize) -> Option<usize>,
) -> Result<Texts<'_>, &[u8]> {
    let split = |rest, length| bytes(rest, length).and_then(|at| rest.split_at_checked(at)).ok_or(rest);
    let (title, behind): (&[u8], &[u8]) = split(rest, title)?;
    let rest = behind.strip_prefix(b"|").ok_or(behind)?;
    match split(rest, text)? {
        (text, []) => Ok((title, text, None)),
        (text, [b'|', sections @ ..]) => Ok((title, text, Some(sections))),
        (_, behind) => Err(behind),
    }
}

/// How many bytes so many units of UTF-16 are at the front of a text.
fn bytes_of_units(text: &[u8], units: usize) -> Option<usize> {
    let valid = text.utf8_chunks().next().map_or("", |chunk| chunk.valid());
    let mut left = units;
    for (at, char) in valid.char_indices() {
        if left == 0 {
            return Some(at);
        }
        left = left.checked_sub(char.len_utf16())?;
    }
    (left == 0).then_some(valid.len())
}

/// The decimal length that `text` begins with, and what is behind it.
fn length(text: &[u8]) -> Option<(usize, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let length = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
    Some((length, &text[digits..]))
}
