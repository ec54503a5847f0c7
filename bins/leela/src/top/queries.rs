//! Queries: those that run in leela-dmproc, what each gets a second and what it costs.

use std::collections::HashMap;
use std::io;

use anyhow::Context;
use common::queries::{Queries as Told, QueriesError, Running};
use common::time::Time;
use hop::account::Reading;

use super::sheet::{Cell, Column, Sheet, Unit};
use crate::instance::{Instance, forbidden};

pub(super) const COLUMNS: &[Column] = &[
    Column { name: "events/s", unit: Unit::Count },
    Column { name: "lost/s", unit: Unit::Count },
    Column { name: "waiting", unit: Unit::Count },
    Column { name: "series", unit: Unit::Count },
    Column { name: "age_s", unit: Unit::Count },
    Column { name: "client", unit: Unit::Text },
    Column { name: "proc", unit: Unit::Text },
];

/// What a query is told from another one by: who asked, and when.
type Name = (String, i64);

/// The queries between two looks.
#[derive(Debug, Default)]
pub(super) struct Queries {
    told: Told,
    /// What each got, and what was lost of it, a second, between the last two times that dmproc told.
    rates: HashMap<Name, (f64, f64)>,
}

impl Queries {
    /// Looks at what dmproc tells, and at its books.
    pub(super) fn sheet(
        &mut self,
        instance: &Instance,
        reading: &Reading,
        now: Time,
    ) -> anyhow::Result<Sheet> {
        let Some(books) = reading.books.iter().find(|books| books.process == "dmproc") else {
            let summary = "leela-dmproc never ran here".into();
            return Ok(Sheet { summary, columns: COLUMNS, rows: Vec::new() });
        };
        let path = instance.runtime_dir.queries();
        let told = match Told::read(&path) {
            Ok(told) => told,
            Err(QueriesError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Told::default(),
            Err(QueriesError::Io(error)) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(forbidden(format_args!("reading {}: {error}", path.display())));
            }
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        self.note(told);
        let mut summary = format!(
            "{} queries of {} clients; leela-dmproc is {}",
            books.counter("procs"),
            books.counter("connections"),
            books.state.word()
        );
        let lost = books.total("frames.lost");
        if lost > 0 {
            summary.push_str(&format!("; {lost} frames were lost since it first ran"));
        }
        let rows = self.told.running.iter().map(|query| self.row(query, now)).collect();
        Ok(Sheet { summary, columns: COLUMNS, rows })
    }

    /// Takes what was told; the same once more changes nothing.
    fn note(&mut self, told: Told) {
        if told.time == self.told.time {
            return;
        }
        let elapsed = told.time.since_ns(self.told.time) as f64 / 1e9;
        let before: HashMap<Name, &Running> =
            self.told.running.iter().map(|query| (name(query), query)).collect();
        let rate = |now: u64, before: u64| now.checked_sub(before).map(|more| more as f64 / elapsed);
        let rates = told.running.iter().filter_map(|query| {
            let before = before.get(&name(query))?;
            let rates = rate(query.delivered, before.delivered)?;
            Some((name(query), (rates, rate(query.lost, before.lost)?)))
        });
        // A clock that was set tells no rate.
        self.rates = if elapsed > 0.0 { rates.collect() } else { HashMap::new() };
        self.told = told;
    }

    fn row(&self, query: &Running, now: Time) -> Vec<Cell> {
        let rates = self.rates.get(&name(query)).copied();
        vec![
            rates.map(|(events, _)| events).into(),
            rates.map(|(_, lost)| lost).into(),
            Cell::Number(query.waiting as f64),
            Cell::Number(query.series as f64),
            Cell::Number((now.since_ns(Time::from_ns(query.asked_ns)) as f64 / 1e9).max(0.0).round()),
            Cell::Text(query.client.clone()),
            Cell::Text(query.proc.trim_end().to_owned()),
        ]
    }
}

fn name(query: &Running) -> Name {
    (query.client.clone(), query.asked_ns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_of_the_time_between_two_tellings() {
        let told = |seconds, delivered, lost| Told {
            time: Time::from_secs(seconds),
            running: vec![Running { client: "uid 0".into(), delivered, lost, ..Running::default() }],
        };
        let mut queries = Queries::default();
        for (told, want) in [
            (told(10, 100, 0), None),
            (told(12, 300, 4), Some((100.0, 2.0))),
            // Looked at again before it was told anew.
            (told(12, 300, 4), Some((100.0, 2.0))),
            // A successor of the process, and a clock that was set back.
            (told(13, 5, 0), None),
            (told(9, 6, 0), None),
            (told(10, 7, 0), Some((1.0, 0.0))),
        ] {
            queries.note(told.clone());
            assert_eq!(queries.rates.values().next().copied(), want, "{told:?}");
        }
    }
}
