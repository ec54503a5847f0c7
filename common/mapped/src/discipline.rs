//! What keeps the system's clock right, asked of the kernel.
//!
//! Source: adjtimex(2). The call stands here because this crate is where such calls may stand.

#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;

use nix::libc;

/// How the kernel's clock is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Discipline {
    /// Something keeps the clock right: NTP, PTP or the like.
    pub is_synchronized: bool,
    /// How far off it may be at most, in microseconds; grows while nothing keeps it right.
    pub error_us_max: u64,
}

/// Asks the kernel, and changes nothing.
pub fn discipline() -> io::Result<Discipline> {
    let mut timex = MaybeUninit::<libc::timex>::zeroed();
    // SAFETY: the pointer is to a whole timex that lives through the call. All of it is integers, for which zeros
    // are values; `modes` is among them, and 0 asks without setting anything.
    let (state, timex) = unsafe { (libc::adjtimex(timex.as_mut_ptr()), timex.assume_init()) };
    if state < 0 {
        return Err(io::Error::last_os_error());
    }
    let is_synchronized = timex.status & libc::STA_UNSYNC == 0 && state != libc::TIME_ERROR;
    Ok(Discipline { is_synchronized, error_us_max: u64::try_from(timex.maxerror).unwrap_or(0) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asking_is_for_everybody_and_changes_nothing() {
        let first = discipline().unwrap();
        let again = discipline().unwrap();
        assert_eq!(first.is_synchronized, again.is_synchronized);
        assert!(again.error_us_max >= first.error_us_max || again.is_synchronized, "{first:?} {again:?}");
    }
}
