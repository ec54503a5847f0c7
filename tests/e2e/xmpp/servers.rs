//! The servers and clients that these tests stand on: two clients of different make chat over STARTTLS.

use serde_json::json;
use tests::{Brand, ROOMS, Sandbox};

fn two_clients_chat(brand: Brand) {
    let sandbox = Sandbox::new();
    let Some(mut server) = sandbox.chat_server(brand) else { return };
    let alice = server.login("alice");
    let Some(mut bob) = sandbox.slixmpp(&server, "bob") else { return };
    alice.say("bob@localhost", "hello <&> \u{1f600}");
    let line = bob.wait("alice's hello", 0, |line| line["body"] == "hello <&> \u{1f600}");
    assert_eq!((line["from"].as_str(), line["type"].as_str()), (Some(alice.jid()), Some("chat")));
    bob.tell(json!({"say": "two\nlines", "to": alice.jid()}));
    let said = alice.wait_said("bob's answer", 0, |said| said.body == "two\nlines");
    assert_eq!((&*said.from, &*said.to, said.delayed), ("bob@localhost/slixmpp", alice.jid(), false));

    // What is said to somebody who is away waits, and says that it did.
    alice.say("carol@localhost", "later");
    alice.request("localhost", false, "<ping xmlns='urn:xmpp:ping'/>");
    let carol = server.login("carol");
    assert!(carol.wait_said("what waited", 0, |said| said.body == "later").delayed);
    carol.logout();

    // Another domain of the same server.
    let mallory = server.login("mallory");
    mallory.say("alice@localhost", "from afar");
    alice.wait_said("mallory", 0, |said| said.from == mallory.jid());

    let room = format!("ops@{ROOMS}");
    assert_eq!(bob.ask(json!({"join": room, "nick": "bob"}), "joined")["joined"], room);

    // Killed, it comes back with its accounts at the same place.
    alice.logout();
    mallory.logout();
    server.kill9();
    server.start(&sandbox);
    let (desk, phone) = (server.login("alice"), server.login_as("alice", "phone"));
    desk.say(phone.jid(), "myself");
    phone.wait_said("what one says to oneself", 0, |said| said.from == desk.jid());
}

#[test]
fn two_clients_chat_at_prosody() {
    two_clients_chat(Brand::Prosody);
}

#[test]
fn two_clients_chat_at_ejabberd() {
    two_clients_chat(Brand::Ejabberd);
}

#[test]
fn what_redis_holds_is_seen() {
    let sandbox = Sandbox::new();
    let Some(mut redis) = sandbox.redis() else { return };
    redis.set_field("a", "b", "c");
    redis.set_field("a", "d", "e");
    redis.remove_field("a", "d");
    assert_eq!(redis.hash("a").into_iter().collect::<Vec<_>>(), [("b".to_owned(), "c".to_owned())]);
    assert_eq!((redis.keys("*"), redis.text("t")), (vec!["a".to_owned()], None));
    redis.kill9();
    redis.start(&sandbox);
    assert!(redis.keys("*").is_empty());
}
