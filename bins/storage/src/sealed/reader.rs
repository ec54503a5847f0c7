//! Reads a sealed file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::index::{Index, Span};
use super::page::{self, Page, Walk};
use super::scan::{self, Pages};
use super::writer::doing;
use super::{Damage, FOOTER_BYTES, FOOTER_MAGIC, HEAD_BYTES, HEAD_MAGIC, Part, Placed, SUM_BYTES, VERSIONS};
use super::{SealedError, Summary, block_sum, parity};
use crate::files::{File, SharedFiles};

/// More damages of a file are not remembered.
const DAMAGES_MAX: usize = 256;

/// So much of the file's end is read at once when it is opened: mostly the whole index.
const TAIL_BYTES: u64 = 8 << 10;

/// An open file: a small index of its directory is in memory, all else is read when it is asked for.
#[derive(Debug)]
pub struct Sealed {
    path: PathBuf,
    file: Arc<dyn File>,
    index: Index,
    damages: Mutex<Vec<Damage>>,
}

/// What a head or footer is.
enum Mark<T> {
    Sound(T),
    Damaged,
    /// Of a version that is not read.
    Foreign,
}

/// Magic, version and checksum, wherever they are in `bytes`.
fn mark<T>(bytes: &[u8], magic: bool, version_at: usize, what: T) -> Mark<T> {
    let (said, sum) = bytes.split_at(bytes.len() - 4);
    if !magic || crc32fast::hash(said).to_le_bytes() != sum {
        return Mark::Damaged;
    }
    let version = said[version_at..version_at + 4].try_into().expect("4 bytes");
    if VERSIONS.reads(u32::from_le_bytes(version)) { Mark::Sound(what) } else { Mark::Foreign }
}

impl Sealed {
    /// Opens a file. One whose index is damaged is read through, and [`Sealed::damages`] says so.
    pub fn open(files: &SharedFiles, path: &Path) -> Result<Sealed, SealedError> {
        let foreign = || SealedError::Foreign { path: path.to_owned() };
        let failed = |what| doing(what, path);
        let file = files.open(path).map_err(failed("opening"))?;
        let bytes = file.len().map_err(failed("measuring"))?;
        let mut head = [0; HEAD_BYTES];
        let mut tail = vec![0; TAIL_BYTES.min(bytes) as usize];
        let read = |offset, into: &mut [u8]| file.read_at(offset, into).map_err(doing("reading", path));
        let (head_read, tail_read) = (read(0, &mut head)?, read(bytes - tail.len() as u64, &mut tail)?);
        if head_read < HEAD_BYTES || tail_read < tail.len() {
            return Err(foreign());
        }
        let head = mark(&head, head[..8] == *HEAD_MAGIC, 8, ());
        let footer = tail.last_chunk::<FOOTER_BYTES>().map_or(Mark::Damaged, |footer| {
            let index = u64::from_le_bytes(footer[..8].try_into().expect("8 bytes"));
            mark(footer, footer[12..20] == *FOOTER_MAGIC, 8, index)
        });
        if matches!(head, Mark::Foreign) || matches!((&head, &footer), (Mark::Damaged, Mark::Foreign)) {
            return Err(foreign());
        }
        let (mut index, mut damages) = (None, Vec::new());
        let is_headless = matches!(head, Mark::Damaged);
        if is_headless {
            damages.push(Damage::of(Part::Head, 0, HEAD_BYTES as u64, false));
        }
        let index_at = if let Mark::Sound(at) = footer { Some(at) } else { None };
        if let Some(at) = index_at
            && let Some(length) = (bytes - FOOTER_BYTES as u64).checked_sub(at)
        {
            let begin = bytes - tail.len() as u64;
            if at >= begin {
                let from = (at - begin) as usize;
                index = Index::read(at, &tail[from..from + length as usize]);
            } else if length < bytes / 2 {
                let mut own = vec![0; length as usize];
                read(at, &mut own)?;
                index = Index::read(at, &own);
            }
        }
        let mut index = match index {
            Some(index) => index,
            None => {
                let found = scan::scan(&*file, bytes, index_at).map_err(failed("reading"))?;
                if found.index.pages.is_empty() && (is_headless || found.damages.is_empty()) {
                    return Err(foreign());
                }
                damages.extend(found.damages);
                found.index
            }
        };
        index.summary.bytes = bytes;
        Ok(Sealed { path: path.to_owned(), file, index, damages: Mutex::new(damages) })
    }

    /// The file's path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in it.
    pub fn summary(&self) -> Summary {
        self.index.summary
    }

    /// What was found damaged so far; empty for a sound file. At most 256 are remembered.
    pub fn damages(&self) -> Vec<Damage> {
        self.damages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes that this open file takes in memory, about.
    pub fn memory_bytes(&self) -> usize {
        size_of::<Sealed>() + self.path.as_os_str().len() + self.index.memory_bytes()
    }

    fn note(&self, damage: Damage) {
        let mut damages = self.damages.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = !damages.iter().any(|one| (one.part, one.offset) == (damage.part, damage.offset));
        if is_new && damages.len() < DAMAGES_MAX {
            damages.push(damage);
        }
    }

    fn damaged(&self, damage: Damage) -> SealedError {
        self.note(damage.clone());
        SealedError::Damaged { path: self.path.clone(), damage }
    }

    /// The bytes of a page whose checksum holds, from the page itself or from all others of its lane.
    fn page(&self, number: usize) -> Result<Vec<u8>, SealedError> {
        let span = self.index.pages[number];
        if let Some(bytes) = scan::page(&*self.file, number as u32, span) {
            return Ok(bytes);
        }
        let damage = |is_lost| Damage::of(Part::Page, span.offset, span.bytes.into(), is_lost);
        let pages = Pages { spans: &self.index.pages, parities: &self.index.parities };
        match pages.give_back(&*self.file, number as u32) {
            Some(bytes) if Page::read(span.offset, &bytes).is_some() => {
                self.note(damage(false));
                Ok(bytes)
            }
            _ => Err(self.damaged(damage(true))),
        }
    }

    /// Appends the blocks of a key, by content, then first time. A key that is not there has none.
    pub fn find(&self, key: &[u8], blocks: &mut Vec<Placed>) -> Result<(), SealedError> {
        for number in self.index.pages_of(key) {
            let bytes = self.page(number)?;
            let offset = self.index.pages[number].offset;
            let Some(page) = Page::parse(&bytes) else { continue };
            let mut walk = Walk::new(&page, offset);
            loop {
                match walk.next_entry(page.body) {
                    Ok(Some(placed)) if walk.key() == key => blocks.push(placed),
                    Ok(Some(_)) if walk.key() < key => {}
                    Ok(_) => break,
                    Err(page::Malformed) => return Err(self.malformed(number)),
                }
            }
        }
        Ok(())
    }

    fn malformed(&self, page: usize) -> SealedError {
        let Span { offset, bytes } = self.index.pages[page];
        self.damaged(Damage::of(Part::Page, offset, bytes.into(), true))
    }

    /// Appends a block's bytes, as they were given to the writer, after their checksum was seen to hold. After an
    /// error nothing was appended.
    pub fn read(&self, key: &[u8], placed: &Placed, bytes: &mut Vec<u8>) -> Result<(), SealedError> {
        let Placed { block, offset, length, is_headless } = placed;
        let before = bytes.len();
        let lost = || {
            let key = Some(String::from_utf8_lossy(key).into_owned());
            self.damaged(Damage { key, ..Damage::of(Part::Block, *offset, u64::from(*length), true) })
        };
        // A directory may say anything; the file is as long as it is.
        if offset.saturating_add(u64::from(*length)) > self.index.summary.bytes {
            return Err(lost());
        }
        if *is_headless {
            bytes.extend_from_slice(&block.first_ms.to_le_bytes());
            bytes.extend_from_slice(&(block.count as u16).to_le_bytes());
        }
        let body = bytes.len();
        bytes.resize(body + *length as usize, 0);
        let read = self.file.read_exact_at(*offset, &mut bytes[body..]);
        let (sum, rest) = bytes[body..].split_at(SUM_BYTES);
        if read.is_err() || sum != block_sum(key, block, rest).to_le_bytes() {
            bytes.truncate(before);
            // What the system refuses may be there the next time; what it gives and does not hold may not.
            return match read {
                Err(err) if err.kind() != std::io::ErrorKind::UnexpectedEof => {
                    Err(doing("reading", &self.path)(err))
                }
                _ => Err(lost()),
            };
        }
        bytes.copy_within(body + SUM_BYTES.., body);
        bytes.truncate(bytes.len() - SUM_BYTES);
        Ok(())
    }

    /// All blocks in order.
    pub fn entries(&self) -> Entries<'_> {
        Entries { sealed: self, next_page: 0, page: Vec::new(), walk: Walk::default() }
    }

    /// Reads everything, and says what is damaged.
    pub fn verify(files: &SharedFiles, path: &Path) -> Result<Vec<Damage>, SealedError> {
        let sealed = Sealed::open(files, path)?;
        for (number, span) in (0..).zip(&sealed.index.parities) {
            let is_sound = scan::bytes(&*sealed.file, *span)
                .is_some_and(|bytes| parity::read(span.offset, &bytes).is_some_and(|(is, _)| is == number));
            if !is_sound {
                sealed.note(Damage::of(Part::Parity, span.offset, span.bytes.into(), false));
            }
        }
        let mut entries = sealed.entries();
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            // What is damaged is noted where it is found.
            match entries.next_entry() {
                Ok(Some((key, placed))) => {
                    if let Err(SealedError::File { what, path, source }) =
                        sealed.read(key, &placed, &mut bytes)
                    {
                        return Err(SealedError::File { what, path, source });
                    }
                }
                Ok(None) => break,
                Err(_) => {}
            }
        }
        Ok(sealed.damages())
    }
}

/// All blocks of a file with their keys, in order.
#[derive(Debug)]
pub struct Entries<'a> {
    sealed: &'a Sealed,
    next_page: usize,
    page: Vec<u8>,
    walk: Walk,
}

impl Entries<'_> {
    /// The next one; `None` at the end. After an error the walk goes on behind what is damaged.
    pub fn next_entry(&mut self) -> Result<Option<(&[u8], Placed)>, SealedError> {
        let placed = loop {
            match self.walk.next_entry(self.page.get(page::HEAD_BYTES..).unwrap_or_default()) {
                Ok(Some(placed)) => break placed,
                Err(page::Malformed) => return Err(self.sealed.malformed(self.next_page - 1)),
                Ok(None) => {}
            }
            let Some(span) = self.sealed.index.pages.get(self.next_page) else { return Ok(None) };
            self.next_page += 1;
            self.page = self.sealed.page(self.next_page - 1)?;
            self.walk =
                Page::parse(&self.page).map_or_else(Walk::default, |page| Walk::new(&page, span.offset));
        };
        Ok(Some((self.walk.key(), placed)))
    }
}
