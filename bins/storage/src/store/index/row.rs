//! A row: some names in order, each without what it shares with the one before.
//!
//! ```text
//! ┌─────┬────────┬────────────────────────────────────────────┐
//! │ crc │ count  │ count x: shared, v; length of the rest, v; │  v: a varint; crc: CRC-32 (IEEE) of all behind it
//! │ u32 │ u16    │ the rest                                   │
//! └─────┴────────┴────────────────────────────────────────────┘
//! ```

use crate::varint;

/// The most names of a row.
pub(super) const NAMES_MAX: usize = 128;
/// A row with more bytes is parted: with its key and its like it has to fit a page of the library.
const BYTES_MAX: usize = 3600;

const HEAD_BYTES: usize = 6;

/// A row that cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::store) struct Malformed;

/// How many names a row says it has.
pub(super) fn count(row: &[u8]) -> u64 {
    row.get(4..HEAD_BYTES).map_or(0, |count| u64::from(u16::from_le_bytes([count[0], count[1]])))
}

/// Walks over the names of a row.
#[derive(Debug)]
pub(in crate::store) struct Names<'a> {
    rest: &'a [u8],
    left: u16,
    name: Vec<u8>,
}

impl<'a> Names<'a> {
    /// Begins to walk, when the checksum holds.
    pub(in crate::store) fn of(row: &'a [u8]) -> Result<Names<'a>, Malformed> {
        let (crc, body) = row.split_first_chunk::<4>().ok_or(Malformed)?;
        let (count, rest) = body.split_first_chunk::<2>().ok_or(Malformed)?;
        if crc32fast::hash(body).to_le_bytes() != *crc {
            return Err(Malformed);
        }
        Ok(Names { rest, left: u16::from_le_bytes(*count), name: Vec::new() })
    }

    /// The next name.
    pub(super) fn next_name(&mut self) -> Result<Option<&[u8]>, Malformed> {
        if self.left == 0 {
            return if self.rest.is_empty() { Ok(None) } else { Err(Malformed) };
        }
        self.left -= 1;
        let mut number = || usize::try_from(varint::read(&mut self.rest)?).ok();
        let (shared, length) = (number().ok_or(Malformed)?, number().ok_or(Malformed)?);
        let (suffix, rest) = self.rest.split_at_checked(length).ok_or(Malformed)?;
        if shared > self.name.len() {
            return Err(Malformed);
        }
        self.name.truncate(shared);
        self.name.extend_from_slice(suffix);
        self.rest = rest;
        Ok(Some(&self.name))
    }

    /// All names.
    pub(in crate::store) fn collect(mut self) -> Result<Vec<Vec<u8>>, Malformed> {
        let mut names = Vec::with_capacity(usize::from(self.left));
        while let Some(name) = self.next_name()? {
            names.push(name.to_vec());
        }
        Ok(names)
    }
}

/// Parts names, in order, into rows.
pub(in crate::store) fn rows<N: AsRef<[u8]>>(names: &[N]) -> Vec<(&[u8], Vec<u8>)> {
    let mut rows: Vec<(&[u8], Vec<u8>)> = Vec::new();
    // Even parts: a row that is one name too long leaves two that may grow.
    let parts = names.len().div_ceil(NAMES_MAX).max(1);
    for part in names.chunks(names.len().div_ceil(parts).max(1)) {
        let (mut first, mut before, mut count) = (&b""[..], &b""[..], 0_u16);
        let mut row = Vec::new();
        for name in part {
            let name = name.as_ref();
            if row.len() > BYTES_MAX {
                rows.push((first, seal(&mut row, count)));
                count = 0;
            }
            if count == 0 {
                (first, before) = (name, b"");
                row.resize(HEAD_BYTES, 0);
            }
            let shared = before.iter().zip(name).take_while(|(a, b)| a == b).count();
            varint::write(shared as u64, &mut row);
            varint::write((name.len() - shared) as u64, &mut row);
            row.extend_from_slice(&name[shared..]);
            (before, count) = (name, count + 1);
        }
        if count > 0 {
            rows.push((first, seal(&mut row, count)));
        }
    }
    rows
}

fn seal(row: &mut Vec<u8>, count: u16) -> Vec<u8> {
    row[4..HEAD_BYTES].copy_from_slice(&count.to_le_bytes());
    let crc = crc32fast::hash(&row[4..]);
    row[..4].copy_from_slice(&crc.to_le_bytes());
    std::mem::take(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_back_from_their_rows() {
        let long: Vec<String> = (0..300).map(|number| format!("{number:0>900}")).collect();
        let short: Vec<String> = (0..1000).map(|number| format!("web{number:04}.cpu")).collect();
        for (names, most) in [(long, 64), (short, 9), (vec![], 0), (vec!["a".to_owned()], 1)] {
            let rows = rows(&names);
            assert!(rows.len() <= most, "{}", rows.len());
            let mut got = Vec::new();
            for (first, row) in &rows {
                let names = Names::of(row).unwrap().collect().unwrap();
                assert_eq!((*first, names.len() as u64), (&names[0][..], count(row)));
                assert!(row.len() < 5000 && names.len() <= NAMES_MAX);
                got.extend(names);
            }
            assert!(got.iter().map(Vec::as_slice).eq(names.iter().map(String::as_bytes)));
        }
    }

    #[test]
    fn a_byte_that_is_another_is_found() {
        let names = ["a", "ab", "b"];
        let (_, row) = rows(&names).pop().unwrap();
        for at in 0..row.len() {
            let mut other = row.clone();
            other[at] ^= 4;
            assert!(Names::of(&other).is_err(), "{at}");
            assert!(Names::of(&row[..at]).is_err(), "{at}");
        }
    }

    proptest::proptest! {
        #[test]
        fn a_walk_takes_any_bytes(bytes: Vec<u8>) {
            let mut row = vec![0; 4];
            row.extend_from_slice(&bytes);
            let crc = crc32fast::hash(&bytes);
            row[..4].copy_from_slice(&crc.to_le_bytes());
            if let Ok(names) = Names::of(&row) {
                let _ = names.collect();
            }
        }
    }
}
