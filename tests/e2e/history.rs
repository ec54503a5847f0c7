//! History over the original's routes: what a real collectd measured is read back as its own csv plugin wrote it, and
//! the requests of the original's documentation, made by curl, have the answers that stand there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use common::time::Time;
use serde_json::{Value, json};
use tests::{Process, Sandbox, service, wait_until};

use super::collectd::{PLAIN, READINGS, RESOLUTION_MS, Rows, config, written};

/// The processes between an input and a reader of history.
struct History {
    curl: PathBuf,
    address: SocketAddr,
    _processes: [Process; 3],
    sandbox: Sandbox,
}

/// An answer as curl got it.
#[derive(Debug)]
struct Answer {
    status: u16,
    media_type: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl History {
    /// Timeline, storage and http, running; none where there is no curl.
    fn begin(timeline: &str, storage: &str) -> Option<History> {
        let curl = service("curl")?;
        let mut sandbox = Sandbox::new();
        let timeline = sandbox.start_held("timeline", timeline);
        let storage = sandbox.start("storage", storage);
        let http = sandbox.start_held("http", "");
        let address = sandbox.listens("http")[0];
        sandbox.wait_peer(&sandbox.run().storage_databus());
        Some(History { curl, address, _processes: [timeline, storage, http], sandbox })
    }

    /// What curl gets from a path of the server's, with further arguments.
    fn curl(&self, arguments: &[&str], path: &str) -> Answer {
        let output = Command::new(&self.curl)
            .args(["--silent", "--show-error", "--globoff", "--max-time", "60"])
            .args(["--write-out", "\n%{http_code} %{content_type}"])
            .args(arguments)
            .arg(format!("http://{}{path}", self.address))
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{path}: {}", String::from_utf8_lossy(&output.stderr));
        let (body, end) = text.rsplit_once('\n').unwrap();
        let (status, media_type) = end.split_once(' ').unwrap();
        Answer { status: status.parse().unwrap(), media_type: media_type.to_owned(), body: body.to_owned() }
    }

    fn get(&self, path: &str) -> Answer {
        self.curl(&[], path)
    }

    /// Waits until storage has so many records.
    fn wait_stored(&self, records: u64) {
        wait_until(&format!("{records} records are stored"), || {
            self.sandbox.books("storage").counter("passed") >= records
        });
    }
}

/// What a route gives of a series: whole seconds, and values.
fn points(answer: &Answer, key: &str) -> Vec<(i64, f64)> {
    assert_eq!(answer.status, 200, "{key}: {answer:?}");
    let json = answer.json();
    assert_eq!(json["status"], 200, "{key}");
    let series = json["results"][key]["series"].as_array().unwrap_or_else(|| panic!("{key}: {json}"));
    series.iter().map(|point| (point[0].as_i64().unwrap(), point[1].as_f64().unwrap())).collect()
}

/// An event that a reading has to become: its time as csv has it, and the bounds of its value.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    ms: i64,
    low: f64,
    high: f64,
}

impl Wanted {
    fn is(&self, value: f64) -> bool {
        (self.low..=self.high).contains(&value)
    }

    /// The seconds that it may be read at: csv rounds to a millisecond, so a whole second may be the end of the last.
    fn seconds(&self) -> [i64; 2] {
        let second = self.ms.div_euclid(1000);
        [if self.ms % 1000 == 0 { second - 1 } else { second }, second]
    }
}

/// Every reading of a gauge is an event with its value; csv prints six decimals of it.
fn wanted_of_gauge(rows: &Rows) -> Vec<Wanted> {
    let each = rows.iter().map(|(ms, text)| (*ms, text.parse::<f64>().unwrap()));
    each.map(|(ms, value)| Wanted { ms, low: value - 5.1e-7, high: value + 5.1e-7 }).collect()
}

/// The rates are the differences of the readings by the time between them, which csv tells to a millisecond; a base
/// moves when half the resolution has passed, and the first one gives nothing. None, where a gap is so near to half
/// the resolution that csv does not tell whether it was one.
fn wanted_of_count(rows: &Rows) -> Option<Vec<Wanted>> {
    let mut wanted = Vec::new();
    let (mut base_ms, mut base) = (rows.first()?.0, rows[0].1.parse::<i64>().unwrap());
    for (ms, text) in &rows[1..] {
        let gap_ms = ms - base_ms;
        if (gap_ms - RESOLUTION_MS / 2).abs() <= 1 {
            return None;
        }
        if gap_ms < RESOLUTION_MS / 2 {
            continue;
        }
        let value = text.parse::<i64>().unwrap();
        let difference = (value - base) as f64 * 1000.0;
        let rates = [gap_ms as f64 + 1.1, gap_ms as f64 - 1.1].map(|gap_ms| difference / gap_ms);
        wanted.push(Wanted { ms: *ms, low: rates[0], high: rates[1] });
        (base_ms, base) = (*ms, value);
    }
    Some(wanted)
}

/// The route gives the last event of every second, and nothing else.
fn equal(key: &str, wanted: &[Wanted], points: &[(i64, f64)]) {
    assert!(points.is_sorted_by(|one, next| one.0 < next.0), "{key}: {points:?}");
    for (second, value) in points {
        let may_be: Vec<&Wanted> = wanted.iter().filter(|wanted| wanted.seconds().contains(second)).collect();
        // Only one whose second is in doubt can be behind the last that is certain.
        let last = may_be.iter().rposition(|wanted| wanted.seconds() == [*second; 2]).unwrap_or(0);
        assert!(
            may_be[last..].iter().any(|wanted| wanted.is(*value)),
            "{key}: {value} at {second} is none of {may_be:?}"
        );
    }
    for wanted in wanted {
        let is_there = points.iter().any(|(second, _)| wanted.seconds().contains(second));
        assert!(is_there, "{key}: nothing at {wanted:?} in {points:?}");
    }
}

#[test]
fn what_collectd_measured_is_read_by_past24() {
    let Some(program) = service("collectd") else { return };
    let Some(mut history) = History::begin(&format!("resolution = \"{RESOLUTION_MS}ms\""), "") else {
        return;
    };
    let input = history.sandbox.start_held("collectd", "security_level = \"none\"");
    let dir = history.sandbox.path().join("collectd");
    fs::create_dir(&dir).unwrap();
    let config = config(&dir, &history.sandbox, &PLAIN);
    let collectd = history.sandbox.begin("collectd", &program, &["-f", "-C", config.to_str().unwrap()]);
    wait_until("collectd has written enough", || {
        let written = written(&dir, PLAIN.prefix);
        ["cpu-0", "interface-lo", "load", "memory"].iter().all(|plugin| {
            let begin = format!("{}{plugin}.", PLAIN.prefix);
            let mut rows = written.iter().filter(|(key, _)| key.starts_with(&begin)).peekable();
            rows.peek().is_some() && rows.all(|(_, rows)| rows.len() >= READINGS)
        })
    });
    // It sends what it still holds, and ends.
    assert!(collectd.terminate().success());
    let written = written(&dir, PLAIN.prefix);
    let readings: usize = written.values().map(Vec::len).sum();
    let books = |process: &str| history.sandbox.books(process);
    wait_until("all is received", || {
        let books = books("collectd");
        books.counter("passed") - books.counter("notes") >= readings as u64
    });
    wait_until("all is applied", || {
        books("timeline").counter("received") == books("collectd").counter("passed")
    });
    history.wait_stored(books("timeline").counter("passed"));

    let (mut gauges, mut rates, mut in_doubt) = (0, 0, 0);
    for (key, rows) in &written {
        let is_count =
            ["cpu-", "interface-"].iter().any(|plugin| key[PLAIN.prefix.len()..].starts_with(plugin));
        let points = points(&history.get(&format!("/v1/past24/{key}")), key);
        if !is_count {
            equal(key, &wanted_of_gauge(rows), &points);
            gauges += points.len();
        } else if let Some(wanted) = wanted_of_count(rows) {
            equal(key, &wanted, &points);
            rates += points.len();
        } else {
            in_doubt += 1;
        }
    }
    eprintln!("{} series, {readings} readings: {gauges} gauges and {rates} rates by past24", written.len());
    assert!(
        gauges >= 9 * (READINGS - 1) && rates >= 8 * (READINGS - 2),
        "{gauges} {rates}, {in_doubt} in doubt"
    );

    // The same from the route for a pattern, and nothing that csv does not have.
    let listed = history.get("/v2/series?match=%5Eweb01%5C.");
    assert_eq!(listed.status, 200, "{listed:?}");
    assert!(written.keys().all(|key| listed.body.contains(key.as_str())), "{listed:?}");
    // collectd's notification is a note of its series, as the original's annotations are.
    let notes = history.get("/v1/data/past24/web01.load.load").json();
    let series = notes["results"]["web01.load.load"]["series"].as_array().unwrap().clone();
    assert!(series.iter().any(|note| note[1]["severity"] == "warning"), "{notes}");
    assert!(input.terminate().success());
}

#[test]
fn the_documented_requests_have_the_documented_answers() {
    // The documentation is of 2012, and so are the times in it.
    let Some(history) = History::begin("backfill_max = \"10000d\"", "retention = \"0s\"") else { return };

    // "Inserts a new metric under this key": a gauge of now.
    let before = Time::now().as_secs_f64();
    let answer = history.curl(&["-X", "POST", "-d", r#"{"type": "gauge", "value": 0.2}"#], "/v1/foobar");
    let said = answer.json();
    let timestamp = said["results"][0]["timestamp"].as_f64().unwrap();
    assert!((before - 0.001..=Time::now().as_secs_f64()).contains(&timestamp), "{said}");
    let want = json!({"status": 201, "results": [
        {"name": "foobar", "timestamp": timestamp, "type": "gauge", "value": 0.2}]});
    assert_eq!((answer.status, &said), (201, &want));

    // "You may also provide a list of metrics as long as theirs names match": here of the times of the next example.
    let list = r#"[{"type": "gauge", "value": 1, "timestamp": 1325428200, "name": "foobar"},
                   {"type": "gauge", "value": "2.5", "timestamp": 1325430059.9},
                   {"type": "gauge", "value": 9, "timestamp": 1325430060}]"#;
    let answer = history.curl(&["-X", "POST", "-d", list], "/v1/foobar");
    assert_eq!((answer.status, answer.json()["results"].as_array().unwrap().len()), (201, 3));

    // "Inserts a new data value under this key".
    let value = r#"{"host": "web01", "text": ["deployed", 3.4]}"#;
    let data = format!(r#"{{"value": {value}, "timestamp": 1352483918}}"#);
    let value: Value = serde_json::from_str(value).unwrap();
    let want = json!({"status": 201, "results": [
        {"name": "foobar", "timestamp": 1352483918, "value": value}]});
    for method in ["POST", "PUT"] {
        let answer = history.curl(&["-X", method, "-d", &data], "/v1/data/foobar");
        assert_eq!(numbers_as_floats(answer.json()), numbers_as_floats(want.clone()), "{method}");
        assert_eq!(answer.status, 201, "{method}");
    }
    // Four events and two notes, of which the second repeats the first.
    history.wait_stored(6);

    // "curl {endpoint}/v1/foobar?start=20120101T1430&finish=20120101T1500": the finish is its whole minute.
    let path = "/v1/foobar?start=20120101T1430&finish=20120101T1500";
    let answer = history.get(path);
    assert!(answer.media_type.starts_with("application/json"), "{answer:?}");
    let series = json!([[1_325_428_200, 1.0], [1_325_430_059, 2.5]]);
    assert_eq!(answer.json(), json!({"status": 200, "results": {"foobar": {"series": series}}}));

    // The other ranges of the same: a month, a day, the last ones.
    for (path, want) in [
        ("/v1/2012/01/foobar", Some(3)),
        ("/v1/2012/01/01/foobar", Some(3)),
        ("/v1/2012/02/foobar", None),
        ("/v1/past24/foobar", Some(1)),
        ("/v1/pastweek/foobar", Some(1)),
        ("/v1/past24/barfoo", None),
    ] {
        let answer = history.get(path);
        match want {
            Some(want) => assert_eq!(points(&answer, "foobar").len(), want, "{path}"),
            None => not_found(path, &answer),
        }
    }
    let series = json!([[1_352_483_918, value]]);
    let want = json!({"status": 200, "results": {"foobar": {"series": series}}});
    for path in [
        "/v1/data/2012/11/foobar",
        "/v1/data/2012/11/09/foobar",
        "/v1/data/foobar?start=20121109T1758&finish=20121109T1758",
    ] {
        assert_eq!(history.get(path).json(), want, "{path}");
    }
    not_found("/v1/data/past24/foobar", &history.get("/v1/data/past24/foobar"));

    // "All resources support the JSON-P protocol"; the status is in the body alone.
    let answer = history.get(&format!("{path}&callback=my_handler"));
    assert!(answer.media_type.starts_with("text/javascript"), "{answer:?}");
    let body = answer.body.trim_end().strip_prefix("my_handler(").and_then(|body| body.strip_suffix(");"));
    let body: Value = serde_json::from_str(body.unwrap()).unwrap();
    assert_eq!((answer.status, &body["status"]), (200, &json!(200)));
    let answer = history.get("/v1/past24/barfoo?callback=my_handler");
    assert_eq!(answer.status, 200);
    assert!(answer.body.replace(' ', "").contains(r#""status":404"#), "{answer:?}");

    // "You may add debug=true".
    let debug = history.get(&format!("{path}&debug=true")).json();
    assert!(debug["debug"]["uri"].as_str().unwrap().contains("/v1/foobar"), "{debug}");

    // "400: You did something wrong", in the one form of errors.
    let post = |body: &str| history.curl(&["-X", "POST", "-d", body], "/v1/foobar");
    for (label, answer) in [
        ("start behind finish", history.get("/v1/foobar?start=20120101T1500&finish=20120101T1430")),
        ("no range", history.get("/v1/foobar")),
        ("no month", history.get("/v1/2012/13/foobar")),
        ("no type", post(r#"{"value": 0.2}"#)),
        ("another name", post(r#"{"type": "gauge", "value": 0.2, "name": "barfoo"}"#)),
        ("no JSON", post("gauge 6|foobar 0.2;")),
    ] {
        assert_eq!(answer.status, 400, "{label}: {answer:?}");
        let said = answer.json();
        assert!(said["status"] == 400 && said["reason"].is_string(), "{label}: {said}");
    }
}

/// "404: The requested data could not be found": `{"status": int, "reason": string}`.
fn not_found(path: &str, answer: &Answer) {
    assert_eq!(answer.status, 404, "{path}: {answer:?}");
    let said = answer.json();
    assert!(said["status"] == 404 && said["reason"].is_string(), "{path}: {said}");
}

/// JSON has one kind of number: `1352483918` is `1352483918.0`.
fn numbers_as_floats(value: Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.into_iter().map(numbers_as_floats).collect(),
        Value::Object(fields) => {
            let fields: BTreeMap<String, Value> =
                fields.into_iter().map(|(name, value)| (name, numbers_as_floats(value))).collect();
            json!(fields)
        }
        other => other,
    }
}
