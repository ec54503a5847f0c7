//! What came of one case.

use serde::{Deserialize, Serialize};

/// One row of the table: a sum, and whether it holds.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Row {
    /// The case, or its name and what of it: `kill9, udp`.
    pub(crate) case: String,
    /// What came in, and for how long.
    pub(crate) load: String,
    /// Records that were sent, by the case's own count.
    pub(crate) sent: u64,
    /// Records that came out, by the case's own count.
    pub(crate) out: u64,
    /// Records that did not, by the words of the books.
    pub(crate) counted: Vec<(String, u64)>,
    /// Other promises of the case that are broken.
    pub(crate) broken: Vec<String>,
    /// What was seen beside it.
    pub(crate) seen: String,
}

impl Row {
    /// Of a case under a load.
    pub(crate) fn new(case: impl Into<String>, load: impl Into<String>) -> Row {
        Row { case: case.into(), load: load.into(), ..Row::default() }
    }

    /// What was sent, and what came out.
    pub(crate) fn sums(mut self, sent: u64, out: u64) -> Row {
        (self.sent, self.out) = (sent, out);
        self
    }

    /// A loss that has a name.
    pub(crate) fn counted(mut self, reason: &str, records: u64) -> Row {
        if records > 0 {
            self.counted.push((reason.to_owned(), records));
        }
        self
    }

    /// What has to be so beside the sum.
    pub(crate) fn must(mut self, is_so: bool, what: impl Into<String>) -> Row {
        if !is_so {
            self.broken.push(what.into());
        }
        self
    }

    /// What was seen beside it.
    pub(crate) fn seen(mut self, what: impl Into<String>) -> Row {
        self.seen = what.into();
        self
    }

    /// Records that were sent and are neither out nor counted; under 0 when more is out or counted than was sent.
    pub(crate) fn unseen(&self) -> i128 {
        let counted: u64 = self.counted.iter().map(|(_, records)| records).sum();
        i128::from(self.sent) - i128::from(self.out) - i128::from(counted)
    }

    /// True when the sum holds, and all else.
    pub(crate) fn holds(&self) -> bool {
        self.unseen() == 0 && self.broken.is_empty()
    }

    /// The losses with their names.
    pub(crate) fn reasons(&self) -> String {
        if self.counted.is_empty() {
            return "nothing".to_owned();
        }
        let reasons: Vec<String> =
            self.counted.iter().map(|(reason, records)| format!("{reason} {records}")).collect();
        reasons.join(", ")
    }

    /// What is broken, and what was seen.
    pub(crate) fn remarks(&self) -> String {
        let broken = self.broken.iter().map(|broken| format!("BROKEN: {broken}"));
        let seen = Some(self.seen.clone()).filter(|seen| !seen.is_empty());
        broken.chain(seen).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_holds_when_its_sum_does() {
        let row = || Row::new("case", "load").sums(10, 7);
        for (row, unseen, holds) in [
            (row(), 3, false),
            (row().counted("dropped", 3), 0, true),
            (row().counted("dropped", 1).counted("lost_in_crash", 2), 0, true),
            (row().counted("dropped", 4), -1, false),
            (row().counted("dropped", 3).must(true, "fast"), 0, true),
            (row().counted("dropped", 3).must(false, "fast"), 0, false),
        ] {
            assert_eq!((row.unseen(), row.holds()), (unseen, holds), "{row:?}");
        }
        let row = row().counted("dropped", 3).counted("nothing", 0).must(false, "slow").seen("much");
        assert_eq!((row.reasons(), row.remarks()), ("dropped 3".into(), "BROKEN: slow; much".into()));
    }
}
