//! Locks and atomics of what this crate's threads share by rules of its own. Under `--cfg shuttle` they are those of a
//! scheduler that tries one interleaving after the other (`tests/interleave.sh`).

#[cfg(shuttle)]
pub(crate) use shuttle::sync::{Condvar, Mutex, MutexGuard, atomic};
#[cfg(not(shuttle))]
pub(crate) use std::sync::{Condvar, Mutex, MutexGuard, atomic};
