//! What goes away and comes back: the server, its connection, Redis, dmproc, the bridge itself.

use std::time::{Duration, Instant};

use tests::{BOT, Brand, Bridge, ChatClient, DIRECTORY, Redis, Said, wait_for, wait_until};

use super::PLENTY;

/// Subscriptions of the bridge that is killed.
const MANY: usize = 100;

/// Sends a value until it arrives, for nobody knows when the way is free again; then one more, which arrives once.
#[track_caller]
pub(super) fn values_come(bridge: &Bridge, client: &ChatClient, key: &str, value: u32) {
    let came = |value: u32| {
        let told = format!(" {key} {value} at ");
        client.look(|said| said.iter().filter(|said| said.body.contains(&told)).count())
    };
    let mut time = 0;
    let mut sent = Instant::now() - Duration::from_secs(1);
    wait_until("values come", || {
        if sent.elapsed() > Duration::from_millis(100) {
            time += 1;
            bridge.send(&format!("gauge {}|{key} {value} {time}.0;", key.len()));
            sent = Instant::now();
        }
        came(value) > 0
    });
    let next = value + 1;
    bridge.send(&format!("gauge {}|{key} {next} {}.0;", key.len(), time + 1));
    wait_until("the next value comes", || came(next) > 0);
    assert_eq!(came(next), 1, "a value comes once");
}

/// What an answer begins with where Redis did not take a change.
pub(super) const LATER: &str = "Nothing is changed, try again later: ";

/// Asks for a change, and again where Redis was late, as on a busy machine.
#[track_caller]
pub(super) fn change(bridge: &Bridge, client: &ChatClient, text: &str) -> Said {
    wait_for(&format!("{text:?} is kept"), || {
        let said = client.ask(BOT, text);
        if said.body.starts_with(LATER) {
            // Who asks all the time asks too much.
            bridge.wait_directory();
            return None;
        }
        assert_eq!(said.json.as_ref().unwrap()["status"], 200, "{}", said.body);
        Some(said)
    })
}

#[track_caller]
pub(super) fn select(bridge: &Bridge, client: &ChatClient, regex: &str) {
    change(bridge, client, &format!("SELECT id FROM {regex};"));
}

fn faults(brand: Brand) {
    let Some((mut bridge, mut redis)) = Bridge::start_on_redis(brand, PLENTY) else { return };
    let alice = bridge.server.login("alice");
    select(&bridge, &alice, "^a$");
    values_come(&bridge, &alice, "a", 10);

    // The server is killed: the bridge goes on, and logs in again when it is back.
    alice.logout();
    bridge.server.kill9();
    wait_until("the bridge knows", || bridge.counter("online") == 0);
    bridge.send("gauge 1|a 19 1.0;");
    wait_until("it takes values meanwhile", || bridge.counter("values.received") >= 3);
    bridge.server.start(&bridge.sandbox);
    bridge.wait_online_again();
    let alice = bridge.server.login("alice");
    values_come(&bridge, &alice, "a", 20);
    bridge.wait_procs(1);

    // The server hangs: the connection is cut by nobody. Nothing is said twice.
    bridge.server.process().stop();
    wait_until("the bridge knows", || bridge.counter("online") == 0);
    bridge.server.process().cont();
    bridge.wait_online_again();
    values_come(&bridge, &alice, "a", 30);
    assert_eq!(alice.ask(BOT, "LIST").body, "#1 SELECT id FROM ^a$;");

    // dmproc ends, and starts anew: nobody is told of it.
    let before = alice.heard().len();
    bridge.dmproc.take().unwrap().kill9();
    let dmproc = bridge.sandbox.start_held("dmproc", "");
    bridge.dmproc = Some(dmproc);
    wait_until("its proc is there again", || bridge.sandbox.books("dmproc").counter("procs") == 1);
    values_come(&bridge, &alice, "a", 40);
    let other = alice.heard().into_iter().skip(before).find(|said| !said.body.starts_with("#1 a 4"));
    assert!(other.is_none(), "{other:?}");

    // Redis is killed: live queries go on, changes are refused with the reason. It comes back empty, and the bridge
    // writes back what it holds.
    let held = redis.hash(DIRECTORY);
    assert_eq!(held.len(), 1);
    redis.kill9();
    bridge.wait_directory_lost();
    values_come(&bridge, &alice, "a", 50);
    for text in ["SELECT id FROM ^b$;", "STOP ALL"] {
        let said = alice.ask(BOT, text);
        assert_eq!(said.json.unwrap()["status"], 500, "{}", said.body);
        assert!(said.body.starts_with(LATER), "{}", said.body);
    }
    redis.start(&bridge.sandbox);
    wait_until("Redis holds what it held", || redis.hash(DIRECTORY) == held);
    select(&bridge, &alice, "^b$");
    values_come(&bridge, &alice, "a", 60);
    bridge.wait_procs(2);
    assert_eq!(bridge.sandbox.books("xmpp").counter("messages.dropped.full"), 0);
}

#[test]
fn what_went_away_comes_back_at_prosody() {
    faults(Brand::Prosody);
}

#[test]
fn what_went_away_comes_back_at_ejabberd() {
    faults(Brand::Ejabberd);
}

/// A connection that is cut is taken up again: what was under way comes once, what came meanwhile comes together.
fn resumes(brand: Brand) {
    const UNDER_WAY: u64 = 10;
    let Some(bridge) = Bridge::start(brand, PLENTY) else { return };
    let alice = bridge.server.login("alice");
    select(&bridge, &alice, "^a$");
    values_come(&bridge, &alice, "a", 10);
    let told = bridge.counter("values.told");
    bridge.server.process().stop();
    for value in 0..UNDER_WAY {
        bridge.send(&format!("gauge 1|a 9{value} 100.{value};"));
    }
    wait_until("all is under way", || bridge.counter("values.told") == told + UNDER_WAY);
    wait_until("the bridge knows", || bridge.counter("online") == 0);
    bridge.send("gauge 1|a 81 101.0;gauge 1|a 82 102.0;");
    wait_until("it holds", || bridge.counter("values.waiting") == 2);
    bridge.server.process().cont();
    bridge.wait_online_again();
    alice.wait_said("what it held", 0, |said| said.body.starts_with("#1 2 values of 1 series:\na 82 at "));
    wait_until("all is delivered", || bridge.counter("messages.waiting") == 0);
    for value in 0..UNDER_WAY {
        let told = format!("#1 a 9{value} at ");
        let came = alice.look(|said| said.iter().filter(|said| said.body.starts_with(&told)).count());
        assert_eq!(came, 1, "{told}");
    }
    let books = bridge.sandbox.books("xmpp");
    let counters = ["resumed", "logins", "messages.in_doubt"].map(|name| books.counter(name));
    assert_eq!(counters, [1, 1, 0]);
}

#[test]
fn a_cut_connection_is_taken_up_again_at_prosody() {
    resumes(Brand::Prosody);
}

#[test]
fn a_cut_connection_is_taken_up_again_at_ejabberd() {
    resumes(Brand::Ejabberd);
}

/// A bridge with [`MANY`] subscriptions is killed: all come back, one live proc each, and nobody is told.
fn killed_with_many(brand: Brand) {
    let config = format!("{PLENTY}queries_max = 1000\nrequests_per_minute = 1000000\n");
    let Some((mut bridge, redis)) = Bridge::start_on_redis(brand, &config) else { return };
    let alice = bridge.server.login("alice");
    for number in 0..MANY {
        select(&bridge, &alice, &format!("^many\\.{number}$"));
    }
    bridge.wait_procs(MANY as u64);
    let before = alice.heard().len();
    bridge.kill9();
    bridge.wait_procs(0);
    assert_eq!(redis.hash(DIRECTORY).len(), MANY);
    bridge.begin();
    bridge.wait_procs(MANY as u64);
    for number in 0..MANY {
        let key = format!("many.{number}");
        bridge.send(&format!("gauge {}|{key} 7 1.0;", key.len()));
    }
    wait_until("each has its value", || alice.heard().len() >= before + MANY);
    wait_until("all is delivered", || bridge.counter("messages.waiting") == 0);
    let said = alice.heard();
    assert_eq!(said.len(), before + MANY, "no other message");
    let mut values: Vec<&str> = said[before..].iter().map(|said| said.body.as_str()).collect();
    values.sort_unstable();
    values.dedup();
    assert_eq!(values.len(), MANY);
    assert_eq!(bridge.sandbox.books("dmproc").counter("procs"), MANY as u64);
}

#[test]
fn a_killed_bridge_has_all_its_subscriptions_again_at_prosody() {
    killed_with_many(Brand::Prosody);
}

#[test]
fn a_killed_bridge_has_all_its_subscriptions_again_at_ejabberd() {
    killed_with_many(Brand::Ejabberd);
}

/// Without Redis the directory is a file, with the same content; a wrong password ends the process.
#[test]
fn without_redis_the_directory_is_a_file() {
    let Some(mut bridge) = Bridge::start(Brand::Prosody, PLENTY) else { return };
    let alice = bridge.server.login("alice");
    select(&bridge, &alice, "^a$");
    assert!(alice.ask(BOT, "FORMAT text").body.starts_with("From now on"));
    bridge.kill9();
    bridge.begin();
    bridge.wait_procs(1);
    assert_eq!(alice.ask(BOT, "LIST").body, "#1 SELECT id FROM ^a$;");
    values_come(&bridge, &alice, "a", 10);
    assert!(bridge.process.take().unwrap().terminate().success());

    let config = bridge.sandbox.bridge_config(&bridge.server, "");
    std::fs::write(bridge.sandbox.path().join("xmpp.password"), "wrong").unwrap();
    let output = bridge.sandbox.run_to_end("xmpp", &config, &[]);
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(77), "{said}");
    assert!(said.contains("password"), "{said}");
    let output = bridge.sandbox.run_to_end("xmpp", "", &[]);
    assert_eq!(output.status.code(), Some(78));
}

/// What the server had not acknowledged when it died is in doubt: counted, and not said again.
fn doubt(brand: Brand) {
    const LOST: u64 = 10;
    let Some(mut bridge) = Bridge::start(brand, PLENTY) else { return };
    let alice = bridge.server.login("alice");
    select(&bridge, &alice, "^a$");
    values_come(&bridge, &alice, "a", 10);
    wait_until("all is delivered", || bridge.counter("messages.waiting") == 0);
    alice.logout();
    let (told, delivered) = (bridge.counter("values.told"), bridge.counter("messages.delivered"));
    bridge.server.process().stop();
    for value in 0..LOST {
        bridge.send(&format!("gauge 1|a 9{value} 100.{value};"));
    }
    wait_until("all is under way", || bridge.counter("values.told") == told + LOST);
    assert_eq!((bridge.counter("messages.waiting"), bridge.counter("online")), (LOST, 1));
    bridge.server.kill9();
    wait_until("the bridge knows", || bridge.counter("online") == 0);
    bridge.server.start(&bridge.sandbox);
    bridge.wait_online_again();
    wait_until("all is in doubt", || bridge.counter("messages.in_doubt") == LOST);
    let alice = bridge.server.login("alice");
    values_come(&bridge, &alice, "a", 20);
    assert!(alice.heard().iter().all(|said| !said.body.starts_with("#1 a 9")), "it is not said again");
    wait_until("all is delivered", || bridge.counter("messages.waiting") == 0);
    let books = bridge.sandbox.books("xmpp");
    assert!(books.counter("messages.delivered") > delivered);
    assert_eq!(
        books.counter("messages.made"),
        books.counter("messages.delivered") + books.counter("messages.in_doubt"),
    );
}

#[test]
fn what_a_dying_server_did_not_acknowledge_is_in_doubt_at_prosody() {
    doubt(Brand::Prosody);
}

#[test]
fn what_a_dying_server_did_not_acknowledge_is_in_doubt_at_ejabberd() {
    doubt(Brand::Ejabberd);
}

/// Two bridges on one Redis, one account and one dmproc.
pub(super) struct Two {
    pub(super) bridge: Bridge,
    pub(super) second: tests::Sandbox,
    pub(super) other: Option<tests::Process>,
    pub(super) redis: Redis,
}

pub(super) fn two(brand: Brand) -> Option<Two> {
    let config = format!("{PLENTY}queries_max = 1000\nrequests_per_minute = 1000000\n");
    let (bridge, redis) = Bridge::start_on_redis(brand, &config)?;
    let second = tests::Sandbox::new();
    std::os::unix::fs::symlink(bridge.sandbox.run().dmproc_proc(), second.run().dmproc_proc()).unwrap();
    let config = second.bridge_config(&bridge.server, &format!("{config}\n{}", redis.config()));
    let other = second.start("xmpp", &config);
    wait_until("the other is online", || second.books("xmpp").counter("online") == 1);
    Some(Two { bridge, second, other: Some(other), redis })
}

/// Subscriptions that two bridges share.
const SHARED: usize = 50;

/// Rounds until a bridge has the leases of one that is gone: they last for 8 s, and there is one at either end.
const ROUNDS: u64 = 10;

/// Sends a value of each series.
fn send_round(bridge: &Bridge, value: usize) {
    for number in 0..SHARED {
        let key = format!("many.{number}");
        bridge.send(&format!("gauge {}|{key} {value} {value}.0;", key.len()));
    }
}

fn share(brand: Brand) {
    let Some(Two { mut bridge, second, mut other, redis }) = two(brand) else { return };
    let alice = bridge.server.login("alice");
    for number in 0..SHARED {
        select(&bridge, &alice, &format!("^many\\.{number}$"));
    }
    assert_eq!(redis.keys("leela.xmpp:lease:*").len(), SHARED);
    assert!(redis.text("leela.xmpp:front").is_some());
    let served = |bridge: &Bridge| (bridge.counter("served"), second.books("xmpp").counter("served"));
    wait_until("each is served by one", || {
        let (one, two) = served(&bridge);
        one + two == SHARED as u64 && bridge.sandbox.books("dmproc").counter("procs") == SHARED as u64
    });
    let fronts = bridge.counter("front") + second.books("xmpp").counter("front");
    assert_eq!(fronts, 1);
    let came = |value: usize| {
        let told = format!(" {value} at ");
        alice.look(|said| {
            let all: Vec<&str> =
                said.iter().map(|said| &*said.body).filter(|body| body.contains(&told)).collect();
            let mut once = all.clone();
            once.sort_unstable();
            once.dedup();
            assert_eq!(once.len(), all.len(), "none comes twice: {value}");
            all.len()
        })
    };
    send_round(&bridge, 1);
    wait_until("each comes", || came(1) == SHARED);
    send_round(&bridge, 2);
    wait_until("each comes", || came(2) == SHARED);
    assert_eq!(came(1), SHARED);

    // The one that is asked is killed: within 10 s the other serves all, and says so. It looks once in a second, or later
    // where the machine is slow: so its looks are counted.
    let first_is_front = bridge.counter("front") == 1;
    if first_is_front {
        bridge.process.take().unwrap().kill9();
    } else {
        other.take().unwrap().kill9();
    }
    let books = || if first_is_front { second.books("xmpp") } else { bridge.sandbox.books("xmpp") };
    let looks = || redis.hash("leela.xmpp:bridges");
    let (mut rounds, mut last, lost) = (0, looks(), books().counter("directory_lost"));
    wait_until("the other serves all, and is asked", || {
        // In this order: a round that is counted is one after which it did not.
        let look = looks();
        let books = books();
        let is_over = books.counter("served") == SHARED as u64 && books.counter("front") == 1;
        if !is_over && look != last {
            (rounds, last) = (rounds + 1, look);
        }
        is_over
    });
    // One whose answer is late is made again.
    let lost = books().counter("directory_lost") - lost;
    assert!(rounds <= ROUNDS + lost, "{rounds} rounds, {lost} of them lost");
    wait_until("it is told", || {
        alice.look(|said| said.iter().any(|said| said.body.contains("Another bridge went away")))
    });
    wait_until("dmproc serves it", || bridge.sandbox.books("dmproc").counter("procs") == SHARED as u64);
    send_round(&bridge, 3);
    wait_until("each comes", || came(3) == SHARED);
    assert_eq!((came(1), came(2)), (SHARED, SHARED));
    let answer = change(&bridge, &alice, "STOP ALL");
    assert_eq!(answer.body, format!("Ended {SHARED} subscriptions."));
    bridge.wait_procs(0);
}

#[test]
fn two_bridges_share_subscriptions_at_prosody() {
    share(Brand::Prosody);
}

#[test]
fn two_bridges_share_subscriptions_at_ejabberd() {
    share(Brand::Ejabberd);
}
