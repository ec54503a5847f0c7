//! Calls that fail.

use std::io;

use nix::errno::Errno;

/// The calls that can fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Op {
    /// [`crate::files::Files::create`].
    Create,
    /// [`crate::files::Files::open`].
    Open,
    /// [`crate::files::Files::list`].
    List,
    /// [`crate::files::Files::make_dir`].
    MakeDir,
    /// [`crate::files::Files::rename`].
    Rename,
    /// [`crate::files::Files::link`].
    Link,
    /// [`crate::files::Files::remove`].
    Remove,
    /// [`crate::files::Files::sync_dir`].
    SyncDir,
    /// [`crate::files::Files::free_bytes`].
    FreeBytes,
    /// [`crate::files::File::write_at`].
    Write,
    /// [`crate::files::File::read_at`].
    Read,
    /// [`crate::files::File::set_len`].
    SetLen,
    /// [`crate::files::File::sync`].
    Sync,
}

impl Op {
    /// Those that a full disk refuses.
    pub const OF_FULL_DISK: &[Op] = &[Op::Create, Op::MakeDir, Op::Link, Op::Write];

    /// Those that a file system refuses that has become read-only.
    pub const OF_READ_ONLY: &[Op] =
        &[Op::Create, Op::MakeDir, Op::Rename, Op::Link, Op::Remove, Op::Write, Op::SetLen];
}

/// Which calls fail, and how: `ENOSPC` (of a write the first half is written), `EIO`, `EROFS`, ...
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault {
    /// Only these calls count; all do when there are none.
    pub ops: &'static [Op],
    /// So many of them go well first.
    pub skip: u64,
    /// So many fail then; `u64::MAX` for all.
    pub times: u64,
    /// What the system says.
    pub errno: Errno,
}

#[derive(Debug, Default)]
pub(super) struct Faults {
    faults: Vec<Fault>,
    calls: u64,
}

impl Faults {
    pub(super) fn add(&mut self, fault: Fault) {
        self.faults.push(fault);
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    /// Counts a call; the error with which it fails.
    pub(super) fn call(&mut self, op: Op) -> Option<io::Error> {
        self.calls += 1;
        let mut failed = None;
        for Fault { ops, skip, times, errno } in &mut self.faults {
            if !ops.is_empty() && !ops.contains(&op) {
                continue;
            }
            if *skip > 0 {
                *skip -= 1;
            } else if *times > 0 {
                *times -= 1;
                failed = Some(io::Error::from_raw_os_error(*errno as i32));
            }
        }
        failed
    }
}
