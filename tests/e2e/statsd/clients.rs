//! Real clients, unmodified: what they were called with is what comes out of the timeline, in sums, counts, quantiles and
//! members, by each transport and in each manner of sending that they have.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use cadence::prelude::*;
use cadence::{
    BufferedUdpMetricSink, BufferedUnixMetricSink, QueuingMetricSink, StatsdClient, UdpMetricSink,
    UnixMetricSink,
};
use common::metric::Weight;
use common::sketch::{Members, Quantile, Samples, Sketch, members};
use serde_json::{Value, json};
use tests::{Kept, Process, Recorder, Sandbox, wait_until};

use super::assert_balanced;

/// What ends a client's lines: a metric and a note, each behind all others of its kind.
const END: &[u8] = b"end:1|c\n_e{3,3}:end|end";

/// What came out of the timeline, by key: sums of counts, each value of a gauge, how often something was timed, samples with
/// their weights, members, notes.
#[derive(Default, PartialEq, Debug)]
struct Given {
    counts: BTreeMap<String, f64>,
    gauges: BTreeMap<String, Vec<f64>>,
    timed: BTreeMap<String, f64>,
    samples: BTreeMap<String, Distribution>,
    members: BTreeMap<String, Sketch>,
    notes: BTreeMap<String, Value>,
}

/// Samples, as they are published: as numbers, and what the state says to which all windows merge.
#[derive(PartialEq, Debug)]
struct Distribution {
    count: f64,
    sum: f64,
    min: f64,
    max: f64,
    quantiles: Vec<f64>,
    merged: Vec<f64>,
}

/// Those that are published.
const QUANTILES: [&str; 3] = ["p50", "p90", "p99"];
/// Those that are asked of a state: of five values each is another one.
const DECILES: [&str; 11] = ["p0", "p10", "p20", "p30", "p40", "p50", "p60", "p70", "p80", "p90", "p100"];

impl Distribution {
    /// Of the state alone.
    fn of(mut state: Samples) -> Distribution {
        let mut all = |quantiles: &[&str]| -> Vec<f64> {
            let one = |quantile: &&str| {
                let quantile: Quantile = quantile.parse().expect("it is a quantile");
                state.quantile(quantile).expect("it is not empty")
            };
            quantiles.iter().map(one).collect()
        };
        let (quantiles, merged) = (all(&QUANTILES), all(&DECILES));
        let (min, max) = (state.min().expect("it is not empty"), state.max().expect("it is not empty"));
        Distribution { count: state.count(), sum: state.sum(), min, max, quantiles, merged }
    }
}

/// Samples that a client was given, each of a weight.
fn samples(values: &[f64], weight: u64) -> Distribution {
    let weight = Weight::of_billionths(weight * 1_000_000_000).expect("it is a weight");
    let mut samples = Samples::new();
    values.iter().for_each(|value| samples.add(*value, weight).expect("they are few"));
    Distribution::of(samples)
}

fn set(names: &[&str]) -> Sketch {
    let mut members = Members::default();
    names.iter().for_each(|name| members.add(members::hash(name.as_bytes())));
    Sketch::Members(members)
}

/// A key with its name's suffix taken off; none where it has another.
fn without(key: &str, suffix: &str) -> Option<String> {
    let (name, tags) = key.split_at(key.find(';').unwrap_or(key.len()));
    Some(format!("{}{tags}", name.strip_suffix(suffix)?.strip_suffix('.')?))
}

fn with(key: &str, suffix: &str) -> String {
    let (name, tags) = key.split_at(key.find(';').unwrap_or(key.len()));
    format!("{name}.{suffix}{tags}")
}

/// The values of all windows of `key` with a suffix.
fn windows<'a>(kept: &'a [Kept], key: &'a str, suffix: &'a str) -> impl Iterator<Item = f64> + 'a {
    let is_of = move |one: &&Kept| without(&one.key, suffix).is_some_and(|of| of == key);
    kept.iter().filter(is_of).map(|one| one.value)
}

impl Given {
    /// What a recorder has; what Datadog's libraries say of themselves and what ends the lines is left out.
    fn of(recorder: &Recorder) -> Given {
        let tally = recorder.tally();
        let is_own = |key: &str| key.starts_with("datadog.dogstatsd.client.") || key.starts_with("end");
        let mut given = Given::default();
        let mut states: BTreeMap<String, Sketch> = BTreeMap::new();
        for (key, state) in tally.states {
            match states.get_mut(&key) {
                Some(merged) => merged.merge(&state).expect("a series has states of one kind"),
                None => drop(states.insert(key, state)),
            }
        }
        let (notes, events): (Vec<Kept>, Vec<Kept>) =
            tally.kept.into_iter().filter(|kept| !is_own(&kept.key)).partition(|kept| !kept.text.is_empty());
        for note in notes.into_iter().filter(|note| !note.text.contains("\"title\":\"end\"")) {
            given.notes.insert(note.key, serde_json::from_str(&note.text).expect("a note is JSON"));
        }
        let mut derived: BTreeSet<String> = BTreeSet::new();
        for kept in &events {
            if let Some(count) = without(&kept.key, "total") {
                *given.counts.entry(count.clone()).or_default() += kept.value;
                derived.extend([kept.key.clone(), count]);
            }
        }
        for (count, sum) in &given.counts {
            let rates = events.iter().filter(|kept| kept.key == *count).map(|kept| kept.value);
            assert_eq!(rates.sum::<f64>(), *sum, "{count}: a window of 1 s has as many a second as in all");
        }
        for (key, state) in states.into_iter().filter(|(key, _)| !is_own(key)) {
            let all = |suffix| windows(&events, &key, suffix);
            match state {
                Sketch::Samples(state) => {
                    let mut found = Distribution::of(state);
                    // As events said it. A quantile over several windows is the state's alone.
                    (found.count, found.sum) = (all("count").sum(), all("sum").sum());
                    found.min = all("min").fold(f64::INFINITY, f64::min);
                    found.max = all("max").fold(f64::NEG_INFINITY, f64::max);
                    if all("count").count() == 1 {
                        found.quantiles = QUANTILES.iter().map(|quantile| all(quantile).sum()).collect();
                    }
                    let suffixes = ["count", "sum", "min", "max", "mean"].into_iter().chain(QUANTILES);
                    derived.extend(suffixes.map(|suffix| with(&key, suffix)));
                    match key.contains("timed") {
                        true => drop(given.timed.insert(key, found.count)),
                        false => drop(given.samples.insert(key, found)),
                    }
                }
                state @ Sketch::Members(_) => {
                    assert!(all("unique").count() > 0, "{key}");
                    derived.insert(with(&key, "unique"));
                    given.members.insert(key, state);
                }
                Sketch::Sum(_) => panic!("{key}: a count has no state"),
            }
        }
        for kept in events.iter().filter(|kept| !derived.contains(&kept.key)) {
            given.gauges.entry(kept.key.clone()).or_default().push(kept.value);
        }
        given
    }
}

/// A leela-statsd by every transport, and a leela-timeline whose windows a test can wait for.
struct Served {
    sandbox: Sandbox,
    recorder: Recorder,
    statsd: Process,
    _timeline: Process,
    udp: SocketAddr,
}

impl Served {
    fn new() -> Served {
        let mut sandbox = Sandbox::new();
        let timeline = sandbox.start_timeline("interval = \"1s\"\n");
        let recorder = sandbox.recorder_that("one", "events states notes");
        let at = sandbox.path().display();
        let config = format!(
            "tcp = [\"127.0.0.1:0\"]\nunix_datagram = [\"{at}/datagram\"]\nunix_stream = [\"{at}/stream\"]"
        );
        let statsd = sandbox.start_held("statsd", &config);
        let udp = sandbox.listens("statsd")[0];
        Served { sandbox, recorder, statsd, _timeline: timeline, udp }
    }

    fn tcp(&self) -> SocketAddr {
        let line = self.statsd.wait_log("ready");
        let mut words = line.split(['"', ',', ' ', '\n']).filter_map(|word| word.strip_prefix("tcp://"));
        words.next().expect("it listens").parse().expect("an address")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.sandbox.path().join(name)
    }

    /// Calls a library to its end in a manner of sending, by a transport, and gives what came of it; none where the
    /// library is not there.
    fn call(library: &str, manner: &str, transport: &str) -> Option<Given> {
        let served = Served::new();
        let mut command = served.sandbox.statsd_client(library)?;
        command.args([manner, transport]);
        match transport {
            "udp" | "tcp" => {
                let address = if transport == "udp" { served.udp } else { served.tcp() };
                command.args([address.ip().to_string(), address.port().to_string()]);
            }
            path => drop(command.arg(served.path(path))),
        }
        let output = command.output().expect("it runs");
        assert!(output.status.success(), "{library}: {}", String::from_utf8_lossy(&output.stderr));
        if transport == "tcp" || transport == "stream" {
            wait_until("its connections are over", || {
                served.counter("connected") > 0 && served.counter("connections") == 0
            });
        }
        Some(served.given(transport == "datagram"))
    }

    /// What came out, when the last window has. What is sent by UDP and streams is before an end by UDP.
    fn given(&self, by_unix: bool) -> Given {
        if by_unix {
            let socket = UnixDatagram::unbound().expect("a socket");
            socket.send_to(END, self.path("datagram")).expect("it listens");
        } else {
            self.sandbox.client(self.udp).send(END).expect("it listens");
        }
        wait_until("all has come out", || {
            let (statsd, timeline) = (self.sandbox.books("statsd"), self.sandbox.books("timeline"));
            // Notes pass as well.
            let events =
                timeline.counter("passed") - timeline.counter("notes") + timeline.counter("timer_events");
            let is_over = |tally: &tests::Tally| {
                tally.kept.iter().any(|kept| kept.key == "end.total")
                    && tally.kept.iter().any(|kept| kept.text.contains("\"title\":\"end\""))
                    && tally.events == events
                    && tally.states.len() as u64 == timeline.counter("states")
            };
            timeline.counter("received") == statsd.counter("passed")
                && timeline.counter("aggregated_open") == 0
                && self.recorder.look(is_over)
        });
        let (statsd, timeline) = (self.sandbox.books("statsd"), self.sandbox.books("timeline"));
        assert_eq!(statsd.total("refused"), 0, "{:?}", statsd.refusals());
        assert_eq!(timeline.total("refused"), 0, "{:?}", timeline.refusals());
        assert_balanced(&self.sandbox);
        Given::of(&self.recorder)
    }

    fn counter(&self, name: &str) -> u64 {
        self.sandbox.books("statsd").counter(name)
    }
}

/// Calls a library in all manners and by all transports: each gives the same.
fn each(library: &str, ways: &[(&str, &str)], want: impl Fn(&str, &str) -> Given) {
    for (manner, transport) in ways {
        let Some(given) = Served::call(library, manner, transport) else { return };
        assert_eq!(given, want(manner, transport), "{library}, {manner}, by {transport}");
    }
}

fn map<V>(entries: impl IntoIterator<Item = (&'static str, V)>) -> BTreeMap<String, V> {
    entries.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

const SAMPLES: [f64; 5] = [1.0, 2.5, 7.0, 8.0, 100.0];

/// What Datadog's event and check are in every library.
fn notes(prefix: &str, more: &[(&str, &str)]) -> BTreeMap<String, Value> {
    let mut event = json!({
        "title": "größe|x", "text": "line one\nline | two", "alert": "success", "priority": "low", "host": "web01",
        "aggregation_key": "k",
    });
    for (name, value) in more {
        event[name] = json!(value);
    }
    let check = json!({"status": "warning", "host": "web01", "message": "slow | very\nm: x"});
    [("dogstatsd.event;a=b;env=test".to_owned(), event), (format!("{prefix}check;a=b;env=test"), check)]
        .into()
}

#[test]
fn pythons_datadog() {
    let ways = [
        ("buffered", "udp"),
        ("buffered", "datagram"),
        ("buffered", "stream"),
        ("aggregated", "udp"),
        ("aggregated", "datagram"),
        ("each", "stream"),
    ];
    each("datadog", &ways, |manner, _| Given {
        counts: map([
            ("py.incr;az=1;env=test", 1000.0),
            ("py.count;env=test", 41.0),
            ("py.decr;env=test", -3.0),
            ("py.rated;env=test", 4.0),
            ("py.count.at;env=test", 3.0),
        ]),
        gauges: map([
            ("py.gauge;env=test", vec![12.5]),
            ("py.gauge.at;env=test", vec![7.0]),
            ("py.check.status;a=b;env=test", vec![1.0]),
        ]),
        timed: map([("py.timed;env=test", 2.0), ("py.timed.distributed;env=test", 1.0)]),
        samples: map([
            ("py.histogram;env=test;route=/a", samples(&SAMPLES, 1)),
            ("py.distribution;env=test", samples(&SAMPLES, 1)),
            ("py.timing;env=test", samples(&SAMPLES, if manner == "aggregated" { 1 } else { 4 })),
        ]),
        members: map([("py.set;env=test", set(&["alice", "bob"]))]),
        notes: notes("py.", &[("source", "s")]),
    });
}

#[test]
fn pythons_statsd() {
    let ways = ["udp", "tcp", "stream"].map(|transport| ("each", transport));
    each("statsd", &ways, |_, _| Given {
        counts: map([("py.incr", 105.0), ("py.decr", -3.0), ("py.rated", 4.0)]),
        gauges: map([
            ("py.gauge", vec![12.5]),
            ("py.relative", vec![3.0, 1.0]),
            // One below zero is sent as 0 and a change of it.
            ("py.negative", vec![0.0, -4.0]),
        ]),
        timed: map([("py.timed", 2.0)]),
        samples: map([("py.timing", samples(&[17.5, 320.0], 1))]),
        members: map([("py.set", set(&["alice", "bob"]))]),
        ..Given::default()
    });
}

#[test]
fn nodes_hot_shots() {
    let ways = [
        ("buffered", "udp"),
        ("each", "udp"),
        ("aggregated", "udp"),
        ("each", "tcp"),
        ("each", "stream"),
        ("each", "datagram"),
        ("buffered", "datagram"),
    ];
    each("hot-shots", &ways, |_, transport| {
        // It puts its prefix in front of titles, too; and what it sends by TCP is Latin-1.
        let title = if transport == "tcp" { "js.gr\u{fffd}\u{fffd}e|x" } else { "js.größe|x" };
        let mut notes = notes("js.", &[("title", title)]);
        notes.insert(
            "js.check;a=b;env=test".to_owned(),
            json!({"status": "warning", "host": "web01", "message": "slow"}),
        );
        Given {
            counts: map([
                ("js.incr;az=1;env=test", 100.0),
                ("js.decr;env=test", -3.0),
                ("js.one;env=test", 1.0),
                ("js.two;env=test", 1.0),
                ("js.rated;env=test", 8.0),
            ]),
            gauges: map([
                ("js.gauge;env=test", vec![12.5]),
                ("js.delta;env=test", vec![3.0, 1.0]),
                ("js.check.status;a=b;env=test", vec![1.0]),
            ]),
            timed: map([
                ("js.timed;env=test", 1.0),
                ("js.timed.async;env=test", 1.0),
                ("js.timed.dist;env=test", 1.0),
            ]),
            samples: map([
                ("js.histogram;env=test;route=/a", samples(&SAMPLES, 1)),
                ("js.distribution;env=test", samples(&SAMPLES, 1)),
                ("js.timing;env=test", samples(&SAMPLES, 1)),
            ]),
            members: map([("js.set;env=test", set(&["alice", "bob", "carol"]))]),
            notes,
        }
    });
}

#[test]
fn gos_datadog() {
    let ways = [
        ("buffered", "udp"),
        ("aggregated", "udp"),
        ("extended", "udp"),
        ("extended", "datagram"),
        ("buffered", "stream"),
    ];
    each("datadog-go", &ways, |manner, _| {
        let mut notes = notes("go.", &[("source", "s")]);
        notes.insert("go.simple;env=test".to_owned(), json!({"status": "ok"}));
        notes.insert("dogstatsd.event;env=test".to_owned(), json!({"title": "simple", "text": "text"}));
        let sum = |manner| if manner == "buffered" { vec![12.0, 12.5] } else { vec![12.5] };
        Given {
            counts: map([
                ("go.incr;az=1;env=test", 1000.0),
                ("go.count;env=test", 41.0),
                ("go.decr;env=test", -1.0),
                ("go.count.at;env=test", 3.0),
            ]),
            gauges: map([
                // Who aggregates sends the last.
                ("go.gauge;env=test", sum(manner)),
                ("go.gauge.at;env=test", vec![7.0]),
                ("go.check.status;a=b;env=test", vec![1.0]),
                ("go.simple.status;env=test", vec![0.0]),
            ]),
            samples: map([
                ("go.histogram;env=test;route=/a", samples(&SAMPLES, 1)),
                ("go.distribution;env=test", samples(&SAMPLES, 1)),
                ("go.timing;env=test", samples(&SAMPLES, 1)),
                ("go.duration;env=test", samples(&[320.0], 1)),
            ]),
            members: map([("go.set;env=test", set(&["alice", "bob"]))]),
            notes,
            ..Given::default()
        }
    });
}

/// What [`call_cadence`] sends.
const CADENCE_METRICS: u64 = 115;

/// Makes each call of a cadence client.
fn call_cadence(client: &StatsdClient, at: u64) {
    for _ in 0..100 {
        client.count_with_tags("incr", 1_i64).with_tag("az", "1").send();
    }
    client.decr("decr").expect("it is sent");
    client.incr("one").expect("it is sent");
    client.meter("meter", 5_u64).expect("it is sent");
    client.meter_with_tags("meter", 2_u64).with_sampling_rate(0.5).send();
    client.gauge("gauge", 12.5_f64).expect("it is sent");
    client.time("timing", Duration::from_millis(320)).expect("it is sent");
    client.time("timing", vec![1_u64, 7]).expect("it is sent");
    client.histogram("histogram", vec![1.0_f64, 2.5]).expect("it is sent");
    client.distribution_with_tags("distribution", 100_u64).with_tag_value("beta").send();
    client.gauge_with_tags("at", 7_u64).with_timestamp(at).send();
    client.set("set", 33_i64).expect("it is sent");
    client.set("set", 34_i64).expect("it is sent");
    client.count_with_tags("sampled", 2_i64).with_sampling_rate(0.5).send();
    client.flush().expect("it is sent");
}

#[test]
fn rusts_cadence() {
    let udp = || UdpSocket::bind("127.0.0.1:0").unwrap();
    for kind in ["udp", "buffered udp", "queued udp", "unix", "buffered unix"] {
        let served = Served::new();
        let client = match kind {
            "udp" => StatsdClient::builder("rs", UdpMetricSink::from(served.udp, udp()).unwrap()),
            "buffered udp" => {
                StatsdClient::builder("rs", BufferedUdpMetricSink::from(served.udp, udp()).unwrap())
            }
            "queued udp" => {
                let sink = BufferedUdpMetricSink::from(served.udp, udp()).unwrap();
                StatsdClient::builder("rs", QueuingMetricSink::from(sink))
            }
            kind => {
                let (socket, path) = (UnixDatagram::unbound().unwrap(), served.path("datagram"));
                match kind {
                    "unix" => StatsdClient::builder("rs", UnixMetricSink::from(path, socket)),
                    _ => StatsdClient::builder("rs", BufferedUnixMetricSink::from(path, socket)),
                }
            }
        };
        let client = client.with_tag("env", "test").with_container_id("in-12").build();
        let now = common::time::Time::now().ns() / common::time::SECOND_NS;
        call_cadence(&client, u64::try_from(now - 60).unwrap());
        // A queue is worked off when its client goes, but nobody waits for that.
        drop(client);
        wait_until("all has come", || served.counter("accepted") >= CADENCE_METRICS);
        let want = Given {
            counts: map([
                ("rs.incr;az=1;env=test", 100.0),
                ("rs.decr;env=test", -1.0),
                ("rs.one;env=test", 1.0),
                ("rs.meter;env=test", 9.0),
                ("rs.sampled;env=test", 4.0),
            ]),
            gauges: map([("rs.gauge;env=test", vec![12.5]), ("rs.at;env=test", vec![7.0])]),
            samples: map([
                ("rs.timing;env=test", samples(&[1.0, 7.0, 320.0], 1)),
                ("rs.histogram;env=test", samples(&[1.0, 2.5], 1)),
                ("rs.distribution;beta;env=test", samples(&[100.0], 1)),
            ]),
            members: map([("rs.set;env=test", set(&["33", "34"]))]),
            ..Given::default()
        };
        assert_eq!(served.given(kind.ends_with("unix")), want, "{kind}");
    }
}
