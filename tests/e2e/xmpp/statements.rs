//! Every statement of the original and every shape of its answers, with the manners of a chat.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tests::{BOT, Brand, Bridge, ChatClient, DIRECTORY, Said, wait_until};
use xmpp_parsers::message::MessageType;

use super::PLENTY;

/// The JSON beside the text.
fn held(said: &Said) -> &Value {
    said.json.as_ref().unwrap_or_else(|| panic!("no JSON beside {:?}", said.body))
}

/// What is answered to a statement: the text, and the JSON beside it.
#[track_caller]
fn ask(client: &ChatClient, text: &str) -> (String, Value) {
    let said = client.ask(BOT, text);
    assert_eq!((&*said.to, &said.kind), (client.jid(), &MessageType::Chat), "{text}");
    (said.body.clone(), held(&said).clone())
}

/// The key of a new subscription.
#[track_caller]
fn select(client: &ChatClient, text: &str) -> String {
    let (body, json) = ask(client, text);
    assert_eq!(json["status"], 200, "{text}: {body}");
    json["results"]["key"].as_str().unwrap_or_else(|| panic!("{text}: {json}")).to_owned()
}

/// Waits for the event of a value, with what it says.
#[track_caller]
fn event(client: &ChatClient, skip: usize, value: f64) -> Said {
    client.wait_said(&format!("the event of {value}"), skip, |said| {
        said.json.as_ref().is_some_and(|json| json["value"] == value)
    })
}

fn statements(brand: Brand) {
    let Some((bridge, redis)) = Bridge::start_on_redis(brand, PLENTY) else { return };
    let (alice, bob) = (bridge.server.login("alice"), bridge.server.login("bob"));

    // Nothing there.
    let (body, json) = ask(&alice, "SELECT * FROM leela.xmpp;");
    let none = json!({"debug": {"request": "select * from leela.xmpp;"}, "results": [], "status": 200});
    assert_eq!((&*body, json), ("No subscriptions. HELP shows how to begin.", none.clone()));

    // A subscription, answered to the client that asked.
    bridge.send("gauge 1|a 1 1350334000.0;gauge 1|b 1 1350334000.0;");
    bridge.wait_series(2);
    let statement = "SELECT id FROM ^a$;";
    let (body, json) = ask(&alice, statement);
    let key = json["results"]["key"].as_str().unwrap().to_owned();
    let debug = json!({"request": {"cmd": statement, "key": key}});
    assert_eq!(json, json!({"debug": debug, "results": {"key": key}, "status": 200}));
    assert!(body.starts_with("#1 SELECT id FROM ^a$;\n1 series matches now"), "{body}");
    assert!(body.ends_with(" STOP 1 ends it."), "{body}");
    let entry = r#"{"request": {"select": {"proc": "id", "regex": "^a$"}}, "sender": "alice@localhost"}"#;
    assert_eq!(redis.hash(DIRECTORY), BTreeMap::from([(key.clone(), entry.to_owned())]));

    // Its events, to the account.
    let before = alice.heard().len();
    bridge.send("gauge 1|a 0.85 1350334144.0;");
    let said = event(&alice, before, 0.85);
    assert_eq!((&*said.to, &said.kind), ("alice@localhost", &MessageType::Chat));
    assert_eq!(said.body, "#1 a 0.85 at 2012-10-15 20:49:04 UTC");
    let value = json!({
        "debug": debug,
        "results": {"event": {"name": "a", "timestamp": 1350334144.0, "value": 0.85}},
        "name": "a", "timestamp": 1350334144.0, "value": 0.85,
        "status": 200,
    });
    assert_eq!(*held(&said), value);

    // A duplicate is answered at once with the key that there is; so it is by the same user only.
    let (body, json) = ask(&alice, "select id from ^a$;");
    assert_eq!((&*body, &json["results"]["key"]), ("#1 is that already: SELECT id FROM ^a$;", &json!(key)));
    assert_ne!(select(&bob, statement), key);
    assert_eq!(redis.hash(DIRECTORY).len(), 2);
    assert_eq!(bridge.counter("served"), 2);

    // A list.
    let (body, json) = ask(&alice, "SELECT * FROM leela.xmpp;");
    assert_eq!(body, "#1 SELECT id FROM ^a$;");
    assert_eq!(json["results"], json!([{"cmd": statement, "key": key}]));
    assert_eq!(ask(&alice, "list"), (body, json));

    // One that is not there, and one that is another's.
    let (body, json) = ask(&bob, &format!("DELETE FROM leela.xmpp WHERE key={key};"));
    assert_eq!((&json["status"], &json["reason"]), (&json!(403), &json!("forbidden")), "{body}");
    let (_, json) = ask(&alice, "DELETE FROM leela.xmpp WHERE key=0000;");
    assert_eq!((&json["status"], &json["reason"]), (&json!(404), &json!("not found")));
    assert_eq!(redis.hash(DIRECTORY).len(), 2);

    // One is deleted, and gives nothing more; then all are.
    let (body, json) = ask(&alice, &format!("DELETE FROM leela.xmpp WHERE key={key};"));
    assert_eq!(body, "Ended #1.");
    assert_eq!((&json["results"], &json["status"]), (&json!({"key": key}), &json!(200)));
    let (other, names) =
        (select(&alice, "SELECT id FROM ^b$;"), select(&alice, "SELECT id FROM ^Web\\.Name$;"));
    let before = alice.heard().len();
    bridge.send("gauge 1|a 2 1350334145.0;gauge 8|Web.Name 3 1350334145.0;");
    let said = event(&alice, before, 3.0);
    assert_eq!(held(&said)["name"], "Web.Name", "names keep their case");
    event(&bob, 0, 2.0);
    assert_eq!(alice.heard().len(), before + 1, "a deleted one gives nothing");
    let (body, json) = ask(&alice, "DELETE FROM leela.xmpp;");
    assert_eq!(body, "Ended 2 subscriptions.");
    assert_eq!((&json["results"], &json["status"]), (&json!([{"key": other}, {"key": names}]), &json!(200)));
    assert_eq!(ask(&alice, "SELECT * FROM leela.xmpp;").1, none);
    assert_eq!(redis.hash(DIRECTORY).len(), 1, "bob's");

    // What is wrong is refused when it is sent, at the spot, and is not kept.
    let (body, json) = ask(&alice, "SELCT id FROM a;");
    assert_eq!((&json["status"], &json["reason"]), (&json!(400), &json!("parse error")));
    assert_eq!(body.lines().take(2).collect::<Vec<_>>(), ["SELCT id FROM a;", "^^^^^"], "{body}");
    let wrong = "SELECT id | windw 5 (mean) FROM ^a$;";
    let (body, json) = ask(&alice, wrong);
    assert_eq!((&json["status"], &json["reason"]), (&json!(500), &json!("bad command")));
    assert_eq!(json["debug"]["request"]["cmd"], wrong);
    let (_, caret) = body.split_once('\n').unwrap();
    assert!(body.starts_with(wrong) && caret.starts_with(&format!("{:12}^", "")), "{body}");
    let (body, json) = ask(&alice, "SELECT id FROM (a;");
    assert_eq!(json["status"], 500, "{body}");
    assert_eq!(ask(&alice, "SELECT * FROM leela.xmpp;").1, none);
    bridge.wait_procs(1);
    let books = bridge.sandbox.books("xmpp");
    assert_eq!((books.counter("refused.query"), books.counter("refused.unknown")), (3, 2));
    assert_eq!(books.counter("received"), books.counter("accepted") + books.total("refused"));
}

#[test]
fn the_original_s_statements_are_answered_at_prosody() {
    statements(Brand::Prosody);
}

#[test]
fn the_original_s_statements_are_answered_at_ejabberd() {
    statements(Brand::Ejabberd);
}

/// What an old installation's script sees: slixmpp, `FORMAT json`, and the field that it had in Redis.
fn scripts_go_on(brand: Brand) {
    let Some((bridge, redis)) = Bridge::start_on_redis(brand, &format!("{PLENTY}format = \"json\"\n")) else {
        return;
    };
    let Some(mut foobar) = bridge.sandbox.slixmpp(&bridge.server, "foobar") else { return };
    let line = foobar.say(BOT, "SELECT id FROM ^a$;");
    let (key, _) = redis.hash(DIRECTORY).pop_first().unwrap();
    assert!(key.starts_with("9a42eab46e89f18d") && key.len() == 128, "the original's field, not {key}");
    let registered = format!(
        r#"{{"debug": {{"request": {{"cmd": "SELECT id FROM ^a$;", "key": "{key}"}}}}, "results": {{"key": "{key}"}}, "status": 200}}"#
    );
    assert_eq!((line["body"].as_str(), &line["json"]), (Some(&*registered), &Value::Null));
    let before = foobar.lines().len();
    bridge.send("gauge 1|a 0.85 1350334144.0;");
    let line = foobar.wait("an event", before, |line| line["body"].is_string());
    let event = format!(
        r#"{{"debug": {{"request": {{"cmd": "SELECT id FROM ^a$;", "key": "{key}"}}}}, "name": "a", "results": {{"event": {{"name": "a", "timestamp": 1350334144.0, "value": 0.85}}}}, "status": 200, "timestamp": 1350334144.0, "value": 0.85}}"#
    );
    assert_eq!(line["body"].as_str(), Some(&*event));

    // What each user chose is kept, over a restart too.
    let line = foobar.say(BOT, "FORMAT text");
    assert!(line["body"].as_str().unwrap().starts_with("From now on you get text"), "{line}");
    let line = foobar.say(BOT, "LIST");
    assert_eq!(line["body"], "#1 SELECT id FROM ^a$;");
    let json: Value = serde_json::from_str(line["json"].as_str().unwrap()).unwrap();
    assert_eq!(json["results"][0]["key"], key);
    let mut bridge = bridge;
    assert!(bridge.process.take().unwrap().terminate().success());
    bridge.begin();
    assert_eq!(foobar.say(BOT, "LIST")["body"], "#1 SELECT id FROM ^a$;");
    let line = foobar.say(BOT, "FORMAT json");
    assert!(line["body"].as_str().unwrap().starts_with('{'), "{line}");
}

#[test]
fn scripts_of_the_original_go_on_at_prosody() {
    scripts_go_on(Brand::Prosody);
}

#[test]
fn scripts_of_the_original_go_on_at_ejabberd() {
    scripts_go_on(Brand::Ejabberd);
}

/// The directory of an old installation is taken over as it is.
#[test]
fn an_old_directory_is_taken_over() {
    let Some((mut bridge, redis)) = Bridge::start_on_redis(Brand::Prosody, PLENTY) else { return };
    let alice = bridge.server.login("alice");
    bridge.kill9();
    let old = [
        (r#"{"sender": "alice@localhost", "request": {"select": {"regex": "^a$", "proc": "id"}}}"#, "k1"),
        (
            r#"{"sender": "alice@localhost", "request": {"select": {"regex": "^b$", "proc": "windw 5 (mean)"}}}"#,
            "k2",
        ),
        ("no JSON at all", "k3"),
    ];
    for (entry, field) in old {
        redis.set_field(DIRECTORY, field, entry);
    }
    bridge.begin();
    bridge.wait_procs(1);
    let (body, json) = ask(&alice, "LIST");
    assert_eq!(body.lines().count(), 2, "{body}");
    assert!(body.contains("SELECT id FROM ^a$;") && body.contains("(does not run: "), "{body}");
    assert_eq!(json["results"][0], json!({"cmd": "SELECT id FROM ^a$;", "key": "k1"}));
    let before = alice.heard().len();
    bridge.send("gauge 1|a 4 1350334144.0;");
    event(&alice, before, 4.0);
    assert_eq!(alice.heard().len(), before + 1, "nothing is said of what does not run");
    // What another process deletes is served no more.
    redis.remove_field(DIRECTORY, "k1");
    bridge.wait_procs(0);
    assert!(redis.hash(DIRECTORY).contains_key("k3"), "what is not understood stays as it is");
}

fn manners(brand: Brand) {
    let Some(bridge) = Bridge::start(brand, PLENTY) else { return };
    let alice = bridge.server.login("alice");
    let (help, _) = ask(&alice, "HELP");
    assert!(help.contains("SELECT id FROM ") && help.contains("STOP ALL"), "{help}");
    // Blanks, line breaks, phones' quotes; a name with a blank in it.
    for (number, text) in [
        (1, "  select id\nfrom ^a$"),
        (2, "SELECT\u{a0}id FROM\u{a0}\u{201c}b c\u{201d}"),
        (3, "SELECT window 2 (sum) | abs FROM ^c$ ;"),
        (4, "leela: SELECT id FROM ^d;e$;"),
    ] {
        let (body, json) = ask(&alice, text);
        assert!(body.starts_with(&format!("#{number} SELECT ")), "{text:?}: {body}");
        assert_eq!(json["status"], 200);
    }
    let (body, _) = ask(&alice, "LIST");
    let listed = [
        "#1 SELECT id FROM ^a$;",
        "#2 SELECT id FROM \"b c\";",
        "#3 SELECT window 2 (sum) | abs FROM ^c$;",
        "#4 SELECT id FROM ^d;e$;",
    ];
    assert_eq!(body.lines().collect::<Vec<_>>(), listed);
    let before = alice.heard().len();
    bridge.send("gauge 1|a 11 0.0;gauge 3|b c 12 0.0;gauge 1|c -6 0.0;gauge 1|c -7 0.1;gauge 3|d;e 14 0.0;");
    for value in [11.0, 12.0, 13.0, 14.0] {
        event(&alice, before, value);
    }

    // Numbers stay when others go.
    assert_eq!(ask(&alice, "stop 2").0, "Ended #2.");
    assert_eq!(ask(&alice, "STOP 2").1["status"], 404);
    assert!(ask(&alice, "LIST").0.starts_with("#1 SELECT id FROM ^a$;\n#3 "));
    let (body, _) = ask(&alice, "MUTE 1 1h");
    assert!(body.starts_with("#1 is muted until "), "{body}");
    assert!(ask(&alice, "LIST").0.lines().next().unwrap().contains(" (muted until "));
    bridge.send("gauge 1|a 16 1.0;");
    wait_until("it is muted", || bridge.counter("values.dropped.muted") == 1);
    assert_eq!(ask(&alice, "UNMUTE 1").0, "#1 is no more muted.");
    let before = alice.heard().len();
    bridge.send("gauge 1|a 17 2.0;");
    event(&alice, before, 17.0);
    assert!(alice.heard().iter().all(|said| said.json.as_ref().unwrap()["value"] != 16.0));
    let key = select(&alice, "SELECT id FROM ^z$;");
    assert_eq!(ask(&alice, &format!("DELETE FROM leela.xmpp WHERE key = {key}")).0, "Ended #5.");
    assert_eq!(ask(&alice, "Stop all").0, "Ended 3 subscriptions.");
    bridge.wait_procs(0);

    // Names that are none in XML do no harm.
    select(&alice, "SELECT id FROM odd");
    let before = alice.heard().len();
    for (number, key) in
        ["odd <a&'\"]]>", "odd \u{1f600}\u{e4}", "odd \u{1}\u{8}\u{7f}", "odd \u{fffe}\u{ffff}"]
            .iter()
            .enumerate()
    {
        bridge.send(&format!("gauge {}|{key} 1{number} 3.0;", key.len()));
    }
    bridge.send("gauge 3|odd 18 3.0;");
    event(&alice, before, 18.0);
    let (sent, odd) = (bridge.sandbox.books("udp").total("refused"), bridge.counter("values.told"));
    let said = alice.heard().len() - before;
    assert_eq!(said as u64 + sent, 5, "{odd} told, {sent} refused by leela-udp");
    assert_eq!(event(&alice, before, 10.0).body, "#1 odd <a&'\"]]> 10 at 1970-01-01 00:00:03 UTC");
    assert_eq!(bridge.counter("messages.in_doubt"), 0);
}

#[test]
fn it_has_the_manners_of_a_chat_at_prosody() {
    manners(Brand::Prosody);
}

#[test]
fn it_has_the_manners_of_a_chat_at_ejabberd() {
    manners(Brand::Ejabberd);
}
