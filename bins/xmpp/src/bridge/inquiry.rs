//! What clients ask beside messages: who it is, what it can, and its commands as forms.
//!
//! Source: XEP-0030 (service discovery), XEP-0050 (ad-hoc commands), XEP-0092 (version), XEP-0199 (ping).

use std::time::Instant;

use tokio_xmpp::Stanza;
use xmpp_parsers::data_forms::{DataForm, DataFormType, Field, FieldType};
use xmpp_parsers::disco::{
    DiscoInfoQuery, DiscoInfoResult, DiscoItemsQuery, DiscoItemsResult, Identity, Item,
};
use xmpp_parsers::iq::Iq;
use xmpp_parsers::jid::Jid;
use xmpp_parsers::minidom::Element;
use xmpp_parsers::roster::Roster;
use xmpp_parsers::stanza_error::{DefinedCondition, ErrorType, StanzaError};
use xmpp_parsers::version::VersionResult;

use super::{Bridge, Way, Who};
use crate::chat;

const COMMANDS: &str = "http://jabber.org/protocol/commands";
const INFO: &str = "http://jabber.org/protocol/disco#info";
const ITEMS: &str = "http://jabber.org/protocol/disco#items";
const VERSION: &str = "jabber:iq:version";
const PING: &str = "urn:xmpp:ping";
const FORMS: &str = "jabber:x:data";

/// A command: its node, its name, and what its form asks for; none for one without a form.
struct Command {
    node: &'static str,
    name: &'static str,
    field: Option<(&'static str, &'static str)>,
    /// What is said where the form's value stands in its place.
    statement: &'static str,
}

const ALL: [Command; 7] = [
    Command {
        node: "select",
        name: "Subscribe",
        field: Some(("statement", "SELECT … FROM …;")),
        statement: "",
    },
    Command { node: "list", name: "List my subscriptions", field: None, statement: "LIST" },
    Command {
        node: "stop",
        name: "End a subscription",
        field: Some(("number", "Its number, or ALL")),
        statement: "STOP ",
    },
    Command {
        node: "mute",
        name: "Mute a subscription",
        field: Some(("number", "Its number and how long: 2 1h")),
        statement: "MUTE ",
    },
    Command {
        node: "unmute",
        name: "Mute no more",
        field: Some(("number", "Its number, or ALL")),
        statement: "UNMUTE ",
    },
    Command {
        node: "format",
        name: "Text or JSON",
        field: Some(("format", "text or json")),
        statement: "FORMAT ",
    },
    Command { node: "help", name: "Help", field: None, statement: "HELP" },
];

impl Bridge {
    /// A request, or an answer to one of ours.
    pub(super) fn iq(&mut self, iq: Iq) {
        // Strangers are answered, but not without end.
        if let Iq::Get { from: Some(from), .. } | Iq::Set { from: Some(from), .. } = &iq
            && !self.asks(from)
            && self.people.may_say(from.to_bare().as_str(), Instant::now()).is_err()
        {
            return;
        }
        match iq {
            Iq::Get { from, id, payload, .. } => {
                let from = from.or_else(|| self.me.as_ref().map(|me| Jid::from(me.to_bare())));
                let Some(from) = from else { return };
                self.books.counters.inquiries += 1;
                let reply = match self.asks(&from) {
                    true => self.inquiry(&payload),
                    false if payload.is("ping", PING) => Some(None),
                    false => None,
                };
                self.reply(from, id, reply);
            }
            Iq::Set { from, id, payload, .. } if payload.is("query", xmpp_parsers::ns::ROSTER) => {
                // Only the server, or the account itself, may change its roster.
                let is_own = match (&from, &self.me) {
                    (None, _) => true,
                    (Some(from), Some(me)) => from.to_bare() == me.to_bare(),
                    _ => false,
                };
                if let Ok(roster) = Roster::try_from(payload)
                    && is_own
                {
                    self.roster(roster);
                    self.push(Iq::Result { from: None, to: from, id, payload: None }.into());
                }
            }
            Iq::Set { from: Some(from), id, payload, .. } => {
                self.books.counters.inquiries += 1;
                let is_room = self.rights.is_room(from.to_bare().as_str());
                if payload.is("command", COMMANDS) && self.asks(&from) && !is_room {
                    self.command(from, id, &payload);
                } else {
                    self.reply(from, id, None);
                }
            }
            Iq::Result { id, payload: Some(payload), .. } if Bridge::is_roster(&id) => {
                if let Ok(roster) = Roster::try_from(payload) {
                    self.roster(roster);
                }
            }
            Iq::Set { .. } | Iq::Result { .. } | Iq::Error { .. } => {}
        }
    }

    /// Whether somebody may ask; the server may.
    fn asks(&self, from: &Jid) -> bool {
        let is_server =
            from.node().is_none() && self.me.as_ref().is_some_and(|me| me.domain() == from.domain());
        is_server || self.rights.may_ask(&from.to_bare())
    }

    fn reply(&mut self, to: Jid, id: String, reply: Option<Option<Element>>) {
        let iq = match reply {
            Some(payload) => Iq::Result { from: None, to: Some(to), id, payload },
            None => {
                let condition = DefinedCondition::ServiceUnavailable;
                let error = StanzaError::new(ErrorType::Cancel, condition, "en", "this is not done here");
                Iq::Error { from: None, to: Some(to), id, error, payload: None }
            }
        };
        self.push(iq.into());
    }

    /// The answer to a request; none where there is none.
    fn inquiry(&self, payload: &Element) -> Option<Option<Element>> {
        match (payload.name(), payload.ns().as_str()) {
            ("ping", PING) => Some(None),
            ("query", VERSION) => {
                let version = env!("CARGO_PKG_VERSION").to_owned();
                Some(Some(VersionResult { name: "leela-xmpp".to_owned(), version, os: None }.into()))
            }
            ("query", INFO) => {
                let node = DiscoInfoQuery::try_from(payload.clone()).ok()?.node;
                info(node).map(|info| Some(info.into()))
            }
            ("query", ITEMS) => {
                let node = DiscoItemsQuery::try_from(payload.clone()).ok()?.node;
                let me = self.me.clone()?;
                let items = match node.as_deref() {
                    Some(COMMANDS) => ALL
                        .iter()
                        .map(|command| Item {
                            jid: me.clone(),
                            node: Some(command.node.to_owned()),
                            name: Some(command.name.to_owned()),
                        })
                        .collect(),
                    _ => Vec::new(),
                };
                Some(Some(DiscoItemsResult { node, items, rsm: None }.into()))
            }
            _ => None,
        }
    }

    /// A command, or its form filled in.
    fn command(&mut self, from: Jid, id: String, payload: &Element) {
        let node = payload.attr("node").unwrap_or_default();
        let Some(command) = ALL.iter().find(|command| command.node == node) else {
            let condition = DefinedCondition::ItemNotFound;
            let error = StanzaError::new(ErrorType::Cancel, condition, "en", "there is no such command");
            return self.push(Iq::Error { from: None, to: Some(from), id, error, payload: None }.into());
        };
        if payload.attr("action") == Some("cancel") {
            return self.reply(from, id, Some(Some(state(node, "canceled").build())));
        }
        let value = payload
            .get_child("x", FORMS)
            .and_then(|form| DataForm::try_from(form.clone()).ok())
            .and_then(|form| {
                let (name, _) = command.field?;
                let field = form.fields.into_iter().find(|field| field.var.as_deref() == Some(name))?;
                field.values.into_iter().next()
            });
        match (command.field, value) {
            (Some((name, label)), None) => {
                let mut field = Field::new(name, FieldType::TextSingle);
                field.label = Some(label.to_owned());
                field.required = true;
                let mut form = DataForm::new(DataFormType::Form, COMMANDS, vec![field]);
                form.title = Some(command.name.to_owned());
                let actions =
                    Element::builder("actions", COMMANDS).append(Element::bare("complete", COMMANDS)).build();
                let element = state(node, "executing").append(actions).append(Element::from(form)).build();
                self.reply(from, id, Some(Some(element)));
            }
            (_, value) => {
                let statement = format!("{}{}", command.statement, value.unwrap_or_default());
                let way = Way::Command { id, node: node.to_owned() };
                let who = Who { user: from.to_bare().to_string(), to: from, way };
                self.statement(&who, &statement);
            }
        }
    }

    /// Ends a command with what there is to say.
    pub(super) fn complete(&mut self, to: &Jid, id: &str, node: &str, text: &str) {
        let note = Element::builder("note", COMMANDS)
            .attr(attribute("type"), "info")
            .append(chat::fit(text))
            .build();
        let payload = Some(state(node, "completed").append(note).build());
        let iq = Iq::Result { from: None, to: Some(to.clone()), id: id.to_owned(), payload };
        self.push(Stanza::from(iq));
    }
}

pub(super) fn attribute(name: &'static str) -> xmpp_parsers::minidom::rxml::NcName {
    name.try_into().expect("the names of attributes here are names")
}

fn state(node: &str, status: &str) -> xmpp_parsers::minidom::element::ElementBuilder {
    Element::builder("command", COMMANDS)
        .attr(attribute("node"), node)
        .attr(attribute("sessionid"), format!("leela-{node}"))
        .attr(attribute("status"), status)
}

fn info(node: Option<String>) -> Option<DiscoInfoResult> {
    let identity = |category: &str, type_: &str, name: &str| Identity {
        category: category.to_owned(),
        type_: type_.to_owned(),
        lang: Some("en".to_owned()),
        name: Some(name.to_owned()),
    };
    let features = |all: &[&str]| all.iter().map(|feature| (*feature).to_owned()).collect();
    let command = |node: &str| ALL.iter().find(|command| command.node == node);
    let (identities, features) = match node.as_deref() {
        None => {
            let all = [INFO, ITEMS, COMMANDS, FORMS, VERSION, PING, "urn:xmpp:json:0"];
            (vec![identity("client", "bot", "Leela")], features(&all))
        }
        Some(COMMANDS) => {
            (vec![identity("automation", "command-list", "Commands")], features(&[INFO, ITEMS]))
        }
        Some(node) => {
            let command = command(node)?;
            (vec![identity("automation", "command-node", command.name)], features(&[COMMANDS, FORMS]))
        }
    };
    Some(DiscoInfoResult { node, identities, features, extensions: Vec::new() })
}
