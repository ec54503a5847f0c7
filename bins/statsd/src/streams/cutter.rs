//! From the pieces that a stream gives to lines: parted by line feeds, or in frames of a length and then lines.
//!
//! ```text
//! ┌──────────────┬──────────────────────────────────┐
//! │ length       │ lines                            │   DogStatsD over unix streams; its end ends a line as well
//! │ u32, LE      │ length bytes                     │
//! └──────────────┴──────────────────────────────────┘
//! ```
//! Some clients (Python's `statsd`) send lines over unix streams as they do over TCP. The length that their first four
//! bytes would be is beyond any frame's: so those streams are known, and are lines.
//!
//! What is kept between two pieces is at most a line's beginning, of `line_max` bytes: a longer line is told once, and
//! the rest of it is passed over. A frame is not put together, so that its length costs nothing.

/// Memory for beginnings of lines that is kept for the next one.
const KEPT_BYTES: usize = 4096;

/// Bytes of a frame's length.
const HEADER_BYTES: usize = 4;

/// What comes out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Piece<'a> {
    /// Whole lines; the last one may be without its line feed.
    Lines(&'a [u8]),
    /// The beginning of a line that is too long.
    TooLong(&'a [u8]),
}

/// A frame is longer than is allowed: nobody knows where the next one begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameTooLong(pub [u8; HEADER_BYTES]);

/// Cuts one stream.
#[derive(Debug)]
pub struct Cutter {
    frames: Option<Frames>,
    /// The beginning of a line, without its end.
    partial: Vec<u8>,
    /// The line that was begun was too long.
    is_skipping: bool,
    line_max: usize,
}

#[derive(Debug)]
struct Frames {
    header: [u8; HEADER_BYTES],
    /// Bytes of the header that are there.
    have: usize,
    /// Bytes of the frame that are to come.
    left: usize,
    frame_max: usize,
    /// No frame has begun yet.
    is_first: bool,
}

impl Cutter {
    /// Of lines.
    pub fn of_lines(line_max: usize) -> Cutter {
        Cutter { frames: None, partial: Vec::new(), is_skipping: false, line_max }
    }

    /// Of frames.
    pub fn of_frames(line_max: usize, frame_max: usize) -> Cutter {
        let frames = Frames { header: [0; HEADER_BYTES], have: 0, left: 0, frame_max, is_first: true };
        Cutter { frames: Some(frames), ..Cutter::of_lines(line_max) }
    }

    /// Takes what was read.
    ///
    /// # Errors
    /// Where a frame is too long; then the stream is of no use any more.
    pub fn push(&mut self, bytes: &[u8], each: &mut impl FnMut(Piece<'_>)) -> Result<(), FrameTooLong> {
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(frames) = &mut self.frames else {
                self.lines(rest, each);
                return Ok(());
            };
            if frames.left == 0 {
                match frames.begin(rest) {
                    Begun::Frame(behind) => rest = behind,
                    Begun::TooLong => return Err(FrameTooLong(frames.header)),
                    Begun::Lines(behind) => {
                        let header = frames.header;
                        self.frames = None;
                        self.lines(&header, each);
                        rest = behind;
                    }
                }
                continue;
            }
            let (part, behind) = rest.split_at(frames.left.min(rest.len()));
            frames.left -= part.len();
            let is_end = frames.left == 0;
            self.lines(part, each);
            if is_end {
                self.end_line(each);
            }
            rest = behind;
        }
        Ok(())
    }

    /// The end of the stream, which ends a line too, but not one in a frame: gives the beginning of a line, or of a
    /// frame, that will never be whole.
    pub fn end(&mut self, each: &mut impl FnMut(Piece<'_>)) -> Option<&[u8]> {
        match &self.frames {
            None => {
                self.end_line(each);
                None
            }
            Some(_) => self.unfinished(),
        }
    }

    /// What was begun and has no end: of a line, or of a frame.
    pub fn unfinished(&self) -> Option<&[u8]> {
        let is_in_frame = self.frames.as_ref().is_some_and(|frames| frames.left > 0 || frames.have > 0);
        (is_in_frame || !self.partial.is_empty() && !self.is_skipping).then_some(&self.partial)
    }

    fn lines(&mut self, bytes: &[u8], each: &mut impl FnMut(Piece<'_>)) {
        let mut rest = bytes;
        if !self.partial.is_empty() || self.is_skipping {
            match memchr::memchr(b'\n', rest) {
                None => return self.keep(rest, each),
                Some(end) => {
                    self.keep(&rest[..end], each);
                    self.end_line(each);
                    rest = &rest[end + 1..];
                }
            }
        }
        if let Some(end) = memchr::memrchr(b'\n', rest) {
            each(Piece::Lines(&rest[..=end]));
            rest = &rest[end + 1..];
        }
        self.keep(rest, each);
    }

    fn keep(&mut self, bytes: &[u8], each: &mut impl FnMut(Piece<'_>)) {
        if self.is_skipping {
            return;
        }
        self.partial.extend_from_slice(bytes);
        // A carriage return in front of the line feed is not of the line.
        let is_end = self.partial.len() == self.line_max + 1 && self.partial.ends_with(b"\r");
        if self.partial.len() > self.line_max && !is_end {
            each(Piece::TooLong(&self.partial));
            self.is_skipping = true;
            self.forget();
        }
    }

    fn end_line(&mut self, each: &mut impl FnMut(Piece<'_>)) {
        if !std::mem::take(&mut self.is_skipping) && !self.partial.is_empty() {
            each(Piece::Lines(&self.partial));
        }
        self.forget();
    }

    fn forget(&mut self) {
        self.partial.clear();
        self.partial.shrink_to(KEPT_BYTES);
    }
}

/// What a length says, and what is behind it.
enum Begun<'b> {
    /// A frame begins, or its length is not all there.
    Frame(&'b [u8]),
    /// It is none: the stream has lines.
    Lines(&'b [u8]),
    /// It is over what is allowed.
    TooLong,
}

impl Frames {
    /// Takes a frame's length, or a part of it.
    fn begin<'b>(&mut self, bytes: &'b [u8]) -> Begun<'b> {
        let (part, behind) = bytes.split_at((HEADER_BYTES - self.have).min(bytes.len()));
        self.header[self.have..self.have + part.len()].copy_from_slice(part);
        self.have += part.len();
        if self.have == HEADER_BYTES {
            self.have = 0;
            let length = u32::from_le_bytes(self.header);
            self.left = usize::try_from(length).unwrap_or(usize::MAX);
            let is_first = std::mem::replace(&mut self.is_first, false);
            // The highest byte of a text is a character, of a frame's length it is 0.
            if is_first && self.header[HEADER_BYTES - 1] >= b' ' {
                return Begun::Lines(behind);
            }
            if self.left > self.frame_max {
                return Begun::TooLong;
            }
        }
        Begun::Frame(behind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All lines that come out, and what is unfinished, when the stream comes in pieces of `size`.
    fn cut(mut cutter: Cutter, stream: &[u8], size: usize) -> (Vec<String>, Option<Vec<u8>>) {
        let mut lines = Vec::new();
        let mut each = |piece: Piece<'_>| match piece {
            Piece::Lines(text) => {
                lines.extend(
                    crate::dialect::lines(text).map(|line| String::from_utf8_lossy(line).into_owned()),
                );
            }
            Piece::TooLong(text) => lines.push(format!("too long: {}", String::from_utf8_lossy(&text[..9]))),
        };
        for bytes in stream.chunks(size) {
            if let Err(FrameTooLong(header)) = cutter.push(bytes, &mut each) {
                each(Piece::Lines(format!("frame: {header:?}").as_bytes()));
                return (lines, None);
            }
        }
        let unfinished = cutter.end(&mut each).map(<[u8]>::to_vec);
        (lines, unfinished)
    }

    fn frame(text: &[u8]) -> Vec<u8> {
        [&u32::try_from(text.len()).unwrap().to_le_bytes()[..], text].concat()
    }

    #[test]
    fn lines_come_out_of_any_pieces() {
        let stream =
            b"a:1|c\n\nb:1|c\r\n0123456789\r\n012345678901234567890123456789\n0123456789\nc:1|c\nd:1|c";
        let want =
            ["a:1|c", "", "b:1|c", "0123456789", "too long: 012345678", "0123456789", "c:1|c", "d:1|c"];
        for size in 1..=10 {
            assert_eq!(
                cut(Cutter::of_lines(10), stream, size),
                (want.map(str::to_owned).to_vec(), None),
                "{size}"
            );
        }
    }

    #[test]
    fn frames_come_out_of_any_pieces_and_their_end_ends_a_line() {
        let stream = [
            frame(b"a:1|c\nb:1|c"),
            frame(b""),
            frame(b"c:1|c\n"),
            frame(b"012345678901234567890123456789\nd:1|c"),
            frame(b"012345678901234567890123456789"),
            frame(b"e:1|c"),
        ];
        let want =
            ["a:1|c", "b:1|c", "c:1|c", "too long: 012345678", "d:1|c", "too long: 012345678", "e:1|c"];
        for size in 1..=14 {
            let got = cut(Cutter::of_frames(10, 64), &stream.concat(), size);
            assert_eq!(got, (want.map(str::to_owned).to_vec(), None), "{size}");
        }
    }

    #[test]
    fn a_stream_that_begins_with_text_has_lines() {
        let want = ["a:1|c", "b:1|c", "too long: 012345678", "c:1|c"].map(str::to_owned).to_vec();
        for size in 1..=14 {
            let stream = b"a:1|c\nb:1|c\n01234567890123456789\nc:1|c";
            assert_eq!(cut(Cutter::of_frames(10, 64), stream, size), (want.clone(), None), "{size}");
        }
    }

    #[test]
    fn what_is_never_whole_is_known() {
        for (stream, lines, unfinished) in [
            (&b"\x05\0\0\0a:1|c"[..], &["a:1|c"][..], None),
            (b"\x09\0\0\0a:1|c\nb:", &["a:1|c"], Some(&b"b:"[..])),
            (b"\x09\0\0\0a:1|c\n", &["a:1|c"], Some(b"")),
            (b"\x09\0", &[], Some(b"")),
            (b"\xff\xff\xff\0a:1|c", &["frame: [255, 255, 255, 0]"], None),
            (b"\x05\0\0\0a:1|cb:1|c\n", &["a:1|c", "frame: [98, 58, 49, 124]"], None),
            (b"", &[], None),
        ] {
            for size in 5..=8 {
                let got = cut(Cutter::of_frames(64, 64), stream, size);
                assert_eq!(got.0, lines, "{:?} by {size}", stream.escape_ascii().to_string());
                assert_eq!(got.1.as_deref(), unfinished, "{:?} by {size}", stream.escape_ascii().to_string());
            }
        }
    }

    #[test]
    fn no_stream_makes_it_keep_more_than_a_line() {
        let mut cutter = Cutter::of_lines(100_000);
        let mut told = 0;
        for _ in 0..100 {
            cutter.push(&[b'a'; 50_000], &mut |_| told += 1).unwrap();
            assert!(cutter.partial.capacity() <= 400_000);
        }
        assert_eq!((told, cutter.partial.capacity() <= KEPT_BYTES), (1, true));
    }
}
