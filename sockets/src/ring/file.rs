//! A ring's file as others read it, also that of a process that is stopped or dead.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::{BYTES_MIN, CARRIED_WORDS, HEADER_WORDS, MAGIC, VERSIONS, WORDS, numbers_of};
use crate::peer::{CONTENTS, PLACE_WORDS, Peer, Standing};

/// A ring's file, without its datagrams.
#[derive(Clone, Debug)]
pub struct RingFile {
    /// Length of the body.
    pub bytes: u64,
    /// The source of the datagrams.
    pub source: u64,
    /// The peers, by place.
    pub peers: Vec<Peer>,
}

impl RingFile {
    /// Reads the file at `path`; `None` when there is none, or when it is no ring. One of a later release is an error.
    pub fn read(path: &Path) -> io::Result<Option<RingFile>> {
        let file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut bytes = vec![0; WORDS * 8];
        match file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let words: Vec<u64> = bytes.as_chunks::<8>().0.iter().map(|word| u64::from_ne_bytes(*word)).collect();
        let whole = |bytes: u64| bytes.checked_add(WORDS as u64 * 8);
        let length = file.metadata()?.len();
        if words[0] != MAGIC || !VERSIONS.known(u32::try_from(words[1]).unwrap_or(u32::MAX))? {
            return Ok(None);
        }
        if whole(words[2]) != Some(length) {
            return Ok(None);
        }
        if words[2] < BYTES_MIN || !words[2].is_multiple_of(8) {
            return Ok(None);
        }
        let peers = words[HEADER_WORDS..].chunks_exact(PLACE_WORDS).map(Peer::from_copy).collect();
        Ok(Some(RingFile { bytes: words[2], source: words[3], peers }))
    }

    /// The numbers of the streams, out of what the process's books carry.
    pub fn numbers(carried: &[u64; CARRIED_WORDS]) -> [u64; CONTENTS] {
        numbers_of(carried)
    }

    /// Bytes of the ring that wait for a peer, by what the process's books carry.
    pub fn behind(carried: &[u64; CARRIED_WORDS], peer: &Peer) -> u64 {
        match peer.standing {
            Standing::Active => carried[0].saturating_sub(peer.cursor),
            Standing::Free | Standing::Left => 0,
        }
    }
}
