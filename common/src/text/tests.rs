//! Tables of good and bad text, and what holds for any.

use proptest::prelude::*;

use super::*;
use crate::key;
use crate::metric::{Event, Kind, Note, Weight};
use crate::value::Value;

const NOW: Time = Time::from_secs(1_000_000_000);

/// What a reader found, one entry each: a message in its one form, or `reason at offset: text`.
fn found(read: impl FnOnce(&mut dyn FnMut(Result<Message<'_>, Refused<'_>>))) -> Vec<String> {
    let mut found = Vec::new();
    read(&mut |message| {
        found.push(match message {
            Ok(message) => String::from_utf8(text_of(&message)).expect("keys and JSON are UTF-8"),
            Err(Refused { reason, offset, text }) => {
                format!("{reason} at {offset}: {}", String::from_utf8_lossy(text))
            }
        });
    });
    found
}

fn text_of(message: &Message<'_>) -> Vec<u8> {
    let mut text = Vec::new();
    match message {
        Message::Metric(metric) => write_metric(&mut text, metric),
        Message::Event(event) => write_event(&mut text, event),
        Message::Note(note) => write_note(&mut text, note),
    }
    text
}

fn all(text: &[u8]) -> Vec<String> {
    found(|each| messages(text, NOW, each))
}

#[test]
fn a_message_is_read_whatever_it_leaves_out() {
    for (text, want) in [
        ("gauge 6|foobar 0.75 1350332001.0;", "gauge 6|foobar 0.75 1350332001.0;"),
        ("derive 3|a.b 10 1350332001.0;", "derive 3|a.b 10 1350332001.0;"),
        ("counter 1|c 5 1350332001.0;", "counter 1|c 5 1350332001.0;"),
        ("absolute 1|c 5 1350332001.0;", "absolute 1|c 5 1350332001.0;"),
        ("adjust 1|c -5 1350332001.0;", "adjust 1|c -5 1350332001.0;"),
        ("event 6|foobar 3 1350332001.0;", "event 6|foobar 3 1350332001.0;"),
        ("event 1|a NaN 1.0;", "event 1|a NaN 1.0;"),
        ("event 1|a nan 1.0;", "event 1|a NaN 1.0;"),
        ("event 1|a -inf 1.0;", "event 1|a -Infinity 1.0;"),
        ("event 1|a Infinity 1.0;", "event 1|a Infinity 1.0;"),
        ("data 6|foobar 10|{\"one\": 1} 1351101449.0;", "data 6|foobar 10|{\"one\": 1} 1351101449.0;"),
        ("data 1|a 7|\";\\n;;\" 1;", "data 1|a 7|\";\\n;;\" 1.0;"),
        ("data 1|a 2|{};", "data 1|a 2|{} 1000000000.0;"),
        ("data 1|a 0| 1;", "data 1|a 0| 1.0;"),
        ("gauge 10|example.e0 0.75 1350332001;", "gauge 10|example.e0 0.75 1350332001.0;"),
        ("derive 10|example.e0 0.76;", "derive 10|example.e0 0.76 1000000000.0;"),
        ("gauge 1|a 1 1350332001.5;", "gauge 1|a 1 1350332001.5;"),
        ("gauge 1|a 1 1.000000005;", "gauge 1|a 1 1.000000005;"),
        ("gauge 1|a 1 1.0000000051;", "gauge 1|a 1 1.000000005;"),
        ("gauge 1|a 1 -1.5;", "gauge 1|a 1 -1.5;"),
        ("gauge 1|a 1 1;\n", "gauge 1|a 1 1.0;"),
        ("gauge 1|a 1 1;\r\n", "gauge 1|a 1 1.0;"),
        ("\ngauge 1|a 1 1;\n\n", "gauge 1|a 1 1.0;"),
        ("gauge 1|a\t1\t1;", "gauge 1|a 1 1.0;"),
        ("gauge 001|a 1 1;", "gauge 1|a 1 1.0;"),
        ("gauge 1|a +1 1;", "gauge 1|a 1 1.0;"),
        ("gauge 1|a --5 1;", "gauge 1|a 5 1.0;"),
        ("gauge 1|a 1e3 1;", "gauge 1|a 1000 1.0;"),
        ("gauge 1|a 1e-7 1;", "gauge 1|a 1e-7 1.0;"),
        ("gauge 1|a 18446744073709551615 1;", "gauge 1|a 18446744073709551615 1.0;"),
        ("gauge 1|a -9223372036854775808 1;", "gauge 1|a -9223372036854775808 1.0;"),
        ("gauge 7|a;b=c;d 1 1;", "gauge 7|a;b=c;d 1 1.0;"),
        ("gauge 9|a;y=2;x=1 1 1;", "gauge 9|a;x=1;y=2 1 1.0;"),
        ("gauge 13|a;gauge 1|b 2 1 1;", "gauge 13|a;gauge 1|b 2 1 1.0;"),
        ("gauge 3|a b 1 1;", "gauge 3|a b 1 1.0;"),
        ("gauge 7|größe 1 1;", "gauge 7|größe 1 1.0;"),
        ("gauge 3|a|b 1 1;", "gauge 3|a|b 1 1.0;"),
        ("count 1|c 1;", "count 1|c 1 1000000000.0;"),
        ("count 1|c -0.4 1;", "count 1|c -0.4 1.0;"),
        ("count 1|c 5 @10 1;", "count 1|c 5 @10 1.0;"),
        ("count 1|c 5 @0.5;", "count 1|c 5 @0.5 1000000000.0;"),
        ("count 1|c 5 @1 1;", "count 1|c 5 1.0;"),
        ("sample 3|lat 5 1;", "sample 3|lat 5 1.0;"),
        ("sample 3|lat 5 @3.333333333 1;", "sample 3|lat 5 @3.333333333 1.0;"),
        ("sample 3|lat 5 @3.3333333339 1;", "sample 3|lat 5 @3.333333333 1.0;"),
        ("sample 3|lat\t5\t@2\t1;", "sample 3|lat 5 @2 1.0;"),
        ("sample 3|lat 5 @9223372036 1;", "sample 3|lat 5 @9223372036 1.0;"),
        ("member 4|user 3|bob 1;", "member 4|user 3|bob 1.0;"),
        ("member 4|user 9|a;gauge 1 1;", "member 4|user 9|a;gauge 1 1.0;"),
        ("member 4|user 1|\u{0};", "member 4|user 1|\u{0} 1000000000.0;"),
    ] {
        assert_eq!(all(text.as_bytes()), [want], "{text:?}");
    }
}

#[test]
fn what_is_no_message_is_refused_by_name() {
    for (text, want) in [
        ("x", "unknown_kind at 0"),
        ("gauge", "unknown_kind at 0"),
        ("gauge3|foo 1 1;", "unknown_kind at 0"),
        ("Gauge 3|foo 1 1;", "unknown_kind at 0"),
        ("gague 3|foo 1 1;", "unknown_kind at 0"),
        ("sample 3|lat nan 1;", "not_finite at 13"),
        ("sample 3|lat 5 @0 1;", "weight at 16"),
        ("sample 3|lat 5 @-1 1;", "weight at 16"),
        ("sample 3|lat 5 @-0 1;", "weight at 16"),
        ("sample 3|lat 5 @x 1;", "weight at 16"),
        ("sample 3|lat 5 @ 1;", "weight at 16"),
        ("sample 3|lat 5 @1e3 1;", "weight at 17"),
        ("sample 3|lat 5 @9223372037 1;", "weight at 16"),
        ("sample 3|lat 5@2 1;", "value at 14"),
        ("count 3|lat 5  @2 1;", "time at 14"),
        ("gauge 3|lat 5 @2 1;", "time at 14"),
        ("count 3|lat 5 @2", "unfinished at 16"),
        ("member 4|user bob 1;", "length at 14"),
        ("member 4|user 4|bob 1;", "length at 20"),
        ("member 4|user 3|bobby 1;", "length at 19"),
        ("member 4|user 0| 1;", "member at 14"),
        ("member 4|user 3|bob @2 1;", "time at 20"),
        (";", "unknown_kind at 0"),
        ("\0\0\0", "unknown_kind at 0"),
        ("gauge ", "unknown_kind at 0"), // the blank at the end is cut
        ("gauge foo 1 1;", "length at 6"),
        ("gauge |foo 1 1;", "length at 6"),
        ("gauge -3|foo 1 1;", "length at 6"),
        ("gauge 3foo 1 1;", "length at 7"),
        ("gauge 3", "length at 7"),
        ("gauge 2|foo 1 1;", "length at 6"),
        ("gauge 4|foo 1 1;", "length at 6"),
        ("gauge 99|foo 1 1;", "length at 6"),
        ("gauge 18446744073709551615|foo 1 1;", "length at 26"),
        ("gauge 9999999999999999999|foo 1 1;", "length at 6"),
        ("gauge 5|größe 1 1;", "length at 6"),
        ("gauge 3|foo;", "length at 6"),
        ("data 1|a x 1;", "length at 9"),
        ("data 1|a 9|{} 1;", "length at 9"),
        ("data 1|a 1|{} 1;", "length at 12"),
        ("gauge 0| 1 1;", "bad_key at 8"),
        ("gauge 1|\u{1} 1 1;", "bad_key at 8"),
        ("gauge 2|a; 1 1;", "bad_key at 8"),
        ("gauge 3|foo  1 1;", "value at 12"),
        ("gauge 3|foo x 1;", "value at 12"),
        ("gauge 3|foo .5 1;", "value at 12"),
        ("gauge 3|foo 5. 1;", "value at 12"),
        ("gauge 3|foo 5x 1;", "value at 13"),
        ("gauge 3|foo 1,5 1;", "value at 13"),
        ("gauge 3|foo ;", "value at 12"),
        ("gauge 3|foo nan 1;", "not_finite at 12"),
        ("gauge 3|foo NaN;", "not_finite at 12"),
        ("gauge 3|foo -inf 1;", "not_finite at 12"),
        ("gauge 3|foo Infinity 1;", "not_finite at 12"),
        ("gauge 3|foo 1e999 1;", "not_finite at 12"),
        ("gauge 3|foo 1 x;", "time at 14"),
        ("gauge 3|foo 1 ;", "time at 14"),
        ("gauge 3|foo 1 1.;", "time at 14"),
        ("gauge 3|foo 1 .5;", "time at 14"),
        ("gauge 3|foo 1 1e9;", "time at 15"),
        ("gauge 3|foo 1 1350332001000;", "time at 14"),
        ("gauge 3|foo 1 1 1;", "time at 15"),
        ("gauge 3|foo 1", "unfinished at 13"),
        ("gauge 3|foo 1 1350332001.", "time at 14"),
        ("gauge 3|foo 1 1350332001.0", "unfinished at 26"),
        ("gauge 3|foo 1 1350332001.0\n", "unfinished at 26"),
        ("data 1|a 2|{}", "unfinished at 13"),
        ("data 1|a 2|{}x", "length at 13"),
    ] {
        let end = text.trim_ascii_end();
        assert_eq!(all(text.as_bytes()), [format!("{want}: {end}")], "{text:?}");
    }
    let key = "k".repeat(1025);
    assert_eq!(
        all(format!("gauge 1025|{key} 1;").as_bytes()),
        [format!("bad_key at 11: gauge 1025|{key} 1;")]
    );
    let json = "1".repeat(8193);
    assert_eq!(
        all(format!("data 1|a 8193|{json} 1;").as_bytes()),
        [format!("json at 9: data 1|a 8193|{json} 1;")]
    );
}

#[test]
fn a_bad_message_costs_only_itself() {
    for (text, want) in [
        ("gauge 1|a 1 1;gauge 1|b 2 2;", &["gauge 1|a 1 1.0;", "gauge 1|b 2 2.0;"][..]),
        ("gauge 1|a 1 1;\ngauge 1|b 2 2;\n", &["gauge 1|a 1 1.0;", "gauge 1|b 2 2.0;"]),
        ("gauge 1|a 1 1;\r\ngauge 1|b 2 2;\r\n", &["gauge 1|a 1 1.0;", "gauge 1|b 2 2.0;"]),
        ("gauge 1|a 1 1; gauge 1|b 2 2;", &["gauge 1|a 1 1.0;", "gauge 1|b 2 2.0;"]),
        ("gauge 1|a 1 1;event 1|b 2 2;", &["gauge 1|a 1 1.0;", "event 1|b 2 2.0;"]),
        ("gauge 1|a x 1;gauge 1|b 2 2;", &["value at 10: gauge 1|a x 1;", "gauge 1|b 2 2.0;"]),
        // A length too short, too long, and past the end.
        ("gauge 2|foo 1 1;gauge 1|b 2 2;", &["length at 6: gauge 2|foo 1 1;", "gauge 1|b 2 2.0;"]),
        ("gauge 9|foo 1 1;gauge 1|b 2 2;", &["length at 6: gauge 9|foo 1 1;", "gauge 1|b 2 2.0;"]),
        ("gauge 99|foo 1 1;gauge 1|b 2 2;", &["length at 6: gauge 99|foo 1 1;", "gauge 1|b 2 2.0;"]),
        // One that ends just before a blank of the neighbour.
        ("gauge 13|foo 1 1;gauge 1|b 2 2;", &["length at 6: gauge 13|foo 1 1;", "gauge 1|b 2 2.0;"]),
        ("gauge 17|foo 1 1;\ngauge 1|b 2 2;", &["length at 6: gauge 17|foo 1 1;", "gauge 1|b 2 2.0;"]),
        // A key with `;`, good and bad.
        ("gauge 5|a;b=c x 1;gauge 1|b 2 2;", &["value at 14: gauge 5|a;b=c x 1;", "gauge 1|b 2 2.0;"]),
        (
            "gauge 13|a;gauge 1|b 2 nan 1;gauge 1|b 2 2;",
            &["not_finite at 23: gauge 13|a;gauge 1|b 2 nan 1;", "gauge 1|b 2 2.0;"],
        ),
        (
            "gauge 1|a nan;junk;gauge 1|b 2 2;",
            &["not_finite at 10: gauge 1|a nan;", "unknown_kind at 0: junk;", "gauge 1|b 2 2.0;"],
        ),
        (
            "junk;gauge 1|b 2 2;junk",
            &["unknown_kind at 0: junk;", "gauge 1|b 2 2.0;", "unknown_kind at 0: junk"],
        ),
        ("junk\ngauge 1|b 2 2;", &["unknown_kind at 0: junk", "gauge 1|b 2 2.0;"]),
        ("junk; gauge 1|b 2 2;", &["unknown_kind at 0: junk;", "gauge 1|b 2 2.0;"]),
        (";;gauge 1|b 2 2;", &["unknown_kind at 0: ;;", "gauge 1|b 2 2.0;"]),
        ("gauge 1|a 1 1;;gauge 1|b 2 2;", &["gauge 1|a 1 1.0;", "unknown_kind at 0: ;", "gauge 1|b 2 2.0;"]),
        // A `;` forgotten at the end of a line.
        ("gauge 1|a 1\ngauge 1|b 2 2;", &["unfinished at 11: gauge 1|a 1", "gauge 1|b 2 2.0;"]),
        ("gauge 1|a 1\r\ngauge 1|b 2 2;", &["unfinished at 11: gauge 1|a 1\r", "gauge 1|b 2 2.0;"]),
        ("gauge 1|a 1 1\ngauge 1|b 2 2;", &["unfinished at 13: gauge 1|a 1 1", "gauge 1|b 2 2.0;"]),
        ("sample 1|a 1 @x;gauge 1|b 2 2;", &["weight at 14: sample 1|a 1 @x;", "gauge 1|b 2 2.0;"]),
        ("member 1|a 9|bob;gauge 1|b 2 2;", &["length at 7: member 1|a 9|bob;", "gauge 1|b 2 2.0;"]),
        ("", &[]),
        ("\r\n \n", &[]),
    ] {
        assert_eq!(all(text.as_bytes()), want, "{text:?}");
    }
}

#[test]
fn a_datagram_is_messages_or_lines() {
    for (text, want) in [
        ("gauge 1|a 1 1;", &["gauge 1|a 1 1.0;"][..]),
        ("\ngauge 1|a 1 1;", &["gauge 1|a 1 1.0;"]),
        ("adjust 1|a 1 1;", &["adjust 1|a 1 1.0;"]),
        ("foo: 1 1\nbar: 2 2\n", &["gauge 3|foo 1 1.0;", "gauge 3|bar 2 2.0;"]),
        ("gauge of oil: 1", &["length at 6: gauge of oil: 1"]),
        ("count of oil: 1 1", &["gauge 12|count of oil 1 1.0;"]),
        ("data in: 5 1", &["gauge 7|data in 5 1.0;"]),
        ("adjust me: 5 1", &["gauge 9|adjust me 5 1.0;"]),
        ("count 1|a 1 1;gauge 1|a 1 1;", &["count 1|a 1 1.0;", "gauge 1|a 1 1.0;"]),
        ("member 1|a 1|b 1;gauge 1|a 1 1;", &["member 1|a 1|b 1.0;", "gauge 1|a 1 1.0;"]),
        ("sample of oil: 1 1", &["gauge 13|sample of oil 1 1.0;"]),
        ("event 1|a 1 1;gauge 1|a 1 1;", &["unknown_kind at 0: event 1|a 1 1;", "gauge 1|a 1 1.0;"]),
        ("data 1|a 8|{\"b\": 1} 1;", &["unknown_kind at 0: data 1|a 8|{\"b\": 1} 1;"]),
        ("gague 1|a 1 1;gauge 1|a 1 1;", &["unknown_kind at 0: gague 1|a 1 1;", "gauge 1|a 1 1.0;"]),
        ("\n", &[]),
    ] {
        let found = found(|each| datagram(text.as_bytes(), NOW, |metric| each(metric.map(Message::Metric))));
        assert_eq!(found, want, "{text:?}");
    }
}

#[test]
fn a_ping_is_exactly_that() {
    for (text, want) in [
        ("ping", true),
        ("ping\n", true),
        ("ping\r\n", false),
        ("ping\n\n", false),
        ("pin", false),
        ("", false),
    ] {
        assert_eq!(is_ping(text.as_bytes()), want, "{text:?}");
    }
}

/// A key in its one form, often with octets that mean something to a reader.
fn any_key() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z.]{1,30}", "[ -~]{1,40}", "\\PC{1,20}", "a;gauge 1\\|[a-c ;=|0-9]{1,9}"]
        .prop_filter_map("it is no key", |text| key::parse(text.as_bytes()).ok().map(String::from))
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<u64>().prop_map(Value::U64),
        any::<i64>().prop_map(Value::I64),
        any::<f64>().prop_filter("metrics are finite", |value| value.is_finite()).prop_map(Value::F64),
        (-100_000..100_000_i64, 0..6).prop_map(|(units, tens)| Value::F64(units as f64 / 10_f64.powi(tens))),
    ]
}

fn any_kind() -> impl Strategy<Value = Kind> {
    proptest::sample::select(&Kind::NUMBERS[..])
}

/// Datagrams that are nearly text.
fn nearly_text() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        "(gauge|counter|event|data|sample) ([0-9]{1,2}\\|)?[a-c;= ]{0,9} -?[0-9.nae]{0,4}( @?[0-9.]{0,4}){0,2};?",
        "member 1\\|a [0-9]{0,2}\\|[a-c;]{0,4}( [0-9.]{0,4})?;?",
        "[\r\n; ]{1,2}",
        "[a-z]{1,3}: [0-9.]{1,3}",
        "gauge 1\\|a 1 1;",
    ];
    let text = proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat().into_bytes());
    prop_oneof![text, any::<Vec<u8>>()]
}

proptest! {
    #[test]
    fn reading_undoes_writing(
        key in any_key(), ns: i64, kind in any_kind(), value in any_value(), point: f64, json in "\\PC{0,40}",
        billionths in 1..i64::MAX as u64, whole: bool, member in proptest::collection::vec(any::<u8>(), 1..40),
    ) {
        let (key, time) = (key.as_bytes(), Time::from_ns(ns));
        let units = if whole { Weight::UNITS } else { 1 };
        let weight = Weight::of_billionths((billionths / units * units).max(1)).expect("it is in range");
        let weight = if kind.is_weighted() { weight } else { Weight::ONE };
        let metric = Metric::new(key, time, kind, value).weighted(weight);
        let event = Event { key, time, value: point };
        let note = Note { key, time, json: json.as_bytes() };
        let mut text = Vec::new();
        write_metric(&mut text, &metric);
        write_metric(&mut text, &Metric::of_member(key, time, &member));
        write_event(&mut text, &event);
        write_note(&mut text, &note);
        let mut read = 0;
        messages(&text, NOW, |message| {
            match message.expect("it was written by the writer") {
                Message::Metric(found) if found.kind == Kind::Member => {
                    assert_eq!(found, Metric::of_member(key, time, &member));
                }
                Message::Metric(found) => {
                    assert_eq!((found.key, found.time, found.kind), (key, time, kind));
                    assert_eq!(found.weight, weight);
                    // An f64 that is an integer comes back as one: the value is the same, the tag is not.
                    assert_eq!(found.value.as_f64().to_bits(), value.as_f64().to_bits());
                    assert!(value.as_integer().is_none() || found.value.as_integer() == value.as_integer());
                }
                Message::Event(found) => {
                    assert_eq!((found.key, found.time), (key, time));
                    let same = found.value.to_bits() == point.to_bits();
                    assert!(same || (found.value.is_nan() && point.is_nan()));
                }
                Message::Note(found) => assert_eq!(found, note),
            }
            read += 1;
        });
        prop_assert_eq!(read, 4);
    }

    #[test]
    fn every_octet_is_in_a_message_or_refused_or_blank(text in nearly_text()) {
        let mut rest = &text[..];
        message::scan(&text, NOW, |span, message| {
            let before = &rest[..rest.len() - (text.len() - span.start)];
            assert!(before.iter().all(|byte| message::is_blank(*byte)), "{before:?}");
            assert!(!span.is_empty());
            if let Err(refused) = message {
                assert_eq!(refused.text, &text[span.clone()]);
                assert!(refused.offset <= refused.text.len());
            }
            rest = &text[span.end..];
        });
        prop_assert!(rest.iter().all(|byte| message::is_blank(*byte)));
        datagram(&text, NOW, |_| ());
    }

    #[test]
    fn a_plain_key_needs_no_change(key in "[ -~é;\u{0}\u{1f}\u{7f}\u{80}]{0,20}|[a-z.]{0,30}") {
        let parsed = key::parse(key.as_bytes());
        if message::is_plain(key.as_bytes()) {
            prop_assert_eq!(parsed.as_deref(), Ok(&*key));
        }
        let plain = key.len() >= 8 && key.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b';');
        prop_assert_eq!(message::is_plain(key.as_bytes()), plain);
    }

    #[test]
    fn a_good_message_between_junk_is_found(before: Vec<u8>, after: Vec<u8>, key in any_key()) {
        let mut text = before;
        text.extend_from_slice(b";\n");
        write_metric(&mut text, &Metric::new(key.as_bytes(), NOW, Kind::Gauge, Value::U64(7)));
        text.push(b'\n');
        text.extend_from_slice(&after);
        let mut found = 0;
        metrics(&text, Time::default(), |metric| {
            found += usize::from(metric.is_ok_and(|metric| metric.key == key.as_bytes() && metric.time == NOW));
        });
        prop_assert_eq!(found, 1);
    }
}
