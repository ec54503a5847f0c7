//! What wakes the maintenance thread before its time, and tells everybody that the store is closing.

use std::sync::PoisonError;
use std::time::Duration;

use crate::sync::atomic::{AtomicBool, Ordering};
use crate::sync::{Condvar, Mutex, MutexGuard};

/// A bell: who rings it is heard once, also when nobody waits at that moment.
#[derive(Debug)]
pub(super) struct Bell {
    is_rung: Mutex<bool>,
    rung: Condvar,
    is_over: AtomicBool,
}

impl Bell {
    pub(super) fn new() -> Bell {
        Bell { is_rung: Mutex::new(false), rung: Condvar::new(), is_over: AtomicBool::new(false) }
    }

    /// Something is due.
    pub(super) fn ring(&self) {
        *self.lock() = true;
        self.rung.notify_all();
    }

    /// From now on nobody waits.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.ring();
    }

    /// Whether it is over.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// Waits until it is rung, or was since the last time; no longer than `at_most`.
    pub(super) fn wait(&self, at_most: Duration) {
        let is_quiet = |is_rung: &mut bool| !*is_rung && !self.is_over();
        let waited = self.rung.wait_timeout_while(self.lock(), at_most, is_quiet);
        *waited.unwrap_or_else(PoisonError::into_inner).0 = false;
    }

    fn lock(&self) -> MutexGuard<'_, bool> {
        self.is_rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(all(test, shuttle))]
mod interleaved {
    use std::sync::Arc;

    use super::*;
    use crate::sync::atomic::AtomicU64;

    const LONG: Duration = Duration::from_secs(3600);

    #[test]
    fn what_was_due_before_the_bell_is_seen_and_nobody_waits_behind_the_end() {
        let run = || {
            let bell = Arc::new(Bell::new());
            let work = Arc::new(AtomicU64::new(0));
            let ringers: Vec<_> = (0..2)
                .map(|_| {
                    let (bell, work) = (Arc::clone(&bell), Arc::clone(&work));
                    shuttle::thread::spawn(move || {
                        work.fetch_add(1, Ordering::Relaxed);
                        bell.ring();
                    })
                })
                .collect();
            // Waits as the maintenance thread does: it ends, or this interleaving hangs.
            let mut done = 0;
            while done < 2 {
                bell.wait(LONG);
                done += work.swap(0, Ordering::Relaxed);
            }
            let ended = Arc::clone(&bell);
            let end = shuttle::thread::spawn(move || ended.end());
            while !bell.is_over() {
                bell.wait(LONG);
            }
            bell.wait(LONG);
            end.join().expect("it ends");
            ringers.into_iter().for_each(|ringer| ringer.join().expect("it ends"));
        };
        shuttle::check_random(run, 20_000);
    }
}
