//! For tests: real files in a real directory, whose machine can lose its power, and which can be made to fail.
//!
//! What a test's files have on the disk is what the process sees. Beside it is kept what would be there after a power
//! cut: of each file what was synced, and what was written since, in order; of each directory likewise the names.
//! [`TestFiles::power_cut`] makes a copy of that. Directories themselves are durable when they are made: where one
//! is new, so is all in it.

mod fault;
mod model;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use crate::files::{Disk, File, Files};
use fault::Faults;
use model::{Change, Model, Node};

pub use fault::{Fault, Op};

/// What becomes of that which was not synced when the power is cut.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Loss {
    /// All of it is gone.
    All,
    /// Of each file and directory some is left, as a disk may have come to it: the first changes, the last of them
    /// torn at any byte; or any of them, with zeros where others are missing. The number chooses.
    Some(u64),
}

/// Files whose power can be cut. Clones are the same files.
#[derive(Clone, Debug, Default)]
pub struct TestFiles {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    model: Model,
    faults: Faults,
    free_bytes: Option<u64>,
    boot: u8,
}

impl State {
    fn call(&mut self, op: Op) -> io::Result<()> {
        self.faults.call(op).map_or(Ok(()), Err)
    }
}

impl TestFiles {
    /// As a process takes it.
    pub fn shared(&self) -> Arc<dyn Files> {
        Arc::new(self.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets calls fail.
    pub fn fail(&self, fault: Fault) {
        self.state().faults.add(fault);
    }

    /// From now on nothing fails.
    pub fn heal(&self) {
        self.state().faults = Faults::default();
    }

    /// Calls so far, failed ones too.
    pub fn calls(&self) -> u64 {
        self.state().faults.calls()
    }

    /// What [`Files::free_bytes`] says; the disk's own word when there is none.
    pub fn set_free_bytes(&self, bytes: Option<u64>) {
        self.state().free_bytes = bytes;
    }

    /// When the last two syncs began that made all of a log durable: its newest segment, whose name is durable as
    /// well. What was written to the log before is there after a power cut, as long as no sync fails.
    pub fn log_syncs(&self) -> [Option<Instant>; 2] {
        self.state().model.log_syncs
    }

    /// Makes `to` what `from` and the directories in it would be after the power was cut now. Whoever opens it
    /// with other test files should [`TestFiles::boot`] those.
    pub fn power_cut(&self, from: &Path, to: &Path, loss: Loss) -> io::Result<()> {
        self.state().model.power_cut(from, to, loss)
    }

    /// The machine is started anew: the boot id is another one.
    pub fn boot(&self) {
        self.state().boot += 1;
    }
}

impl Files for TestFiles {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut state = self.state();
        state.call(Op::Create)?;
        state.model.see(path)?;
        let real = Disk.create(path)?;
        let node = state.model.link_new(path);
        Ok(Arc::new(TestFile { files: self.clone(), node, real }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut state = self.state();
        state.call(Op::Open)?;
        state.model.see(path)?;
        let real = Disk.open(path)?;
        let node = state.model.node_of(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(TestFile { files: self.clone(), node, real }))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        self.state().call(Op::List)?;
        Disk.list(directory)
    }

    fn make_dir(&self, directory: &Path) -> io::Result<()> {
        self.state().call(Op::MakeDir)?;
        Disk.make_dir(directory)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call(Op::Rename)?;
        state.model.see(from)?;
        state.model.see(to)?;
        Disk.rename(from, to)?;
        state.model.rename(from, to);
        Ok(())
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call(Op::Link)?;
        state.model.see(from)?;
        state.model.see(to)?;
        Disk.link(from, to)?;
        state.model.link(from, to);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call(Op::Remove)?;
        state.model.see(path)?;
        Disk.remove(path)?;
        state.model.unlink(path);
        Ok(())
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.call(Op::SyncDir)?;
        state.model.see(&directory.join("-"))?;
        state.model.sync_dir(directory);
        Ok(())
    }

    fn free_bytes(&self, directory: &Path) -> io::Result<u64> {
        let mut state = self.state();
        state.call(Op::FreeBytes)?;
        state.free_bytes.map_or_else(|| Disk.free_bytes(directory), Ok)
    }

    fn boot_id(&self) -> [u8; 16] {
        [self.state().boot + 1; 16]
    }
}

/// An open file.
#[derive(Debug)]
struct TestFile {
    files: TestFiles,
    node: Node,
    real: Arc<dyn File>,
}

impl File for TestFile {
    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.files.state();
        let done = state.call(Op::Write);
        // A full disk takes what still fits.
        let is_full = done.as_ref().is_err_and(|err| err.kind() == io::ErrorKind::StorageFull);
        let bytes = match done {
            Ok(()) => bytes,
            Err(_) if is_full => &bytes[..bytes.len() / 2],
            Err(err) => return Err(err),
        };
        self.real.write_at(offset, bytes)?;
        state.model.change(self.node, Change::Write(offset, bytes.to_vec()));
        done
    }

    fn read_at(&self, offset: u64, bytes: &mut [u8]) -> io::Result<usize> {
        self.files.state().call(Op::Read)?;
        self.real.read_at(offset, bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.real.len()
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.files.state();
        state.call(Op::SetLen)?;
        self.real.set_len(bytes)?;
        state.model.change(self.node, Change::SetLen(bytes));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.files.state();
        let done = state.call(Op::Sync);
        match done {
            // The real disk need not be waited for: only the model loses its power.
            Ok(()) => state.model.sync(self.node),
            // As the kernel does: what could not be written is forgotten, and the next sync succeeds.
            Err(_) => state.model.forget_unsynced(self.node),
        }
        done
    }
}
