//! Queries: what leela-dmproc has to do for its clients, by its books.

use std::collections::HashMap;
use std::time::Instant;

use hop::account::{Counter, Reading};

use super::sheet::{Cell, Column, Sheet, Unit};

pub(super) const COLUMNS: &[Column] = &[
    Column { name: "now", unit: Unit::Count },
    Column { name: "a_second", unit: Unit::Count },
    Column { name: "counter", unit: Unit::Text },
];

/// Counters of dmproc that are of its clients and their queries: these, and those of these families.
const SHOWN: [&str; 10] = [
    "frames",
    "connections",
    "connected",
    "accept_failed",
    "procs",
    "procs_taken",
    "procs_refused",
    "series",
    "state_bytes",
    "received",
];

/// The counters at the look before.
#[derive(Debug, Default)]
pub(super) struct Queries {
    before: HashMap<String, u64>,
    at: Option<Instant>,
}

impl Queries {
    /// Looks at the books of dmproc.
    pub(super) fn sheet(&mut self, reading: &Reading, now: Instant) -> Sheet {
        let elapsed = self.at.map(|at| (now - at).as_secs_f64()).filter(|elapsed| *elapsed > 0.0);
        let Some(books) = reading.books.iter().find(|books| books.process == "dmproc") else {
            return Sheet {
                summary: "leela-dmproc never ran here".into(),
                columns: COLUMNS,
                rows: Vec::new(),
            };
        };
        let is_shown = |name: &str| SHOWN.contains(&name.split('.').next().unwrap_or(name));
        let mut rows = Vec::new();
        for (name, value) in books.counters.iter().filter(|(name, _)| is_shown(name)) {
            let more = self.before.get(name).and_then(|before| value.checked_sub(*before));
            let rate = more.zip(elapsed).map(|(more, elapsed)| more as f64 / elapsed);
            let rate = rate.filter(|_| !Counter::of(name).is_level && name != "state_bytes");
            rows.push(vec![Cell::Number(*value as f64), rate.into(), Cell::Text(name.clone())]);
        }
        self.before = books.counters.iter().cloned().collect();
        self.at = Some(now);
        let summary = format!(
            "{} queries of {} clients; leela-dmproc is {}",
            books.counter("procs"),
            books.counter("connections"),
            books.state.word()
        );
        Sheet { summary, columns: COLUMNS, rows }
    }
}
