//! Values on their way to users: one by one, or together where there are too many or nobody is there.

use std::collections::HashMap;
use std::time::Instant;

use common::query::caret;
use common::query::error::{QueryError, Spot};
use common::time::Time;
use xmpp_parsers::jid::{BareJid, Jid};

use super::{Bridge, Then, Who};
use crate::answer::{self, Expected, Rate};
use crate::counters::{Dropped, Reason};
use crate::digest::Digest;
use crate::directory::{Change, Entry};
use crate::proc::{Point, Told};
use crate::subscription::{Asked, Opening, Subscription};

impl Bridge {
    /// Serves what is in the directory and this bridge's to serve, and nothing else.
    pub(super) fn reconcile(&mut self, now: Instant) {
        let Bridge { keeper, subscriptions, leaving, .. } = self;
        let is_ours = |field: &str| keeper.content.entries.contains_key(field) && keeper.serves(field, now);
        let over: Vec<String> = subscriptions
            .iter()
            .filter(|(field, one)| {
                !is_ours(field)
                    && !leaving.contains(*field)
                    && one.opening.as_ref().is_none_or(|opening| opening.is_kept)
            })
            .map(|(field, _)| field.clone())
            .collect();
        let new: Vec<(String, Entry)> = keeper
            .content
            .entries
            .iter()
            .filter(|(field, _)| {
                !subscriptions.contains_key(*field) && !leaving.contains(*field) && is_ours(field)
            })
            .map(|(field, entry)| (field.clone(), entry.clone()))
            .collect();
        over.iter().for_each(|field| self.end(field));
        for (field, entry) in new {
            let may_ask = BareJid::new(&entry.sender).is_ok_and(|sender| self.rights.may_ask(&sender));
            let asked = match may_ask {
                true => Asked::of(&entry, self.rights.sees(&entry.sender)),
                // Directories of old have them, and lists become shorter.
                false => Err(QueryError {
                    at: Spot::new(0, 0),
                    what: "its user is not on the list of those who may ask".to_owned(),
                    way_out: "see `allow` in xmpp.toml".to_owned(),
                }),
            };
            if let Err(error) = &asked {
                self.books.counters.failed += 1;
                tracing::warn!(sender = entry.sender, statement = entry.select.statement(), %error, "a subscription cannot run");
            }
            self.begin(&field, entry, asked, None);
        }
    }

    /// Begins to serve a subscription.
    pub(super) fn begin(
        &mut self,
        field: &str,
        entry: Entry,
        asked: Result<Asked, QueryError>,
        opening: Option<Opening>,
    ) {
        self.last_id += 1;
        let id = self.last_id;
        let mut one = Subscription::begin(entry, asked, id, &self.proc, &self.teller);
        one.opening = opening;
        self.ids.insert(id, field.to_owned());
        self.subscriptions.insert(field.to_owned(), one);
    }

    /// Serves a subscription no more; what waited of it is dropped.
    pub(super) fn end(&mut self, field: &str) {
        if let Some(one) = self.subscriptions.remove(field) {
            self.books.counters.values.dropped.add_many(Dropped::Ended, one.waiting());
            self.ids.retain(|_, of| of != field);
            let answer = answer::ended(&[field.to_owned()], "It ended before it ran.".to_owned(), false);
            for who in self.askers.remove(field).unwrap_or_default() {
                self.books.counters.accepted += 1;
                self.say(&who, &answer);
            }
        }
    }

    /// Takes what leela-dmproc said.
    pub(super) fn told(&mut self, id: u64, told: Told, now: Instant) {
        let Some(field) = self.ids.get(&id).cloned() else {
            if let Told::Points(points) = told {
                let values = &mut self.books.counters.values;
                values.received += points.len() as u64;
                values.dropped.add_many(Dropped::Ended, points.len() as u64);
            }
            return;
        };
        let Some(one) = self.subscriptions.get_mut(&field) else { return };
        match told {
            Told::Runs => one.has_run = true,
            Told::Away(why) => {
                if let Some(opening) = &mut one.opening {
                    opening.away = Some(why);
                }
            }
            Told::Rate { at_least, series, per_minute } => {
                if let Some(opening) = &mut one.opening {
                    one.is_digest = per_minute > u64::from(self.config.messages_per_minute);
                    opening.rate = Some(Rate { at_least, series, per_minute });
                }
            }
            Told::Points(points) => {
                self.books.counters.values.received += points.len() as u64;
                for point in &points {
                    self.value(&field, point, now);
                }
            }
            Told::Lost(values) => {
                self.books.counters.values.lost += values;
                let prefs = self.keeper.prefs(&one.entry.sender);
                if prefs.is_muted(&field, seconds(Time::now())) {
                    return;
                }
                let bytes_max = self.config.hold_max.len();
                one.digest.get_or_insert_with(|| Digest::new(now, bytes_max)).lost += values;
            }
            Told::Refused(at, text) => self.refused_by_dmproc(&field, at, &text),
        }
        self.end_opening(&field, now);
    }

    /// leela-dmproc does not run it: whoever just asked for it is told, and it is taken out; so it is where it has run and
    /// its state became too much. What never ran in this bridge stays in the directory, for its user to see.
    fn refused_by_dmproc(&mut self, field: &str, at: Spot, text: &str) {
        let Some(one) = self.subscriptions.get_mut(field) else { return };
        let error = one.error(at, text);
        let (entry, statement) = (one.entry.clone(), one.entry.select.statement());
        self.books.counters.failed += 1;
        one.failed = Some(error.to_string());
        match one.opening.take() {
            // Whoever made the mistake is told, which is no trouble of the operator's.
            Some(opening) => {
                self.books.counters.values.dropped.add_many(Dropped::Ended, opening.held.len() as u64);
                tracing::debug!(sender = entry.sender, statement, %error, "leela-dmproc refuses a statement");
            }
            None => {
                tracing::warn!(sender = entry.sender, statement, %error, "leela-dmproc refuses a subscription");
                if !one.has_run {
                    return;
                }
                self.tell_digest(field);
            }
        }
        let shown = caret::render(&statement, &error);
        let number = self.number(&entry.sender, field);
        let (whos, text) = match self.askers.remove(field) {
            Some(whos) => {
                self.books.counters.refused.add_many(Reason::Query, whos.len() as u64);
                (whos, shown.trim_end().to_owned())
            }
            None => (
                self.user(&entry.sender).into_iter().collect(),
                format!("#{number} has ended.\n{}", shown.trim_end()),
            ),
        };
        let answer = answer::bad_command(&entry, field, text, &error.to_string());
        for who in &whos {
            self.say(who, &answer);
        }
        // Until that is kept, and where it cannot be, it is there as one that does not run.
        let fields = vec![field.to_owned()];
        self.leaving.insert(field.to_owned());
        self.change(Change::leave(entry.sender, fields.clone()), Then::Left { fields, who: None, answer });
    }

    /// The user of a subscription, as somebody to talk to.
    pub(super) fn user(&self, sender: &str) -> Option<Who> {
        let to = Jid::new(sender).ok()?;
        let way = if self.rights.is_room(sender) { super::Way::Room } else { super::Way::Chat };
        Some(Who { user: sender.to_owned(), to, way })
    }

    /// The number that a user calls a subscription by.
    pub(super) fn number(&self, sender: &str, field: &str) -> u32 {
        self.keeper.prefs(sender).number(field).unwrap_or(0)
    }

    /// A value: told, or folded, or dropped.
    fn value(&mut self, field: &str, point: &Point, now: Instant) {
        let Some(one) = self.subscriptions.get_mut(field) else { return };
        let user = one.entry.sender.as_str();
        let prefs = self.keeper.prefs(user);
        if !prefs.muted.is_empty() && prefs.is_muted(field, seconds(Time::now())) {
            self.books.counters.values.dropped.add(Dropped::Muted);
            return;
        }
        if one.opening.as_mut().is_some_and(|opening| opening.hold(point)) {
            return;
        }
        let is_folded = one.digest.is_some()
            || one.is_digest
            || one.opening.is_some()
            || !self.stream.has_room()
            || self.people.is_offline(user)
            || (self.rights.is_room(user) && !self.nicks.contains_key(user))
            || !self.people.may_hear(user, now);
        if is_folded {
            let bytes_max = self.config.hold_max.len();
            let digest = one.digest.get_or_insert_with(|| Digest::new(now, bytes_max));
            digest.fold(&point.key, point.value, point.time);
            return;
        }
        let number = prefs.number(field).unwrap_or(0);
        let answer = answer::value(number, &one.entry, field, point);
        let sender = one.entry.sender.clone();
        if let Some(who) = self.user(&sender) {
            self.say(&who, &answer);
        }
        self.books.counters.values.told += 1;
    }

    /// Answers those who wait for a new subscription.
    pub(super) fn end_openings(&mut self, now: Instant) {
        let due: Vec<String> = self
            .subscriptions
            .iter()
            .filter(|(_, one)| one.opening.as_ref().is_some_and(|opening| opening.is_over(now)))
            .map(|(field, _)| field.clone())
            .collect();
        due.iter().for_each(|field| self.end_opening(field, now));
    }

    pub(super) fn end_opening(&mut self, field: &str, now: Instant) {
        let Some(one) = self.subscriptions.get_mut(field) else { return };
        let Some(opening) = one.opening.take_if(|opening| opening.is_over(now)) else { return };
        let entry = one.entry.clone();
        let number = self.number(&entry.sender, field);
        let expected = Expected {
            rate: opening.rate,
            away: opening.away,
            limit: self.config.messages_per_minute,
            interval: self.config.digest_interval,
        };
        let text = answer::begun(number, &entry.select.statement(), &expected);
        let answer = answer::entered(&entry, field, text);
        for who in self.askers.remove(field).unwrap_or_default() {
            self.books.counters.accepted += 1;
            self.say(&who, &answer);
        }
        for point in &opening.held {
            self.value(field, point, now);
        }
    }

    /// Tells the digests that are due to users who are there.
    pub(super) fn tell_digests(&mut self, now: Instant) {
        let (interval, hold) = (self.config.digest_interval.duration(), self.config.hold.duration());
        let mut due = Vec::new();
        for (field, one) in &mut self.subscriptions {
            let Some(digest) = &mut one.digest else { continue };
            let age = now.saturating_duration_since(digest.since);
            if age < interval {
                continue;
            }
            if self.stream.has_room() && !self.people.is_offline(&one.entry.sender) {
                due.push(field.clone());
            } else if age >= hold {
                let gone = digest.expire(now, Time::now());
                self.books.counters.values.dropped.add_many(Dropped::Expired, gone);
            }
        }
        due.iter().for_each(|field| self.tell_digest(field));
    }

    /// Tells what waited for a user who is back.
    pub(super) fn tell_digests_of(&mut self, user: &str) {
        self.tell_digests_where(|one| one.entry.sender == user);
    }

    /// Tells what waited for the server, which is back.
    pub(super) fn tell_what_waited(&mut self) {
        self.tell_digests_where(|_| true);
    }

    /// Those that are digests for their number go on to their end.
    fn tell_digests_where(&mut self, is_meant: impl Fn(&Subscription) -> bool) {
        let theirs = |one: &Subscription| is_meant(one) && !one.is_digest;
        let fields: Vec<String> = self
            .subscriptions
            .iter()
            .filter(|(_, one)| theirs(one))
            .map(|(field, _)| field.clone())
            .collect();
        fields.iter().for_each(|field| self.tell_digest(field));
    }

    /// Tells the digest of a subscription, if there is one and its user is there.
    pub(super) fn tell_digest(&mut self, field: &str) {
        let Some(one) = self.subscriptions.get_mut(field) else { return };
        let sender = one.entry.sender.as_str();
        let is_outside = self.rights.is_room(sender) && !self.nicks.contains_key(sender);
        if !self.stream.has_room() || self.people.is_offline(sender) || is_outside {
            return;
        }
        let Some(digest) = one.digest.take() else { return };
        // It was muted meanwhile.
        if self.keeper.prefs(sender).is_muted(field, seconds(Time::now())) {
            self.books.counters.values.dropped.add_many(Dropped::Muted, digest.values);
            return;
        }
        // Fewer than were expected: the next ones come one by one again.
        let minutes = digest.since.elapsed().as_secs_f64() / 60.0;
        if digest.values as f64 <= f64::from(self.config.messages_per_minute) * minutes {
            one.is_digest = false;
        }
        let entry = one.entry.clone();
        let number = self.number(&entry.sender, field);
        let answer = answer::digest(&entry, field, digest.text(number), digest.json());
        if let Some(who) = self.user(&entry.sender) {
            self.say(&who, &answer);
        }
        self.books.counters.values.digested += digest.values;
    }

    /// Tells users whose subscriptions came from another bridge that something may be missing.
    pub(super) fn tell_taken_over(&mut self, fields: &[String]) {
        let mut of: HashMap<String, usize> = HashMap::new();
        for field in fields {
            if let Some(entry) = self.keeper.content.entries.get(field) {
                *of.entry(entry.sender.clone()).or_default() += 1;
            }
        }
        for (sender, count) in of {
            self.books.counters.taken_over += count as u64;
            let noun = if count == 1 { "subscription" } else { "subscriptions" };
            let text = format!(
                "Another bridge went away, and I serve {count} {noun} of yours now. Values of the last 10 s may be missing."
            );
            let answer =
                answer::done("taken over".to_owned(), text, serde_json::json!({"taken_over": count}));
            if let Some(who) = self.user(&sender).filter(|_| !self.people.is_offline(&sender)) {
                self.say(&who, &answer);
            }
        }
    }
}

/// Seconds since 1970.
pub(super) fn seconds(time: Time) -> i64 {
    time.ns().div_euclid(1_000_000_000)
}
