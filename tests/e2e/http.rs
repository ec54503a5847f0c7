//! The REST API through the real processes: a table of every route, request and answer, and what its description says.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeSet;
use std::net::SocketAddr;

use common::time::Time;
use serde_json::{Value, json};
use tests::schema::fits;
use tests::{Process, Reply, Sandbox, Web, wait_for, wait_until};

/// The core with store and REST API.
pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    pub(crate) processes: Vec<(&'static str, Process)>,
    pub(crate) sandbox: Sandbox,
}

impl Api {
    /// All of it, running, with this configuration of http.
    pub(crate) fn new(config: &str) -> Api {
        let mut sandbox = Sandbox::new();
        let processes =
            ["timeline", "dmproc", "storage"].map(|process| (process, sandbox.start_held(process, "")));
        let mut processes = Vec::from(processes);
        processes.push(("http", sandbox.start_held("http", config)));
        for consumer in [sandbox.run().dmproc_databus(), sandbox.run().storage_databus()] {
            sandbox.wait_peer(&consumer);
        }
        Api { address: sandbox.listens("http")[0], processes, sandbox }
    }

    pub(crate) fn ask(&self, method: &str, target: &str, extra: &str, body: &[u8]) -> Reply {
        Web::ask(self.address, method, target, extra, body)
    }

    pub(crate) fn get(&self, target: &str) -> Reply {
        self.ask("GET", target, "", b"")
    }

    pub(crate) fn post(&self, target: &str, body: &str) -> Reply {
        self.ask("POST", target, "", body.as_bytes())
    }

    /// Waits until a read has so many points.
    fn wait_points(&self, target: &str, points: usize) -> Reply {
        wait_for(&format!("{target} has {points} points"), || {
            let reply = self.get(target);
            let results = &serde_json::from_slice::<Value>(&reply.body).ok()?["results"];
            let series = results.as_object()?.values().next()?["series"].as_array()?.len();
            (series == points).then_some(reply)
        })
    }

    pub(crate) fn take(&mut self, name: &str) -> Process {
        let place = self.processes.iter().position(|(process, _)| *process == name).unwrap();
        self.processes.remove(place).1
    }
}

/// The description of the API, as it is served.
struct Description(Value);

impl Description {
    /// Panics where an answer is none that the description has for its request.
    fn check(&self, method: &str, target: &str, reply: &Reply) {
        let path = target.split('?').next().unwrap();
        let label = format!("{method} {target}: {} {}", reply.status, reply.text());
        let (template, item) = self.path(path).unwrap_or_else(|| panic!("no path: {label}"));
        let described = if method == "HEAD" { "get" } else { &method.to_ascii_lowercase() };
        let Some(operation) = item.get(described) else {
            assert_eq!(reply.status, 405, "{template}: {label}");
            return;
        };
        // A call of a callback has status 200, and the real one inside.
        let responses = &operation["responses"];
        let response = responses.get(reply.status.to_string()).or_else(|| {
            let kind = reply.header("content-type").unwrap_or_default();
            kind.starts_with("text/javascript")
                .then(|| responses.get("201").or_else(|| responses.get("200")))?
        });
        let response = response.unwrap_or_else(|| panic!("{template} has no such status: {label}"));
        let Some(contents) = response.get("content") else { return };
        let kind = reply.header("content-type").unwrap_or_default();
        let content = contents.get(kind).unwrap_or_else(|| panic!("{template} has no {kind}: {label}"));
        if kind.contains("json") && !kind.contains("ndjson") && method != "HEAD" {
            fits(&self.0, &content["schema"], &reply.json(), "$")
                .unwrap_or_else(|wrong| panic!("{wrong}: {label}"));
        }
        for name in response["headers"].as_object().into_iter().flatten().map(|(name, _)| name) {
            assert!(reply.header(&name.to_ascii_lowercase()).is_some(), "{name} is missing: {label}");
        }
    }

    /// The path of the description that an address is of: the one with the fewest parameters.
    fn path(&self, path: &str) -> Option<(&str, &Value)> {
        let paths = self.0["paths"].as_object().unwrap();
        let matches = |template: &str| {
            let (mut template, mut path) = (template.split('/').peekable(), path.split('/').peekable());
            loop {
                match (template.next(), path.next()) {
                    (None, None) => return true,
                    // A key may have slashes, and is last.
                    (Some("{key}" | "{tag}"), Some(_)) if template.peek().is_none() => return true,
                    (Some("{year}" | "{month}" | "{day}"), Some(part))
                        if part.bytes().all(|b| b.is_ascii_digit()) => {}
                    (Some("{file}"), Some(_)) => {}
                    (Some(a), Some(b)) if a == b => {}
                    _ => return false,
                }
            }
        };
        let known = paths.iter().filter(|(template, _)| matches(template));
        let longest = known.max_by_key(|(template, _)| {
            (template.matches('/').count(), !template.contains('{'), template.len())
        });
        longest.map(|(template, item)| (template.as_str(), item))
    }
}

#[test]
fn every_original_route_answers_as_documented() {
    let api = Api::new("");
    let description = Description(api.get("/openapi.json").json());
    // A day that is over, and written late.
    let day =
        1_366_549_800 + (Time::now().ns() / 1_000_000_000 - 1_366_549_800) / 86_400 * 86_400 - 3 * 86_400;
    let (year, month, dom) = {
        let text = common_date(day);
        (text[..4].to_owned(), text[4..6].to_owned(), text[6..8].to_owned())
    };
    let date = common_date(day);
    let one = format!(r#"{{"type":"gauge","value":0.2,"timestamp":{day}.3}}"#);
    let two = format!(
        r#"[{{"type":"gauge","value":"1","timestamp":"{}"}},{{"type":"gauge","value":2.5,"timestamp":{},"name":"Foo/Bar"}}]"#,
        day + 60,
        day + 60
    );
    let note = format!(r#"{{"value":{{"b":[1,null],"a":"x"}},"timestamp":{day}}}"#);
    let long = format!(r#"{{"value":"{}"}}"#, "x".repeat(8_192));
    let minute = format!("{date}T1310");

    // Writes.
    for (method, target, body, status, want) in [
        (
            "POST",
            "/v1/Foo/Bar",
            one.as_str(),
            201,
            json!({"results": [{"name": "Foo/Bar", "timestamp": day as f64 + 0.3, "type": "gauge", "value": 0.2}], "status": 201}),
        ),
        (
            "POST",
            "/v1/Foo%2FBar",
            &two,
            201,
            json!({"results": [
                {"name": "Foo/Bar", "timestamp": (day + 60) as f64, "type": "gauge", "value": 1.0},
                {"name": "Foo/Bar", "timestamp": (day + 60) as f64, "type": "gauge", "value": 2.5}], "status": 201}),
        ),
        ("POST", "/v1/foobar", "[]", 201, json!({"results": [], "status": 201})),
        (
            "POST",
            "/v1/data/Foo/Bar",
            &note,
            201,
            json!({"results": [{"name": "Foo/Bar", "timestamp": day as f64, "value": {"a": "x", "b": [1, null]}}], "status": 201}),
        ),
        ("PUT", "/v1/data/foobar", "[]", 201, json!({"results": [], "status": 201})),
        ("POST", "/v1/foobar", "{", 400, json!("json")),
        ("POST", "/v1/foobar", "5", 400, json!("json")),
        ("POST", "/v1/foobar", r#"{"value":1}"#, 400, json!("missing")),
        ("POST", "/v1/foobar", r#"{"type":"gauge"}"#, 400, json!("missing")),
        ("POST", "/v1/foobar", r#"{"type":"gague","value":1}"#, 400, json!("unknown_kind")),
        ("POST", "/v1/foobar", r#"{"type":"gauge","value":null}"#, 400, json!("value")),
        ("POST", "/v1/foobar", r#"{"type":"gauge","value":"a"}"#, 400, json!("value")),
        ("POST", "/v1/foobar", r#"{"type":"gauge","value":NaN}"#, 400, json!("not_finite")),
        ("POST", "/v1/foobar", r#"{"type":"gauge","value":"inf"}"#, 400, json!("not_finite")),
        ("POST", "/v1/foobar", r#"{"type":"gauge","value":1,"timestamp":"x"}"#, 400, json!("time")),
        ("POST", "/v1/foobar", r#"{"type":"gauge","value":1,"name":"other"}"#, 400, json!("bad_key")),
        ("POST", "/v1/a;", r#"{"type":"gauge","value":1}"#, 400, json!("bad_key")),
        // One that is wrong, and nothing of the request is taken.
        ("POST", "/v1/half", r#"[{"type":"gauge","value":1},{"type":"gauge"}]"#, 400, json!("missing")),
        ("POST", "/v1/data/foobar", "{}", 400, json!("missing")),
        ("POST", "/v1/data/foobar", &long, 400, json!("json")),
    ] {
        let reply = api.ask(method, target, "", body.as_bytes());
        let label = format!("{method} {target} {body:.80}");
        assert_eq!((reply.status, reply.is_whole), (status, true), "{label}: {}", reply.text());
        let got = reply.json();
        match want {
            Value::String(code) => {
                assert_eq!(
                    (&got["code"], &got["reason"], &got["status"]),
                    (&json!(code), &json!("Bad Request"), &json!(400)),
                    "{label}"
                );
                assert!(got["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{label}: {got}");
            }
            want => assert_eq!(got, want, "{label}"),
        }
        description.check(method, target, &reply);
    }

    // What was written is read, whatever asks for it.
    let points = format!("[[{day}, 0.2], [{}, 2.5]]", day + 60);
    let notes = format!("[[{day}, {{\"a\": \"x\", \"b\": [1, null]}}]]");
    api.wait_points(&format!("/v1/{year}/{month}/{dom}/Foo/Bar"), 2);
    api.wait_points(&format!("/v1/data/{year}/{month}/{dom}/Foo/Bar"), 1);
    for (data, series) in [("", &points), ("data/", &notes)] {
        for target in [
            format!("/v1/{data}pastweek/Foo/Bar"),
            format!("/v1/{data}{year}/{month}/{dom}/Foo/Bar"),
            format!("/v1/{data}{year}/{month}/{}/Foo%2fBar", dom.trim_start_matches('0')),
            format!("/v1/{data}{year}/{month}/Foo/Bar"),
            format!("/v1/{data}Foo/Bar?start={minute}&finish={date}T1311&nan=purge"),
        ] {
            let reply = api.get(&target);
            assert_eq!(
                (reply.status, reply.text()),
                (200, format!("{{\"results\": {{\"Foo/Bar\": {{\"series\": {series}}}}}, \"status\": 200}}")),
                "{target}"
            );
            assert_eq!(reply.header("content-type"), Some("application/json; charset=utf-8"), "{target}");
            assert_eq!(reply.header("access-control-allow-origin"), Some("*"), "{target}");
            // What goes on is not cached.
            let cached = reply.header("cache-control") == Some("public, max-age=300");
            assert!(!(cached && target.contains("pastweek")), "{target}");
            assert!(cached || !target.contains('?'), "{target}: {:?}", reply.headers);
            description.check("GET", &target, &reply);
        }
    }
    let minute_only = api.get(&format!("/v1/Foo/Bar?start={minute}&finish={minute}"));
    assert!(minute_only.text().contains(&format!("[[{day}, 0.2]]")), "{}", minute_only.text());

    // What is not there, is wrong, or has no such method.
    for (method, target, status, reason) in [
        ("GET", "/v1/past24/Foo/Bar", 404, "Not Found"),
        ("GET", "/v1/pastweek/foo/bar", 404, "Not Found"),
        ("GET", "/v1/pastweek/half", 404, "Not Found"),
        ("GET", "/v1/pastweek/a;", 404, "Not Found"),
        ("GET", "/v1/data/past24/foobar", 404, "Not Found"),
        ("GET", "/v1/2013/04/21/foobar", 404, "Not Found"),
        ("GET", "/v1/2013/04/foobar", 404, "Not Found"),
        ("GET", "/v1/foobar", 400, "Bad Request"),
        ("GET", "/v1/foobar?start=20130421T1000", 400, "Bad Request"),
        ("GET", "/v1/foobar?start=20130421T1000&finish=20130421T0959", 400, "Bad Request"),
        ("GET", "/v1/foobar?start=20130301T0000&finish=20130501T0000", 400, "Bad Request"),
        ("GET", "/v1/foobar?start=20120231T0000&finish=20120301T0000", 400, "Bad Request"),
        ("GET", "/v1/2012/02/31/foobar", 400, "Bad Request"),
        ("GET", "/v1/2013/13/foobar", 400, "Bad Request"),
        ("GET", "/v1/past24/foobar?nan=what", 400, "Bad Request"),
        ("GET", "/v1/past24/foobar?callback=1x", 400, "Bad Request"),
        ("POST", "/v1/past24/foobar", 405, "Method Not Allowed"),
        ("POST", "/v1/version", 405, "Method Not Allowed"),
        ("POST", "/v1/data/2013/04/foobar", 405, "Method Not Allowed"),
        ("PUT", "/v1/foobar", 405, "Method Not Allowed"),
        ("DELETE", "/v1/foobar", 405, "Method Not Allowed"),
        ("DELETE", "/v1/data/foobar", 405, "Method Not Allowed"),
    ] {
        let reply = api.ask(method, target, "", b"");
        let got = reply.json();
        assert_eq!(
            (reply.status, &got["status"], &got["reason"]),
            (status, &json!(status), &json!(reason)),
            "{method} {target}: {got}"
        );
        assert_eq!(reply.header("cache-control"), Some("public, max-age=0"), "{method} {target}");
        assert_eq!(reply.header("allow").is_some(), status == 405, "{method} {target}");
        description.check(method, target, &reply);
    }
    for (method, target, status) in [
        ("GET", "/nowhere", 404),
        ("POST", "/json/host/service/time", 404),
        ("DELETE", "/nowhere", 404),
        ("HEAD", "/nowhere", 404),
        ("PUT", "/nowhere", 405),
        ("HEAD", "/v1/foobar", 405),
        ("HEAD", "/v1/version", 405),
    ] {
        let reply = api.ask(method, target, "", b"");
        assert_eq!(reply.status, status, "{method} {target}");
        assert_eq!(reply.body.is_empty(), method == "HEAD", "{method} {target}");
    }

    // Parameters of all routes.
    let reply = api.get("/v1/version");
    assert_eq!(reply.text(), r#"{"build": "0", "major": "0", "minor": "1", "version": "0.1.0"}"#);
    description.check("GET", "/v1/version", &reply);
    let reply = api.get("/v1/version?callback=f_1");
    assert_eq!(reply.text(), r#"f_1({"build": "0", "major": "0", "minor": "1", "version": "0.1.0"});"#);
    let target = format!("/v1/{year}/{month}/{dom}/Foo/Bar?callback=jQuery_17&_=99");
    let reply = api.get(&target);
    assert_eq!(reply.header("content-type"), Some("text/javascript; charset=utf-8"));
    assert_eq!(
        reply.text(),
        format!("jQuery_17({{\"results\": {{\"Foo/Bar\": {{\"series\": {points}}}}}, \"status\": 200}});")
    );
    description.check("GET", &target, &reply);
    let reply = api.get("/v1/past24/nothing?callback=f&debug=1");
    assert_eq!((reply.status, reply.text().starts_with("f({\"")), (200, true), "{}", reply.text());
    assert!(reply.text().contains("\"status\": 404"), "{}", reply.text());
    for target in [format!("/v1/{year}/{month}/Foo/Bar?debug"), "/v1/past24/nothing?debug".to_owned()] {
        let reply = api.get(&target);
        let debug = &reply.json()["debug"];
        assert_eq!(debug["uri"], json!(target));
        assert!(
            debug["walltime"].is_number() && debug["now"].as_str().unwrap().ends_with("+0000"),
            "{debug}"
        );
        assert_eq!(debug.get("exception").is_some(), reply.status == 404);
        description.check("GET", &target, &reply);
    }
    let books = api.sandbox.books("http");
    assert_eq!((books.counter("received"), books.counter("accepted"), books.counter("passed")), (4, 4, 4));
}

/// `20130421` of a time in seconds.
fn common_date(second: i64) -> String {
    let days = second.div_euclid(86_400);
    let (mut year, mut day) = (1970, days);
    let leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    while day >= 365 + i64::from(leap(year)) {
        day -= 365 + i64::from(leap(year));
        year += 1;
    }
    let mut month = 1;
    for length in [31, 28 + i64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if day < length {
            break;
        }
        day -= length;
        month += 1;
    }
    format!("{year:04}{month:02}{:02}", day + 1)
}

#[test]
fn every_route_of_ours_answers_as_described() {
    let mut api = Api::new("");
    let description = Description(api.get("/openapi.json").json());
    let now = Time::now().ns() / 1_000_000_000;
    let body = format!(
        "[{{\"key\":\"web.hits\",\"tags\":{{\"dc\":\"ams\",\"host\":\"a\"}},\"points\":[[{},1],[{},2],[{},4.5]]}},\
         {{\"key\":\"web.hits;dc=ber\",\"value\":7,\"time\":{}}},{{\"key\":\"deploys\",\"note\":{{\"v\":7}}}}]",
        now - 120,
        now - 90,
        now - 60,
        now - 60
    );
    let reply = api.post("/v2/write", &body);
    assert_eq!((reply.status, reply.json()), (200, json!({"accepted": 5, "refused": 0})));
    description.check("POST", "/v2/write", &reply);
    wait_for("all is stored", || {
        let series = api.get("/v2/series?match=^web").json()["series"].as_array()?.clone();
        (series.iter().map(|one| one["points"].as_u64().unwrap_or(0)).sum::<u64>() == 4).then_some(())
    });

    let mut asked = BTreeSet::new();
    for (method, target, extra, status) in [
        ("GET", "/v2/range?match=^web", "", 200),
        ("GET", "/v2/range?key=web.hits;dc=ber&from=-1h&to=now", "", 200),
        ("GET", "/v2/range?key=web.hits%3Bdc%3Dber&from=-1h&format=ndjson", "", 200),
        ("GET", "/v2/range?match=^web&where=dc=ams", "Accept: text/csv\r\n", 200),
        ("GET", "/v2/range?match=^web&step=1h&fn=sum", "", 200),
        ("GET", "/v2/range?match=^web&limit=2", "", 200),
        ("GET", "/v2/range?key=nothing", "", 200),
        ("HEAD", "/v2/range?match=^web", "", 200),
        ("GET", "/v2/range", "", 400),
        ("GET", "/v2/range?key=a&match=b", "", 400),
        ("GET", "/v2/range?match=(", "", 400),
        ("GET", "/v2/range?key=a&from=then", "", 400),
        ("GET", "/v2/range?key=a&from=now&to=-1h", "", 400),
        ("GET", "/v2/range?key=a&fn=avg", "", 400),
        ("GET", "/v2/range?key=a&step=1m&fn=mean", "", 400),
        ("GET", "/v2/range?key=a&step=0s", "", 400),
        ("GET", "/v2/range?key=a&step=1", "", 400),
        ("GET", "/v2/range?key=a&form=csv", "", 400),
        ("GET", "/v2/range?key=a&format=xml", "", 400),
        ("GET", "/v2/range?key=a&limit=0", "", 400),
        ("GET", "/v2/range?match=a&where=dc", "", 400),
        ("POST", "/v2/range", "", 405),
        ("GET", "/v2/series", "", 200),
        ("GET", "/v2/series?limit=1", "", 200),
        ("GET", "/v2/series?match=[", "", 400),
        ("GET", "/v2/tags", "", 200),
        ("GET", "/v2/tags/dc", "", 200),
        ("GET", "/v2/tags/none", "", 200),
        ("GET", "/v2/tags?x=1", "", 400),
        ("GET", "/v2/live", "", 400),
        ("GET", "/v2/live?match=(", "", 400),
        ("GET", "/v2/live?match=a&pipeline=meen", "", 400),
        ("POST", "/v2/live?match=a", "", 405),
        ("GET", "/v2/status", "", 200),
        ("GET", "/v2/write", "", 405),
        ("DELETE", "/v2/write", "", 405),
        ("GET", "/health", "", 200),
        ("GET", "/ready", "", 200),
        ("GET", "/metrics", "", 200),
        ("GET", "/openapi.json", "", 200),
        ("GET", "/", "", 200),
        ("GET", "/page/page.js", "", 200),
        ("GET", "/page/none.js", "", 404),
    ] {
        let reply = api.ask(method, target, extra, b"");
        let label = format!("{method} {target}: {}", reply.text());
        assert_eq!((reply.status, reply.is_whole), (status, true), "{label}");
        if target.starts_with("/v2/") && status >= 400 {
            assert_eq!(reply.header("content-type"), Some("application/problem+json"), "{label}");
            assert_eq!(reply.json()["status"], status, "{label}");
        }
        assert_eq!(reply.header("x-content-type-options"), Some("nosniff"), "{label}");
        // No page of another origin reads these.
        assert_eq!(reply.header("access-control-allow-origin"), None, "{label}");
        description.check(method, target, &reply);
        asked.insert(target.split('?').next().unwrap().to_owned());
    }
    let unknown = api.get("/v2/nowhere");
    assert_eq!((unknown.status, unknown.header("content-type")), (404, Some("application/problem+json")));

    // What the answers say.
    let key = "web.hits;dc=ams;host=a";
    let range = api.get("/v2/range?match=^web&from=-1h").json();
    assert_eq!(
        range["series"],
        json!([
            {"key": key, "points": [[(now - 120) as f64, 1.0], [(now - 90) as f64, 2.0], [(now - 60) as f64, 4.5]]},
            {"key": "web.hits;dc=ber", "points": [[(now - 60) as f64, 7.0]]}
        ])
    );
    let csv = api.get("/v2/range?match=^web&where=dc!=ams&format=csv");
    assert_eq!(csv.text(), format!("key,time,value\nweb.hits;dc=ber,{}.0,7.0\n", now - 60));
    let lines = api.get("/v2/range?match=^web&where=dc=ber&format=ndjson");
    assert_eq!(
        lines.text(),
        format!("{{\"key\":\"web.hits;dc=ber\",\"time\":{}.0,\"value\":7.0}}\n", now - 60)
    );
    // What is read can be written again.
    assert_eq!(api.ask("POST", "/v2/write", "", &lines.body).json()["accepted"], 1);
    let sums = api.get("/v2/range?match=^web&from=-1h&step=100000h&fn=sum").json();
    let points: Vec<&Value> =
        sums["series"].as_array().unwrap().iter().map(|one| &one["points"][0][1]).collect();
    assert_eq!(points, [&json!(7.5), &json!(7.0)]);
    assert_eq!(
        api.get("/v2/tags/dc").json(),
        json!({"tag": "dc", "values": [{"value": "ams", "series": 1}, {"value": "ber", "series": 1}]})
    );
    let series = api.get("/v2/series?limit=1").json();
    assert_eq!((series["series"].as_array().unwrap().len(), &series["more"]), (1, &json!(true)));
    let report: Value = serde_json::from_slice(&api.sandbox.leela(&["status", "-o", "json"]).stdout).unwrap();
    let status = api.get("/v2/status").json();
    let names = |report: &Value| report.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!((names(&status), &status["balanced"]), (names(&report), &json!(true)));
    // Where storage and dmproc are away, it says so; writes go on.
    for (process, target, part) in
        [("storage", "/v2/range?key=a", "reads"), ("dmproc", "/v2/live?match=a", "live")]
    {
        api.take(process).kill9();
        api.sandbox.close(process);
        // The sandbox held the sockets: with it they go.
        let reply = api.get(target);
        assert_eq!(reply.status, 503, "{target}: {}", reply.text());
        description.check("GET", target, &reply);
        let ready = api.get("/ready");
        assert_ne!(ready.json()["parts"][part], "ok");
        assert_eq!((ready.status, ready.json()["ready"].as_bool()), (503, Some(false)));
        description.check("GET", "/ready", &ready);
    }
    let old = api.get("/v1/past24/foobar");
    assert_eq!((old.status, &old.json()["reason"]), (503, &json!("Service Unavailable")));
    description.check("GET", "/v1/past24/foobar", &old);
    assert_eq!(api.post("/v2/write", "gauge 1|a 1;").status, 200);
    let described = description.0["paths"].as_object().unwrap();
    let not_asked = described
        .keys()
        .filter(|path| !path.contains('{') && !path.starts_with("/v1/") && !asked.contains(*path));
    assert_eq!(not_asked.collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn a_write_says_what_was_accepted_and_what_was_refused_where_and_why() {
    let api = Api::new("");
    let description = Description(api.get("/openapi.json").json());
    let gzip = |body: &[u8]| {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        std::io::Write::write_all(&mut out, body).unwrap();
        out.finish().unwrap()
    };
    let zstd =
        |body: &[u8]| ruzstd::encoding::compress_to_vec(body, ruzstd::encoding::CompressionLevel::Fastest);
    let lines = "{\"key\":\"a\",\"value\":1}\n{\"key\":\"a\",\"value\":NaN}\n{\"key\":\"\",\"value\":2}\n{oops\n{\"key\":\"b\",\"value\":3}";
    let text = "gauge 1|a 1;gauge 1|a inf;gauge 1|b 2;";
    let (packed, packed_text) = (gzip(lines.as_bytes()), zstd(text.as_bytes()));
    for (extra, body, status, accepted, refused) in [
        (
            "Content-Type: application/x-ndjson\r\n",
            lines.as_bytes(),
            400,
            2,
            &[(1, 2, "not_finite"), (2, 3, "bad_key"), (3, 4, "json")][..],
        ),
        (
            "Content-Encoding: gzip\r\n",
            &packed,
            400,
            2,
            &[(1, 2, "not_finite"), (2, 3, "bad_key"), (3, 4, "json")],
        ),
        (
            "Content-Encoding: zstd\r\nContent-Type: text/plain\r\n",
            &packed_text,
            400,
            2,
            &[(1, 1, "not_finite")],
        ),
        ("Content-Type: application/json\r\n", b"[]", 200, 0, &[]),
        ("", b"", 200, 0, &[]),
        ("Content-Type: application/json\r\n", b"[{\"key\":\"a\",\"value\":1},", 400, 1, &[(1, 1, "json")]),
    ] {
        let reply = api.ask("POST", "/v2/write", extra, body);
        let got = reply.json();
        assert_eq!((reply.status, &got["accepted"]), (status, &json!(accepted)), "{extra}: {got}");
        let errors = got["errors"].as_array().cloned().unwrap_or_default();
        let errors: Vec<(u64, u64, &str)> = errors
            .iter()
            .map(|error| {
                (
                    error["index"].as_u64().unwrap(),
                    error["line"].as_u64().unwrap(),
                    error["reason"].as_str().unwrap(),
                )
            })
            .collect();
        assert_eq!(errors, refused, "{extra}: {got}");
        assert_eq!(got["refused"], json!(refused.len()), "{extra}");
        if let Some((_, _, reason)) = refused.first() {
            assert_eq!(got["code"], json!(reason), "{got}");
        }
        description.check("POST", "/v2/write", &reply);
    }
    for (extra, body, status, code) in [
        ("Content-Type: application/x-protobuf\r\n", &b"x"[..], 415, "media_type"),
        ("Content-Encoding: br\r\n", b"x", 415, "encoding"),
        ("Content-Encoding: gzip, gzip\r\n", b"x", 415, "encoding"),
        ("Content-Encoding: gzip\r\n", b"not gzip", 400, "encoding"),
        ("Content-Encoding: zstd\r\n", &packed_text[..8], 400, "encoding"),
    ] {
        let reply = api.ask("POST", "/v2/write", extra, body);
        assert_eq!(
            (reply.status, &reply.json()["code"]),
            (status, &json!(code)),
            "{extra}: {}",
            reply.text()
        );
        description.check("POST", "/v2/write", &reply);
    }
    // Every one that was refused is in the books, and shown.
    let books = api.sandbox.books("http");
    assert_eq!(
        (books.counter("accepted"), books.total("refused"), books.counter("refused.not_finite")),
        (7, 8, 3)
    );
    assert_eq!(books.counter("received"), 15);
    let shown = api.sandbox.leela(&["refused", "--process", "http", "-o", "json"]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("\"reason\":\"bad_key\"") && shown.contains("127.0.0.1:"), "{shown}");
    wait_until("the timeline has it all", || api.sandbox.books("timeline").counter("received") == 7);
}

#[test]
fn events_are_streamed_as_they_happen() {
    let mut api = Api::new("");
    let mut web = Web::open(api.address);
    web.request("GET", "/v2/live?match=^room", "", b"");
    assert_eq!(web.head().status, 200);
    assert_eq!(web.chunk().unwrap(), b": live\n\n");
    let now = Time::now().ns() / 1_000_000_000;
    let body =
        format!(r#"[{{"key":"room.temp;in=\"a\"","value":21.5,"time":{now}}},{{"key":"attic","value":1}}]"#);
    assert_eq!(api.post("/v2/write", &body).status, 200);
    let event = String::from_utf8(web.chunk().unwrap()).unwrap();
    assert_eq!(
        event,
        format!("data: {{\"key\":\"room.temp;in=\\\"a\\\"\",\"time\":{now}.0,\"value\":21.5}}\n\n")
    );
    // Exactly one key, through a pipeline.
    let mut one = Web::open(api.address);
    one.request("GET", "/v2/live?key=a.b&pipeline=(*%202)", "", b"");
    assert_eq!((one.head().status, one.chunk().is_some()), (200, true));
    assert_eq!(api.post("/v2/write", r#"[{"key":"axb","value":1},{"key":"a.b","value":4}]"#).status, 200);
    let event = String::from_utf8(one.chunk().unwrap()).unwrap();
    assert!(event.contains("\"key\":\"a.b\"") && event.contains("\"value\":8.0"), "{event}");
    wait_until("two streams are counted", || api.sandbox.books("http").counter("streams") == 2);
    drop(one);
    wait_until("a client that hangs up is gone", || api.sandbox.books("http").counter("streams") == 1);
    // dmproc goes away: it is said, and the stream ends.
    api.take("dmproc").kill9();
    // Where that takes long, it is said that nothing happened.
    let mut last = ": ".to_owned();
    while last.starts_with(": ") {
        last = String::from_utf8(web.chunk().unwrap()).unwrap();
    }
    assert!(last.starts_with("event: ended\ndata: {\"detail\":\"leela-dmproc"), "{last}");
    assert_eq!(web.chunk().unwrap(), b"");
}

#[test]
fn a_stopping_server_ends_its_streams_and_finishes_its_requests() {
    let mut api = Api::new("drain_timeout = \"30s\"");
    let mut live = Web::open(api.address);
    live.request("GET", "/v2/live?match=.", "", b"");
    assert_eq!((live.head().status, live.chunk().is_some()), (200, true));
    let mut idle = Web::open(api.address);
    idle.request("GET", "/health", "", b"");
    assert_eq!(idle.reply("GET").status, 200);
    assert!(api.take("http").terminate().success());
    assert!(String::from_utf8(live.chunk().unwrap()).unwrap().contains("event: ended"));
    assert!(idle.is_closed());
    let books = api.sandbox.books("http");
    assert_eq!((books.state, books.counter("connections")), (common::books::State::Ended, 0));
}
