//! Deletes: what was written before a place of the log, of the series that are selected, is gone.

use common::ask::TagTest;
use common::query::selector::Selector;
use common::time::Time;

use super::Which;
use crate::log::Position;
use crate::varint;

/// A delete whose points may still be in a file or in the log.
#[derive(Debug)]
pub(super) struct Tombstone {
    /// What was written up to here is gone.
    pub(super) position: Position,
    /// Tells it from others, also from those of the same place.
    pub(super) number: u64,
    /// When it was asked for.
    made: Time,
    chosen: Chosen,
}

#[derive(Debug)]
enum Chosen {
    Key(Box<[u8]>),
    Match(Box<Selector>, Vec<TagTest>),
}

impl Tombstone {
    pub(super) fn new(position: Position, number: u64, made: Time, which: Which<'_>) -> Tombstone {
        let chosen = match which {
            Which::Key(key) => Chosen::Key(key.into()),
            Which::Match(selector, tests) => Chosen::Match(Box::new(selector.clone()), tests.to_vec()),
        };
        Tombstone { position, number, made, chosen }
    }

    /// The series it is about.
    pub(super) fn which(&self) -> Which<'_> {
        match &self.chosen {
            Chosen::Key(key) => Which::Key(key),
            Chosen::Match(selector, tests) => Which::Match(selector, tests),
        }
    }

    /// Whether it takes what was written of a series up to `high`.
    pub(super) fn takes(&self, key: &[u8], high: Position) -> bool {
        high <= self.position && self.which().selects(key)
    }

    /// Appends it as it lies in the state file: `position, number, made_ns, form, text`, and for form 1 `count`, then that
    /// many `is_not, tag, value`. All numbers are varints, texts have their lengths before them.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        varint::write(self.position.0, out);
        varint::write(self.number, out);
        varint::write(varint::zigzag(self.made.ns()), out);
        match &self.chosen {
            Chosen::Key(key) => {
                out.push(0);
                write_text(key, out);
            }
            Chosen::Match(selector, tests) => {
                out.push(1);
                write_text(selector.to_string().as_bytes(), out);
                varint::write(tests.len() as u64, out);
                for TagTest { tag, value, is_not } in tests {
                    out.push(u8::from(*is_not));
                    write_text(tag.as_bytes(), out);
                    write_text(value.as_bytes(), out);
                }
            }
        }
    }

    /// Takes one off the front of `bytes`.
    pub(super) fn read(bytes: &mut &[u8]) -> Option<Tombstone> {
        let position = Position(varint::read(bytes)?);
        let number = varint::read(bytes)?;
        let made = Time::from_ns(varint::unzigzag(varint::read(bytes)?));
        let chosen = match byte(bytes)? {
            0 => Chosen::Key(read_text(bytes)?.into()),
            1 => {
                let selector = Selector::parse(std::str::from_utf8(read_text(bytes)?).ok()?).ok()?;
                let count = varint::read(bytes)?;
                let mut tests = Vec::new();
                for _ in 0..count {
                    let is_not = byte(bytes)? != 0;
                    let mut text = || Some(std::str::from_utf8(read_text(bytes)?).ok()?.to_owned());
                    tests.push(TagTest { tag: text()?, value: text()?, is_not });
                }
                Chosen::Match(Box::new(selector), tests)
            }
            _ => return None,
        };
        Some(Tombstone { position, number, made, chosen })
    }
}

impl Which<'_> {
    /// Whether a series is selected.
    pub(super) fn selects(&self, key: &[u8]) -> bool {
        match self {
            Which::Key(one) => *one == key,
            Which::Match(selector, tests) => {
                selector.matches(key) && tests.iter().all(|test| test.holds(key))
            }
        }
    }
}

fn byte(bytes: &mut &[u8]) -> Option<u8> {
    let (&byte, rest) = bytes.split_first()?;
    *bytes = rest;
    Some(byte)
}

fn write_text(text: &[u8], out: &mut Vec<u8>) {
    varint::write(text.len() as u64, out);
    out.extend_from_slice(text);
}

fn read_text<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = usize::try_from(varint::read(bytes)?).ok()?;
    let (text, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(text)
}
