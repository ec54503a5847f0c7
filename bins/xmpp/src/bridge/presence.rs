//! Presence: shown, asked for, and heard; rooms are entered by it too.

use std::time::{Duration, Instant};

use tokio_xmpp::Stanza;
use xmpp_parsers::iq::Iq;
use xmpp_parsers::jid::{BareJid, Jid};
use xmpp_parsers::message::{Lang, MessageType};
use xmpp_parsers::muc::Muc;
use xmpp_parsers::muc::muc::History;
use xmpp_parsers::presence::{Presence, Type};
use xmpp_parsers::roster::{Roster, Subscription};
use xmpp_parsers::stanza_error::{DefinedCondition, StanzaError};

use super::{Bridge, Way, Who};
use crate::chat;

/// The priority that gets what is said to the account, and the one that gets nothing.
const ASKED: i8 = 10;
const NOT_ASKED: i8 = -1;
/// From one attempt to enter a room to the next.
const ENTER_AGAIN: Duration = Duration::from_secs(30);
/// The request for the roster.
const ROSTER: &str = "leela-roster";

impl Bridge {
    /// A new login: all that the server knows of us is told anew.
    pub(super) fn begin_session(&mut self) {
        self.people.begin();
        self.nicks.clear();
        self.push(Iq::from_get(ROSTER, Roster { ver: None, items: Vec::new() }).into());
        self.show_presence();
        self.enter_at = Instant::now();
        self.enter_again(self.enter_at);
    }

    /// Shows that it is there, with the priority of the bridge that is asked, or of one that is not.
    pub(super) fn show_presence(&mut self) {
        if self.me.is_none() {
            return;
        }
        let priority = if self.is_front { ASKED } else { NOT_ASKED };
        let mut presence = Presence::available().with_priority(priority);
        presence.set_status(Lang::default(), "HELP shows what I understand");
        self.push(presence.into());
    }

    /// Enters the rooms again that were left, or could not be entered.
    pub(super) fn enter_again(&mut self, now: Instant) {
        if now < self.enter_at || !self.stream.is_online() {
            return;
        }
        self.enter_at = now + ENTER_AGAIN;
        let left =
            |room: &&String| BareJid::new(room).is_ok_and(|room| !self.nicks.contains_key(room.as_str()));
        let rooms: Vec<String> = self.config.rooms.iter().filter(left).cloned().collect();
        for room in rooms {
            self.enter(&room, &self.config.nick.clone());
        }
    }

    fn enter(&mut self, room: &str, nick: &str) {
        let Ok(place) = Jid::new(&format!("{room}/{nick}")) else {
            tracing::warn!(room, nick, "there is no such place in a room");
            return;
        };
        let muc = Muc::new().with_history(History::new().with_maxstanzas(0));
        self.push(Presence::available().with_to(place).with_payload(muc).into());
    }

    /// Puts a stanza that is no message on its way; of these, one that finds no room is asked for again by its sender.
    pub(super) fn push(&mut self, stanza: Stanza) {
        // Half of the room is for messages.
        if !self.stream.has_room() || !self.stream.push(stanza) {
            tracing::debug!("too much waits for the server, a stanza is left out");
        }
    }

    /// A stanza came.
    pub(super) fn stanza(&mut self, stanza: Stanza) {
        match stanza {
            Stanza::Message(message) => {
                if message.type_ == MessageType::Error {
                    self.books.counters.messages.bounced += 1;
                    // A room that does not take what we say is not entered any more.
                    if let Some(from) = &message.from {
                        self.nicks.remove(from.to_bare().as_str());
                    }
                } else if let Some(said) = chat::read(&message) {
                    self.said(said);
                }
            }
            Stanza::Presence(presence) => self.presence(presence),
            Stanza::Iq(iq) => self.iq(iq),
        }
    }

    fn presence(&mut self, presence: Presence) {
        let Some(from) = presence.from.clone() else { return };
        let bare = from.to_bare();
        if self.rights.is_room(bare.as_str()) {
            return self.room_presence(&from, &presence);
        }
        let reply = |type_| Presence::new(type_).with_to(Jid::from(bare.clone()));
        match presence.type_ {
            Type::None => {
                if self.people.presence(&from, true) {
                    self.tell_digests_of(bare.as_str());
                }
            }
            Type::Unavailable => {
                self.people.presence(&from, false);
            }
            Type::Subscribe if self.rights.may_ask(&bare) => {
                self.push(reply(Type::Subscribed).into());
                if !self.people.is_contact(bare.as_str()) {
                    self.push(reply(Type::Subscribe).into());
                }
            }
            Type::Subscribe => {
                if self.people.may_say(bare.as_str(), Instant::now()).is_err() {
                    return;
                }
                self.push(reply(Type::Unsubscribed).into());
                let who = Who { user: bare.to_string(), to: bare.into(), way: Way::Chat };
                self.stranger(&who);
            }
            Type::Unsubscribe => {
                self.push(reply(Type::Unsubscribed).into());
                self.push(reply(Type::Unsubscribe).into());
            }
            Type::Subscribed | Type::Unsubscribed | Type::Probe | Type::Error => {}
        }
    }

    /// A room tells that we are in it, or why not.
    fn room_presence(&mut self, from: &Jid, presence: &Presence) {
        let room = from.to_bare().to_string();
        let nick = from.resource().map(|nick| nick.to_string()).unwrap_or_default();
        let is_self = presence.payloads.iter().any(|payload| {
            payload.is("x", "http://jabber.org/protocol/muc#user")
                && payload.children().any(|child| {
                    child.is("status", payload.ns().as_str()) && child.attr("code") == Some("110")
                })
        });
        match presence.type_ {
            Type::None if is_self => {
                tracing::info!(room, nick, "entered");
                // A room that is new waits for its owner to say that it may be as it is.
                if presence.payloads.iter().any(is_new_room) {
                    self.push(instant_room(&room));
                }
                self.nicks.insert(room.clone(), nick);
                self.tell_digests_of(&room);
            }
            Type::Unavailable if is_self => {
                tracing::warn!(room, "put out of the room");
                self.nicks.remove(&room);
            }
            Type::Error => {
                let error =
                    presence.payloads.iter().find_map(|payload| StanzaError::try_from(payload.clone()).ok());
                let condition = error.map(|error| error.defined_condition);
                let is_taken = matches!(condition, Some(DefinedCondition::Conflict));
                if is_taken && nick == self.config.nick {
                    let other = format!("{nick}-{}", self.resource());
                    self.enter(&room, &other);
                } else {
                    tracing::warn!(room, nick, ?condition, "the room cannot be entered");
                }
            }
            _ => {}
        }
    }

    fn resource(&self) -> String {
        self.me.as_ref().and_then(Jid::resource).map(|resource| resource.to_string()).unwrap_or_default()
    }

    /// The roster, or a change of it: who tells us whether he is there.
    pub(super) fn roster(&mut self, roster: Roster) {
        for item in roster.items {
            let is_told = matches!(item.subscription, Subscription::To | Subscription::Both);
            self.people.contact(item.jid.as_str(), is_told);
        }
    }

    /// True for the answer to our request for the roster.
    pub(super) fn is_roster(id: &str) -> bool {
        id == ROSTER
    }
}

fn is_new_room(payload: &xmpp_parsers::minidom::Element) -> bool {
    payload.is("x", "http://jabber.org/protocol/muc#user")
        && payload.children().any(|child| child.name() == "status" && child.attr("code") == Some("201"))
}

/// "The room may be as it is."
///
/// Source: XEP-0045, 10.1.2.
fn instant_room(room: &str) -> Stanza {
    use xmpp_parsers::minidom::Element;
    let form =
        Element::builder("x", "jabber:x:data").attr(super::inquiry::attribute("type"), "submit").build();
    let query = Element::builder("query", "http://jabber.org/protocol/muc#owner").append(form).build();
    Iq::Set { from: None, to: Jid::new(room).ok(), id: "leela-room".to_owned(), payload: query }.into()
}
