//! What stands behind a line's type: the sections that metrics, events and checks share.

use super::reason::{Fault, Reason};

/// The sections of a line, as they stand there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Sections<'a> {
    /// Behind `@`.
    pub rate: Option<&'a [u8]>,
    /// Behind `#`, parted by commas.
    pub tags: Option<&'a [u8]>,
    /// Behind `T`, or `d:` of an event or a check.
    pub time: Option<&'a [u8]>,
    /// Behind `c:`: the container it comes from.
    pub container: Option<&'a [u8]>,
    /// Behind `e:`: what the cluster knows of its sender.
    pub external: Option<&'a [u8]>,
    /// Behind `card:`: how many of the sender's tags are wanted.
    pub cardinality: Option<&'a [u8]>,
    /// Sections that are of no version known here.
    pub unknown: u32,
}

impl<'a> Sections<'a> {
    /// Takes what every line may have; what it gives back is something else.
    #[inline]
    pub(super) fn take(&mut self, line: &[u8], section: &'a [u8]) -> Result<Option<&'a [u8]>, Fault> {
        let (place, text) = match section {
            [] => return Ok(None),
            [b'#', text @ ..] => (&mut self.tags, text),
            [b'c', b':', text @ ..] => (&mut self.container, text),
            [b'e', b':', text @ ..] => (&mut self.external, text),
            [b'c', b'a', b'r', b'd', b':', text @ ..] => (&mut self.cardinality, text),
            _ => return Ok(Some(section)),
        };
        once(place, line, section, text).map(|()| None)
    }

    /// Takes what nobody knows: an extension is skipped, all else is a fault.
    pub(super) fn skip(&mut self, line: &[u8], section: &'a [u8]) -> Result<(), Fault> {
        let word = section.iter().position(|byte| !byte.is_ascii_lowercase());
        match word {
            Some(length @ 1..) if section[length] == b':' => {
                self.unknown += 1;
                Ok(())
            }
            _ => Err(Fault::at(Reason::Section, line, section)),
        }
    }
}

/// Notes the text of a section, which has no other before it.
#[inline]
pub(super) fn once<'a>(
    place: &mut Option<&'a [u8]>,
    line: &[u8],
    section: &[u8],
    text: &'a [u8],
) -> Result<(), Fault> {
    match place.replace(text) {
        None => Ok(()),
        Some(_) => Err(Fault::at(Reason::Repeated, line, section)),
    }
}

/// Each section of `rest`, the part of a line behind a `|`.
#[inline]
pub(super) fn each<'a>(
    rest: &'a [u8],
    mut take: impl FnMut(&'a [u8]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut rest = rest;
    while let Some(end) = memchr::memchr(b'|', rest) {
        take(&rest[..end])?;
        rest = &rest[end + 1..];
    }
    take(rest)
}
