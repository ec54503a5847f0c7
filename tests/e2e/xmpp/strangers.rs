//! Who may not ask, and what nobody may ask: refused, counted, and nobody else waits for it.

use std::time::{Duration, Instant};

use tests::{BOT, Brand, Bridge, ChatClient, Sandbox, wait_for, wait_until};
use xmpp_parsers::presence::{Presence, Type};

use super::PLENTY;

/// How soon the bridge is done with what is asked while others misbehave: of its processor's time, for what servers and
/// a busy machine take is not the bridge's.
const SOON: Duration = Duration::from_secs(1);
const BURST: usize = 10_000;
/// Questions before it, to know what an answer takes.
const QUIET: u32 = 20;

/// Does something, and asserts that the bridge was soon done with it, where each statement that it took may take it so
/// long.
#[track_caller]
fn soon<T>(bridge: &Bridge, each: Duration, what: impl FnOnce() -> T) -> T {
    let (received, before) = (bridge.counter("received"), bridge.spent());
    let done = what();
    let spent = bridge.spent() - before;
    let received = bridge.counter("received") - received;
    assert!(spent < SOON + each * count(received), "{spent:?}, {received} statements of {each:?}");
    done
}

fn count(received: u64) -> u32 {
    received.try_into().expect("a test says little")
}

/// Asks as somebody who may, and is answered soon, where each statement that came before takes the bridge so long.
#[track_caller]
fn is_answered_behind(bridge: &Bridge, each: Duration, client: &ChatClient) {
    let said = soon(bridge, each, || client.ask(BOT, "LIST"));
    assert_eq!(said.body, "No subscriptions. HELP shows how to begin.");
}

/// Asks as somebody who may, and is answered soon.
#[track_caller]
fn is_answered_soon(bridge: &Bridge, client: &ChatClient) {
    is_answered_behind(bridge, Duration::ZERO, client);
}

fn strangers(brand: Brand) {
    // Who asks all the time whether it still answers may do so.
    let config = format!("{PLENTY}requests_per_minute = 1000000\n");
    let Some(bridge) = Bridge::start(brand, &config) else { return };
    let (alice, mallory) = (bridge.server.login("alice"), bridge.server.login("mallory"));
    is_answered_soon(&bridge, &alice);
    let before = bridge.spent();
    for _ in 0..QUIET {
        is_answered_soon(&bridge, &alice);
    }
    let answered = (bridge.spent() - before) / QUIET;

    // Refused once, politely; then there is silence.
    let said = mallory.ask(BOT, "SELECT id FROM .;");
    assert!(said.body.starts_with("I may not answer mallory@stranger.example. "), "{}", said.body);
    assert_eq!(said.json.unwrap()["status"], 403);
    let bot = xmpp_parsers::jid::Jid::new(BOT).unwrap();
    mallory.send(Presence::subscribe().with_to(bot));
    mallory.wait_presence(BOT, Type::Unsubscribed);
    let refused = bridge.counter("refused.unlisted");
    let (before, received) = (bridge.spent(), bridge.counter("received"));
    for number in 0..BURST {
        mallory.say(BOT, &format!("SELECT id FROM {number};"));
    }
    let all = refused + BURST as u64;
    let mut taken = refused;
    while taken < all {
        // A server that slows its clients takes a while to hand all of it over.
        taken = wait_for("the burst goes on", || {
            Some(bridge.counter("refused.unlisted")).filter(|&refused| refused > taken)
        });
        // On a busy machine much of it may come before her question.
        is_answered_behind(&bridge, answered, &alice);
    }
    // Who is refused takes less than who is answered.
    let (spent, received) = (bridge.spent() - before, bridge.counter("received") - received);
    assert!(spent < answered * count(received), "{spent:?} of {received}, and an answer takes {answered:?}");
    assert_eq!(mallory.heard().len(), 1, "silence");
    assert_eq!(bridge.counter("refused.unlisted"), 2 + BURST as u64);
    assert_eq!(bridge.counter("ignored"), 1 + BURST as u64);

    // What the server lets through, and is too long.
    let begun = bridge.counter("refused.length");
    let bob = bridge.server.login("bob");
    let said = bob.ask(BOT, &format!("SELECT id FROM {};", "a".repeat(200 << 10)));
    assert!(said.body.starts_with("That is too long: "), "{}", said.body);
    assert_eq!(bridge.counter("refused.length"), begun + 1);
    is_answered_soon(&bridge, &alice);
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
    let [alice, bob, foobar] = ["alice", "bob", "foobar"].map(|user| bridge.server.login(user));
    // A MiB, a regex of a million characters, and one that would be a program of a gigabyte.
    for body in [
        "x".repeat(1 << 20),
        format!("SELECT id FROM {};", "(a|b)".repeat(200_000)),
        "SELECT id FROM (((a{1000}){1000}){1000}){1000};".to_owned(),
    ] {
        let said = soon(&bridge, Duration::ZERO, || bob.ask(BOT, &body));
        let status = said.json.unwrap()["status"].as_u64().unwrap();
        assert!(matches!(status, 400 | 500), "{}", said.body);
        is_answered_soon(&bridge, &alice);
    }
    let books = bridge.sandbox.books("xmpp");
    assert_eq!((books.counter("refused.length"), books.counter("refused.query")), (2, 1));
    assert_eq!(bridge.counter("subscriptions"), 0);

    // Too many statements of one user, who has said nothing before: they are of a bucket of 10 that gets one back every
    // 6 s. It is told once each time that this is empty, and nobody else is concerned.
    let begun = Instant::now();
    for _ in 0..100 {
        foobar.say(BOT, "LIST");
    }
    wait_until("all are taken", || bridge.counter("received") == 106);
    let came_back = begun.elapsed().as_secs() / 6;
    let books = bridge.sandbox.books("xmpp");
    let refused = books.counter("refused.rate");
    assert!(
        (90 - came_back..=90).contains(&refused),
        "{refused} are refused, {came_back} may have come back"
    );
    let told = refused - books.counter("ignored");
    assert!((1..=91 - refused).contains(&told), "told {told} times, and {refused} are refused");
    is_answered_soon(&bridge, &alice);
    wait_until("it is told that it is too much", || {
        foobar.look(|said| said.iter().filter(|said| said.body.starts_with("That is too much")).count())
            == told as usize
    });

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
