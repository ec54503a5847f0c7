//! Bodies, and what is read of them.

use common::metric::Kind;
use common::time::Time;
use common::wire::{Content, HEADER_BYTES, Metrics, Notes};
use proptest::prelude::*;

use super::*;

const NOW: Time = Time::from_secs(1_350_332_001);

fn read(form: Form, body: &[u8]) -> Intake {
    let mut intake = Intake::new(NOW, 1 << 20, Vec::new());
    intake.read(form, body);
    intake
}

/// What was understood, a line each.
fn taken(intake: &mut Intake) -> Vec<String> {
    let mut lines = Vec::new();
    for batch in intake.batches.iter_mut().flatten() {
        let (content, count) = (batch.content(), batch.count());
        let records = &batch.seal(0, 0)[HEADER_BYTES..];
        let mut line = Vec::new();
        match content {
            Content::Metrics => Metrics::new(records, count).for_each(|metric| {
                common::text::write_metric(&mut line, &metric.unwrap());
                lines.push(String::from_utf8(std::mem::take(&mut line)).unwrap());
            }),
            _ => Notes::new(records, count).for_each(|note| {
                common::text::write_note(&mut line, &note.unwrap());
                lines.push(String::from_utf8(std::mem::take(&mut line)).unwrap());
            }),
        }
    }
    lines
}

/// What was refused: index, line, offset, reason.
fn refused(intake: &Intake) -> Vec<(u64, u64, usize, &'static str)> {
    let of =
        |fault: &Refused| (fault.index, fault.line, fault.offset, common::books::Label::name(fault.reason));
    intake.faults.iter().map(of).collect()
}

#[test]
fn points_are_read_from_json() {
    for (body, want) in [
        (r#"{"key":"foo","value":0.5}"#, &["gauge 3|foo 0.5 1350332001.0;"][..]),
        (r#"[]"#, &[]),
        (r#" "#, &[]),
        (
            r#"[{"name":"foo","type":"counter","value":18446744073709551615,"timestamp":1.5},
                {"value":"-3","key":"b\u0061r\"\/","time":"1970-01-01T00:00:02Z","type":"derive"}]"#,
            &["counter 3|foo 18446744073709551615 1.5;", "derive 5|bar\"/ -3 2.0;"],
        ),
        (r#"{"key":"a","value":1e2,"time":1.5e1}"#, &["gauge 1|a 100 15.0;"]),
        (r#"{"key":"a","value":1,"time":null}"#, &["gauge 1|a 1 1350332001.0;"]),
        (
            r#"{"key":"a;z=1","value":1,"tags":{"dc":"ams","x":"","z":"2"}}"#,
            &["gauge 14|a;dc=ams;x;z=2 1 1350332001.0;"],
        ),
        (
            r#"{"key":"a","type":"absolute","points":[[1,2],[1.5,"3"],[null,4]]}"#,
            &["absolute 1|a 2 1.0;", "absolute 1|a 3 1.5;", "absolute 1|a 4 1350332001.0;"],
        ),
        (r#"{"key":"a","points":[]}"#, &[]),
        (
            r#"{"key":"a","note":{"b":[1,null,"\u00e9"]},"time":1}"#,
            &[r#"data 1|a 23|{"b":[1,null,"\u00e9"]} 1.0;"#],
        ),
        (
            "{\"key\":\"a\",\"value\":1}\n\n{\"key\":\"b\",\"value\":2}",
            &["gauge 1|a 1 1350332001.0;", "gauge 1|b 2 1350332001.0;"],
        ),
        (
            "{\"key\":\n\"a\",\"value\":1}{\"key\":\"b\",\"value\":2}",
            &["gauge 1|a 1 1350332001.0;", "gauge 1|b 2 1350332001.0;"],
        ),
        ("{\"key\":\"größe\",\"value\":1}", &["gauge 7|größe 1 1350332001.0;"]),
    ] {
        for form in [Form::Json, Form::Lines] {
            let mut intake = read(form, body.as_bytes());
            assert_eq!(taken(&mut intake), want, "{body}");
            assert_eq!(
                (intake.accepted, intake.refused()),
                (want.len() as u64, 0),
                "{body}: {:?}",
                intake.faults
            );
        }
    }
}

#[test]
fn a_point_that_is_wrong_costs_only_itself() {
    // The point, why it is refused, and what stands where the fault is.
    for (body, reason, there) in [
        (r#"{"key":"a","value":NaN}"#, "not_finite", r#"NaN"#),
        (r#"{"key":"a","value":-Infinity}"#, "not_finite", r#"-Inf"#),
        (r#"{"key":"a","value":1e999}"#, "not_finite", r#"1e999"#),
        (r#"{"key":"a","value":"nan"}"#, "not_finite", r#""nan""#),
        (r#"{"key":"a","value":null}"#, "value", r#"null"#),
        (r#"{"key":"a","value": {"b":[]}}"#, "value", r#"{"b""#),
        (r#"{"key":"a","value":"1x"}"#, "value", r#""1x""#),
        (r#"{"key":"a","type":"gague","value":1}"#, "unknown_kind", r#""gague""#),
        (r#"{"key":"a","type":3,"value":1}"#, "unknown_kind", r#"3"#),
        (r#"{"key":"","value":1}"#, "bad_key", r#""""#),
        (r#"{"key":"a\u0000","value":1}"#, "bad_key", r#""a"#),
        (r#"{"key":5,"value":1}"#, "bad_key", r#"5"#),
        (r#"{"key":"a","tags":["b"],"value":1}"#, "bad_key", r#"["b"]"#),
        (r#"{"key":"a","tags":{"b":1},"value":1}"#, "bad_key", r#"{"b""#),
        (r#"{"key":"a","tags":{"b":"c;d"},"value":1}"#, "bad_key", r#"{"b""#),
        (r#"{"key":"a","value":1,"time":"then"}"#, "time", r#""then""#),
        (r#"{"key":"a","value":1,"time":1e300}"#, "time", r#"1e300"#),
        (r#"{"key":"a","value":1,"time":1350332001000}"#, "time", r#"1350"#),
        (r#"{"key":"a","value":1,"tiem":5}"#, "field", r#"5}"#),
        (r#"{"key":"a","value":1,"note":5}"#, "field", r#"{"key":"a""#),
        (r#"{"value":1}"#, "missing", r#"{"value""#),
        (r#"{"key":"a"}"#, "missing", r#"{"key":"a""#),
        (r#"{}"#, "missing", r#"{}"#),
        (r#"{"key":"a","points":5}"#, "value", r#"5}"#),
        (r#""text""#, "json", r#""text""#),
    ] {
        // Among neighbours, in an array and in lines.
        for (form, before, between, behind) in
            [(Form::Json, "[\n", ",\n", "]"), (Form::Lines, "\n", "\n", "")]
        {
            let good = r#"{"key":"good","value":1}"#;
            let whole = format!("{before}{good}{between}{body}{between}{good}{behind}");
            let mut intake = read(form, whole.as_bytes());
            assert_eq!(taken(&mut intake).len(), 2, "{whole}");
            let [(index, line, offset, got)] = refused(&intake)[..] else {
                panic!("{whole}: {:?}", intake.faults)
            };
            assert_eq!((index, line, got), (1, 3, reason), "{whole}");
            assert!(whole[offset..].starts_with(there), "{whole}: {}", &whole[offset..]);
        }
    }
}

#[test]
fn what_is_no_json_costs_its_line_or_the_rest_of_its_array() {
    let good = r#"{"key":"good","value":1}"#;
    for bad in [
        "{",
        "{\"key\"",
        "{\"key\":\"a",
        "{\"key\":\"a\",}",
        "{\"key\":\"a\" \"value\":1}",
        "nonsense",
        "{\"key\":\"a\",\"value\":01x}",
        "{\"key\":\"\\q\",\"value\":1}",
        "{\"key\":\"\\ud800\",\"value\":1}",
        "]",
        "{\"value\":tru}",
        "{\"key\":\"a\",\"value\":1}}",
    ] {
        let mut lines = read(Form::Lines, format!("{good}\n{bad}\n{good}\n").as_bytes());
        let whole = usize::from(bad.ends_with("}}"));
        assert_eq!(taken(&mut lines).len(), 2 + whole, "{bad}: {:?}", lines.faults);
        let got = refused(&lines);
        assert_eq!((got.len(), got[0].1, got[0].3), (1, 2, "json"), "{bad}: {got:?}");
        let mut array = read(Form::Json, format!("[{good},{bad},{good}]").as_bytes());
        assert_eq!((taken(&mut array).len(), array.refused()), (1 + whole, 1), "{bad}");
    }
    // What was taken is not taken again.
    let mut array = read(Form::Lines, format!("[{good},\n{good},\n{{,\n{good}]\n{good}\n").as_bytes());
    assert_eq!((taken(&mut array).len(), refused(&array)), (4, vec![(2, 3, 54, "json"), (4, 4, 80, "json")]));
    let deep = format!("{{\"key\":\"a\",\"value\":{}1{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let intake = read(Form::Json, deep.as_bytes());
    assert_eq!((intake.accepted, refused(&intake)[0].3), (0, "json"));
}

#[test]
fn points_are_read_from_text() {
    let body = "gauge 3|foo 0.5 1;gague 1|b 1 1;\ngauge 1|c nan 1;data 1|d 9|{\"one\":1} 1;\ndata 1|e 3|{on 1;event 1|f 1 1;gauge 1|g 1;";
    let mut intake = read(Form::Text, body.as_bytes());
    assert_eq!(
        taken(&mut intake),
        ["gauge 3|foo 0.5 1.0;", "gauge 1|g 1 1350332001.0;", "data 1|d 9|{\"one\":1} 1.0;"]
    );
    let got = refused(&intake);
    assert_eq!(
        got.iter().map(|(index, line, _, reason)| (*index, *line, *reason)).collect::<Vec<_>>(),
        [(1, 1, "unknown_kind"), (2, 2, "not_finite"), (4, 3, "json"), (5, 3, "unknown_kind")]
    );
    assert_eq!(&body[got[0].2..][..5], "gague");
}

#[test]
fn the_form_is_named_or_seen() {
    for (kind, body, want) in [
        (Some("application/json"), "x", Some(Form::Json)),
        (Some("application/json; charset=utf-8"), "", Some(Form::Json)),
        (Some("application/x-ndjson"), "[", Some(Form::Lines)),
        (Some("text/plain"), "gauge 1|a 1;", Some(Form::Text)),
        (Some("application/x-www-form-urlencoded"), " [{", Some(Form::Json)),
        (None, "\n{", Some(Form::Lines)),
        (None, "gauge", Some(Form::Text)),
        (Some("application/x-protobuf"), "[", None),
        (Some("multipart/form-data; boundary=x"), "[", None),
    ] {
        assert_eq!(Form::of(kind, body.as_bytes()), want, "{kind:?} {body}");
    }
}

#[test]
fn no_more_is_taken_than_there_is_room_for() {
    let body = format!("{{\"key\":\"{}\",\"points\":[{}[0,1]]}}", "k".repeat(1000), "[0,1],".repeat(100_000));
    let mut intake = Intake::new(NOW, 1 << 20, Vec::new());
    intake.read(Form::Json, body.as_bytes());
    assert!(intake.is_too_large && intake.len() < (1 << 20) + 100_000, "{}", intake.len());
}

#[test]
fn faults_are_told_up_to_a_number_and_counted_behind_it() {
    let body = "{\"key\":\"a\",\"value\":null}\n".repeat(FAULTS_TOLD + 20);
    let intake = read(Form::Lines, body.as_bytes());
    assert_eq!((intake.refused(), intake.faults.len()), (FAULTS_TOLD as u64 + 20, FAULTS_TOLD));
    let last = intake.faults.last().unwrap();
    assert_eq!((last.line, last.index), (FAULTS_TOLD as u64, FAULTS_TOLD as u64 - 1));
    assert!(last.text.len() <= TEXT_KEPT && last.text_offset <= last.text.len());
}

#[test]
fn a_batch_is_used_again() {
    let mut intake = read(Form::Text, b"gauge 1|a 1 1;");
    let spare = std::mem::replace(&mut intake, Intake::new(NOW, 1 << 20, Vec::new())).into_spare();
    assert_eq!(spare.len(), 1);
    let mut intake = Intake::new(NOW, 1 << 20, spare);
    intake.read(Form::Text, b"gauge 1|b 2 2;");
    assert_eq!(taken(&mut intake), ["gauge 1|b 2 2.0;"]);
    assert!(intake.spare.is_empty());
}

proptest! {
    #[test]
    fn json_of_metrics_is_read_as_serde_reads_it(
        key in "[ -:<-~é\"\\\\]{1,20}", units: i64, places in 0..6, ns in 0..2_000_000_000_000_000_000_i64, spaces in "[ \n\t]{0,3}",
    ) {
        let value = (units >> (units & 63)) as f64 / 10_f64.powi(places);
        let json = serde_json::json!({ "key": key, "value": value, "time": Time::from_ns(ns).to_string() });
        let body = json.to_string().replace(':', &format!(":{spaces}")).replace(&format!("\\\":{spaces}"), "\\\":");
        // Only where the key has no `:` is the text still the same.
        prop_assume!(!key.contains(':'));
        let mut intake = read(Form::Json, body.as_bytes());
        let batch = intake.batches[0].first_mut();
        prop_assert!(batch.is_some(), "{}: {:?}", body, intake.faults);
        let batch = batch.unwrap();
        let metric = Metrics::new(&batch.seal(0, 0)[HEADER_BYTES..], 1).next().unwrap().unwrap();
        prop_assert_eq!(metric.key, key.as_bytes());
        prop_assert_eq!((metric.time, metric.kind, metric.value.as_f64()), (Time::from_ns(ns), Kind::Gauge, value));
    }

    #[test]
    fn any_bytes_are_read_or_refused(
        bytes: Vec<u8>,
        near in "(\\{|\\}|\\[|\\]|,|:|\"key\"|\"value\"|\"points\"|\"note\"|\"tags\"|\"a\"|1|-|null|NaN|\n|\\\\u00e9|gauge 1|;){0,30}",
    ) {
        for body in [&bytes[..], near.as_bytes()] {
            for form in [Form::Json, Form::Lines, Form::Text] {
                let mut intake = read(form, body);
                prop_assert_eq!(taken(&mut intake).len() as u64, intake.accepted);
                prop_assert!(intake.faults.len() as u64 <= intake.refused());
                for fault in &intake.faults {
                    prop_assert!(fault.offset <= body.len() && fault.text_offset <= fault.text.len(), "{:?}", fault);
                }
            }
        }
    }
}
