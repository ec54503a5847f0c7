//! Who has the last word on what is subscribed: Redis, a bridge, several of them, the list of who may ask.

use std::collections::BTreeSet;
use std::time::Duration;

use tests::{BOT, Brand, Bridge, DIRECTORY, wait_until};
use xmpp_parsers::jid::Jid;
use xmpp_parsers::presence::{Presence, Type};

use super::PLENTY;
use super::faults::{LATER, Two, change, select, two, values_come};

/// Redis was away, and is the same: what it has is right, and nothing is written back.
#[test]
fn a_redis_that_is_the_same_is_right() {
    let Some((bridge, redis)) = Bridge::start_on_redis(Brand::Prosody, PLENTY) else { return };
    let alice = bridge.server.login("alice");
    select(&bridge, &alice, "^a$");
    select(&bridge, &alice, "^b$");
    bridge.wait_procs(2);
    let held = redis.hash(DIRECTORY);
    let gone = held.iter().find(|(_, entry)| entry.contains("^b$")).unwrap().0;
    redis.while_shut(|run| {
        bridge.wait_directory_lost();
        run(&["HDEL", DIRECTORY, gone]);
        values_come(&bridge, &alice, "b", 10);
    });
    bridge.wait_procs(1);
    values_come(&bridge, &alice, "a", 20);
    assert_eq!(alice.ask(BOT, "LIST").body, "#1 SELECT id FROM ^a$;");
    assert_eq!(redis.hash(DIRECTORY).len(), 1);
}

/// Redis takes a second for an answer: it is waited for. Shown once, for on a busy machine a second may become too long.
#[test]
fn a_redis_that_is_slow_is_waited_for() {
    let Some((bridge, redis)) = Bridge::start_on_redis(Brand::Prosody, PLENTY) else { return };
    let alice = bridge.server.login("alice");
    select(&bridge, &alice, "^a$");
    let is_waited_for = (0..10).any(|number| {
        let lost = bridge.counter("directory_lost");
        redis.pause(Duration::from_secs(1));
        let said = alice.ask(BOT, &format!("SELECT id FROM ^{number}$;"));
        said.json.is_some_and(|json| json["status"] == 200) && bridge.counter("directory_lost") == lost
    });
    assert!(is_waited_for);
}

/// Redis is another one, and takes nothing at first: what the bridge holds is written back once it does.
#[test]
fn what_cannot_be_written_back_at_once_is_written_later() {
    let Some((bridge, mut redis)) = Bridge::start_on_redis(Brand::Prosody, PLENTY) else { return };
    let alice = bridge.server.login("alice");
    select(&bridge, &alice, "^a$");
    select(&bridge, &alice, "^b$");
    assert_eq!(change(&bridge, &alice, "STOP 1").body, "Ended #1.");
    let held = redis.hash(DIRECTORY);
    redis.kill9();
    bridge.wait_directory_lost();
    redis.start_that(&bridge.sandbox, &["--min-replicas-to-write", "1"]);
    let why = alice.ask(BOT, "FORMAT json").body;
    assert!(why.starts_with(LATER), "{why}");
    let refused = || redis.info("errorstats").contains("errorstat_NOREPLICAS");
    wait_until("it has tried", refused);
    values_come(&bridge, &alice, "b", 10);
    assert!(redis.hash(DIRECTORY).is_empty());
    redis.configure("min-replicas-to-write", "0");
    wait_until("Redis holds what it held", || redis.hash(DIRECTORY) == held);
    let muted = change(&bridge, &alice, "MUTE 2 1s").body;
    assert!(muted.starts_with("#2 is muted"), "{muted}");
    assert!(alice.ask(BOT, "LIST").body.starts_with("#2 SELECT id FROM ^b$;"));
    bridge.wait_procs(1);
}

/// Who is not on the list any more gets nothing of what he subscribed; his subscriptions stay, for lists change.
#[test]
fn a_list_that_is_narrower_now_counts_for_what_is_there() {
    let Some((mut bridge, redis)) = Bridge::start_on_redis(Brand::Prosody, PLENTY) else { return };
    let (alice, bob) = (bridge.server.login("alice"), bridge.server.login("bob"));
    select(&bridge, &alice, "^a$");
    select(&bridge, &bob, "^a$");
    bridge.kill9();
    bridge.configure(&format!("{PLENTY}allow = [\"bob@localhost\"]\n{}", redis.config()));
    bridge.begin();
    bridge.wait_procs(1);
    let before = alice.heard().len();
    values_come(&bridge, &bob, "a", 10);
    let said = alice.ask(BOT, "LIST");
    assert!(said.body.starts_with("I may not answer alice@localhost. "), "{}", said.body);
    assert_eq!((alice.heard().len(), redis.hash(DIRECTORY).len()), (before + 1, 2));
    assert_eq!((bridge.counter("served"), bridge.counter("failed")), (1, 1));
}

/// Two bridges are asked by one user at once: no number is given twice, no wish of his is lost, no value comes twice.
#[test]
fn two_bridges_are_asked_at_once() {
    const EACH: usize = 20;
    let Some(Two { bridge, second, other: _other, redis }) = two(Brand::Prosody) else { return };
    let alice = bridge.server.login("alice");
    alice.send(Presence::subscribe().with_to(Jid::new(BOT).unwrap()));
    let bots = || {
        let here = alice.presences().into_iter().filter(|(_, kind)| *kind == Type::None);
        here.map(|(from, _)| from).filter(|from| from.starts_with(BOT)).collect::<BTreeSet<String>>()
    };
    wait_until("both are seen", || bots().len() == 2);
    let bots = bots();
    let subscriptions = 2 * EACH + 1;
    // Again where Redis was late, as on a busy machine: who asks twice has it once.
    wait_until("all is kept", || {
        let before = alice.heard().len();
        for number in 0..EACH {
            for (name, bot) in ["x", "y"].iter().zip(&bots) {
                alice.say(bot, &format!("SELECT id FROM ^{name}{number}$;"));
                alice.say(bot, if *name == "x" { "FORMAT text" } else { "MUTE ALL 1s" });
            }
        }
        // The same, of both.
        bots.iter().for_each(|bot| alice.say(bot, "SELECT id FROM ^a$;"));
        let all = before + 4 * EACH + 2;
        wait_until("all is answered", || alice.heard().len() >= all);
        let answers = alice.heard().split_off(before);
        assert_eq!(answers.len(), all - before);
        let (late, kept): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(|said| said.body.starts_with(LATER));
        let refused = kept.iter().find(|said| said.json.as_ref().unwrap()["status"] != 200);
        assert!(refused.is_none(), "{refused:?}");
        late.is_empty()
    });
    wait_until("each is served by one", || {
        let served = bridge.counter("served") + second.books("xmpp").counter("served");
        let procs = bridge.sandbox.books("dmproc").counter("procs");
        served == subscriptions as u64 && procs == subscriptions as u64
    });
    let mut list = String::new();
    // What the other one has taken is seen at the next look.
    wait_until("all are listed", || {
        list = alice.ask(BOT, "LIST").body;
        list.lines().count() == subscriptions
    });
    let numbers: Vec<&str> = list.lines().map(|line| line.split(' ').next().unwrap()).collect();
    let want: Vec<String> = (1..=subscriptions).map(|number| format!("#{number}")).collect();
    assert_eq!(numbers, want, "{list}");
    let prefs = redis.hash("leela.xmpp:prefs");
    assert!(prefs["alice@localhost"].contains(r#""format":"text""#), "{prefs:?}");
    assert_eq!(
        change(&bridge, &alice, "UNMUTE ALL").body,
        format!("{subscriptions} subscriptions are no more muted.")
    );
    values_come(&bridge, &alice, "a", 10);
}

/// While Redis is away nobody can take a lease: of two bridges each stops at the end of its own.
#[test]
fn two_bridges_without_redis_serve_nothing_twice() {
    let Some(Two { bridge, second, other: _other, redis }) = two(Brand::Prosody) else { return };
    let alice = bridge.server.login("alice");
    select(&bridge, &alice, "^a$");
    values_come(&bridge, &alice, "a", 10);
    let served = || bridge.counter("served") + second.books("xmpp").counter("served");
    assert_eq!(served(), 1);
    // Each has seen the other once it has looked again after both were there; its next look is behind that.
    let looks = || redis.hash("leela.xmpp:bridges");
    wait_until("both are there", || looks().len() == 2);
    for _ in 0..2 {
        let before = looks();
        wait_until("both look", || looks().iter().all(|(bridge, time)| before[bridge] != *time));
    }
    redis.while_shut(|_| {
        wait_until("the leases end", || served() == 0);
        bridge.wait_procs(0);
    });
    wait_until("it is served again", || served() == 1);
    values_come(&bridge, &alice, "a", 20);
}

/// A proc that became too large is told of once, also where Redis is away and cannot forget it: it stays as one that does
/// not run.
#[test]
fn what_leela_dmproc_ends_is_told_once() {
    let Some((mut bridge, redis)) = Bridge::start_on_redis(Brand::Prosody, PLENTY) else { return };
    bridge.dmproc.take().unwrap().kill9();
    bridge.dmproc = Some(bridge.sandbox.start_held("dmproc", "client_state = \"64KiB\""));
    let alice = bridge.server.login("alice");
    change(&bridge, &alice, "SELECT window 2 (sum) FROM ^m$|^n");
    select(&bridge, &alice, "^a$");
    bridge.wait_procs(2);
    bridge.send("gauge 1|m 1 1.0;gauge 1|m 2 2.0;");
    alice.wait_said("a value", 0, |said| said.body.starts_with("#1 m 3 at "));
    redis.while_shut(|_| {
        bridge.wait_directory_lost();
        for number in 0..2_000 {
            let key = format!("n{number}");
            bridge.send(&format!("gauge {}|{key} 1 3.0;", key.len()));
        }
        alice.wait_said("the end", 0, |said| {
            said.body.starts_with("#1 has ended.\nSELECT window 2 (sum) FROM ")
        });
        let list = alice.ask(BOT, "LIST").body;
        assert!(list.contains(" (does not run: the state of this proc takes more memory"), "{list}");
        values_come(&bridge, &alice, "a", 10);
    });
    change(&bridge, &alice, "FORMAT text");
    values_come(&bridge, &alice, "a", 20);
    let ends = alice.look(|said| said.iter().filter(|said| said.body.starts_with("#1 has ended")).count());
    assert_eq!((ends, bridge.counter("failed")), (1, 1));
    bridge.wait_procs(1);
    assert_eq!(change(&bridge, &alice, "STOP 1").body, "Ended #1.");
    assert_eq!(redis.hash(DIRECTORY).len(), 1);
}
