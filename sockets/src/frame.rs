//! Frames of a stream: an unsigned 16-bit big-endian length, then the payload.

/// The longest payload, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = u16::MAX as usize;

/// Appends a frame to `out`.
///
/// # Panics
/// When `payload` is over [`PAYLOAD_BYTES_MAX`]: whoever makes frames splits longer answers.
pub fn write(out: &mut Vec<u8>, payload: &[u8]) {
    let length = u16::try_from(payload.len()).expect("a payload is at most 65,535 bytes");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Appends a frame whose payload `fill` appends; what is over the limit is taken back. True when it was written.
pub fn write_with(out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) -> bool {
    let start = out.len();
    out.extend_from_slice(&[0, 0]);
    fill(out);
    match u16::try_from(out.len() - start - 2) {
        Ok(length) => {
            out[start..start + 2].copy_from_slice(&length.to_be_bytes());
            true
        }
        Err(_) => {
            out.truncate(start);
            false
        }
    }
}

/// Puts frames together from whatever pieces a stream gives. Holds at most one unfinished frame and the piece
/// that was pushed last.
#[derive(Debug, Default)]
pub struct Frames {
    bytes: Vec<u8>,
    taken: usize,
}

impl Frames {
    /// Adds what was read.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The payload of the next whole frame.
    pub fn next_frame(&mut self) -> Option<&[u8]> {
        let (length, rest) = self.bytes[self.taken..].split_first_chunk::<2>()?;
        let length = usize::from(u16::from_be_bytes(*length));
        if rest.len() < length {
            return None;
        }
        let start = self.taken + 2;
        self.taken = start + length;
        Some(&self.bytes[start..start + length])
    }

    /// True when [`Frames::next_frame`] has one.
    pub fn has_frame(&self) -> bool {
        let length = self.bytes[self.taken..].split_first_chunk::<2>();
        length.is_some_and(|(length, rest)| rest.len() >= usize::from(u16::from_be_bytes(*length)))
    }

    /// True when a frame was begun and not finished.
    pub fn is_partial(&self) -> bool {
        self.taken < self.bytes.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_out_of_any_pieces() {
        let mut stream = Vec::new();
        write(&mut stream, b"proc match 1|. id;");
        assert_eq!(stream[..2], [0x00, 0x12]);
        write(&mut stream, b"");
        assert!(write_with(&mut stream, |out| out.extend_from_slice(&[7; PAYLOAD_BYTES_MAX])));
        assert!(!write_with(&mut stream, |out| out.extend_from_slice(&[7; PAYLOAD_BYTES_MAX + 1])));
        for piece in [1, 2, 3, 7, 1000, stream.len()] {
            let mut frames = Frames::default();
            let mut got = Vec::new();
            for bytes in stream.chunks(piece) {
                frames.push(bytes);
                while frames.has_frame() {
                    got.push(frames.next_frame().unwrap().len());
                }
                assert_eq!(frames.next_frame(), None);
            }
            assert_eq!(got, [18, 0, PAYLOAD_BYTES_MAX], "pieces of {piece}");
            assert!(!frames.is_partial());
        }
    }
}
