//! What a store lives through: restarts, power cuts, failures of the disk; and copies of it.

use std::path::PathBuf;

use common::wire::Header;
use leela_storage::log::Log;
use leela_storage::store::embedded::Embedded;
use leela_storage::store::options::Options;
use leela_storage::store::{Maintained, Store};
use leela_storage::testing::{Fault, Loss, Op};
use nix::errno::Errno;

use super::Case;

impl Case {
    pub(super) fn restart(&mut self, is_clean: bool) -> Result<(), String> {
        if let Some(store) = self.store.take()
            && is_clean
        {
            store.close(self.now).map_err(|err| format!("closing: {err}"))?;
        }
        self.log = None;
        self.open()
    }

    pub(super) fn power_cut(&mut self) -> Result<(), String> {
        let loss = if self.random.percent(50) { Loss::All } else { Loss::Some(self.random.next()) };
        self.cuts += 1;
        let after = self._room.path().join(self.cuts.to_string());
        self.files.power_cut(&self.directory, &after, loss).map_err(|err| err.to_string())?;
        (self.store, self.log) = (None, None);
        self.directory = after;
        self.files.boot();
        self.open()?;
        let found = self.contents();
        self.expected.settle(found)
    }

    /// The disk fails for a while: live goes on, reads too, and afterwards all is as it should be, also when that is the
    /// next process's to see.
    pub(super) fn trouble(&mut self) -> Result<(), String> {
        let (ops, errno) = *self.random.pick(&[
            (Op::OF_FULL_DISK, Errno::ENOSPC),
            (Op::OF_READ_ONLY, Errno::EROFS),
            (&[Op::Write, Op::Sync][..], Errno::EIO),
            (&[Op::Rename, Op::SyncDir][..], Errno::EIO),
        ]);
        let (skip, times) = (self.random.below(30), *self.random.pick(&[1, 3, u64::MAX]));
        self.files.fail(Fault { ops, skip, times, errno });
        for _ in 0..6 {
            self.write()?;
            self.now = self.now.plus_ns(3_000_000_000_000);
            self.maintain()?;
        }
        self.retain();
        self.check_all().map_err(|what| format!("while {errno:?}: {what}"))?;
        self.files.heal();
        // It may end before anything was tried again.
        match self.random.below(6) {
            0 => return self.power_cut(),
            1 => {
                self.restart(false)?;
                return self.check_all().map_err(|what| format!("killed after {errno:?}: {what}"));
            }
            _ => {}
        }
        // What a failed sync was to make durable is so when it is sealed.
        self.now = self.now.plus_ns(4_000_000_000_000);
        self.retain();
        for _ in 0..100 {
            if self.store().maintain(self.now) != Maintained::Busy {
                break;
            }
        }
        if self.store().stats(self.now).points_in_memory > 0 {
            return Err(format!(
                "{errno:?} is over, and it is not sealed: {:?}",
                self.store().stats(self.now)
            ));
        }
        self.expected.sync();
        match self.store().stats(self.now).failing {
            Some(failing) => Err(format!("{errno:?} is over, and it still fails: {failing:?}")),
            None => self.check_all(),
        }
    }

    pub(super) fn snapshot(&mut self) -> Result<(), String> {
        let to = self._room.path().join(format!("snapshot-{}", self.random.next()));
        self.store().snapshot(&to).map_err(|err| format!("snapshot: {err}"))?;
        let options = Options { directory: to, ..self.options.clone() };
        let copy = Embedded::open(self.files.shared(), options).map_err(|err| err.to_string())?;
        let from = copy.acknowledged();
        let (_, mut replay) =
            Log::open(self.files.shared(), &self.copy_of_log()?, from).map_err(|err| err.to_string())?;
        while let Some(entry) = replay.next_entry() {
            let (header, records) = Header::read(entry.datagram).map_err(|err| err.to_string())?;
            let _ = copy.write(&header, records, entry.position);
        }
        let own = self.store.replace(copy);
        let checked = self.check_all().map_err(|what| format!("in a snapshot: {what}"));
        self.store = own;
        checked
    }

    fn copy_of_log(&mut self) -> Result<PathBuf, String> {
        let to = self._room.path().join(format!("log-{}", self.random.next()));
        std::fs::create_dir(&to).map_err(|err| err.to_string())?;
        for file in std::fs::read_dir(self.directory.join("log")).map_err(|err| err.to_string())?.flatten() {
            std::fs::copy(file.path(), to.join(file.file_name())).map_err(|err| err.to_string())?;
        }
        Ok(to)
    }
}
