//! How many may work at the same time.

use std::sync::PoisonError;

use crate::sync::{Condvar, Mutex};

/// So many permits, lent and given back.
#[derive(Debug)]
pub(super) struct Permits {
    left: Mutex<u32>,
    back: Condvar,
}

/// A permit that is held; it is given back when it is dropped.
#[derive(Debug)]
pub(super) struct Permit<'a>(&'a Permits);

impl Permits {
    pub(super) fn new(count: u32) -> Permits {
        Permits { left: Mutex::new(count), back: Condvar::new() }
    }

    /// Waits for one.
    pub(super) fn take(&self) -> Permit<'_> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let mut left = self.back.wait_while(left, |left| *left == 0).unwrap_or_else(PoisonError::into_inner);
        *left -= 1;
        Permit(self)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.left.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.back.notify_one();
    }
}

#[cfg(all(test, shuttle))]
mod interleaved {
    use std::sync::Arc;

    use super::*;
    use crate::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn no_more_hold_one_than_there_are_and_everybody_gets_one() {
        let run = || {
            let permits = Arc::new(Permits::new(2));
            let held = Arc::new(AtomicU32::new(0));
            let work = || {
                let (permits, held) = (Arc::clone(&permits), Arc::clone(&held));
                shuttle::thread::spawn(move || {
                    for _ in 0..2 {
                        let permit = permits.take();
                        assert!(held.fetch_add(1, Ordering::SeqCst) < 2);
                        held.fetch_sub(1, Ordering::SeqCst);
                        drop(permit);
                    }
                })
            };
            let threads: Vec<_> = (0..4).map(|_| work()).collect();
            threads.into_iter().for_each(|thread| thread.join().expect("it ends"));
        };
        shuttle::check_random(run, 20_000);
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;

    #[test]
    fn who_comes_last_waits_for_one_to_come_back() {
        let permits = Permits::new(2);
        let (first, second) = (permits.take(), permits.take());
        std::thread::scope(|scope| {
            let third = scope.spawn(|| drop(permits.take()));
            assert!(!third.is_finished());
            drop(first);
            third.join().unwrap();
        });
        drop(second);
        assert_eq!(*permits.left.lock().unwrap(), 2);
    }
}
