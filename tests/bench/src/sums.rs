//! What proves that nothing was lost, repeated or changed on the way.

use serde::{Deserialize, Serialize};

/// Sums over records; wrapping, so that order does not matter and nothing is rounded.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Sums {
    /// How many.
    pub(crate) records: u64,
    /// Of their values, which are integers.
    pub(crate) values: u64,
    /// Of the last 8 bytes of their keys, as numbers.
    pub(crate) keys: u64,
}

impl Sums {
    /// Adds a record.
    #[inline]
    pub(crate) fn add(&mut self, key: &[u8], value: u64) {
        self.records += 1;
        self.values = self.values.wrapping_add(value);
        if let Some(last) = key.last_chunk() {
            self.keys = self.keys.wrapping_add(u64::from_le_bytes(*last));
        }
    }

    /// Adds all records of another.
    pub(crate) fn join(&mut self, other: Sums) {
        self.records += other.records;
        self.values = self.values.wrapping_add(other.values);
        self.keys = self.keys.wrapping_add(other.keys);
    }

    /// An error where these, which came, are not `sent`.
    pub(crate) fn equal(self, sent: Sums) -> anyhow::Result<()> {
        anyhow::ensure!(self == sent, "sums differ: sent {sent:?}, came {self:?}");
        Ok(())
    }
}
