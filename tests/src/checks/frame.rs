//! What comes over sockets beside records: frames of streams, registrations.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use sockets::frame::{Frames, write};

/// Frames come out the same however the stream is chopped. The first byte says how.
pub fn frame(bytes: &[u8]) {
    let Some((chop, stream)) = bytes.split_first() else { return };
    let mut whole = Frames::default();
    whole.push(stream);
    let mut want = Vec::new();
    let mut again = Vec::new();
    while let Some(frame) = whole.next_frame() {
        want.push(frame.to_vec());
        write(&mut again, frame);
    }
    assert_eq!(again, stream[..again.len()], "the frames make another stream");
    assert_eq!(whole.is_partial(), again.len() < stream.len());

    let mut pieces = Frames::default();
    let mut got = Vec::new();
    let mut rest = stream;
    let mut length = 1 + usize::from(*chop);
    while !rest.is_empty() {
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        pieces.push(piece);
        rest = behind;
        // Sometimes several pieces lie there before anybody looks.
        if length % 3 > 0 || rest.is_empty() {
            while let Some(frame) = pieces.next_frame() {
                got.push(frame.to_vec());
            }
        }
        length = 1 + (length * 7 + usize::from(*chop)) % 97;
    }
    assert_eq!(got, want);
    assert_eq!(pieces.is_partial(), whole.is_partial());
}

/// A registration that is taken names a socket in the runtime directory or its `peers`, and comes from it. Odd
/// first byte: it comes from another one.
pub fn registration(bytes: &[u8]) {
    let Some((first, payload)) = bytes.split_first() else { return };
    let directory = Path::new("/run/leela");
    let path = payload.split(|byte| *byte == 0).next().unwrap_or_default();
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    let from = if first % 2 == 0 { path } else { Path::new("/run/leela/other") };
    assert!(sockets::registration::check(payload, None, directory).is_err(), "a socket without a name");
    if let Ok(registration) = sockets::registration::check(payload, Some(from), directory) {
        assert_eq!((registration.path, from), (path, path));
        let parents = [directory.to_owned(), directory.join("peers")];
        assert!(
            path.parent().is_some_and(|parent| parents.iter().any(|one| one == parent)),
            "outside: {path:?}"
        );
        assert!(path.file_name().is_some());
        // The same place in another spelling is not the socket that it came from.
        let other = [path.as_os_str().as_bytes(), b"/"].concat();
        let other = Path::new(std::ffi::OsStr::from_bytes(&other));
        assert!(sockets::registration::check(payload, Some(other), directory).is_err());
        wants(registration.words.as_bytes());
    }
}

/// The words of a registration: whoever is taken wants something that the timeline has.
pub fn wants(words: &[u8]) {
    let Ok(words) = std::str::from_utf8(words) else { return };
    if let Some(wants) = leela_timeline::peers::wants(words) {
        assert!(wants.contents != 0 && !wants.fixed);
        let twice = leela_timeline::peers::wants(&format!("{words} {words}"));
        assert_eq!(twice, Some(wants), "saying it twice asks for something else");
    }
}
