//! Who may not ask, and what nobody may ask: refused, counted, and nobody else waits for it.

use std::time::{Duration, Instant};

use tests::{BOT, Brand, Bridge, ChatClient, Sandbox, wait_for, wait_until};
use xmpp_parsers::presence::{Presence, Type};

use super::PLENTY;

/// How soon a listed user is answered while others misbehave.
const SOON: Duration = Duration::from_secs(1);
const BURST: usize = 10_000;
/// A server that slows its clients takes a while to hand the burst over.
const LONG: Duration = Duration::from_secs(120);

/// Asks as somebody who may, and is answered soon.
#[track_caller]
fn is_answered_soon(client: &ChatClient) {
    let begun = Instant::now();
    let said = client.ask(BOT, "LIST");
    assert_eq!(said.body, "No subscriptions. HELP shows how to begin.");
    let took = said.at - begun;
    assert!(took < SOON, "{took:?}");
}

fn strangers(brand: Brand) {
    // Who asks all the time whether it still answers may do so.
    let config = format!("{PLENTY}requests_per_minute = 1000000\n");
    let Some(bridge) = Bridge::start(brand, &config) else { return };
    let (alice, mallory) = (bridge.server.login("alice"), bridge.server.login("mallory"));
    is_answered_soon(&alice);

    // Refused once, politely; then there is silence.
    let said = mallory.ask(BOT, "SELECT id FROM .;");
    assert!(said.body.starts_with("I may not answer mallory@stranger.example. "), "{}", said.body);
    assert_eq!(said.json.unwrap()["status"], 403);
    let bot = xmpp_parsers::jid::Jid::new(BOT).unwrap();
    mallory.send(Presence::subscribe().with_to(bot));
    mallory.wait_presence(BOT, Type::Unsubscribed);
    let refused = bridge.counter("refused.unlisted");
    for number in 0..BURST {
        mallory.say(BOT, &format!("SELECT id FROM {number};"));
    }
    let begun = Instant::now();
    wait_until("the burst has begun", || bridge.counter("refused.unlisted") > refused);
    while bridge.counter("refused.unlisted") < refused + BURST as u64 {
        is_answered_soon(&alice);
        assert!(begun.elapsed() < LONG, "the burst is not taken");
    }
    assert_eq!(mallory.heard().len(), 1, "silence");
    assert_eq!(bridge.counter("refused.unlisted"), 2 + BURST as u64);
    assert_eq!(bridge.counter("ignored"), 1 + BURST as u64);

    // What the server lets through, and is too long.
    let begun = bridge.counter("refused.length");
    let bob = bridge.server.login("bob");
    let said = bob.ask(BOT, &format!("SELECT id FROM {};", "a".repeat(200 << 10)));
    assert!(said.body.starts_with("That is too long: "), "{}", said.body);
    assert_eq!(bridge.counter("refused.length"), begun + 1);
    is_answered_soon(&alice);
    assert_eq!(bridge.counter("subscriptions"), 0);
    bridge.wait_procs(0);
}

#[test]
fn strangers_are_refused_at_prosody() {
    strangers(Brand::Prosody);
}

#[test]
fn strangers_are_refused_at_ejabberd() {
    strangers(Brand::Ejabberd);
}

fn huge(brand: Brand) {
    let sandbox = Sandbox::new();
    let Some(server) = sandbox.chat_server_that(brand, 4 << 20) else { return };
    let more = format!("{PLENTY}requests_per_minute = 10\n[see]\n\"carol@localhost\" = [\"^web\\\\.\"]\n");
    let bridge = Bridge::with(sandbox, server, &more);
    let (alice, bob) = (bridge.server.login("alice"), bridge.server.login("bob"));
    // A MiB, a regex of a million characters, and one that would be a program of a gigabyte.
    for body in [
        "x".repeat(1 << 20),
        format!("SELECT id FROM {};", "(a|b)".repeat(200_000)),
        "SELECT id FROM (((a{1000}){1000}){1000}){1000};".to_owned(),
    ] {
        let said = bob.ask(BOT, &body);
        let status = said.json.unwrap()["status"].as_u64().unwrap();
        assert!(matches!(status, 400 | 500), "{}", said.body);
        is_answered_soon(&alice);
    }
    let books = bridge.sandbox.books("xmpp");
    assert_eq!((books.counter("refused.length"), books.counter("refused.query")), (2, 1));
    assert_eq!(bridge.counter("subscriptions"), 0);

    // Too many statements of one user: told once, and nobody else is concerned.
    for _ in 0..100 {
        bob.say(BOT, "LIST");
    }
    wait_until("all are taken", || bridge.counter("received") == 106);
    assert_eq!(bridge.counter("refused.rate"), 93);
    bob.wait_said("that it is too much", 0, |said| said.body.starts_with("That is too much"));
    is_answered_soon(&alice);
    let told = bob.look(|said| said.iter().filter(|said| said.body.starts_with("That is too much")).count());
    assert_eq!(told, 1);

    // What one may not see does not come, however it is asked for.
    let carol = bridge.server.login("carol");
    assert_eq!(carol.ask(BOT, "SELECT id FROM .;").json.unwrap()["status"], 200);
    bridge.send("gauge 4|db.a 1 1.0;gauge 5|web.a 2 1.0;");
    carol.wait_said("what she may see", 0, |said| said.body.starts_with("#1 web.a 2 at "));
    assert!(carol.heard().iter().all(|said| !said.body.contains("db.a")));
}

#[test]
fn what_is_huge_is_refused_at_prosody() {
    huge(Brand::Prosody);
}

#[test]
fn what_is_huge_is_refused_at_ejabberd() {
    huge(Brand::Ejabberd);
}

/// Over the limit the values of a subscription are told together, and it says so.
#[test]
fn more_than_a_user_can_read_is_told_together() {
    let config = "messages_per_minute = 5\ndigest_interval = \"1s\"\nqueries_max = 2\n";
    let Some(bridge) = Bridge::start(Brand::Prosody, config) else { return };
    let alice = bridge.server.login("alice");
    assert_eq!(alice.ask(BOT, "SELECT id FROM ^a$").json.unwrap()["status"], 200);
    for number in 0..50 {
        bridge.send(&format!("gauge 1|a {number} {number}.0;"));
    }
    wait_until("all are told", || {
        let books = bridge.sandbox.books("xmpp");
        books.counter("values.told") + books.counter("values.digested") == 50
    });
    assert_eq!(bridge.counter("values.told"), 5);
    let of_digests = || {
        alice
            .heard()
            .iter()
            .filter_map(|said| said.json.as_ref()?["results"]["digest"]["count"].as_u64())
            .sum::<u64>()
    };
    wait_for("the digests are here", || (of_digests() == 45).then_some(()));
    // Now its rate is known: who asks for it is told that it comes together.
    let bob = bridge.server.login("bob");
    let said = bob.ask(BOT, "SELECT id FROM ^a$");
    assert!(said.body.contains("they come as a digest every 1s."), "{}", said.body);
    for want in [200, 403] {
        assert_eq!(bob.ask(BOT, &format!("SELECT id FROM ^{want}$")).json.unwrap()["status"], want);
    }
}
