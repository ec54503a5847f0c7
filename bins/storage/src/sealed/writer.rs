//! Writes a sealed file.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use common::key::KEY_BYTES_MAX;
use common::wire::Content;

use super::index::{Index, Span};
use super::page::Builder;
use super::parity::{self, Parities};
use super::{Block, SUM_BYTES, SealedError, Summary, block_sum, footer, head};
use crate::block::{self, Head};
use crate::files::{File, SharedFiles};

/// So much is gathered for a write.
const WRITE_BYTES: usize = 256 << 10;

/// Writes one file; it has its name only when it is complete and durable.
#[derive(Debug)]
pub struct SealedWriter {
    files: SharedFiles,
    path: PathBuf,
    /// The name until then.
    new: PathBuf,
    file: Arc<dyn File>,
    is_finished: bool,
    /// Waits to be written at `written`.
    buffer: Vec<u8>,
    written: u64,
    page: Builder,
    /// The first key of the page, and the last one of the page before.
    first_key: Vec<u8>,
    before: Vec<u8>,
    last: Option<(Content, i64)>,
    parities: Parities,
    index: Index,
}

impl SealedWriter {
    /// Begins the file `path`; until it is finished its name has `.new` behind it, and it is removed when it is
    /// dropped. What a former process left there is replaced.
    pub fn create(files: SharedFiles, path: &Path) -> Result<SealedWriter, SealedError> {
        let mut new = path.as_os_str().to_owned();
        new.push(".new");
        let new = PathBuf::from(new);
        let file = match files.create(&new) {
            Err(err) if err.kind() == std::io::ErrorKind::AlreadyExists => {
                files.remove(&new).and_then(|()| files.create(&new))
            }
            made => made,
        };
        let file = file.map_err(doing("making", &new))?;
        Ok(SealedWriter {
            files,
            path: path.to_owned(),
            new,
            file,
            is_finished: false,
            buffer: head().to_vec(),
            written: 0,
            page: Builder::new(),
            first_key: Vec::new(),
            before: Vec::new(),
            last: None,
            parities: Parities::default(),
            index: Index::default(),
        })
    }

    /// Adds a block: `bytes` as [`crate::block`] codes them. Blocks come by key, then content's code, then first
    /// time.
    pub fn block(&mut self, key: &[u8], block: &Block, bytes: &[u8]) -> Result<(), SealedError> {
        assert!((1..=KEY_BYTES_MAX).contains(&key.len()), "a key has at most {KEY_BYTES_MAX} bytes");
        assert!(
            matches!(block.content, Content::Events | Content::States | Content::Notes),
            "only events, states and notes are kept"
        );
        let last_key = if self.page.is_empty() { &self.before[..] } else { self.page.last_key() };
        let place = (block.content, block.first_ms);
        let order = key.cmp(last_key);
        let is_behind = |(content, first_ms)| (content as u8, first_ms) <= (place.0 as u8, place.1);
        if order.is_lt() || order.is_eq() && !self.last.is_none_or(is_behind) {
            return Err(SealedError::Order { path: self.path.clone() });
        }
        self.last = Some(place);
        self.index.summary.add(block, order.is_gt());
        if self.page.is_empty() {
            key.clone_into(&mut self.first_key);
        }
        // What the directory says as well is left out.
        let said =
            |head: Head| head.first_ms == block.first_ms && head.count as u64 == u64::from(block.count);
        let is_headless = Head::read(bytes).is_ok_and(|(head, _)| said(head));
        let bytes = if is_headless { &bytes[block::HEAD_BYTES..] } else { bytes };
        self.buffer.extend_from_slice(&block_sum(key, block, bytes).to_le_bytes());
        self.buffer.extend_from_slice(bytes);
        self.page.push(key, block, (bytes.len() + SUM_BYTES) as u32, is_headless);
        if self.page.is_full() {
            self.close_page()?;
        }
        Ok(())
    }

    fn close_page(&mut self) -> Result<(), SealedError> {
        if self.page.is_empty() {
            return Ok(());
        }
        let (number, offset) = (self.index.pages.len() as u32, self.bytes());
        let page = self.page.seal(number, offset);
        self.buffer.extend_from_slice(page);
        let span = Span { offset, bytes: page.len() as u32 };
        let is_parity_due = self.parities.add(page);
        self.index.add_page(span, &self.before, &self.first_key);
        self.page.last_key().clone_into(&mut self.before);
        self.page.clear();
        if is_parity_due {
            self.write_parities();
        }
        if self.buffer.len() >= WRITE_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    fn write_parities(&mut self) {
        for body in self.parities.take() {
            let (number, offset) = (self.index.parities.len() as u32, self.bytes());
            let page = parity::seal(number, offset, &body);
            self.index.parities.push(Span { offset, bytes: page.len() as u32 });
            self.buffer.extend_from_slice(&page);
        }
    }

    fn flush(&mut self) -> Result<(), SealedError> {
        self.file.write_at(self.written, &self.buffer).map_err(doing("writing", &self.new))?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    /// Completes the file, makes it durable and gives it its name.
    pub fn finish(mut self) -> Result<Summary, SealedError> {
        self.close_page()?;
        self.write_parities();
        let offset = self.bytes();
        let index = self.index.seal(offset);
        self.buffer.extend_from_slice(&index);
        self.buffer.extend_from_slice(&footer(offset));
        self.flush()?;
        self.file.sync().map_err(doing("syncing", &self.new))?;
        self.files.rename(&self.new, &self.path).map_err(doing("naming", &self.path))?;
        self.is_finished = true;
        let directory = self.path.parent().unwrap_or(Path::new("."));
        self.files.sync_dir(directory).map_err(doing("syncing", directory))?;
        Ok(Summary { bytes: self.written, ..self.index.summary })
    }
}

impl Drop for SealedWriter {
    fn drop(&mut self) {
        if !self.is_finished {
            // Whoever makes it again replaces it, too.
            let _ = self.files.remove(&self.new);
        }
    }
}

/// Says what was being done when the system refused.
pub(super) fn doing(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> SealedError {
    move |source| SealedError::File { what, path: path.to_owned(), source }
}
