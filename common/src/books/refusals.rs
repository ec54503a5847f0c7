//! The last refused inputs, for `leela refused`.
//!
//! ```text
//! an entry, 512 bytes
//! ┌──────────┬──────────┬───────────┬──────────┬───────────┬───────────┬───────────┐
//! │ time_ns  │ offset   │ kept      │ length   │ peer      │ reason    │ text      │
//! │ i64, LE  │ u32, LE  │ u32, LE   │ u64, LE  │ 64 bytes  │ 32 bytes  │ the rest  │
//! └──────────┴──────────┴───────────┴──────────┴───────────┴───────────┴───────────┘
//! ```

use super::put_text;
use crate::time::Time;

/// How many refused inputs are kept.
pub const REFUSALS_KEPT: usize = 256;

const ENTRY_BYTES: usize = 512;
const PEER: usize = 24;
const REASON: usize = PEER + 64;
const TEXT: usize = REASON + 32;

/// Bytes of the books that the refusals take.
pub(super) const BYTES: usize = REFUSALS_KEPT * ENTRY_BYTES;

/// As many of them from the front as `written` refusals took.
pub(super) fn used(written: u64) -> usize {
    written.min(REFUSALS_KEPT as u64) as usize * ENTRY_BYTES
}

/// A refused input, to be kept.
#[derive(Clone, Copy, Debug)]
pub struct Refusal<'a> {
    /// When it came.
    pub time: Time,
    /// Who sent it, as far as known.
    pub peer: &'a str,
    /// Why, in the word of its counter.
    pub reason: &'static str,
    /// What was refused; its first 392 bytes are kept.
    pub text: &'a [u8],
    /// Where in `text` the fault is, in bytes.
    pub offset: usize,
}

/// A refused input, read back.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RefusalText {
    /// When it came.
    pub time: Time,
    /// Who sent it.
    pub peer: String,
    /// Why, in the word of its counter.
    pub reason: String,
    /// What is kept of it.
    pub text: Vec<u8>,
    /// How long it was, in bytes.
    pub length: u64,
    /// Where in it the fault is, in bytes.
    pub offset: usize,
}

pub(super) fn write(area: &mut [u8], number: u64, refusal: &Refusal<'_>) {
    let start = (number % REFUSALS_KEPT as u64) as usize * ENTRY_BYTES;
    let entry = &mut area[start..start + ENTRY_BYTES];
    let kept = refusal.text.len().min(ENTRY_BYTES - TEXT);
    entry[..8].copy_from_slice(&refusal.time.ns().to_le_bytes());
    entry[8..12].copy_from_slice(&(refusal.offset as u32).to_le_bytes());
    entry[12..16].copy_from_slice(&(kept as u32).to_le_bytes());
    entry[16..24].copy_from_slice(&(refusal.text.len() as u64).to_le_bytes());
    put_text(refusal.peer.as_bytes(), &mut entry[PEER..REASON]);
    put_text(refusal.reason.as_bytes(), &mut entry[REASON..TEXT]);
    entry[TEXT..TEXT + kept].copy_from_slice(&refusal.text[..kept]);
}

/// The entries that are kept, oldest first, of `written` in all.
pub(super) fn read(area: &[u8], written: u64) -> Vec<RefusalText> {
    let first = written.saturating_sub(REFUSALS_KEPT as u64);
    (first..written)
        .map(|number| {
            let start = (number % REFUSALS_KEPT as u64) as usize * ENTRY_BYTES;
            entry(&area[start..start + ENTRY_BYTES])
        })
        .collect()
}

fn entry(bytes: &[u8]) -> RefusalText {
    let word = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
    let half = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes")) as usize;
    let text = |from: usize, to: usize| {
        String::from_utf8_lossy(bytes[from..to].split(|b| *b == 0).next().unwrap_or(&[]))
    };
    let kept = half(12).min(ENTRY_BYTES - TEXT);
    RefusalText {
        time: Time::from_ns(word(0) as i64),
        peer: text(PEER, REASON).into_owned(),
        reason: text(REASON, TEXT).into_owned(),
        text: bytes[TEXT..TEXT + kept].to_vec(),
        length: word(16),
        offset: half(8),
    }
}
