//! `name:value|type|...`: the values of a series.

use common::key::KEY_BYTES_MAX;
use common::text::number;
use common::value::Value;

use super::reason::{Fault, Reason};
use super::section::{self, Sections};

/// What a line's values are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    /// `c`, and `m`, a meter's: increments.
    Count,
    /// `g`: a gauge.
    Gauge,
    /// `ms`: milliseconds that something took.
    Timer,
    /// `h`: samples.
    Histogram,
    /// `d`: samples, to be merged over hosts.
    Distribution,
    /// `s`: a member of a set.
    Set,
}

/// A metric's line, taken apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metric<'a> {
    /// In front of the first `:`.
    pub name: &'a [u8],
    /// Between it and the first `|`.
    pub values: &'a [u8],
    /// Behind that.
    pub kind: Type,
    /// And what follows.
    pub sections: Sections<'a>,
}

impl<'a> Metric<'a> {
    /// Takes a line apart. The values are looked at by [`Metric::values`].
    #[inline]
    pub fn parse(line: &'a [u8]) -> Result<Metric<'a>, Fault> {
        let colon = match memchr::memchr2(b':', b'|', line) {
            Some(at) if line[at] == b':' => at,
            at => return Err(Fault { reason: Reason::NoValue, offset: at.unwrap_or(line.len()) }),
        };
        let (name, rest) = (&line[..colon], &line[colon + 1..]);
        let Some(bar) = memchr::memchr(b'|', rest) else {
            return Err(Fault { reason: Reason::Type, offset: line.len() });
        };
        let (values, rest) = (&rest[..bar], &rest[bar + 1..]);
        let (kind, length) = match rest {
            [b'c', ..] => (Type::Count, 1),
            [b'g', ..] => (Type::Gauge, 1),
            [b'm', b's', ..] => (Type::Timer, 2),
            // How often something happened: what a count says, and a rate is made of.
            [b'm', ..] => (Type::Count, 1),
            [b'h', ..] => (Type::Histogram, 1),
            [b'd', ..] => (Type::Distribution, 1),
            [b's', ..] => (Type::Set, 1),
            _ => return Err(Fault::at(Reason::Type, line, rest)),
        };
        let mut sections = Sections::default();
        match &rest[length..] {
            [] => {}
            [b'|', rest @ ..] => section::each(rest, |section| match sections.take(line, section)? {
                None => Ok(()),
                Some([b'@', text @ ..]) => section::once(&mut sections.rate, line, section, text),
                Some([b'T', text @ ..]) => section::once(&mut sections.time, line, section, text),
                Some(section) => sections.skip(line, section),
            })?,
            _ => return Err(Fault::at(Reason::Type, line, rest)),
        }
        Ok(Metric { name, values, kind, sections })
    }

    /// Each value of a pack, as it stands there. Of a set, its one member.
    #[inline]
    pub fn values(&self) -> Values<'a> {
        Values { rest: Some(self.values), is_whole: self.kind == Type::Set }
    }
}

/// A line of which there is nothing more to say than `name:number|type`: what most lines are.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Plain<'a> {
    /// As it can stand in a key.
    pub name: &'a [u8],
    /// Without a sign.
    pub value: Value,
    /// But for a set.
    pub kind: Type,
}

impl<'a> Plain<'a> {
    /// The same as [`Metric::parse`] would find, sooner; none for all other lines, also wrong ones.
    #[inline(always)]
    pub fn parse(line: &'a [u8]) -> Option<Plain<'a>> {
        let (front, kind) = match line {
            [front @ .., b'|', b'c'] => (front, Type::Count),
            [front @ .., b'|', b'g'] => (front, Type::Gauge),
            [front @ .., b'|', b'm', b's'] => (front, Type::Timer),
            [front @ .., b'|', b'h'] => (front, Type::Histogram),
            [front @ .., b'|', b'd'] => (front, Type::Distribution),
            _ => return None,
        };
        let colon = front.iter().rposition(|byte| !byte.is_ascii_digit() && *byte != b'.')?;
        let (name, text) = (&front[..colon], &front[colon + 1..]);
        if front[colon] != b':' || !is_plain_name(name) {
            return None;
        }
        Plain::of(name, text, kind)
    }

    /// The metric of a name that is plain, and of the text of its value.
    #[inline(always)]
    pub(crate) fn of(name: &'a [u8], text: &[u8], kind: Type) -> Option<Plain<'a>> {
        // What begins like an event is one, if a wrong one.
        if !text.first()?.is_ascii_digit() || name.starts_with(b"_e{") {
            return None;
        }
        match number::value(text) {
            Some((value, length)) if length == text.len() && value.is_finite() => {
                Some(Plain { name, value, kind })
            }
            _ => None,
        }
    }
}

/// True for 1 to [`KEY_BYTES_MAX`] bytes of printable ASCII without `:`, `|` and `;`.
#[inline]
fn is_plain_name(name: &[u8]) -> bool {
    let (words, rest) = name.as_chunks::<8>();
    match name.last_chunk::<8>() {
        // The last bytes once more, together with some before them: none is looked at by itself.
        Some(last) => {
            let wrong = words.iter().fold(wrong_bytes(*last), |wrong, word| wrong | wrong_bytes(*word));
            wrong == 0 && name.len() <= KEY_BYTES_MAX
        }
        None => !rest.is_empty() && rest.iter().all(|byte| wrong_bytes([*byte; 8]) == 0),
    }
}

/// Not 0 where one of eight bytes is no printable ASCII, or is `:`, `;` or `|`. All eight at once: of each byte the highest
/// bit tells, and a borrow reaches the next byte only from one that is wrong already.
#[inline]
fn wrong_bytes(bytes: [u8; 8]) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let word = u64::from_le_bytes(bytes);
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word;
    let below_blank = word.wrapping_sub(ONES * 0x20) & !word;
    // 0x7f becomes 0x80.
    let delete = word.wrapping_add(ONES);
    // `:` and `;` are 0x3a and 0x3b.
    let colons = zeros((word | ONES) ^ (ONES * 0x3b));
    let bars = zeros(word ^ (ONES * 0x7c));
    (word | below_blank | delete | colons | bars) & (ONES * 0x80)
}

/// The values of a line.
#[derive(Clone, Copy, Debug)]
pub struct Values<'a> {
    rest: Option<&'a [u8]>,
    is_whole: bool,
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.rest.take()?;
        if self.is_whole {
            return Some(rest);
        }
        // Most are a few digits, and alone: a loop finds their end sooner than anything that looks at many bytes.
        match rest.iter().position(|byte| *byte == b':') {
            None => Some(rest),
            Some(end) => {
                self.rest = Some(&rest[end + 1..]);
                Some(&rest[..end])
            }
        }
    }
}

/// The number that `text` is: that of Leela's text, and `.5` and `5.` too.
#[inline]
pub fn value(text: &[u8]) -> Result<Value, Reason> {
    let digits = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    match number::value(text) {
        // Leela's text takes several signs.
        Some((value, length)) if length == text.len() && digits.first().is_some_and(u8::is_ascii_digit) => {
            match value.is_finite() {
                true => Ok(value),
                false => Err(Reason::NotFinite),
            }
        }
        _ => unusual(text),
    }
}

#[cold]
fn unusual(text: &[u8]) -> Result<Value, Reason> {
    let text = std::str::from_utf8(text).map_err(|_| Reason::Value)?;
    match text.parse::<f64>() {
        Ok(value) if value.is_finite() => Ok(Value::F64(value)),
        Ok(_) => Err(Reason::NotFinite),
        Err(_) => Err(Reason::Value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_has_no_byte_with_a_meaning() {
        for byte in 0..=u8::MAX {
            let is_plain = (0x20..0x7f).contains(&byte) && !b":;|".contains(&byte);
            for length in 1..=27 {
                for place in 0..length {
                    for filler in [b' ', b'a', b'~', b'<', b'9'] {
                        let mut name = vec![filler; length];
                        name[place] = byte;
                        assert_eq!(is_plain_name(&name), is_plain, "{name:?}");
                    }
                }
            }
        }
        assert!(!is_plain_name(b""));
        assert!(is_plain_name(&[b'a'; KEY_BYTES_MAX]) && !is_plain_name(&[b'a'; KEY_BYTES_MAX + 1]));
    }

    #[test]
    fn a_value_is_a_finite_number() {
        use Value::{F64, I64, U64};
        for (text, want) in [
            ("1", Ok(U64(1))),
            ("+1", Ok(U64(1))),
            ("-1", Ok(I64(-1))),
            ("0.5", Ok(F64(0.5))),
            (".5", Ok(F64(0.5))),
            ("-.5", Ok(F64(-0.5))),
            ("5.", Ok(F64(5.0))),
            ("1e3", Ok(F64(1000.0))),
            ("1.5E-7", Ok(F64(1.5e-7))),
            ("18446744073709551615", Ok(U64(u64::MAX))),
            ("", Err(Reason::Value)),
            ("-", Err(Reason::Value)),
            ("--1", Err(Reason::Value)),
            ("+-1", Err(Reason::Value)),
            (".", Err(Reason::Value)),
            ("1e", Err(Reason::Value)),
            ("0x10", Err(Reason::Value)),
            ("1_000", Err(Reason::Value)),
            ("1,5", Err(Reason::Value)),
            (" 1", Err(Reason::Value)),
            ("1 ", Err(Reason::Value)),
            ("1\0", Err(Reason::Value)),
            ("nan", Err(Reason::NotFinite)),
            ("NaN", Err(Reason::NotFinite)),
            ("inf", Err(Reason::NotFinite)),
            ("-Infinity", Err(Reason::NotFinite)),
            ("1e999", Err(Reason::NotFinite)),
        ] {
            assert_eq!(value(text.as_bytes()), want, "{text:?}");
        }
    }
}
