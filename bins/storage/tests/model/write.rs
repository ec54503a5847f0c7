//! What is written: mostly now, sometimes late or early, often the same again.

use common::metric::{Event, Note, State};
use common::time::Time;
use common::wire::Header;
use leela_storage::store::{Kind, Store};

use super::{Case, DAY_MS, KEYS};
use crate::expected::Write;

impl Case {
    /// Mostly now, sometimes late or early, often the same again.
    pub(super) fn time_ms(&mut self) -> i64 {
        let now_ms = self.now.ns() / 1_000_000;
        match self.random.below(20) {
            0..8 => now_ms + self.random.below(10) as i64 * 1000,
            8..15 => now_ms - self.random.below(12) as i64 * 10_000,
            15..17 => {
                (now_ms / DAY_MS - self.random.below(2) as i64) * DAY_MS + self.random.below(3) as i64 - 1
            }
            17..20 if self.is_tidy => now_ms - self.random.below(60_000) as i64,
            17 => now_ms - self.random.below(10) as i64 * DAY_MS / 2,
            18 => -(self.random.below(5) as i64),
            _ => now_ms + 40 * DAY_MS,
        }
    }

    fn value(&mut self) -> f64 {
        match self.random.below(12) {
            0 => f64::NAN,
            1 => f64::INFINITY,
            2 => -0.0,
            3 => f64::from_bits(self.random.next()),
            _ => self.random.below(10_000) as f64 / 100.0,
        }
    }

    pub(super) fn write(&mut self) -> Result<(), String> {
        if self.store().full().is_some() {
            return Ok(());
        }
        let content = match self.random.below(12) {
            0 => 1,
            1 => 2,
            _ => 0,
        };
        let mut writes = Vec::new();
        let count = if self.random.percent(10) { 60 } else { 1 + self.random.below(8) };
        self.batches[content].clear();
        for _ in 0..count {
            let key = KEYS[self.random.below(self.keys as u64) as usize];
            let time_ms = self.time_ms();
            // Within a millisecond: it is the time of the millisecond that has begun.
            let time = Time::from_ns(time_ms * 1_000_000 + self.random.below(1_000_000) as i64);
            let (kind, under, bytes) = match content {
                0 => {
                    let value = self.value();
                    let event = Event { key: key.as_bytes(), time, value };
                    let _ = self.batches[0].event(&event);
                    (Kind::Events, Vec::new(), value.to_bits().to_le_bytes().to_vec())
                }
                1 => {
                    let (window_ns, kind) = (self.random.below(3) * 1000, self.random.below(2) as u8);
                    let bytes = self.random.next().to_le_bytes();
                    let bytes = &bytes[..self.random.below(9) as usize];
                    let state = State { key: key.as_bytes(), time, window_ns, kind, bytes };
                    let _ = self.batches[1].state(&state);
                    let under = [&window_ns.to_le_bytes()[..], &[kind]].concat();
                    (Kind::States, under, bytes.to_vec())
                }
                _ => {
                    let json = format!("{{\"n\":{}}}", self.random.below(1000));
                    let note = Note { key: key.as_bytes(), time, json: json.as_bytes() };
                    let _ = self.batches[2].note(&note);
                    (Kind::Notes, Vec::new(), json.into_bytes())
                }
            };
            writes.push(Write { kind, key: key.to_owned(), place: (time_ms, under), bytes });
        }
        let datagram = self.batches[content].seal(7, 1).to_vec();
        // What is not in the log is not written, and nobody was told that it was.
        let Ok(position) = self.log.as_mut().expect("it is open").append(&datagram) else { return Ok(()) };
        let (header, records) = Header::read(&datagram).map_err(|err| err.to_string())?;
        let written = self.store().write(&header, records, position);
        if written.stored != writes.len() as u64 {
            return Err(format!("{} records were written: {written:?}", writes.len()));
        }
        writes.into_iter().for_each(|write| self.expected.write(write));
        self.retain();
        Ok(())
    }
}
