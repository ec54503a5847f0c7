//! A place in a text that is being read.

use super::error::Spot;

/// A blank of the original's grammar: one of space, tab, line feed, vertical tab, form feed, carriage return.
pub(crate) const fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

/// Reads a text from its front; every reader moves behind what it took, or stays.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(text: &'a [u8]) -> Cursor<'a> {
        Cursor { text, at: 0 }
    }

    /// Bytes read.
    pub(crate) const fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        &self.text[self.at..]
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.rest().first().copied()
    }

    pub(crate) fn is_done(&self) -> bool {
        self.at == self.text.len()
    }

    /// Moves over at most `count` bytes.
    pub(crate) fn skip(&mut self, count: usize) {
        self.at += count.min(self.text.len() - self.at);
    }

    /// Takes `literal`, if it is next.
    pub(crate) fn eat(&mut self, literal: &[u8]) -> bool {
        let is_next = self.rest().starts_with(literal);
        if is_next {
            self.at += literal.len();
        }
        is_next
    }

    /// Takes exactly one blank.
    pub(crate) fn eat_blank(&mut self) -> bool {
        let is_next = self.peek().is_some_and(is_blank);
        self.at += usize::from(is_next);
        is_next
    }

    pub(crate) fn take_while(&mut self, wanted: impl Fn(u8) -> bool) -> &'a [u8] {
        let rest = self.rest();
        let end = rest.iter().position(|&byte| !wanted(byte)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    pub(crate) fn blanks(&mut self) -> &'a [u8] {
        self.take_while(is_blank)
    }

    /// Letters, digits and `_`.
    pub(crate) fn word(&mut self) -> &'a [u8] {
        self.take_while(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    }

    /// All up to the next blank, bracket, `|` or `;`.
    pub(crate) fn token(&mut self) -> &'a [u8] {
        self.take_while(|byte| !is_blank(byte) && !b"()[]|;".contains(&byte))
    }

    /// `1*DIGIT`; a number over u64's range is u64's greatest.
    pub(crate) fn integer(&mut self) -> Option<u64> {
        let digits = self.take_while(|byte| byte.is_ascii_digit());
        if digits.is_empty() {
            return None;
        }
        Some(
            digits.iter().fold(0_u64, |number, digit| {
                number.saturating_mul(10).saturating_add(u64::from(digit - b'0'))
            }),
        )
    }

    /// `LEN|OCTETS`, and where the octets begin.
    pub(crate) fn text(&mut self) -> Option<(usize, &'a [u8])> {
        let start = self.at;
        let taken = self.integer().filter(|_| self.eat(b"|")).and_then(|length| {
            let text = self.rest().get(..usize::try_from(length).ok()?)?;
            let at = self.at;
            self.skip(text.len());
            Some((at, text))
        });
        if taken.is_none() {
            self.at = start;
        }
        taken
    }

    /// The place `at` bytes from the front.
    pub(crate) const fn back_to(&self, at: usize) -> Cursor<'a> {
        Cursor { text: self.text, at }
    }

    /// What was read since `start`.
    pub(crate) fn read_since(&self, start: usize) -> &'a [u8] {
        &self.text[start..self.at]
    }

    /// From `start` to here.
    pub(crate) const fn since(&self, start: usize) -> Spot {
        Spot::between(start, self.at)
    }

    /// From here to the end of the text.
    pub(crate) const fn until_end(&self) -> Spot {
        Spot::between(self.at, self.text.len())
    }

    /// The token that is next, or the gap where there is none, for an error to point at.
    pub(crate) fn next_token(&self) -> Spot {
        let mut ahead = *self;
        if ahead.token().is_empty() && !ahead.is_done() && !ahead.eat_blank() {
            ahead.skip(1);
        }
        ahead.since(self.at)
    }
}
