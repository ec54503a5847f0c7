//! The dialect, line by line, and what of it adds up.

use common::key;
use common::utc::Utc;
use proptest::prelude::*;

use super::*;
use crate::config::Config;

const NOW: Time = Time::from_secs(1_000_000_000);

/// What a line gives, as one text: `count a 1 @10`, `adjust`, `member a bob`, `note a {...}`, `dropped`, `!reason OFFSET`.
fn read(line: &[u8], rules: &Rules) -> (String, Remarks) {
    let mut reader = Reader::default();
    let mut found = Vec::new();
    reader.read(line, NOW, rules, |one| {
        found.push(match one {
            Ok(Found::Metric(metric)) => {
                let key = String::from_utf8(metric.key.to_vec()).unwrap();
                assert_eq!(key::parse(metric.key).as_deref(), Ok(&*key), "a key in another form");
                let mut text = match metric.kind {
                    Kind::Member => format!("member {key} {}", metric.member.escape_ascii()),
                    kind => format!("{} {key} {}", kind.word(), metric.value),
                };
                if metric.weight != Weight::ONE {
                    text += &format!(" @{}", metric.weight);
                }
                text + &at(metric.time)
            }
            Ok(Found::Note(note)) => {
                let (key, json) = (note.key.to_vec(), note.json.to_vec());
                let [key, json] = [key, json].map(|text| String::from_utf8(text).unwrap());
                format!("note {key} {json}{}", at(note.time))
            }
            Ok(Found::Dropped) => "dropped".to_owned(),
            Err(Fault { reason, offset }) => format!("!{reason} {offset}"),
        });
    });
    (found.join("; "), reader.remarks)
}

fn at(time: Time) -> String {
    if time == NOW { String::new() } else { format!(" {}", Utc(time)) }
}

fn rules(config: &str) -> Rules {
    toml::from_str::<Config>(config).unwrap().reading().unwrap()
}

fn check(config: &str, table: &[(&str, &str)]) {
    let rules = rules(config);
    for (line, want) in table {
        assert_eq!(read(line.as_bytes(), &rules).0, *want, "{line:?}");
    }
}

#[test]
fn every_type_and_every_value() {
    check(
        "",
        &[
            ("", ""),
            ("a:1|c", "count a 1"),
            ("web.hits:1|c", "count web.hits 1"),
            ("a:-1|c", "count a -1"),
            ("a:+1|c", "count a 1"),
            ("a:0|c", "count a 0"),
            ("a:0.4|c", "count a 0.4"),
            ("a:.5|c", "count a 0.5"),
            ("a:5.|c", "count a 5"),
            ("a:1e3|c", "count a 1000"),
            ("a:1E-3|c", "count a 0.001"),
            ("a:18446744073709551615|c", "count a 18446744073709551615"),
            ("a:9223372036854775808|c", "count a 9223372036854775808"),
            ("a:1e300|c", "count a 1e300"),
            ("a:3|m", "count a 3"),
            ("a:3|g", "gauge a 3"),
            ("a:0.5|g", "gauge a 0.5"),
            ("a:+5|g", "adjust a 5"),
            ("a:-5|g", "adjust a -5"),
            ("a:-0.5|g", "adjust a -0.5"),
            ("a:320|ms", "sample a 320"),
            ("a:3.25|ms", "sample a 3.25"),
            ("a:-1|ms", "sample a -1"),
            ("a:7|h", "sample a 7"),
            ("a:7|d", "sample a 7"),
            ("a:bob|s", "member a bob"),
            ("a:765|s", "member a 765"),
            ("a:-1|s", "member a -1"),
            ("a:b:c|s", "member a b:c"),
            ("a::|s", "member a :"),
            ("a: |s", "member a  "),
            ("a:größe|s", "member a gr\\xc3\\xb6\\xc3\\x9fe"),
            // Packed: the good ones of a bad pack are taken.
            ("a:1:2:3|c", "count a 1; count a 2; count a 3"),
            ("a:1:2|g", "gauge a 1; gauge a 2"),
            ("a:1:+2:-3|g", "gauge a 1; adjust a 2; adjust a -3"),
            ("a:1.5:2|ms", "sample a 1.5; sample a 2"),
            ("a:1:2|h", "sample a 1; sample a 2"),
            ("a:1:2|d|@0.5", "sample a 1 @2; sample a 2 @2"),
            ("a:1:x:3|ms", "sample a 1; !value 4; sample a 3"),
            ("a:1:|ms", "sample a 1; !value 4"),
            ("a::1|ms", "!value 2; sample a 1"),
            ("a:nan:1:inf|d", "!not_finite 2; sample a 1; !not_finite 8"),
            ("a:x:y|c", "!value 2; !value 4"),
            ("a:1:2:3|s", "member a 1:2:3"),
            ("a:1:2|m|@0.5|#x:y", "count a;x=y 1 @2; count a;x=y 2 @2"),
        ],
    );
}

#[test]
fn every_section_in_any_order() {
    check(
        "",
        &[
            ("a:1|c|@1", "count a 1"),
            ("a:1|c|@0.1", "count a 1 @10"),
            ("a:1|c|@.1", "count a 1 @10"),
            ("a:1|c|@1e-1", "count a 1 @10"),
            ("a:1|c|@0.3", "count a 1 @3.333333333"),
            ("a:320|ms|@0.25", "sample a 320 @4"),
            ("a:1|h|@0.5", "sample a 1 @2"),
            ("a:1|g|@0.5", "gauge a 1"),
            ("a:bob|s|@0.5", "member a bob"),
            ("a:1|c|#x:y", "count a;x=y 1"),
            ("a:1|c|@0.1|#x:y", "count a;x=y 1 @10"),
            ("a:1|c|#x:y|@0.1", "count a;x=y 1 @10"),
            ("a:1|c|T1350332001", "count a 1 2012-10-15T20:13:21.000Z"),
            ("a:1|g|T1350332001.5", "gauge a 1 2012-10-15T20:13:21.500Z"),
            (
                "a:1:2|c|T1350332001|#x",
                "count a;x 1 2012-10-15T20:13:21.000Z; count a;x 2 2012-10-15T20:13:21.000Z",
            ),
            ("a:1|c|c:83c0a99c0a54c0c187f461c7980e9b57f3f6a8b0c918c8d93df19a9de6f3fe1d", "count a 1"),
            ("a:1|c|c:ci-83c0,in-12", "count a 1"),
            ("a:1|c|#x:y|c:in-12", "count a;x=y 1"),
            ("a:1|c|e:it-false,cn-nginx,pu-75a2b6d5", "count a 1"),
            ("a:1|c|card:none", "count a 1"),
            (
                "a:1|c|card:orchestrator|e:x|c:y|T1350332001|#z|@0.5",
                "count a;z 1 @2 2012-10-15T20:13:21.000Z",
            ),
            ("a:1|c|", "count a 1"),
            ("a:1|c||#x", "count a;x 1"),
            ("a:1|c|#", "count a 1"),
            ("a:1|c|c:", "count a 1"),
            // Of a later version.
            ("a:1|c|new:thing", "count a 1"),
            ("a:1|c|x:|#y", "count a;y 1"),
        ],
    );
}

#[test]
fn tags_and_names_make_the_key() {
    check(
        "",
        &[
            ("a:1|c|#b,a", "count a;a;b 1"),
            ("a:1|c|#b:2,a:1", "count a;a=1;b=2 1"),
            ("a:1|c|#a:1,b:2,c:3", "count a;a=1;b=2;c=3 1"),
            ("a:1|c|#a:", "count a;a 1"),
            ("a:1|c|#a:1,a:2", "count a;a=2 1"),
            ("a:1|c|#a:2,b:0,a:1", "count a;a=1;b=0 1"),
            ("a:1|c|#a:1,a", "count a;a 1"),
            ("a:1|c|#url:http://x:80/y?z=1", "count a;url=http://x:80/y?z=1 1"),
            ("a:1|c|#a:b:c", "count a;a=b:c 1"),
            ("a:1|c|#a=b", "count a;a_b 1"),
            ("a:1|c|#a=b:c=d", "count a;a_b=c=d 1"),
            ("a:1|c|#a;b:c;d", "count a;a_b=c_d 1"),
            ("a:1|c|#,a,,b,", "count a;a;b 1"),
            ("a:1|c|# a: b ", "count a; a= b  1"),
            ("a:1|c|#größe:1", "count a;größe=1 1"),
            ("a:1|c|#Env:Prod", "count a;Env=Prod 1"),
            ("größe:1|c", "count größe 1"),
            ("a b/c=d,e:1|c", "count a b/c=d,e 1"),
            ("a;b=c:1|c", "count a_b=c 1"),
            ("a;:1|c", "count a_ 1"),
            ("_scfoo:1|c", "count _scfoo 1"),
            ("_e:1|c", "count _e 1"),
            ("@:1|c", "count @ 1"),
            // Veneur's scope tags go, by exact match alone.
            ("a:1|c|#veneurlocalonly", "count a 1"),
            ("a:1|c|#veneurglobalonly,x,veneurlocalonly", "count a;x 1"),
            ("a:1|c|#veneurlocalonlyfoo,veneurlocalonly:1", "count a;veneurlocalonly=1;veneurlocalonlyfoo 1"),
            // And what can be in no key.
            (":1|c", "!bad_key 0"),
            ("a\tb:1|c", "!bad_key 1"),
            ("a\u{7f}:1|c", "!bad_key 1"),
            ("ö\u{85}:1|c", "!bad_key 2"),
            ("a:1|c|#:x", "!bad_key 7"),
            ("a:1|c|#x,:y", "!bad_key 9"),
            ("a:1|c|#x:\0", "!bad_key 9"),
        ],
    );
    let rules = rules("");
    for (line, want) in [
        (&b"a\xff:1|c"[..], "!bad_key 1"),
        (b"a:1|c|#x:\xc3", "!bad_key 9"),
        (b"a:\xff|s", "member a \\xff"),
        (b"a:\xff|c", "!value 2"),
    ] {
        assert_eq!(read(line, &rules).0, want);
    }
    for (name, is_key) in [(1024, true), (1025, false)] {
        let want = if is_key { format!("count {} 1", "a".repeat(name)) } else { "!bad_key 0".to_owned() };
        assert_eq!(read(format!("{}:1|c", "a".repeat(name)).as_bytes(), &rules).0, want);
        let tagged = format!("a:1|c|#{}", "b".repeat(name - 2));
        assert_eq!(read(tagged.as_bytes(), &rules).0.starts_with("count a;b"), is_key, "{name}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_spot() {
    check(
        "",
        &[
            ("hello", "!no_value 5"),
            ("a|c", "!no_value 1"),
            ("a|1:c", "!no_value 1"),
            ("|", "!no_value 0"),
            (" ", "!no_value 1"),
            ("a:1", "!type 3"),
            ("a:1|", "!type 4"),
            ("a:1||c", "!type 4"),
            ("a:1|x", "!type 4"),
            ("a:1|C", "!type 4"),
            ("a:1|k", "!type 4"),
            ("a:1|m ", "!type 4"),
            ("a:1|M", "!type 4"),
            ("a:1|counter", "!type 4"),
            ("a:1|mfoo", "!type 4"),
            ("a:1|c ", "!type 4"),
            ("a:1|c:2|c", "!type 4"),
            ("a:1 c", "!type 5"),
            (":", "!type 1"),
            ("a:|c", "!value 2"),
            ("a:x|c", "!value 2"),
            ("a:1x|c", "!value 2"),
            ("a: 1|c", "!value 2"),
            ("a:1 |c", "!value 2"),
            ("a:0x10|c", "!value 2"),
            ("a:1_000|c", "!value 2"),
            ("a:1,5|g", "!value 2"),
            ("a:--1|c", "!value 2"),
            ("a:|g", "!value 2"),
            ("a:+|g", "!value 2"),
            ("a:true|g", "!value 2"),
            ("a:nan|g", "!not_finite 2"),
            ("a:NaN|c", "!not_finite 2"),
            ("a:inf|ms", "!not_finite 2"),
            ("a:-Infinity|h", "!not_finite 2"),
            ("a:1e999|d", "!not_finite 2"),
            ("a:|s", "!member 2"),
            ("a:1|c|@", "!rate 7"),
            ("a:1|c|@0", "!rate 7"),
            ("a:1|c|@-0.5", "!rate 7"),
            ("a:1|c|@1.5", "!rate 7"),
            ("a:1|c|@nan", "!rate 7"),
            ("a:1|c|@inf", "!rate 7"),
            ("a:1|c|@1e-40", "!rate 7"),
            ("a:1|c|@x", "!rate 7"),
            ("a:1|c|@0.5x", "!rate 7"),
            ("a:1|g|@2", "!rate 7"),
            ("a:1|s|@2", "!rate 7"),
            ("a:1|c|@0.5|@0.5", "!repeated 11"),
            ("a:1|c|#x|#y", "!repeated 9"),
            ("a:1|c|T1|T2", "!repeated 9"),
            ("a:1|c|c:x|c:y", "!repeated 10"),
            ("a:1|c|T", "!time 7"),
            ("a:1|c|Tx", "!time 7"),
            ("a:1|c|T-1", "!time 7"),
            ("a:1|c|T1.", "!time 7"),
            ("a:1|c|T99999999999", "!time 7"),
            ("a:1|c|0.1", "!section 6"),
            ("a:1|c|x", "!section 6"),
            ("a:1|c| #x", "!section 6"),
            ("a:1|c|X:y", "!section 6"),
            ("a:1|c|t1", "!section 6"),
            ("a:1|c|ä:x", "!section 6"),
        ],
    );
}

#[test]
fn events_are_notes() {
    let key = "note dogstatsd.event";
    for (line, want) in [
        ("_e{1,1}:a|b", format!("{key} {{\"title\":\"a\",\"text\":\"b\"}}")),
        ("_e{5,0}:title|", format!("{key} {{\"title\":\"title\",\"text\":\"\"}}")),
        ("_e{3,5}:a|b|c|d|e|#x:y", format!("{key};x=y {{\"title\":\"a|b\",\"text\":\"c|d|e\"}}")),
        ("_e{1,3}:a|b\\n", format!("{key} {{\"title\":\"a\",\"text\":\"b\\n\"}}")),
        ("_e{7,2}:größe|ab", format!("{key} {{\"title\":\"größe\",\"text\":\"ab\"}}")),
        (
            "_e{1,1}:a|b|d:1350332001|h:web01|k:deploy|p:low|s:jenkins|t:success|#b,a:1|c:x|e:y|card:low",
            format!(
                "{key};a=1;b {{\"title\":\"a\",\"alert\":\"success\",\"priority\":\"low\",\"host\":\"web01\",\
                 \"aggregation_key\":\"deploy\",\"source\":\"jenkins\",\"text\":\"b\"}} 2012-10-15T20:13:21.000Z"
            ),
        ),
        // hot-shots counts in units of UTF-16.
        ("_e{5,3}:größe|a🙂|#x", format!("{key};x {{\"title\":\"größe\",\"text\":\"a🙂\"}}")),
        ("_e{5,2}:größe|a🙂", "!event 13".to_owned()),
        ("_e{1,1}:a|b|new:x", format!("{key} {{\"title\":\"a\",\"text\":\"b\"}}")),
        ("_e{1,1}:a|b|", format!("{key} {{\"title\":\"a\",\"text\":\"b\"}}")),
        ("_e{", "!event 3".to_owned()),
        ("_e{1}:a|b", "!event 4".to_owned()),
        ("_e{1:1|c", "!event 4".to_owned()),
        ("_e{1:1|c|#a", "!event 4".to_owned()),
        ("_e{1,}:a|b", "!event 5".to_owned()),
        ("_e{1,1}a|b", "!event 6".to_owned()),
        ("_e{-1,1}:a|b", "!event 3".to_owned()),
        ("_e{99999999999999999999,1}:a|b", "!event 3".to_owned()),
        ("_e{2,1}:a|b", "!event 10".to_owned()),
        ("_e{1,2}:a|b", "!event 10".to_owned()),
        ("_e{1,1}:a|bc", "!event 11".to_owned()),
        ("_e{9,9}:a|b", "!event 8".to_owned()),
        ("_e{1,1}:a|b|d:x", "!time 14".to_owned()),
        ("_e{1,1}:a|b|p:low|p:low", "!repeated 18".to_owned()),
        ("_e{1,1}:a|b|low", "!section 12".to_owned()),
        ("_e{1,1}:a|b|#:x", "!bad_key 13".to_owned()),
    ] {
        check("", &[(line, &want)]);
    }
}

#[test]
fn checks_are_notes_and_gauges() {
    check(
        "",
        &[
            ("_sc|db|0", "note db {\"status\":\"ok\"}; gauge db.status 0"),
            (
                "_sc|db.up|2|#dc:ams",
                "note db.up;dc=ams {\"status\":\"critical\"}; gauge db.up.status;dc=ams 2",
            ),
            (
                "_sc|db|1|d:1350332001|h:web01|#b,a|m:slow | very\\n|#no tag",
                "note db;a;b {\"status\":\"warning\",\"host\":\"web01\",\"message\":\"slow | very\\n|#no tag\"} \
                 2012-10-15T20:13:21.000Z; gauge db.status;a;b 1 2012-10-15T20:13:21.000Z",
            ),
            (
                "_sc|db|3|m:m\\: x|c:in-12|e:y",
                "note db {\"status\":\"unknown\",\"message\":\"m: x\"}; gauge db.status 3",
            ),
            (
                "_sc|db|3|c:in-12|m:a|c:d e",
                "note db {\"status\":\"unknown\",\"message\":\"a|c:d e\"}; gauge db.status 3",
            ),
            ("_sc|db|0|m:", "note db {\"status\":\"ok\",\"message\":\"\"}; gauge db.status 0"),
            ("_sc|db|0|", "note db {\"status\":\"ok\"}; gauge db.status 0"),
            ("_sc|", "!status 4"),
            ("_sc|db", "!status 6"),
            ("_sc|db|", "!status 7"),
            ("_sc|db|4", "!status 7"),
            ("_sc|db|00", "!status 7"),
            ("_sc|db|ok", "!status 7"),
            ("_sc||0", "!bad_key 4"),
            ("_sc|db|0|d:x", "!time 11"),
            ("_sc|db|0|h:a|h:b", "!repeated 13"),
            ("_sc|db|0|c:a|m:b|c:c", "!repeated 9"),
            ("_sc|db|0|x", "!section 9"),
        ],
    );
}

#[test]
fn what_is_configured_is_done() {
    check("gauges = \"absolute\"", &[("a:+5|g", "gauge a 5"), ("a:-5|g", "gauge a -5")]);
    check(
        "names = \"etsy\"",
        &[
            ("a b/c!d:1|c", "count a_b-cd 1"),
            ("a \t b;x=1:1|c", "count a_bx1 1"),
            ("größe:1|c|#größe:a/b", "count gre;größe=a/b 1"),
            ("!:1|c", "!bad_key 0"),
        ],
    );
    check(
        "tagged_names = [\"graphite\"]",
        &[
            ("a;x=1;b=2:1|c", "count a;b=2;x=1 1"),
            ("a;x:1|c", "count a;x 1"),
            ("a;x=1=2:1|c|#x:3,y:4", "count a;x=3;y=4 1"),
            ("a;:1|c", "count a 1"),
            (";x=1:1|c", "!bad_key 0"),
            ("a;=1:1|c", "!bad_key 2"),
            ("a,x=1:1|c", "count a,x=1 1"),
        ],
    );
    check(
        "tagged_names = [\"influx\"]",
        &[
            ("a,x=1,b=2:1|c|#c:3", "count a;b=2;c=3;x=1 1"),
            ("a,x=1;2:1|c", "count a;x=1_2 1"),
            ("a:1|c", "count a 1"),
            (",x=1:1|c", "!bad_key 0"),
        ],
    );
    check(
        "origin_tags = [\"container\", \"external\", \"cardinality\"]",
        &[
            (
                "a:1|c|c:in-1|e:it-false,cn-x|card:low",
                "count a;cardinality=low;container=in-1;external=it-false,cn-x 1",
            ),
            ("a:1|c|c:", "count a 1"),
            ("a:1|c|c:\u{1}", "!bad_key 8"),
            (
                "_sc|a|0|m:x|c:in-1",
                "note a;container=in-1 {\"status\":\"ok\",\"message\":\"x\"}; gauge a.status;container=in-1 0",
            ),
        ],
    );
}

#[test]
fn the_first_rule_that_matches_wins() {
    let config = r#"
        [[rules]]
        name = '^debug\.'
        drop = true
        [[rules]]
        tag = '^env:test$'
        drop = true
        [[rules]]
        name = '^app\.(?<what>\w+)\.latency$'
        tag = '^host:'
        rename = 'latency.$what'
        keep = ["env", "host"]
        add = { dc = "ams", env = "prod" }
        [[rules]]
        name = '^bare\.'
        keep = []
        [[rules]]
        name = '^gone'
        rename = '$nothing'
        [[rules]]
        name = '^(app|debug)'
        add = { late = "" }
    "#;
    check(
        config,
        &[
            ("debug.x:1:2|c", "dropped; dropped"),
            ("debug.x:1:y|c", "dropped; !value 10"),
            ("a:1|c|#env:test", "dropped"),
            ("a:1|c|#env:tests", "count a;env=tests 1"),
            ("a:1|c", "count a 1"),
            ("app.db.latency:5|ms|#x:1,host:h,env:stage", "sample latency.db;dc=ams;env=prod;host=h 5"),
            ("app.db.latency:5|ms", "sample app.db.latency;late 5"),
            ("bare.x:1|c|#a,b:1", "count bare.x 1"),
            ("gone:1|c", "!bad_key 0"),
            ("_sc|debug.up|0", "dropped; dropped"),
            ("_e{1,1}:a|b|#env:test", "dropped"),
        ],
    );
}

#[test]
fn what_is_no_fault_is_remarked() {
    for (line, want) in [
        ("a:1|c", Remarks::default()),
        ("a;b:1:2|c|#c;d", Remarks { rewritten: 1, ..Remarks::default() }),
        ("a:1|c|#veneurlocalonly,veneurglobalonly", Remarks { scope_tags: 2, ..Remarks::default() }),
        ("a:1|c|x:1|y:2", Remarks { unknown_sections: 2, ..Remarks::default() }),
    ] {
        assert_eq!(read(line.as_bytes(), &rules("")).1, want, "{line}");
    }
    assert_eq!(read(b"a/b:1|c", &rules("names = \"etsy\"")).1.rewritten, 1);
    assert_eq!(read(b"a.b:1|c", &rules("names = \"etsy\"")).1.rewritten, 0);
}

/// Lines that are nearly right.
fn nearly() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("a:1|c"),
        Just(":"),
        Just("|"),
        Just("1.5"),
        Just("|g"),
        Just("|ms"),
        Just("|s"),
        Just("|@0.1"),
        Just("|#x:y,z"),
        Just(";"),
        Just("="),
        Just(","),
        Just("|T1"),
        Just("|c:x"),
        Just("_e{1,1}:a|b"),
        Just("_sc|a|1"),
        Just("|m:x"),
        Just("ö"),
        Just("\n"),
        Just("\r\n"),
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

#[test]
fn what_is_plain_but_for_its_tags_goes_the_short_way() {
    let (long, longer) = ("n".repeat(61), "n".repeat(200));
    for (name, rest, want) in [
        ("a", ":1|c|#b:c", true),
        ("a", ":1.5|ms|#b:c,a:d", true),
        ("a,b", ":1|h|#b", true),
        // Marks of the front, of the tags and of both stand in another block than the first.
        (&long, ":1|d|#b:c", true),
        (&long, ":1|ms|#b:c", true),
        (&longer, ":1|g|#b:c,a:d", true),
        ("a", &format!(":1|c|#b:{longer},a:d"), true),
        ("a=b", ":1|c|#b:c", false),
        ("a;b", ":1|c|#b:c", false),
        ("\u{f6}", ":1|c|#b:c", false),
        ("a", ":1:2|c|#b:c", false),
        ("a", ":-1|c|#b:c", false),
        ("a", ":|c|#b:c", false),
        ("a", ":1|s|#b:c", false),
        ("a", ":1|m|#b:c", false),
        ("a", ":1|c|@1|#b:c", false),
        ("a", ":1|c|#b:c|@1", false),
        ("a", ":1|c|#", false),
        ("a", ":1|c|#b:c,b:d", false),
        ("", ":1|c|#b:c", false),
        ("_e{1,1}", ":1|c|#b:c", false),
        ("a|b", ":1|c|#b:c", false),
    ] {
        let line = [name, rest].concat();
        let is_short = Reader::default().plain_tagged(line.as_bytes(), NOW, &rules("")).is_some();
        assert_eq!(is_short, want, "{line}");
    }
}

proptest! {
    /// A rule that matches nothing keeps lines off the short way.
    #[test]
    fn the_short_way_leads_to_the_same(line in "[a-cö:|;=,.\\- 0-9]{0,40}(:|::)[0-9.]{0,4}\\|(c|g|ms|h|d|s|m|x)") {
        let (short, long) = (rules(""), rules("[[rules]]\nname = '$x'\ndrop = true"));
        prop_assert_eq!(read(line.as_bytes(), &short), read(line.as_bytes(), &long));
    }

    /// So does the one that writes tags where they are to be.
    #[test]
    fn tags_are_written_as_the_long_way_has_them(
        line in "[a-c.,=|]{1,3}[a-c.]{0,70}:[0-9.:+]{1,4}\\|(c|g|ms|m|h|d|s|x)\\|#[ab]{1,2}(:[ab]{1,60})?\
                 (,[a-c]{1,10}(:[0-9:=;]{1,5})?){0,4}(\\|[@#T]1)?",
    ) {
        let (short, long) = (rules(""), rules("[[rules]]\nname = '$x'\ndrop = true"));
        let (mut reader, mut found) = (Reader::default(), Vec::new());
        Reader::default().any(line.as_bytes(), NOW, &long, |one| found.push(format!("{one:?}")));
        if let Some((metric, tags)) = reader.plain_tagged(line.as_bytes(), NOW, &short) {
            let mut key = metric.key.to_vec();
            key.resize(metric.key.len() + tags.bytes(), 0);
            tags.write(&mut key[metric.key.len()..]);
            let want = Ok::<_, Fault>(Found::Metric(Metric { key: &key, ..metric }));
            prop_assert_eq!(found, [format!("{want:?}")]);
        }
    }

    #[test]
    fn nothing_is_lost_and_faults_have_a_place(datagram in nearly(), raw: Vec<u8>) {
        let all = rules("tagged_names = [\"graphite\", \"influx\"]\norigin_tags = [\"container\"]\n[[rules]]\nname = '^b'\ndrop = true");
        for (datagram, rules) in [(datagram.as_bytes(), rules("")), (datagram.as_bytes(), all.clone()), (&raw, all)] {
            let (mut reader, mut again) = (Reader::default(), Reader::default());
            let (mut lines, mut empty, mut metrics, mut refused, mut packed) = (0, 0, 0, 0, 0);
            for line in dialect::lines(datagram) {
                lines += 1;
                let (mut found, mut texts, mut others) = (0, Vec::new(), Vec::new());
                reader.read(line, NOW, &rules, |one| {
                    found += 1;
                    match one {
                        Ok(_) => metrics += 1,
                        Err(fault) => {
                            assert!(fault.offset <= line.len());
                            refused += 1;
                        }
                    }
                    texts.push(format!("{one:?}"));
                });
                again.read(line, NOW, &rules, |one| others.push(format!("{one:?}")));
                again = Reader::default();
                prop_assert_eq!(texts, others, "a used reader reads something else");
                match found {
                    0 => empty += 1,
                    _ => packed += found - 1,
                }
                prop_assert_eq!(found == 0, line.is_empty());
            }
            prop_assert_eq!(lines + packed, metrics + refused + empty);
        }
    }
}
