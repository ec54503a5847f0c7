//! `_sc|name|status|...`: a service check.

use super::reason::{Fault, Reason};
use super::section::{self, Sections};

/// A check's line, taken apart. In its message `\n` stands for a line feed and `m\:` for `m:`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Check<'a> {
    /// What is checked.
    pub name: &'a [u8],
    /// 0 is ok, 1 warning, 2 critical, 3 unknown.
    pub status: u8,
    /// Behind `h:`: the host it is about.
    pub host: Option<&'a [u8]>,
    /// Behind `m:`, up to the end: a `|` may be in it. What a client's library puts behind a message by itself (`c:`,
    /// `e:` and `card:`) is none of it.
    pub message: Option<&'a [u8]>,
    /// And what all lines may have.
    pub sections: Sections<'a>,
}

impl<'a> Check<'a> {
    /// Takes apart a line that begins with `_sc|`.
    pub fn parse(line: &'a [u8]) -> Result<Check<'a>, Fault> {
        let rest = line.strip_prefix(b"_sc|").ok_or(Fault::at(Reason::Status, line, line))?;
        let bar = memchr::memchr(b'|', rest).ok_or(Fault { reason: Reason::Status, offset: line.len() })?;
        let (name, rest) = (&rest[..bar], &rest[bar + 1..]);
        let status = match rest {
            [status @ b'0'..=b'3'] | [status @ b'0'..=b'3', b'|', ..] => *status - b'0',
            _ => return Err(Fault::at(Reason::Status, line, rest)),
        };
        let mut check = Check { name, status, ..Check::default() };
        let Some(mut rest) = rest.get(2..) else { return Ok(check) };
        if let Some(at) = message(rest) {
            let (mut text, before) = (&rest[at + 2..], &rest[..at]);
            while let Some(bar) = memchr::memrchr(b'|', text)
                && is_origin(&text[bar + 1..])
            {
                let taken = check.sections.take(line, &text[bar + 1..])?;
                debug_assert_eq!(taken, None);
                text = &text[..bar];
            }
            check.message = Some(text);
            rest = before.strip_suffix(b"|").unwrap_or(before);
        }
        section::each(rest, |section| check.take(line, section))?;
        Ok(check)
    }

    fn take(&mut self, line: &[u8], section: &'a [u8]) -> Result<(), Fault> {
        let Some(section) = self.sections.take(line, section)? else { return Ok(()) };
        let (place, text) = match section {
            [b'd', b':', text @ ..] => (&mut self.sections.time, text),
            [b'h', b':', text @ ..] => (&mut self.host, text),
            _ => return self.sections.skip(line, section),
        };
        section::once(place, line, section, text)
    }
}

/// Where the message's `m:` stands in the sections of a check.
fn message(rest: &[u8]) -> Option<usize> {
    if rest.starts_with(b"m:") {
        return Some(0);
    }
    memchr::memmem::find(rest, b"|m:").map(|bar| bar + 1)
}

/// What a library appends: a word without a blank.
fn is_origin(section: &[u8]) -> bool {
    let begins = |prefix: &&[u8]| section.starts_with(prefix) && section.len() > prefix.len();
    [&b"c:"[..], b"e:", b"card:"].iter().any(begins) && !section.iter().any(u8::is_ascii_whitespace)
}
