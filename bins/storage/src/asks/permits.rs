//! How many may work at the same time.

use std::sync::{Condvar, Mutex, PoisonError};

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

#[cfg(test)]
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
