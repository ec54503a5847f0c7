//! An asymmetric numeral system with ranges: symbols in as many bits as their shares of a [`Shape`] say, fractions
//! of bits with them. Source: Duda, "Asymmetric numeral systems", arXiv:1311.2540.
//!
//! The coder's state begins with zero and takes the symbols in, the last one first; it is below 2^31, and before it
//! would be more its low 16 bits go out as a word. The reader begins with the state and takes the words back.

use super::shapes::{SHARE_BITS, Shape, Symbol};

/// With less than this the reader takes a word.
const LOW: u32 = 1 << 15;

/// Takes symbols in.
#[derive(Debug, Default)]
pub(super) struct Writer {
    state: u32,
    words: Vec<u16>,
}

impl Writer {
    /// Adds symbols that all have a share, the last one first.
    pub(super) fn put(&mut self, symbols: &[u8], shape: &Shape) {
        let mut state = self.state;
        self.words.reserve(symbols.len());
        for &symbol in symbols.iter().rev() {
            let Symbol { share, before, reciprocal, shift } = shape.symbols[usize::from(symbol)];
            let (share, before) = (u32::from(share), u32::from(before));
            if state >= share << (31 - SHARE_BITS) {
                self.words.push(state as u16);
                state >>= 16;
            }
            let quotient = ((u64::from(state) * reciprocal) >> 32) as u32 >> shift;
            // As many states lie between a quotient and the next one as others have shares.
            state = state + before + quotient * ((1 << SHARE_BITS) - share);
        }
        self.state = state;
    }

    /// Bytes of the state, which the reader has to know.
    pub(super) fn state_bytes(&self) -> u8 {
        (u32::BITS - self.state.leading_zeros()).div_ceil(8) as u8
    }

    /// Writes words and state, and begins anew.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        for word in self.words.drain(..) {
            out.extend_from_slice(&word.to_le_bytes());
        }
        let bytes = usize::from(self.state_bytes());
        out.extend_from_slice(&self.state.to_le_bytes()[..bytes]);
        self.state = 0;
    }
}

/// Gives symbols back, the first one first.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    state: u32,
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    /// `bytes` are what [`Writer::finish`] wrote; `None` when the state is longer than that, or than any state.
    pub(super) fn new(bytes: &'a [u8], state_bytes: u8) -> Option<Reader<'a>> {
        let mut state = [0; 4];
        let (rest, last) = bytes.split_at(bytes.len().checked_sub(state_bytes.into())?);
        state.get_mut(..last.len())?.copy_from_slice(last);
        Some(Reader { state: u32::from_le_bytes(state), bytes: rest })
    }

    /// The next symbol.
    #[inline]
    pub(super) fn take(&mut self, shape: &Shape) -> u8 {
        // Two small tables: one of all that is needed of each share would not stay in the nearest cache.
        let slot = self.state % (1 << SHARE_BITS);
        let symbol = shape.slots[slot as usize];
        let Symbol { share, before, .. } = shape.symbols[usize::from(symbol)];
        let (quotient, offset) = (self.state >> SHARE_BITS, slot - u32::from(before));
        self.state = u32::from(share).wrapping_mul(quotient).wrapping_add(offset);
        if self.state < LOW
            && let Some((rest, word)) = self.bytes.split_last_chunk::<2>()
        {
            self.state = self.state << 16 | u32::from(u16::from_le_bytes(*word));
            self.bytes = rest;
        }
        symbol
    }

    /// Whether all that was put in was taken out.
    pub(super) fn is_done(&self) -> bool {
        self.state == 0 && self.bytes.is_empty()
    }
}
