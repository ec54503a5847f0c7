//! How a consumer becomes a peer: every second it sends, from its own databus socket, that socket's path to the
//! producer's multicast socket. Payload and source address must be equal, inside the runtime directory: so
//! nobody registers a socket that is not his.
//!
//! After the path may follow a NUL and words parted by blanks; what they mean is the producer's matter.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::Duration;

use thiserror::Error;

use crate::net::Bound;
use crate::peer::PATH_BYTES_MAX;

/// How often a consumer registers.
pub const INTERVAL: Duration = Duration::from_secs(1);

/// The longest registration, in bytes.
pub const REGISTRATION_BYTES_MAX: usize = 1024;

/// A registration, borrowed from the buffer it was received into.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registration<'a> {
    /// The consumer's socket.
    pub path: &'a Path,
    /// What it asks for; empty for a bare path.
    pub words: &'a str,
}

/// Why a registration is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum RegistrationError {
    /// Empty, too long, or its words are no text.
    #[error("a registration is a path, then perhaps a NUL and words")]
    Form,
    /// Sent from a socket without a path, or from another one than it names.
    #[error("a registration has to come from the socket that it names")]
    Sender,
    /// Not in the runtime directory or its `peers`.
    #[error("the socket is outside the runtime directory")]
    Outside,
}

/// Receives the next registration into `buffer`; `None` when there is none. `directory` is the runtime directory.
pub fn receive<'a>(
    socket: &impl Bound,
    directory: &Path,
    buffer: &'a mut [u8; REGISTRATION_BYTES_MAX],
) -> io::Result<Option<Result<Registration<'a>, RegistrationError>>> {
    let (length, from) = loop {
        match socket.receive_from(buffer) {
            Ok(received) => break received,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    };
    Ok(Some(check(&buffer[..length], from.as_deref(), directory)))
}

/// Reads a registration that came from the socket at `from`. `directory` is the runtime directory.
pub fn check<'a>(
    payload: &'a [u8],
    from: Option<&Path>,
    directory: &Path,
) -> Result<Registration<'a>, RegistrationError> {
    let mut halves = payload.splitn(2, |byte| *byte == 0);
    let path = halves.next().unwrap_or(&[]);
    let words = std::str::from_utf8(halves.next().unwrap_or(&[])).map_err(|_| RegistrationError::Form)?;
    if path.is_empty() || path.len() > PATH_BYTES_MAX || payload.len() == REGISTRATION_BYTES_MAX {
        return Err(RegistrationError::Form);
    }
    let path = Path::new(OsStr::from_bytes(path));
    // Byte by byte: in another spelling (`//`, `/./`) one socket could be many peers.
    if from.map(Path::as_os_str) != Some(path.as_os_str()) {
        return Err(RegistrationError::Sender);
    }
    // The kernel keeps the text that was bound; a link or `..` in it could lead out again.
    let parent = path.parent().filter(|_| path.file_name().is_some()).ok_or(RegistrationError::Outside)?;
    if parent != directory && parent != directory.join("peers") {
        return Err(RegistrationError::Outside);
    }
    Ok(Registration { path, words })
}

/// Registers `socket`, bound at `path`, once. An error says that nobody listens there now.
pub fn register(socket: &UnixDatagram, path: &Path, words: &str, producer: &Path) -> io::Result<()> {
    let mut payload = path.as_os_str().as_bytes().to_vec();
    if !words.is_empty() {
        payload.push(0);
        payload.extend_from_slice(words.as_bytes());
    }
    socket.send_to(&payload, producer).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_owner_registers_a_socket_and_only_inside() {
        let dir = Path::new("/run/leela");
        for (payload, from, want) in [
            ("/run/leela/a", Some("/run/leela/a"), Ok("")),
            ("/run/leela/peers/a", Some("/run/leela/peers/a"), Ok("")),
            ("/run/leela/a\0events text", Some("/run/leela/a"), Ok("events text")),
            ("/run/leela/a", Some("/run/leela/b"), Err(RegistrationError::Sender)),
            ("/run/leela/a", None, Err(RegistrationError::Sender)),
            ("/run/leela//a", Some("/run/leela/a"), Err(RegistrationError::Sender)),
            ("/run/leela/./a", Some("/run/leela/a"), Err(RegistrationError::Sender)),
            ("/run/leela/a/", Some("/run/leela/a"), Err(RegistrationError::Sender)),
            ("/run/leela/..", Some("/run/leela/.."), Err(RegistrationError::Outside)),
            ("/tmp/a", Some("/tmp/a"), Err(RegistrationError::Outside)),
            ("/run/leela/../a", Some("/run/leela/../a"), Err(RegistrationError::Outside)),
            ("/run/leela/deep/er/a", Some("/run/leela/deep/er/a"), Err(RegistrationError::Outside)),
            ("", Some(""), Err(RegistrationError::Form)),
        ] {
            let got =
                check(payload.as_bytes(), from.map(Path::new), dir).map(|registration| registration.words);
            assert_eq!(got, want, "{payload:?} from {from:?}");
        }
        assert_eq!(
            check(b"/run/leela/a\0\xff", Some(Path::new("/run/leela/a")), dir),
            Err(RegistrationError::Form)
        );
    }

    #[test]
    fn a_registration_travels() {
        let dir = tempfile::tempdir().unwrap();
        let producer = UnixDatagram::bind(dir.path().join("m")).unwrap();
        producer.set_nonblocking(true).unwrap();
        let path = dir.path().join("c");
        let consumer = UnixDatagram::bind(&path).unwrap();
        register(&consumer, &path, "durable", &dir.path().join("m")).unwrap();
        let mut buffer = [0; REGISTRATION_BYTES_MAX];
        let got = receive(&producer, dir.path(), &mut buffer).unwrap().unwrap();
        assert_eq!(got, Ok(Registration { path: &path, words: "durable" }));
        assert_eq!(receive(&producer, dir.path(), &mut [0; REGISTRATION_BYTES_MAX]).unwrap(), None);
    }
}
