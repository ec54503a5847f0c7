//! The bot as clients see it: in rosters, by service discovery, as commands, and in rooms.

use serde_json::json;
use tests::{BOT, Brand, Bridge, ROOMS, Sandbox, wait_for, wait_until};
use xmpp_parsers::iq::Iq;
use xmpp_parsers::jid::Jid;
use xmpp_parsers::message::{Lang, Message, MessageType};
use xmpp_parsers::muc::Muc;
use xmpp_parsers::presence::{Presence, Type};

use super::PLENTY;

fn is_seen(brand: Brand) {
    let Some(bridge) = Bridge::start(brand, PLENTY) else { return };
    let alice = bridge.server.login("alice");

    // A contact of its own: it agrees, and wants to know in turn who is there.
    let bot = Jid::new(BOT).unwrap();
    alice.send(Presence::subscribe().with_to(bot.clone()));
    alice.wait_presence(BOT, Type::Subscribed);
    alice.wait_presence(BOT, Type::Subscribe);
    // Not the client of the same account that waited until the bridge was there.
    let (full, _) = wait_for("the bot is shown", || {
        let mut shown = alice.presences().into_iter().filter(|(_, is)| *is == Type::None);
        shown.find(|(from, _)| from.starts_with("leela@") && !from.ends_with("/watch"))
    });

    // What clients ask of one another.
    assert!(matches!(alice.request(&full, false, "<ping xmlns='urn:xmpp:ping'/>"), Iq::Result { .. }));
    let version = alice.result(&full, false, "<query xmlns='jabber:iq:version'/>");
    assert_eq!(version.get_child("name", "jabber:iq:version").unwrap().text(), "leela-xmpp");
    let info = alice.result(&full, false, "<query xmlns='http://jabber.org/protocol/disco#info'/>");
    let features: Vec<_> = info.children().filter_map(|child| child.attr("var")).collect();
    for feature in
        ["http://jabber.org/protocol/commands", "urn:xmpp:ping", "jabber:iq:version", "urn:xmpp:json:0"]
    {
        assert!(features.contains(&feature), "{feature}: {features:?}");
    }
    let items =
        "<query xmlns='http://jabber.org/protocol/disco#items' node='http://jabber.org/protocol/commands'/>";
    let items = alice.result(&full, false, items);
    let nodes: Vec<String> =
        items.children().filter_map(|child| child.attr("node")).map(str::to_owned).collect();
    assert!(nodes.len() >= 4, "{nodes:?}");
    for unknown in ["<query xmlns='urn:example:none'/>", "<query xmlns='jabber:iq:last'/>"] {
        assert!(matches!(alice.request(&full, false, unknown), Iq::Error { .. }), "{unknown}");
    }
    let command = "<command xmlns='http://jabber.org/protocol/commands' node='none' action='execute'/>";
    assert!(matches!(alice.request(&full, true, command), Iq::Error { .. }));

    // Its commands, by a client of another make.
    let Some(mut bob) = bridge.sandbox.slixmpp(&bridge.server, "bob") else { return };
    assert_eq!(bob.ask(json!({"version": full}), "version")["version"], "leela-xmpp");
    let command =
        |kind: &str| nodes.iter().find(|node| node.contains(kind)).unwrap_or_else(|| panic!("{nodes:?}"));
    let notes = |line: &serde_json::Value| line["notes"][0].as_str().unwrap().to_owned();
    let line = bob.ask(json!({"command": command("list"), "to": full}), "notes");
    assert_eq!(notes(&line), "No subscriptions. HELP shows how to begin.");
    let fields =
        json!({"statement": "SELECT id FROM ^a$", "query": "SELECT id FROM ^a$", "select": "id FROM ^a$"});
    let line = bob.ask(json!({"command": command("select"), "to": full, "fields": fields}), "notes");
    assert!(notes(&line).starts_with("#1 SELECT id FROM ^a$;"), "{line}");
    let before = bob.lines().len();
    bridge.send("gauge 1|a 5 0.0;");
    bob.wait("its event", before, |line| {
        line["body"].as_str().is_some_and(|body| body.starts_with("#1 a 5 at "))
    });
    let fields = json!({"which": "1", "number": "1", "stop": "1"});
    let line = bob.ask(json!({"command": command("stop"), "to": full, "fields": fields}), "notes");
    assert_eq!(notes(&line), "Ended #1.");
    bridge.wait_procs(0);

    // One who wants it no more.
    alice.send(Presence::unsubscribe().with_to(bot));
    alice.wait_presence(BOT, Type::Unsubscribe);
}

#[test]
fn clients_see_the_bot_at_prosody() {
    is_seen(Brand::Prosody);
}

#[test]
fn clients_see_the_bot_at_ejabberd() {
    is_seen(Brand::Ejabberd);
}

fn rooms(brand: Brand) {
    let room = format!("ops@{ROOMS}");
    let Some(mut bridge) = Bridge::start(brand, &format!("{PLENTY}rooms = [\"{room}\"]\n")) else { return };
    let Some(mut bob) = bridge.sandbox.slixmpp(&bridge.server, "bob") else { return };
    bridge.process.as_ref().unwrap().wait_log("entered");
    bob.ask(json!({"join": room, "nick": "bob"}), "joined");
    let from_bot = |line: &serde_json::Value| {
        line["type"] == "groupchat" && line["from"].as_str().is_some_and(|from| from.ends_with("/leela"))
    };
    let before = bob.lines().len();
    bob.tell(json!({"say": "LIST", "to": room, "room": true}));
    bob.tell(json!({"say": "leela: SELECT id FROM ^a$", "to": room, "room": true}));
    let line = bob.wait("an answer", before, from_bot);
    assert!(line["body"].as_str().unwrap().starts_with("#1 SELECT id FROM ^a$;\n"), "{line}");
    bridge.send("gauge 1|a 6 0.0;");
    bob.wait("an event", before, |line| {
        from_bot(line) && line["body"].as_str().unwrap().starts_with("#1 a 6 at ")
    });
    // The room is the user: another occupant has the same subscriptions, and a person alone has none.
    let carol = bridge.server.login("carol");
    assert_eq!(carol.ask(BOT, "LIST").body, "No subscriptions. HELP shows how to begin.");

    // Killed, it comes back to the room.
    bridge.kill9();
    bridge.begin();
    bridge.process.as_ref().unwrap().wait_log("entered");
    bridge.wait_procs(1);
    let before = bob.lines().len();
    bob.tell(json!({"say": "@leela STOP ALL", "to": room, "room": true}));
    let line = bob.wait("an answer", before, from_bot);
    assert_eq!(line["body"], "Ended #1.");
    bridge.wait_procs(0);
    let answers = bob.lines().iter().filter(|line| from_bot(line)).count();
    assert_eq!(answers, 3, "it is silent where it is not addressed");
}

#[test]
fn a_room_is_a_user_at_prosody() {
    rooms(Brand::Prosody);
}

#[test]
fn a_room_is_a_user_at_ejabberd() {
    rooms(Brand::Ejabberd);
}

/// Put out of a room, it enters again; what came meanwhile is told together.
fn kicked(brand: Brand) {
    let room = format!("ops@{ROOMS}");
    let sandbox = Sandbox::new();
    let Some(server) = sandbox.chat_server(brand) else { return };
    // Whoever enters first owns it.
    let carol = server.login("carol");
    let place = Jid::new(&format!("{room}/carol")).unwrap();
    carol.send(Presence::available().with_to(place).with_payload(Muc::new()));
    carol.wait_presence(&room, Type::None);
    let owner = "<query xmlns='http://jabber.org/protocol/muc#owner'><x xmlns='jabber:x:data' type='submit'/></query>";
    assert!(matches!(carol.request(&room, true, owner), Iq::Result { .. }));
    let bridge = Bridge::with(sandbox, server, &format!("{PLENTY}rooms = [\"{room}\"]\n"));
    bridge.process.as_ref().unwrap().wait_log("entered");
    let say = |text: &str| {
        let to = Jid::new(&room).unwrap();
        let said = Message::new_with_type(MessageType::Groupchat, to);
        carol.send(said.with_body(Lang::default(), text.to_owned()));
    };
    let wait = |what: &str, begins: &str| {
        carol.wait_said(what, 0, |said| said.from.ends_with("/leela") && said.body.starts_with(begins))
    };
    say("leela: SELECT id FROM ^a$");
    wait("an answer", "#1 SELECT id FROM ^a$;\n");
    bridge.send("gauge 1|a 6 0.0;");
    wait("a value", "#1 a 6 at ");

    let out = "<query xmlns='http://jabber.org/protocol/muc#admin'><item nick='leela' role='none'/></query>";
    assert!(matches!(carol.request(&room, true, out), Iq::Result { .. }));
    bridge.process.as_ref().unwrap().wait_log("put out of the room");
    bridge.send("gauge 1|a 7 1.0;gauge 1|a 8 2.0;");
    let told = wait("what came meanwhile", "#1 2 values of 1 series:\na 8 at ");
    assert_eq!(told.kind, MessageType::Groupchat);
    say("leela: STOP ALL");
    wait("an answer", "Ended #1.");
    assert_eq!(bridge.counter("messages.bounced"), 0);
}

#[test]
fn a_room_is_entered_again_at_prosody() {
    kicked(Brand::Prosody);
}

#[test]
fn a_room_is_entered_again_at_ejabberd() {
    kicked(Brand::Ejabberd);
}

/// Values for a contact who is known to be away are held, and told together on his return; of one who never let it
/// know, they are sent.
fn absence(brand: Brand) {
    let Some(bridge) = Bridge::start(brand, &format!("{PLENTY}digest_interval = \"1s\"\n")) else { return };
    let (alice, bob) = (bridge.server.login("alice"), bridge.server.login("bob"));
    let bot = Jid::new(BOT).unwrap();
    alice.send(Presence::subscribe().with_to(bot));
    alice.wait_presence(BOT, Type::Subscribe);
    alice.wait_presence(BOT, Type::Subscribed);
    for client in [&alice, &bob] {
        assert_eq!(client.ask(BOT, "SELECT id FROM ^a$").json.unwrap()["status"], 200);
    }
    // Its answer comes after what it was told before: that alice is there.
    bridge.send("gauge 1|a 1 1.0;");
    alice.wait_said("a value", 0, |said| said.body.starts_with("#1 a 1 at "));
    alice.logout();
    bob.logout();
    // Until the server has told the bridge, it sends: then it holds.
    let mut sent = 1;
    wait_until("it holds", || {
        let waiting = bridge.counter("values.waiting");
        if waiting == 0 {
            sent += 1;
            bridge.send(&format!("gauge 1|a {sent} {sent}.0;"));
            wait_until("it is taken", || bridge.counter("values.received") == 2 * sent);
        }
        bridge.counter("values.waiting") > 0
    });
    for more in 1..=3 {
        bridge.send(&format!("gauge 1|a {} {}.0;", sent + more, sent + more));
    }
    wait_until("all is taken", || bridge.counter("values.received") == 2 * (sent + 3));
    let held = bridge.counter("values.waiting");
    let alice = bridge.server.login("alice");
    let digest = wait_for("a digest", || {
        alice
            .heard()
            .into_iter()
            .find(|said| said.json.as_ref().is_some_and(|json| !json["results"]["digest"].is_null()))
    });
    assert!(digest.body.starts_with(&format!("#1 {held} values of 1 series:")), "{}", digest.body);
    assert_eq!(digest.json.unwrap()["results"]["digest"]["series"][0]["value"], (sent + 3) as f64);
    let bob = bridge.server.login("bob");
    bob.wait_said("the last value", 0, |said| said.body.starts_with(&format!("#1 a {} at ", sent + 3)));
    assert!(bob.heard().iter().all(|said| said.json.as_ref().unwrap()["results"]["digest"].is_null()));
    let books = bridge.sandbox.books("xmpp");
    assert_eq!(
        books.counter("values.received"),
        books.counter("values.told") + books.counter("values.digested") + books.counter("values.waiting"),
    );
}

#[test]
fn who_is_away_is_told_on_his_return_at_prosody() {
    absence(Brand::Prosody);
}

#[test]
fn who_is_away_is_told_on_his_return_at_ejabberd() {
    absence(Brand::Ejabberd);
}
