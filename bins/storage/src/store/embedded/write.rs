//! Writing: a datagram's records into the active generation.

use std::sync::Arc;

use common::metric::{Event, Note, State};
use common::time::Time;
use common::wire::{Content, Events, Header, Notes, States};

use super::{Embedded, Head};
use crate::log::Position;
use crate::store::generation::Data;
use crate::store::table::{BATCH, NONE, Series};
use crate::store::tombstone::Tombstone;
use crate::store::{Full, Kind, Written, lock};

/// What a key takes beside its bytes.
const KEY_BYTES: u64 = 64;

/// A time in ms since 1970; a time is in the millisecond that has begun.
#[inline]
fn ms(time: Time) -> i64 {
    time.ns().div_euclid(1_000_000)
}

impl Embedded {
    pub(super) fn write_datagram(&self, header: &Header, records: &[u8], position: Position) -> Written {
        let mut head = lock(&self.head);
        let head = &mut *head;
        let active = Arc::clone(&head.active);
        let mut data = active.lock();
        let deletes = head.tombstones.iter().filter(|tombstone| position <= tombstone.position);
        let deletes: Vec<Arc<Tombstone>> = deletes.cloned().collect();
        let number = active.number;
        let mut writer =
            Writer { head, data: &mut data, number, position, deletes, written: Written::default() };
        match header.content {
            Content::Events => {
                let events = Events::new(records, header.count);
                if planted!(self.options, NanDropped) {
                    writer.events(events.filter(|event| event.is_ok_and(|event| !event.value.is_nan())));
                } else {
                    writer.events(events);
                }
            }
            Content::States => {
                States::new(records, header.count).flatten().for_each(|state| writer.state(&state));
            }
            Content::Notes => Notes::new(records, header.count).flatten().for_each(|note| writer.note(&note)),
            _ => {}
        }
        let mut written = writer.written;
        let Written { stored, deleted, bad_key, .. } = written;
        written.unreadable = u64::from(header.count).saturating_sub(stored + deleted + bad_key);
        data.high = position;
        let bytes = data.bytes();
        drop(data);
        if bytes >= self.options.head_bytes_max {
            head.freeze();
            self.wake();
        }
        if head.frozen_bytes + bytes >= self.options.memory_bytes_max && !head.frozen.is_empty() {
            self.set_full(Full::Memory, true);
        }
        written
    }
}

struct Writer<'a> {
    head: &'a mut Head,
    data: &'a mut Data,
    /// The generation's.
    number: u32,
    position: Position,
    /// Deletes that were asked for after this was written.
    deletes: Vec<Arc<Tombstone>>,
    written: Written,
}

impl Writer<'_> {
    fn events<'a, E>(&mut self, mut events: impl Iterator<Item = Result<Event<'a>, E>>) {
        let mut batch = [Event { key: &[], time: Time::from_ns(0), value: 0.0 }; BATCH];
        let mut keys: [&[u8]; BATCH] = [&[]; BATCH];
        let mut ids = [NONE; BATCH];
        let mut before = self.head.last;
        loop {
            let mut filled = 0;
            for event in events.by_ref().flatten().take(BATCH) {
                (batch[filled], keys[filled]) = (event, event.key);
                filled += 1;
            }
            if filled == 0 {
                break;
            }
            self.head.table.locate(before, &keys[..filled], &mut ids);
            self.data.warm(&ids[..filled]);
            for (event, slot) in batch[..filled].iter().zip(&mut ids) {
                let Some(id) = self.id(*slot, event.key) else { continue };
                *slot = id;
                if self.data.point(id, ms(event.time), event.value) {
                    self.first(id);
                }
                self.written.stored += 1;
            }
            self.head.table.follow(before, &ids[..filled]);
            before = ids[filled - 1];
        }
        self.head.last = before;
    }

    fn note(&mut self, note: &Note<'_>) {
        let Some(id) = self.id(NONE, note.key) else { return };
        if self.data.record(id, Kind::Notes, ms(note.time), [note.json, b"", b""]) {
            self.first(id);
        }
        self.written.stored += 1;
    }

    fn state(&mut self, state: &State<'_>) {
        let Some(id) = self.id(NONE, state.key) else { return };
        let parts = [&state.window_ns.to_le_bytes()[..], &[state.kind], state.bytes];
        if self.data.record(id, Kind::States, ms(state.time), parts) {
            self.first(id);
        }
        self.written.stored += 1;
    }

    /// The series of a key; None when what is to be written is counted and left out.
    #[inline]
    fn id(&mut self, id: u32, key: &[u8]) -> Option<u32> {
        if !self.deletes.is_empty() && self.deletes.iter().any(|delete| delete.takes(key, self.position)) {
            self.written.deleted += 1;
            return None;
        }
        if id == NONE { self.enter(key) } else { Some(id) }
    }

    /// The series of a key that is not in its place: a new one, or one whose key is not in its one form.
    #[cold]
    fn enter(&mut self, key: &[u8]) -> Option<u32> {
        if let Some(id) = self.head.table.find(key) {
            return Some(id);
        }
        let Ok(key) = common::key::parse(key) else {
            self.written.bad_key += 1;
            return None;
        };
        if let Some(id) = self.head.table.find(key.as_bytes()) {
            return Some(id);
        }
        self.data.key_bytes += key.len() as u64 + KEY_BYTES;
        Some(self.head.table.insert(key.as_bytes()))
    }

    /// It has its first record in this generation.
    fn first(&mut self, id: u32) {
        let epoch = self.head.epoch;
        let Some(series) = self.head.table.get_mut(id) else { return };
        series.seen = self.number;
        if series.known != epoch && series.known != Series::FRESH {
            series.known = Series::FRESH;
            self.head.fresh.push(id);
        }
    }
}
