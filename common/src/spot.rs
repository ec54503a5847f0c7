//! A spot in an input as a person sees it: the input on one line, a caret under the spot. Bytes that are no
//! text, or would steer the terminal, are shown by their escape.

/// The most characters of a line that are shown.
const COLUMNS_MAX: usize = 100;
/// Characters shown before the spot when a line is cut.
const COLUMNS_BEFORE: usize = 40;

/// The two lines, without a line feed at the end. `offset` is in bytes of `text`; behind its end there is no caret,
/// and one line.
pub fn show(text: &[u8], offset: usize) -> String {
    let (pieces, at) = pieces(text, offset);
    let columns = |pieces: &[String]| pieces.iter().map(|piece| piece.chars().count()).sum::<usize>();
    let mut from = 0;
    while columns(&pieces[from..at]) > COLUMNS_BEFORE && columns(&pieces) > COLUMNS_MAX {
        from += 1;
    }
    let mut to = pieces.len();
    while to > at + 1 && columns(&pieces[from..to]) > COLUMNS_MAX {
        to -= 1;
    }
    let (before, after) = (if from > 0 { "…" } else { "" }, if to < pieces.len() { "…" } else { "" });
    let line = format!("{before}{}{after}", pieces[from..to].concat());
    if offset > text.len() {
        return line;
    }
    let indent = columns(&pieces[from..at]) + before.chars().count();
    let under = pieces.get(at).map_or(1, |piece| piece.chars().count());
    format!("{line}\n{}{}", " ".repeat(indent), "^".repeat(under))
}

/// `text` on one line, without anything that would steer a terminal.
pub fn plain(text: &[u8]) -> String {
    pieces(text, text.len()).0.concat()
}

/// Each character of `text` as it is shown, and the place of the one at `offset`.
fn pieces(text: &[u8], offset: usize) -> (Vec<String>, usize) {
    let mut pieces = Vec::new();
    let mut place = None;
    let mut at = 0;
    let mut put = |piece: String, length: usize| {
        if place.is_none() && offset < at + length {
            place = Some(pieces.len());
        }
        at += length;
        pieces.push(piece);
    };
    for chunk in text.utf8_chunks() {
        for char in chunk.valid().chars() {
            let shown = match char.is_control() {
                true => char.escape_default().to_string(),
                false => char.to_string(),
            };
            put(shown, char.len_utf8());
        }
        for byte in chunk.invalid() {
            put(format!("\\x{byte:02x}"), 1);
        }
    }
    let end = pieces.len();
    (pieces, place.unwrap_or(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caret_stands_under_the_spot() {
        for (text, offset, want) in [
            (&b"gauge 3|foo x;"[..], 12, "gauge 3|foo x;\n            ^"),
            (b"gauge", 5, "gauge\n     ^"),
            (b"gauge", 9, "gauge"),
            (b"", 0, "\n^"),
            ("größe: x".as_bytes(), 9, "größe: x\n       ^"),
            ("größe".as_bytes(), 3, "größe\n  ^"),
            (b"a\tb\nc", 4, "a\\tb\\nc\n      ^"),
            (b"\x00\xff\x1b[2J", 1, "\\u{0}\\xff\\u{1b}[2J\n     ^^^^"),
        ] {
            assert_eq!(show(text, offset), want, "{}", text.escape_ascii());
        }
    }

    #[test]
    fn a_long_line_is_cut_around_the_spot() {
        let text = [vec![b'a'; 300], b"!".to_vec(), vec![b'b'; 300]].concat();
        let shown = show(&text, 300);
        let (line, caret) = shown.split_once('\n').unwrap();
        assert!(line.starts_with('…') && line.ends_with('…') && line.chars().count() <= 102, "{shown}");
        assert_eq!(line.chars().nth(caret.find('^').unwrap()), Some('!'));
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_shown_without_controls(text: Vec<u8>, offset in 0..70_usize) {
            let shown = show(&text, offset);
            proptest::prop_assert!(shown.chars().all(|char| char == '\n' || !char.is_control()));
            proptest::prop_assert_eq!(shown.contains('\n'), offset <= text.len());
        }
    }
}
