//! Copies of a few bytes.

/// As `copy_from_slice`, without a call for the lengths that keys and their parts mostly have: two blocks that may overlap.
///
/// # Panics
/// Where the two lengths differ.
#[inline(always)]
pub fn short(to: &mut [u8], from: &[u8]) {
    assert_eq!(to.len(), from.len(), "a copy is as long as what it is made of");
    match from.len() {
        4..=7 => ends::<4>(to, from),
        8..=15 => ends::<8>(to, from),
        16..=32 => ends::<16>(to, from),
        33..=64 => ends::<32>(to, from),
        _ => to.copy_from_slice(from),
    }
}

#[inline(always)]
fn ends<const N: usize>(to: &mut [u8], from: &[u8]) {
    if let (Some(to), Some(from)) = (to.first_chunk_mut::<N>(), from.first_chunk()) {
        *to = *from;
    }
    if let (Some(to), Some(from)) = (to.last_chunk_mut::<N>(), from.last_chunk()) {
        *to = *from;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_length_is_copied_whole() {
        for length in 0..=200_u8 {
            let from: Vec<u8> = (1..=length).collect();
            let mut to = vec![0; from.len()];
            short(&mut to, &from);
            assert_eq!(to, from);
        }
    }
}
