//! A packet's metrics and notes.
//!
//! The names, the time and the severity that a packet gives stand until it gives others; values and messages
//! are read under them. They never cross the border of a signature or an encryption, in either direction: what
//! stands before a signature, or beside an encrypted part, anybody can have put there.

use common::metric::{Metric, Note};
use common::time::Time;
use common::value::Value;
use serde::{Deserialize, Serialize};

use crate::names::{KeyBuffer, Name, Names};
use crate::note;
use crate::part::{self, Code, Part, Parts, Values};
use crate::reason::{Reason, Refused};
use crate::security::{self, Level};
use crate::types_db::TypesDb;
use crate::users::Users;

/// What stands behind the key of each of several values.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Sources {
    /// The name of the data source in types.db: `.rx`; its number where types.db lacks the type, or has
    /// another number of sources for it.
    #[default]
    Names,
    /// The number of the data source, from 0: `.0`.
    Index,
}

/// How packets are read.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// What is less secure is refused.
    pub required: Level,
    /// Who may sign and encrypt. Without an AuthFile a signature says nothing: what it covers counts as plain.
    pub users: Option<&'a Users>,
    /// Whether the key of what is signed or encrypted begins with the user.
    pub user_prefix: bool,
    /// What stands behind the key of each of several values.
    pub sources: Sources,
    /// The names of data sources.
    pub types: &'a TypesDb,
}

/// What a packet yields.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Output<'a> {
    /// A reading.
    Metric(Metric<'a>),
    /// A notification.
    Note(Note<'a>),
}

/// What is worth a counter, though nothing was lost by it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Remarks {
    /// Parts of an unknown type, skipped.
    pub unknown_parts: u64,
    /// Metrics and notes in whose key a `;` became a `_`.
    pub rewritten: u64,
    /// Metrics that got a number for want of their source's name in types.db.
    pub untyped: u64,
    /// Signatures that were not looked at, as there is no AuthFile.
    pub unverified: u64,
}

/// Reads packets; holds the buffers that this takes, of at most a packet's size each.
#[derive(Debug, Default)]
pub struct Reader {
    key: KeyBuffer,
    json: String,
    payload: Vec<u8>,
}

impl Reader {
    /// Gives `each` what the packet yields and what is refused, in the order of the packet; at least one of
    /// either. `now` stands where a packet has no time.
    pub fn read<F>(&mut self, packet: &[u8], now: Time, rules: &Rules<'_>, each: F) -> Remarks
    where
        F: FnMut(Result<Output<'_>, Refused>),
    {
        let Reader { key, json, payload } = self;
        let mut reading = Reading { key, json, now, rules, remarks: Remarks::default(), given: false, each };
        let area = Area { level: Level::None, user: None, state: State::default() };
        reading.area(Parts::new(packet, 0), area, Some(payload));
        if !reading.given {
            reading.refuse(Reason::Empty, 0, 1);
        }
        reading.remarks
    }
}

/// A stretch of parts from one hand.
struct Area<'a> {
    level: Level,
    /// Set when the keys begin with it.
    user: Option<Name<'a>>,
    state: State<'a>,
}

/// What stands until the packet says otherwise. What could not be read stands as well, as its reason: values
/// must not go on under what was before it.
struct State<'a> {
    names: Names<'a>,
    time: Result<Option<Time>, Reason>,
    time_hires: Result<Option<Time>, Reason>,
    severity: Result<&'static str, Reason>,
}

impl Default for State<'_> {
    fn default() -> Self {
        State {
            names: Names::default(),
            time: Ok(None),
            time_hires: Ok(None),
            severity: Err(Reason::Severity),
        }
    }
}

impl State<'_> {
    fn time(&self, now: Time) -> Result<Time, Reason> {
        Ok(match self.time_hires? {
            Some(time) => time,
            None => self.time?.unwrap_or(now),
        })
    }
}

struct Reading<'r, F> {
    key: &'r mut KeyBuffer,
    json: &'r mut String,
    now: Time,
    rules: &'r Rules<'r>,
    remarks: Remarks,
    given: bool,
    each: F,
}

impl<'r, F: FnMut(Result<Output<'_>, Refused>)> Reading<'r, F> {
    fn refuse(&mut self, reason: Reason, offset: usize, values: u64) {
        self.given = true;
        (self.each)(Err(Refused { reason, offset, values }));
    }

    /// Reads one area. `payload` takes what is decrypted; without it this is a secured area already.
    fn area<'a>(&mut self, parts: Parts<'a>, mut area: Area<'a>, mut payload: Option<&mut Vec<u8>>) {
        for part in parts {
            let part = match part {
                Ok(part) => part,
                Err((reason, offset)) => return self.refuse(reason, offset, 1),
            };
            let state = &mut area.state;
            match part.code {
                Code::Host => state.names.host = name(part.body),
                Code::Plugin => state.names.plugin = name(part.body),
                Code::PluginInstance => state.names.plugin_instance = name(part.body),
                Code::Type => state.names.type_ = name(part.body),
                Code::TypeInstance => state.names.type_instance = name(part.body),
                Code::Time => state.time = part::integer(part.body).and_then(part::time),
                Code::TimeHires => state.time_hires = part::integer(part.body).and_then(part::time_hires),
                Code::Severity => state.severity = part::integer(part.body).and_then(note::severity),
                Code::Interval => {}
                Code::Values => self.values(part, &area),
                Code::Message => self.note(part, &area),
                Code::Unknown => self.remarks.unknown_parts += 1,
                Code::Signature | Code::Encryption if payload.is_none() => {
                    self.refuse(Reason::Nested, part.offset, 1);
                    if part.code == Code::Signature {
                        return;
                    }
                }
                Code::Signature => {
                    if self.signature(part) {
                        return;
                    }
                }
                Code::Encryption => {
                    if let Some(payload) = payload.as_deref_mut() {
                        self.encryption(part, payload);
                    }
                }
            }
        }
    }

    /// Reads what a signature covers; false when it says nothing, and the packet goes on as plain.
    fn signature(&mut self, part: Part<'_>) -> bool {
        if self.rules.users.is_none() && self.rules.required == Level::None {
            self.remarks.unverified += 1;
            return false;
        }
        let user = match self.rules.users {
            Some(users) => security::verify(users, part.body, part.rest),
            None => Err(Reason::User),
        };
        match user {
            Ok(user) => {
                let area = self.secured(Level::Sign, user);
                self.area(Parts::new(part.rest, part.end()), area, None);
            }
            // All that follows is in doubt.
            Err(reason) => self.refuse(reason, part.offset, 1),
        }
        true
    }

    fn encryption(&mut self, part: Part<'_>, payload: &mut Vec<u8>) {
        let decrypted = match self.rules.users {
            Some(users) => security::decrypt(users, part.body, payload),
            None => Err(Reason::User),
        };
        match decrypted {
            Ok(decrypted) => {
                let area = self.secured(Level::Encrypt, decrypted.user);
                let offset = part.body_offset() + decrypted.offset;
                self.area(Parts::new(decrypted.payload, offset), area, None);
            }
            Err(reason) => self.refuse(reason, part.offset, 1),
        }
    }

    fn secured<'a>(&self, level: Level, user: &'a [u8]) -> Area<'a> {
        let user = self.rules.user_prefix.then(|| Name::new(user));
        Area { level, user, state: State::default() }
    }

    fn values(&mut self, part: Part<'_>, area: &Area<'_>) {
        let values = Values::parse(part.body);
        let (values, time) = match self.begin_values(area, values) {
            Ok(begun) => begun,
            Err(reason) => {
                let count = values.map_or_else(|(_, count)| count, |values| values.count() as u64);
                return self.refuse(reason, part.offset, count);
            }
        };
        let count = values.count();
        let names = self.source_names(area.state.names.type_.text(), count);
        let untyped = count > 1 && names.is_none() && self.rules.sources == Sources::Names;
        let rewritten = self.key.rewritten();
        for (index, (kind, value)) in values.iter().enumerate() {
            let key = match names {
                _ if count == 1 => Ok(self.key.key()),
                Some(names) => self.key.with_source(&names[index]),
                None => self.key.with_index(index),
            };
            let reason = match (key, value) {
                (Err(reason), _) => reason,
                (_, Value::F64(value)) if value.is_nan() => Reason::Unknown,
                (_, value) if !value.is_finite() => Reason::NotFinite,
                (Ok(key), value) => {
                    self.given = true;
                    self.remarks.untyped += u64::from(untyped);
                    self.remarks.rewritten += u64::from(rewritten);
                    (self.each)(Ok(Output::Metric(Metric::new(key, time, kind, value))));
                    continue;
                }
            };
            self.refuse(reason, part.offset, 1);
        }
    }

    /// All that has to be well before the first of some values is given out; leaves their key put together.
    fn begin_values<'v>(
        &mut self,
        area: &Area<'_>,
        values: Result<Values<'v>, (Reason, u64)>,
    ) -> Result<(Values<'v>, Time), Reason> {
        if let Some(reason) = area.level.refused_by(self.rules.required) {
            return Err(reason);
        }
        let values = values.map_err(|(reason, _)| reason)?;
        let time = area.state.time(self.now)?;
        self.key.values(area.user, &area.state.names)?;
        Ok((values, time))
    }

    /// The names of the sources of some values; `None` where they get numbers.
    fn source_names(&self, type_: &[u8], count: usize) -> Option<&'r [Box<str>]> {
        if count == 1 || self.rules.sources == Sources::Index {
            return None;
        }
        self.rules.types.sources(type_).filter(|names| names.len() == count)
    }

    fn note(&mut self, part: Part<'_>, area: &Area<'_>) {
        match self.begin_note(part.body, area) {
            Ok(time) => {
                let note = Note { key: self.key.key(), time, json: self.json.as_bytes() };
                self.given = true;
                self.remarks.rewritten += u64::from(self.key.rewritten());
                (self.each)(Ok(Output::Note(note)));
            }
            Err(reason) => self.refuse(reason, part.offset, 1),
        }
    }

    /// Leaves a notification's key and JSON put together.
    fn begin_note(&mut self, body: &[u8], area: &Area<'_>) -> Result<Time, Reason> {
        if let Some(reason) = area.level.refused_by(self.rules.required) {
            return Err(reason);
        }
        let message = part::text(body)?;
        let severity = area.state.severity?;
        if message.is_empty() {
            return Err(Reason::Message);
        }
        let time = area.state.time(self.now)?;
        self.key.note(area.user, &area.state.names)?;
        note::write_json(severity, message, self.json);
        Ok(time)
    }
}

fn name(body: &[u8]) -> Name<'_> {
    part::text(body).map_or_else(Name::refused, Name::new)
}

#[cfg(test)]
mod tests;
