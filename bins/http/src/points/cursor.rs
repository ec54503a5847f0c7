//! JSON, read where it lies: no tree is built, texts borrow from the body.

use std::borrow::Cow;

use common::text::number;
use common::value::Value;

/// Arrays and objects in each other; deeper ones are refused.
const DEPTH_MAX: u32 = 64;

/// A body that is no JSON, and where.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// In bytes of the body.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// A place in a body.
#[derive(Clone, Copy, Debug)]
pub struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    /// The beginning of a body.
    pub const fn new(bytes: &'a [u8]) -> Cursor<'a> {
        Cursor { bytes, at: 0 }
    }

    /// The same body, read from another place on.
    pub const fn moved(self, at: usize) -> Cursor<'a> {
        Cursor { bytes: self.bytes, at }
    }

    /// Where it stands, in bytes.
    pub const fn at(&self) -> usize {
        self.at
    }

    /// The body from `start` to here.
    pub fn since(&self, start: usize) -> &'a [u8] {
        &self.bytes[start..self.at]
    }

    /// The next byte that is no blank; it is not passed.
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\n' | b'\t' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Passes `byte`, when it comes next behind blanks.
    #[inline]
    pub fn eat(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    /// A fault at this place.
    #[cold]
    pub fn fault(&self, what: &'static str) -> Fault {
        Fault { at: self.at, what }
    }

    /// A text. It is not known to be UTF-8.
    #[inline]
    pub fn string(&mut self) -> Result<Cow<'a, [u8]>, Fault> {
        if !self.eat(b'"') {
            return Err(self.fault("a text in quotes stands here"));
        }
        let start = self.at;
        let rest = &self.bytes[start..];
        match rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20)) {
            Some(end) if rest[end] == b'"' => {
                self.at += end + 1;
                Ok(Cow::Borrowed(&rest[..end]))
            }
            Some(end) => {
                self.at += end;
                self.escaped(rest[..end].to_vec()).map(Cow::Owned)
            }
            None => {
                self.at = self.bytes.len();
                Err(self.fault("a text without its end"))
            }
        }
    }

    #[cold]
    fn escaped(&mut self, mut text: Vec<u8>) -> Result<Vec<u8>, Fault> {
        loop {
            let Some(&byte) = self.bytes.get(self.at) else {
                return Err(self.fault("a text without its end"));
            };
            match byte {
                b'"' => {
                    self.at += 1;
                    return Ok(text);
                }
                b'\\' => {
                    let mark = self.bytes.get(self.at + 1).copied().unwrap_or_default();
                    let plain = match mark {
                        b'"' | b'\\' | b'/' => mark,
                        b'b' => 0x08,
                        b'f' => 0x0c,
                        b'n' => b'\n',
                        b'r' => b'\r',
                        b't' => b'\t',
                        b'u' => {
                            let letter = self.unicode()?;
                            text.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
                            continue;
                        }
                        _ => return Err(self.fault("an escape that JSON does not have")),
                    };
                    text.push(plain);
                    self.at += 2;
                }
                0..0x20 => return Err(self.fault("a control character inside a text")),
                byte => {
                    text.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    /// `\uXXXX`, two of them for a letter beyond the first 65,536.
    fn unicode(&mut self) -> Result<char, Fault> {
        let unit = |at: usize| -> Option<u32> {
            let digits = self.bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
            digits.iter().try_fold(0, |sum, digit| Some(sum * 16 + char::from(*digit).to_digit(16)?))
        };
        let Some(high) = unit(self.at) else { return Err(self.fault("an escape that JSON does not have")) };
        let (code, length) = match (high, unit(self.at + 6)) {
            (0xd800..0xdc00, Some(low @ 0xdc00..0xe000)) => {
                (0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00), 12)
            }
            _ => (high, 6),
        };
        // Half a letter is none.
        let letter = char::from_u32(code).ok_or_else(|| self.fault("half a surrogate pair"))?;
        self.at += length;
        Ok(letter)
    }

    /// A number, or a text that is one, or `NaN` and the like; `None` when something else stands there, which is then
    /// not passed.
    #[inline]
    pub fn number(&mut self) -> Result<Option<Value>, Fault> {
        if self.peek() == Some(b'"') {
            let mut ahead = *self;
            let text = ahead.string()?;
            return Ok(whole(&text).inspect(|_| *self = ahead));
        }
        let Some((value, length)) = number::value(&self.bytes[self.at..]) else { return Ok(None) };
        let end = self.at + length;
        if !self.ends_at(end) {
            return Ok(None);
        }
        self.at = end;
        Ok(Some(value))
    }

    /// True where a value without quotes may end.
    #[inline]
    pub fn ends_at(&self, at: usize) -> bool {
        matches!(self.bytes.get(at), None | Some(b',' | b'}' | b']' | b' ' | b'\n' | b'\t' | b'\r'))
    }

    /// What is not read yet.
    pub fn rest(&self) -> &'a [u8] {
        &self.bytes[self.at..]
    }

    /// Passes so many bytes.
    pub fn pass(&mut self, bytes: usize) {
        self.at += bytes;
    }

    /// Passes any value.
    pub fn skip(&mut self) -> Result<(), Fault> {
        self.skip_below(0)
    }

    fn skip_below(&mut self, depth: u32) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            return Err(self.fault("arrays and objects are at most 64 deep"));
        }
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b'{') => self.members(|cursor, _| cursor.skip_below(depth + 1)),
            Some(b'[') => self.elements(|cursor| cursor.skip_below(depth + 1)),
            Some(_) => {
                let literals: [&[u8]; 6] = [b"true", b"false", b"null", b"NaN", b"Infinity", b"-Infinity"];
                let literal = literals.iter().find(|literal| self.rest().starts_with(literal));
                let length = match literal {
                    Some(literal) => Some(literal.len()),
                    None => number::value(self.rest()).map(|(_, length)| length),
                };
                match length.filter(|length| self.ends_at(self.at + length)) {
                    Some(length) => {
                        self.at += length;
                        Ok(())
                    }
                    None => Err(self.fault("no value of JSON")),
                }
            }
            None => Err(self.fault("a value is missing at the end")),
        }
    }

    /// Reads an object; `each` has to pass the value of a name.
    #[inline]
    pub fn members(
        &mut self,
        mut each: impl FnMut(&mut Cursor<'a>, &[u8]) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if !self.eat(b'{') {
            return Err(self.fault("an object stands here"));
        }
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            let name = self.string()?;
            if !self.eat(b':') {
                return Err(self.fault("a `:` stands behind a name"));
            }
            each(self, &name)?;
            if self.eat(b'}') {
                return Ok(());
            }
            if !self.eat(b',') {
                return Err(self.fault("a `,` or `}` stands here"));
            }
        }
    }

    /// Reads an array; `each` has to pass an element.
    #[inline]
    pub fn elements(
        &mut self,
        mut each: impl FnMut(&mut Cursor<'a>) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        if !self.eat(b'[') {
            return Err(self.fault("an array stands here"));
        }
        if self.eat(b']') {
            return Ok(());
        }
        loop {
            each(self)?;
            if self.eat(b']') {
                return Ok(());
            }
            if !self.eat(b',') {
                return Err(self.fault("a `,` or `]` stands here"));
            }
        }
    }
}

/// The number that a text is from its first byte to its last.
fn whole(text: &[u8]) -> Option<Value> {
    let text = text.trim_ascii();
    number::value(text).filter(|(_, length)| *length == text.len()).map(|(value, _)| value)
}
