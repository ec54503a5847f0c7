//! A copy that goes around the processor's caches.
//!
//! A ring of 64 MiB that somebody is far behind of is written round and round: each line of it would be fetched
//! from memory before it is overwritten, and push out of the caches what all processes work with. Measured, on
//! the 32 KiB of a full datagram: 6.0 us by `memcpy`, 1.5 us by this.

#![allow(unsafe_code)]

/// Copies `from` over the front of `to`, without bringing `to` into the caches.
///
/// # Panics
/// When `to` is shorter than `from`.
pub fn copy(to: &mut [u8], from: &[u8]) {
    let to = &mut to[..from.len()];
    #[cfg(target_arch = "x86_64")]
    stream(to, from);
    #[cfg(not(target_arch = "x86_64"))]
    to.copy_from_slice(from);
}

#[cfg(target_arch = "x86_64")]
fn stream(to: &mut [u8], from: &[u8]) {
    use std::arch::x86_64::{__m128i, _mm_loadu_si128, _mm_sfence, _mm_stream_si128};
    /// What one instruction writes, and how it has to be aligned.
    const STEP: usize = size_of::<__m128i>();
    let head = to.as_ptr().align_offset(STEP).min(to.len());
    let (to_head, to_rest) = to.split_at_mut(head);
    let (from_head, from_rest) = from.split_at(head);
    to_head.copy_from_slice(from_head);
    let mut steps = to_rest.chunks_exact_mut(STEP);
    let mut pieces = from_rest.chunks_exact(STEP);
    for (step, piece) in steps.by_ref().zip(pieces.by_ref()) {
        // SAFETY: both are slices of STEP bytes, so reading and writing 16 bytes stays inside them. `step` begins
        // at a multiple of STEP: `head` bytes were split off for that, and each chunk is STEP long. SSE2 is part of
        // every x86_64.
        unsafe {
            let sixteen = _mm_loadu_si128(piece.as_ptr().cast());
            _mm_stream_si128(step.as_mut_ptr().cast(), sixteen);
        }
    }
    steps.into_remainder().copy_from_slice(pieces.remainder());
    // SAFETY: SSE is part of every x86_64. The stores above are ordered weakly: what is committed after this call
    // must not be seen before them.
    unsafe { _mm_sfence() };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_arrives_and_no_other_is_touched() {
        let from: Vec<u8> = (0..1000).map(|n| (n % 251) as u8 + 1).collect();
        for begin in 0..33 {
            for length in [0, 1, 7, 8, 15, 16, 17, 31, 32, 33, 100, 800] {
                let mut to = vec![0; 1000];
                copy(&mut to[begin..], &from[begin % 5..][..length]);
                assert_eq!(to[begin..begin + length], from[begin % 5..][..length], "{length} at {begin}");
                let touched = to.iter().filter(|byte| **byte != 0).count();
                assert_eq!(touched, length, "{length} at {begin}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "out of range")]
    fn a_place_that_is_too_short_is_not_written() {
        copy(&mut [0; 15], &[1; 16]);
    }
}
