//! What is typed, out of the bytes of a terminal.

/// A key that does something here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Key {
    Char(char),
    Tab,
    BackTab,
    Left,
    Right,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Interrupt,
}

/// The keys of bytes that were read together; what is none is passed over.
///
/// Source: xterm's control sequences, which all terminals of today send: `ESC [` or `ESC O` and a letter, or `ESC [`, a
/// number and `~`.
pub(super) fn keys(mut bytes: &[u8]) -> Vec<Key> {
    let mut keys = Vec::new();
    while let Some((&first, rest)) = bytes.split_first() {
        bytes = rest;
        match first {
            0x03 => keys.push(Key::Interrupt),
            b'\t' => keys.push(Key::Tab),
            0x1B => {
                let Some(sequence) = rest.strip_prefix(b"[").or_else(|| rest.strip_prefix(b"O")) else {
                    continue;
                };
                let Some(end) = sequence.iter().position(|byte| (0x40..=0x7E).contains(byte)) else {
                    return keys;
                };
                let (parameters, last) = (&sequence[..end], sequence[end]);
                bytes = &sequence[end + 1..];
                keys.extend(named(parameters, last));
            }
            0x20..=0x7E => keys.push(Key::Char(char::from(first))),
            _ => {}
        }
    }
    keys
}

fn named(parameters: &[u8], last: u8) -> Option<Key> {
    Some(match (last, parameters) {
        (b'A', _) => Key::Up,
        (b'B', _) => Key::Down,
        (b'C', _) => Key::Right,
        (b'D', _) => Key::Left,
        (b'H', _) | (b'~', b"1" | b"7") => Key::Home,
        (b'F', _) | (b'~', b"4" | b"8") => Key::End,
        (b'Z', _) => Key::BackTab,
        (b'~', b"5") => Key::PageUp,
        (b'~', b"6") => Key::PageDown,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_out_of_bytes() {
        for (bytes, want) in [
            (&b"q"[..], &[Key::Char('q')][..]),
            (b"\x1b[A\x1bOB\x1b[C\x1b[D", &[Key::Up, Key::Down, Key::Right, Key::Left]),
            (b"\x1b[5~\x1b[6~\x1b[1~\x1b[F", &[Key::PageUp, Key::PageDown, Key::Home, Key::End]),
            (b"\t\x1b[Z\x03", &[Key::Tab, Key::BackTab, Key::Interrupt]),
            (b"\x1b[1;5C2", &[Key::Right, Key::Char('2')]),
            (b"\x1b", &[]),
            (b"\x1b[", &[]),
            (b"\x1b[200~", &[]),
            (b"\xff\x00", &[]),
        ] {
            assert_eq!(keys(bytes), want, "{bytes:?}");
        }
    }
}
