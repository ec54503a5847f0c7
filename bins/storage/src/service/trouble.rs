//! While nothing can be written: why, since when, and what was lost by it. Told once when it begins and once when it
//! is over.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use crate::counters::Lost;
use crate::log::LogError;
use crate::store::Full;
use common::books::Label;

/// After a write failed, so long passes before the next is tried.
const PAUSE: Duration = Duration::from_millis(100);

/// Why nothing is written, while that is so.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    now: Option<Now>,
}

#[derive(Debug)]
struct Now {
    lost: Lost,
    since: Instant,
    dropped: u64,
    /// The log is not tried before; `None` where the store says itself when it is over.
    again: Option<Instant>,
}

impl Trouble {
    /// Why what comes now is not written; `full` is what the store says.
    pub(super) fn now(&mut self, full: Option<Full>, now: Instant) -> Option<Lost> {
        match full {
            Some(full) => {
                let lost = match full {
                    Full::MinFree => Lost::MinFree,
                    Full::DiskMax => Lost::DiskMax,
                    Full::Memory => Lost::MemoryMax,
                };
                self.begin(lost, None, now);
                Some(lost)
            }
            None => {
                let trouble = self.now.as_ref()?;
                match trouble.again {
                    Some(again) => (now < again).then_some(trouble.lost),
                    None => {
                        self.is_over(now);
                        None
                    }
                }
            }
        }
    }

    /// The log took nothing.
    pub(super) fn log_failed(&mut self, error: &LogError, now: Instant) -> Lost {
        let lost = match error.source.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => Lost::DiskFull,
            _ => Lost::LogFailed,
        };
        let text = format!("{error}: {}", error.source);
        self.begin(lost, Some(&text), now);
        if let Some(trouble) = &mut self.now {
            trouble.again = Some(now + PAUSE);
        }
        lost
    }

    /// So many records more are lost by it.
    pub(super) fn dropped(&mut self, records: u64) {
        if let Some(trouble) = &mut self.now {
            trouble.dropped += records;
        }
    }

    /// Something was written.
    pub(super) fn is_over(&mut self, now: Instant) {
        if let Some(Now { lost, since, dropped, .. }) = self.now.take() {
            let after = common::span::Span::from_secs((now - since).as_secs());
            tracing::info!(%after, dropped, reason = lost.name(), "writing again");
        }
    }

    fn begin(&mut self, lost: Lost, error: Option<&str>, now: Instant) {
        if self.now.as_ref().is_some_and(|trouble| trouble.lost == lost) {
            return;
        }
        let reason = lost.name();
        match lost {
            // The store has said so.
            Lost::MinFree | Lost::DiskMax | Lost::MemoryMax => {}
            Lost::DiskFull => {
                tracing::error!(reason, error, "the disk is full, nothing is written: make room");
            }
            Lost::LogFailed => tracing::error!(reason, error, "the log cannot be written"),
        }
        let (since, dropped) = self.now.take().map_or((now, 0), |before| (before.since, before.dropped));
        self.now = Some(Now { lost, since, dropped, again: None });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn a_full_disk_is_tried_again_after_a_pause() {
        let mut trouble = Trouble::default();
        let start = Instant::now();
        assert_eq!(trouble.now(None, start), None);
        for (error, want) in [
            (std::io::Error::from(ErrorKind::StorageFull), Lost::DiskFull),
            (std::io::Error::from(ErrorKind::PermissionDenied), Lost::LogFailed),
        ] {
            let error = LogError { what: "writing", path: PathBuf::from("log"), source: error };
            assert_eq!(trouble.log_failed(&error, start), want);
            assert_eq!(trouble.now(None, start), Some(want));
            assert_eq!(trouble.now(None, start + PAUSE), None, "it is tried");
        }
        trouble.is_over(start + PAUSE);
        assert_eq!(trouble.now(None, start), None);
        assert_eq!(trouble.now(Some(Full::MinFree), start), Some(Lost::MinFree));
        assert_eq!(trouble.now(None, start), None, "the store knows when it is over");
    }
}
