//! A real collectd: what it sends, at every level of security, is what its own csv plugin writes beside it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::time::{SECOND_NS, Time};
use tests::{Leela, Process, Sandbox, service, wait_until, workspace};

/// Readings of each series that a test waits for.
pub(super) const READINGS: usize = 5;
/// The timeline's `resolution` is collectd's interval.
pub(super) const RESOLUTION_MS: i64 = 1000;

/// A level, and what its keys begin with.
pub(super) struct Level {
    name: &'static str,
    /// As collectd.conf has it.
    security: &'static str,
    pub(super) prefix: &'static str,
}

pub(super) const PLAIN: Level = Level { name: "none", security: "SecurityLevel None", prefix: "web01." };
const SIGNED: Level = Level { name: "sign", security: "SecurityLevel Sign", prefix: "alice.web01." };
const ENCRYPTED: Level = Level { name: "encrypt", security: "SecurityLevel Encrypt", prefix: "alice.web01." };

/// A collectd, the processes it feeds, and where it keeps its own account.
struct Fed {
    collectd: Process,
    dir: PathBuf,
    sandbox: Sandbox,
    _processes: [Process; 3],
}

/// Starts leela-collectd, timeline and dmproc; collectd itself comes with [`Fed::begin`].
fn fed(level: &Level, begin: impl FnOnce(&Sandbox)) -> Option<Fed> {
    let program = service("collectd")?;
    let mut sandbox = Sandbox::new();
    let timeline = sandbox.start_held("timeline", &format!("resolution = \"{RESOLUTION_MS}ms\""));
    let dmproc = sandbox.start_held("dmproc", "");
    let users = sandbox.path().join("users");
    fs::write(&users, "alice: secret\n").unwrap();
    let input = format!("security_level = \"{}\"\nauth_file = {users:?}", level.name);
    let input = sandbox.start_held("collectd", &input);
    sandbox.wait_peer(&sandbox.run().dmproc_databus());
    begin(&sandbox);
    let dir = sandbox.path().join("collectd");
    fs::create_dir(&dir).unwrap();
    let config = config(&dir, &sandbox, level);
    let collectd = sandbox.begin("collectd", &program, &["-f", "-C", config.to_str().unwrap()]);
    Some(Fed { collectd, dir, sandbox, _processes: [timeline, dmproc, input] })
}

/// tests/services/collectd.conf.in, filled in.
pub(super) fn config(dir: &Path, sandbox: &Sandbox, level: &Level) -> PathBuf {
    let to = sandbox.listens("collectd")[0];
    let mut security = format!("    {}\n", level.security);
    if level.name != PLAIN.name {
        security.push_str("    Username \"alice\"\n    Password \"secret\"\n");
    }
    let text = fs::read_to_string(workspace().join("tests/services/collectd.conf.in")).unwrap();
    let text = text
        .replace("@dir@", dir.to_str().unwrap())
        .replace("@server@", &format!("\"{}\" \"{}\"", to.ip(), to.port()))
        .replace("@security@", &security);
    let path = dir.join("collectd.conf");
    fs::write(&path, text).unwrap();
    path
}

/// What collectd wrote of a series: milliseconds since 1970, and the value as it printed it.
pub(super) type Rows = Vec<(i64, String)>;
/// What Leela made of it.
type Points = Vec<(Time, f64)>;

/// All of the csv plugin's files, by the keys that they have in Leela.
pub(super) fn written(dir: &Path, prefix: &str) -> BTreeMap<String, Rows> {
    let mut series: BTreeMap<String, Rows> = BTreeMap::new();
    let Ok(plugins) = fs::read_dir(dir.join("csv/web01")) else { return series };
    for plugin in plugins.map(|plugin| plugin.unwrap()) {
        for file in fs::read_dir(plugin.path()).unwrap().map(|file| file.unwrap()) {
            let name = file.file_name().into_string().unwrap();
            // Behind it stands the day, as -2012-10-15: a series has two files at midnight.
            let name = &name[..name.len() - 11];
            let key = format!("{prefix}{}.{name}", plugin.file_name().to_str().unwrap());
            let text = fs::read_to_string(file.path()).unwrap();
            let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
            let Some(head) = lines.next() else { continue };
            let sources: Vec<&str> = head.split(',').skip(1).collect();
            for line in lines {
                let mut fields = line.split(',');
                let (seconds, ms) = fields.next().and_then(|epoch| epoch.split_once('.')).unwrap();
                let ms = seconds.parse::<i64>().unwrap() * 1000 + ms.parse::<i64>().unwrap();
                for (source, value) in sources.iter().zip(fields) {
                    let key = match sources.len() {
                        1 => key.clone(),
                        _ => format!("{key}.{source}"),
                    };
                    series.entry(key).or_default().push((ms, value.to_owned()));
                }
            }
        }
    }
    series.values_mut().for_each(|rows| rows.sort_by_key(|(ms, _)| *ms));
    series
}

/// What `leela query -o csv` printed, by key.
fn queried(query: &Leela) -> BTreeMap<String, Points> {
    let out = query.out();
    let mut lines = out.lines();
    assert_eq!(lines.next(), Some("time,key,value"));
    let mut series: BTreeMap<String, Points> = BTreeMap::new();
    for line in lines {
        let [time, key, value] = line.split(',').collect::<Vec<_>>()[..] else { panic!("{line:?}") };
        series.entry(key.to_owned()).or_default().push((time_of(time), value.parse().unwrap()));
    }
    series
}

fn time_of(text: &str) -> Time {
    let (seconds, fraction) = text.split_once('.').unwrap();
    let ns: i64 = format!("{fraction:0<9}").parse().unwrap();
    Time::from_ns(seconds.parse::<i64>().unwrap() * SECOND_NS + ns)
}

/// Whether a time is the one that csv has in milliseconds.
fn is_at(time: Time, ms: i64) -> bool {
    (time.ns() - ms * 1_000_000).abs() <= 501_000
}

/// Every reading of a gauge is an event with its value; csv prints six decimals of it.
fn gauges_are_equal(key: &str, rows: &Rows, points: &Points) {
    assert_eq!(rows.len(), points.len(), "{key}: {rows:?} {points:?}");
    for ((ms, text), (time, value)) in rows.iter().zip(points) {
        assert!(is_at(*time, *ms), "{key}: {time} and {ms} ms");
        let want: f64 = text.parse().unwrap();
        assert!((value - want).abs() <= 5.1e-7, "{key} at {time}: {value} is not {want}");
    }
}

/// The rates are the differences of the readings by the time between them; a base moves when half the resolution
/// has passed, and the first one gives nothing. Gives the rates that were compared to the last bit.
fn rates_are_right(key: &str, rows: &Rows, points: &Points) -> usize {
    let (mut base_ms, mut base) = (rows[0].0, rows[0].1.parse::<i64>().unwrap());
    // The base's time to the nanosecond, which only an event has.
    let mut base_time = None;
    let (mut points, mut exact) = (points.iter().peekable(), 0);
    for (ms, text) in &rows[1..] {
        let Some((time, rate)) = points.next_if(|(time, _)| is_at(*time, *ms)) else {
            assert!(ms - base_ms <= RESOLUTION_MS / 2, "{key}: no rate at {ms} ms after {base_ms} ms");
            continue;
        };
        assert!(ms - base_ms >= RESOLUTION_MS / 2 - 1, "{key}: a rate at {ms} ms after {base_ms} ms");
        let value = text.parse::<i64>().unwrap();
        let difference = (value - base) as f64;
        match base_time {
            Some(base_time) => {
                let want = difference / (time.since_ns(base_time) as f64 / SECOND_NS as f64);
                assert_eq!(*rate, want, "{key} at {time}");
                exact += 1;
            }
            // Its time is known to half a millisecond.
            None => {
                let gap_ms = (ms - base_ms) as f64;
                let bounds = [gap_ms - 1.1, gap_ms + 1.1].map(|gap_ms| difference * 1000.0 / gap_ms);
                assert!((bounds[1]..=bounds[0]).contains(rate), "{key} at {time}: {rate}, {bounds:?}");
            }
        }
        (base_ms, base, base_time) = (*ms, value, Some(*time));
    }
    assert_eq!(points.next(), None, "{key}: more rates than readings");
    exact
}

fn its_values_are_queried(level: &Level) {
    let mut query = None;
    let begun = fed(level, |sandbox| {
        query = Some(sandbox.begin_leela(&[
            "query",
            "-o",
            "csv",
            "id",
            &format!("^{}", level.prefix.replace('.', r"\.")),
        ]));
        wait_until("it has asked", || sandbox.books("dmproc").counter("procs") == 1);
    });
    let (Some(fed), Some(mut query)) = (begun, query) else { return };
    let Fed { collectd, dir, sandbox, .. } = fed;
    // A query as people type it, beside the one for all.
    let load = format!("SELECT id FROM ^{}load\\.load\\.shortterm$", level.prefix.replace('.', r"\."));
    let mut counted = sandbox.begin_leela(&["query", "--count", "2", "--timeout", "60s", &load]);
    wait_until("collectd has written enough", || {
        let written = written(&dir, level.prefix);
        ["cpu-0", "interface-lo", "load", "memory"].iter().all(|plugin| {
            let begin = format!("{}{plugin}.", level.prefix);
            let mut rows = written.iter().filter(|(key, _)| key.starts_with(&begin)).peekable();
            rows.peek().is_some() && rows.all(|(_, rows)| rows.len() >= READINGS)
        })
    });
    assert_eq!(counted.status(), Some(0));
    // It sends what it still holds, and ends.
    assert!(collectd.terminate().success());
    let written = written(&dir, level.prefix);
    let readings: usize = written.values().map(Vec::len).sum();
    let is_rate =
        |key: &str| ["cpu-", "interface-"].iter().any(|plugin| key[level.prefix.len()..].starts_with(plugin));
    let books = || sandbox.books("collectd");
    wait_until("all is received", || books().counter("passed") - books().counter("notes") >= readings as u64);
    wait_until("all is applied", || {
        sandbox.books("timeline").counter("received") == books().counter("passed")
    });
    let timeline = sandbox.books("timeline");
    let events = (timeline.counter("passed") - timeline.counter("notes")) as usize;
    query.wait_lines(1 + events);
    let queried = queried(&query);
    assert_eq!(query.interrupt(), Some(0));

    let (mut gauges, mut rates, mut exact) = (0, 0, 0);
    let none = Vec::new();
    for (key, rows) in &written {
        let points = queried.get(key).unwrap_or(&none);
        if is_rate(key) {
            exact += rates_are_right(key, rows, points);
            rates += points.len();
        } else {
            gauges_are_equal(key, rows, points);
            gauges += points.len();
        }
    }
    let moving = |points: &Points| points.iter().any(|(_, rate)| *rate != 0.0);
    assert!(
        queried.iter().any(|(key, points)| is_rate(key) && moving(points)),
        "a machine that does nothing"
    );
    assert!(gauges >= 9 * READINGS && exact >= 8 * (READINGS - 2), "{gauges} gauges, {exact} exact rates");
    for key in queried.keys() {
        assert!(written.contains_key(key), "{key} is not in csv");
    }
    eprintln!(
        "{}: {} series, {readings} readings; {gauges} gauges and {rates} rates by `leela query`, {exact} of them to \
         the last bit",
        level.name,
        written.len()
    );
    assert_eq!(gauges + rates, events);
    let shown: Vec<(Time, f64)> = counted.out().lines().map(event).collect();
    let load = &queried[&format!("{}load.load.shortterm", level.prefix)];
    assert_eq!(shown.len(), 2);
    assert!(load.windows(2).any(|two| two == shown), "{shown:?} {load:?}");
    let books = books();
    assert_eq!((books.total("refused"), books.counter("untyped"), books.counter("unverified")), (0, 0, 0));
    assert_eq!((timeline.total("refused"), timeline.counter("reset")), (0, 0));
}

/// The time and the value of `event 3|foo 1 2.0;`.
fn event(line: &str) -> (Time, f64) {
    let fields: Vec<&str> = line.trim_end_matches(';').split(' ').collect();
    let [_, _, value, time] = fields[..] else { panic!("{line:?}") };
    (time_of(time), value.parse().unwrap())
}

#[test]
fn plain_values_are_queried() {
    its_values_are_queried(&PLAIN);
}

#[test]
fn signed_values_are_queried() {
    its_values_are_queried(&SIGNED);
}

#[test]
fn encrypted_values_are_queried() {
    its_values_are_queried(&ENCRYPTED);
}

#[test]
fn its_notifications_are_notes() {
    for level in [&PLAIN, &ENCRYPTED] {
        let mut recorder = None;
        let begun = fed(level, |sandbox| recorder = Some(sandbox.recorder_that("notes", "notes")));
        let (Some(fed), Some(recorder)) = (begun, recorder) else { return };
        let notes = recorder.wait_kept(1);
        assert_eq!(notes[0].key, format!("{}load.load", level.prefix));
        // collectd's own log has it as well.
        let log = || fs::read_to_string(fed.dir.join("log")).unwrap_or_default();
        wait_until("collectd has logged it", || log().contains("Notification: severity = WARNING"));
        let log = log();
        let line = log.lines().find(|line| line.contains("Notification: ")).unwrap();
        let (_, message) = line.split_once("message = ").unwrap();
        let note: serde_json::Value = serde_json::from_str(&notes[0].text).unwrap();
        assert_eq!(note, serde_json::json!({"severity": "warning", "message": message}));
        assert!((Time::now().since_ns(notes[0].time)).abs() < 60 * SECOND_NS, "{}", notes[0].time);
        assert!(recorder.look(|tally| tally.events) == 0, "only notes were wanted");
        let Fed { collectd, sandbox, dir, .. } = fed;
        assert!(collectd.terminate().success());
        // On a busy machine it has more to warn of: values that it did not get in time.
        let log = fs::read_to_string(dir.join("log")).unwrap();
        let told = log.lines().filter(|line| line.contains("Notification: ")).count() as u64;
        wait_until("each is a note", || sandbox.books("collectd").counter("notes") == told);
    }
}

#[test]
fn what_is_less_secure_is_refused_by_name() {
    for (sent, security_level, reason) in [(&PLAIN, "sign", "unsigned"), (&SIGNED, "encrypt", "unencrypted")]
    {
        let level = Level { name: security_level, ..*sent };
        let Some(fed) = fed(&level, |_| ()) else { return };
        let books = || fed.sandbox.books("collectd");
        wait_until(&format!("it is refused as {reason}"), || {
            books().counter(&format!("refused.{reason}")) > 0
        });
        assert_eq!(books().counter("passed"), 0);
        let last = books().refusals();
        assert!(last.iter().all(|refused| refused.reason == reason), "{last:?}");
    }
}
