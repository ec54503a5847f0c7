//! What users say, and what comes of it.

use std::time::{Duration, Instant};

use common::books::{Label as _, Refusal};
use common::time::Time;
use serde_json::json;

use super::serve::seconds;
use super::{Bridge, Then, Way, Who};
use crate::answer::{self, Answer};
use crate::chat::{self, Said};
use crate::config::Format;
use crate::counters::{Dropped, Reason};
use crate::directory::{Change, Edit, Entry};
use crate::statement::{self, Select, Statement, Which};
use crate::subscription::{Asked, Opening, Subscription};
use crate::utc;

impl Bridge {
    /// A message came.
    pub(super) fn said(&mut self, said: Said) {
        let bare = said.from.to_bare();
        if said.is_room {
            let room = bare.to_string();
            let Some(nick) = self.nicks.get(&room).filter(|_| self.is_front) else { return };
            // What comes from the room itself, or from us, is nobody's question.
            let speaker = said.from.resource().map(|speaker| speaker.as_str());
            if speaker.is_none_or(|speaker| speaker == nick) {
                return;
            }
            let Some(body) =
                chat::addressed(&said.body, nick).or_else(|| chat::addressed(&said.body, &self.config.nick))
            else {
                return;
            };
            let who = Who { user: room, to: bare.into(), way: Way::Room };
            let body = body.to_owned();
            return self.statement(&who, &body);
        }
        let who = Who { user: bare.to_string(), to: said.from, way: Way::Chat };
        // A message from within a room, to us alone, is its occupant's, who is nobody we know.
        if bare.node().is_none() || self.me.as_ref().is_some_and(|me| me.to_bare() == bare) {
            return;
        }
        if self.rights.is_room(&who.user) || !self.rights.may_ask(&bare) {
            return self.stranger(&who);
        }
        // Some say its name as they do in a room.
        let body = chat::addressed(&said.body, &self.config.nick).unwrap_or(&said.body).to_owned();
        self.statement(&who, &body);
    }

    /// Somebody asks who is not on the list: told once, politely.
    pub(super) fn stranger(&mut self, who: &Who) {
        self.books.counters.received += 1;
        self.books.counters.refused.add(Reason::Unlisted);
        if self.people.is_new_stranger(&who.user, Instant::now()) {
            self.show_refused(who, Reason::Unlisted, "", 0);
            let user = &who.user;
            let text = format!(
                "I may not answer {user}. If you need me, ask the operator of this service to put you on my list."
            );
            self.say(who, &answer::refused("", 403, "forbidden", text));
        } else {
            self.books.counters.ignored += 1;
        }
    }

    /// A statement of somebody who may ask.
    pub(super) fn statement(&mut self, who: &Who, body: &str) {
        let now = Instant::now();
        self.books.counters.received += 1;
        if let Err(is_new) = self.people.may_say(&who.user, now) {
            if is_new || matches!(who.way, Way::Command { .. }) {
                let limit = self.config.requests_per_minute;
                let text = format!(
                    "That is too much: more than {limit} statements a minute. I am silent for a while."
                );
                return self.refuse(who, Reason::Rate, &answer::refused("", 429, "too many requests", text));
            }
            self.books.counters.refused.add(Reason::Rate);
            self.books.counters.ignored += 1;
            return;
        }
        if body.len() > self.config.body_max.len() {
            let (length, max) = (body.len(), self.config.body_max);
            let text = format!("That is too long: {length} bytes, and a statement has at most {max}.");
            return self.refuse(who, Reason::Length, &answer::refused("", 400, "parse error", text));
        }
        match statement::parse(body) {
            Ok(statement) => self.run(who, statement, now),
            Err(wrong) => self.refuse(who, Reason::Query, &answer::parse_error(&wrong.text, &wrong.error)),
        }
    }

    fn refuse(&mut self, who: &Who, reason: Reason, answer: &Answer) {
        self.books.counters.refused.add(reason);
        let request = answer.json["debug"]["request"].as_str().unwrap_or_default();
        let offset = answer.json["offset"].as_u64().unwrap_or(0);
        self.show_refused(who, reason, request, usize::try_from(offset).unwrap_or(0));
        self.say(who, answer);
    }

    /// For `leela refused`.
    fn show_refused(&mut self, who: &Who, reason: Reason, text: &str, offset: usize) {
        let (time, peer, reason) = (Time::now(), who.user.as_str(), reason.name());
        self.books.refuse(&Refusal { time, peer, reason, text: text.as_bytes(), offset });
    }

    fn accept(&mut self, who: &Who, answer: &Answer) {
        self.books.counters.accepted += 1;
        self.say(who, answer);
    }

    fn run(&mut self, who: &Who, statement: Statement, now: Instant) {
        if !self.keeper.is_known() && !matches!(statement, Statement::Help) {
            let why = self.keeper.away().unwrap_or_default().to_owned();
            return self.refuse_away(who, "", &why);
        }
        match statement {
            Statement::Help => self.accept(who, &answer::help()),
            Statement::List => self.list(who),
            Statement::Select(select) => self.select(who, select, now),
            Statement::Stop(which) => self.stop(who, &which),
            Statement::Mute(which, time) => self.mute(who, &which, Some(time)),
            Statement::Unmute(which) => self.mute(who, &which, None),
            Statement::Format(format) => self.choose_format(who, &format),
        }
    }

    /// The subscriptions of a user by their numbers: with those that are being entered, without those that are to go.
    fn mine(&self, user: &str) -> Vec<(u32, String, &Entry)> {
        let prefs = self.keeper.prefs(user);
        let kept = self.keeper.content.entries.iter();
        let entering = self.subscriptions.iter().filter(|(_, one)| is_entering(one));
        let mut all: Vec<(u32, String, &Entry)> = kept
            .filter(|(field, _)| !self.leaving.contains(*field))
            .chain(entering.map(|(field, one)| (field, &one.entry)))
            .filter(|(_, entry)| entry.sender == user)
            .map(|(field, entry)| (prefs.number(field).unwrap_or(u32::MAX), field.clone(), entry))
            .collect();
        all.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
        all.dedup_by(|a, b| a.1 == b.1);
        all
    }

    fn list(&mut self, who: &Who) {
        let now = seconds(Time::now());
        let entries = self.mine(&who.user);
        let prefs = self.keeper.prefs(&who.user);
        let lines: Vec<String> = entries
            .iter()
            .map(|(number, field, entry)| {
                let mut line = format!("#{number} {}", entry.select.statement());
                if let Some(until) = prefs.muted.get(field).filter(|&&until| now < until) {
                    line.push_str(&format!(" (muted until {})", utc::text(Time::from_secs(*until))));
                }
                line.push_str(&self.trouble(field));
                line
            })
            .collect();
        let answer = answer::list(&lines, &entries);
        self.accept(who, &answer);
    }

    /// Why a subscription does not run, to be put behind it; empty for one that does.
    fn trouble(&self, field: &str) -> String {
        match self.subscriptions.get(field).and_then(|one| one.failed.as_ref()) {
            Some(why) => format!(" (does not run: {why})"),
            None => String::new(),
        }
    }

    fn select(&mut self, who: &Who, select: Select, now: Instant) {
        let entry = Entry { sender: who.user.clone(), select };
        let (field, statement) = (entry.field(), entry.select.statement());
        let is_known =
            self.keeper.content.entries.contains_key(&field) || self.subscriptions.contains_key(&field);
        if is_known && !self.leaving.contains(&field) {
            let number = self.number(&who.user, &field);
            let text = format!("#{number} is that already: {statement}{}", self.trouble(&field));
            return self.accept(who, &answer::entered(&entry, &field, text));
        }
        if let Some(why) = self.keeper.away().map(str::to_owned) {
            return self.refuse_away(who, &statement, &why);
        }
        let mine = self.mine(&who.user).len();
        let entering = self.subscriptions.values().filter(|one| is_entering(one)).count();
        let all = self.keeper.content.entries.len() + entering;
        let (queries_max, subscriptions_max) =
            (self.config.queries_max as usize, self.config.subscriptions_max as usize);
        if mine >= queries_max || all >= subscriptions_max {
            let text = match mine >= queries_max {
                true => format!(
                    "You have {mine} subscriptions, and no more than {queries_max} may be. STOP ends one."
                ),
                false => {
                    format!("There are {all} subscriptions, and no more than {subscriptions_max} may be.")
                }
            };
            return self.refuse(who, Reason::Limit, &answer::refused(&statement, 403, "forbidden", text));
        }
        let asked = match Asked::of(&entry, self.rights.sees(&who.user)) {
            Ok(asked) => asked,
            Err(error) => {
                let text = common::query::caret::render(&statement, &error).trim_end().to_owned();
                let answer = answer::bad_command(&entry, &field, text, &error.to_string());
                return self.refuse(who, Reason::Query, &answer);
            }
        };
        // One that is to go as it does not run is in the way.
        self.end(&field);
        self.askers.entry(field.clone()).or_default().push(who.clone());
        self.begin(&field, entry.clone(), Ok(asked), Some(Opening::new(now)));
        self.change(Change::enter(entry), Then::Entered(field));
    }

    fn refuse_away(&mut self, who: &Who, request: &str, why: &str) {
        let text = format!("Nothing is changed, try again later: {why}.");
        self.refuse(who, Reason::Directory, &answer::refused(request, 500, "internal server error", text));
    }

    /// The user's subscriptions that are meant, or the answer that there are none.
    fn meant(&self, user: &str, which: &Which, request: &str) -> Result<Vec<(u32, String)>, Answer> {
        let none = |status, reason, text| answer::refused(request, status, reason, text);
        let mine = || self.mine(user).into_iter().map(|(number, field, _)| (number, field));
        match which {
            Which::All => Ok(mine().collect()),
            Which::Number(number) => match mine().find(|(of, _)| of == number) {
                Some(one) => Ok(vec![one]),
                None => Err(none(404, "not found", format!("There is no #{number}. LIST shows yours."))),
            },
            Which::Key(key) => match self.entry(key) {
                None => {
                    Err(none(404, "not found", format!("There is no subscription {key}. LIST shows yours.")))
                }
                Some(entry) if entry.sender != user => {
                    Err(none(403, "forbidden", format!("The subscription {key} is not yours.")))
                }
                Some(_) => Ok(vec![(self.number(user, key), key.clone())]),
            },
        }
    }

    /// A subscription that is there, or is being entered.
    fn entry(&self, field: &str) -> Option<&Entry> {
        let kept = self.keeper.content.entries.get(field).filter(|_| !self.leaving.contains(field));
        kept.or_else(|| self.subscriptions.get(field).filter(|one| is_entering(one)).map(|one| &one.entry))
    }

    fn stop(&mut self, who: &Who, which: &Which) {
        let request = match which {
            Which::All => "delete from leela.xmpp;".to_owned(),
            Which::Key(key) => format!("delete from leela.xmpp where key={key};"),
            Which::Number(number) => format!("stop {number}"),
        };
        let meant = match self.meant(&who.user, which, &request) {
            Ok(meant) => meant,
            Err(answer) => return self.refuse(who, Reason::Unknown, &answer),
        };
        if let Some(why) = self.keeper.away().map(str::to_owned) {
            return self.refuse_away(who, &request, &why);
        }
        let text = match &meant[..] {
            [] => "There was nothing to end.".to_owned(),
            [(number, _)] => format!("Ended #{number}."),
            many => format!("Ended {} subscriptions.", many.len()),
        };
        let fields: Vec<String> = meant.into_iter().map(|(_, field)| field).collect();
        let answer = answer::ended(&fields, text, *which == Which::All);
        for field in &fields {
            self.end(field);
            self.leaving.insert(field.clone());
        }
        let change = Change::leave(who.user.clone(), fields.clone());
        self.change(change, Then::Left { fields, who: Some(who.clone()), answer });
    }

    fn mute(&mut self, who: &Who, which: &Which, time: Option<Duration>) {
        let word = if time.is_some() { "mute" } else { "unmute" };
        let meant = match self.meant(&who.user, which, word) {
            Ok(meant) => meant,
            Err(answer) => return self.refuse(who, Reason::Unknown, &answer),
        };
        let now = seconds(Time::now());
        let until = time.map(|time| now.saturating_add(i64::try_from(time.as_secs()).unwrap_or(i64::MAX)));
        let prefs = self.keeper.prefs(&who.user);
        let over = prefs.muted.iter().filter(|&(_, &until)| until <= now);
        let over = over.map(|(field, _)| Edit::Mute(field.clone(), None));
        let edits = over.chain(meant.iter().map(|(_, field)| Edit::Mute(field.clone(), until))).collect();
        let names = match &meant[..] {
            [] => "Nothing".to_owned(),
            [(number, _)] => format!("#{number}"),
            many => format!("{} subscriptions", many.len()),
        };
        let verb = if meant.len() > 1 { "are" } else { "is" };
        let text = match until {
            Some(until) => format!("{names} {verb} muted until {}.", utc::text(Time::from_secs(until))),
            None => format!("{names} {verb} no more muted."),
        };
        let keys: Vec<_> =
            meant.iter().map(|(_, field)| json!({"key": field, "muted_until": until})).collect();
        let answer = answer::done(word.to_owned(), text, json!(keys));
        self.choose(who, edits, answer);
    }

    fn choose_format(&mut self, who: &Who, format: &str) {
        let (format, text) = match format {
            "json" => (Format::Json, "From now on you get JSON alone. FORMAT text goes back."),
            "text" => (Format::Text, "From now on you get text, with the JSON beside it."),
            _ => {
                let text = "FORMAT is `text` or `json`.".to_owned();
                return self.refuse(who, Reason::Query, &answer::refused("format", 400, "parse error", text));
            }
        };
        let answer = answer::done("format".to_owned(), text.to_owned(), json!({"format": format}));
        self.choose(who, vec![Edit::Format(format)], answer);
    }

    fn choose(&mut self, who: &Who, edits: Vec<Edit>, answer: Answer) {
        if let Some(why) = self.keeper.away().map(str::to_owned) {
            return self.refuse_away(who, "", &why);
        }
        let change = Change::edit(who.user.clone(), edits);
        self.change(change, Then::Said { who: who.clone(), answer });
    }

    /// A change is kept, or it is not.
    pub(super) fn then(&mut self, then: Then, result: Result<(), String>, now: Instant) {
        match (then, result) {
            (Then::Entered(field), Ok(())) => self.entered(&field, now),
            (Then::Entered(field), Err(why)) => {
                let whos = self.askers.remove(&field).unwrap_or_default();
                self.end(&field);
                for who in whos {
                    self.refuse_away(&who, "", &why);
                }
            }
            (Then::Said { who, answer }, Ok(())) => self.accept(&who, &answer),
            (Then::Said { who, .. }, Err(why)) => self.refuse_away(&who, "", &why),
            (Then::Left { fields, who, answer }, result) => {
                fields.iter().for_each(|field| {
                    self.leaving.remove(field);
                });
                match (who, result) {
                    (Some(who), Ok(())) => self.accept(&who, &answer),
                    (Some(who), Err(why)) => self.refuse_away(&who, "", &why),
                    (None, Ok(())) => {}
                    (None, Err(why)) => {
                        tracing::warn!(why, "a subscription that does not run stays in the directory");
                    }
                }
                // What was ended and is not gone is served again.
                self.reconcile(now);
            }
        }
    }

    /// A new subscription is kept.
    fn entered(&mut self, field: &str, now: Instant) {
        let is_ours = self.keeper.serves(field, now);
        if let Some(opening) = self.subscriptions.get_mut(field).and_then(|one| one.opening.as_mut()) {
            opening.is_kept = true;
            if !is_ours {
                // The same statement came to another bridge, which serves it and tells its values.
                let held = std::mem::take(&mut opening.held);
                self.books.counters.values.dropped.add_many(Dropped::Ended, held.len() as u64);
                opening.due = now;
            }
        }
        self.end_opening(field, now);
        if !is_ours {
            self.reconcile(now);
        }
    }
}

/// It is not in the directory yet.
fn is_entering(one: &Subscription) -> bool {
    one.opening.as_ref().is_some_and(|opening| !opening.is_kept)
}
