//! `_e{5,4}:title|text|...`: an event.

use super::reason::{Fault, Reason};
use super::section::{self, Sections};

/// An event's line, taken apart. In title and text `\n` stands for a line feed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Event<'a> {
    /// As many bytes as its head says; a `|` may be among them.
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
        let (title, behind) = rest.split_at_checked(title_length).ok_or(wrong(rest))?;
        let rest = behind.strip_prefix(b"|").ok_or(wrong(behind))?;
        let (text, behind) = rest.split_at_checked(text_length).ok_or(wrong(rest))?;
        let mut event = Event { title, text, ..Event::default() };
        match behind {
            [] => {}
            [b'|', rest @ ..] => section::each(rest, |section| event.take(line, section))?,
            _ => return Err(wrong(behind)),
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

/// The decimal length that `text` begins with, and what is behind it.
fn length(text: &[u8]) -> Option<(usize, &[u8])> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let length = std::str::from_utf8(&text[..digits]).ok()?.parse().ok()?;
    Some((length, &text[digits..]))
}
