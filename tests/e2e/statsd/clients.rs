//! Real clients, unmodified: what they were called with is what the timeline is given.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Duration;

use cadence::prelude::*;
use cadence::{
    BufferedUdpMetricSink, BufferedUnixMetricSink, QueuingMetricSink, StatsdClient, UdpMetricSink,
};
use serde_json::{Value, json};
use tests::{Process, Reader, Sandbox, wait_until};

use super::{assert_balanced, taken};

/// What ends a client's lines: a metric and a note, each behind all others of its kind.
const END: &[u8] = b"end:1|c\n_e{3,3}:end|end";

/// What the timeline was given, by kind and key: sums of counts, the last gauge, changes, sorted samples, members, notes.
#[derive(Default, PartialEq, Debug)]
struct Given {
    counts: BTreeMap<String, f64>,
    gauges: BTreeMap<String, f64>,
    changes: BTreeMap<String, Vec<f64>>,
    samples: BTreeMap<String, Vec<f64>>,
    members: BTreeMap<String, Vec<String>>,
    notes: BTreeMap<String, Value>,
}

impl Given {
    fn take(&mut self, text: &str) {
        let mut words = text.splitn(3, ' ');
        let mut word = || words.next().expect("kind, key and value").to_owned();
        let (kind, key, value) = (word(), word(), word());
        // What Datadog's libraries say of themselves.
        if key.starts_with("datadog.dogstatsd.client.") {
            return;
        }
        let number = |text: &str| text.parse::<f64>().expect("a number");
        match kind.as_str() {
            "count" => {
                let (value, weight) = value.split_once(" @").unwrap_or((&value, "1"));
                *self.counts.entry(key).or_default() += number(value) * number(weight);
            }
            "gauge" => drop(self.gauges.insert(key, number(&value))),
            "adjust" => self.changes.entry(key).or_default().push(number(&value)),
            "sample" => {
                let samples = self.samples.entry(key).or_default();
                samples.push(number(&value));
                samples.sort_by(f64::total_cmp);
            }
            "member" => {
                let members = self.members.entry(key).or_default();
                members.push(value);
                members.sort();
                members.dedup();
            }
            "note" => drop(self.notes.insert(key, serde_json::from_str(&value).expect("JSON"))),
            _ => panic!("{text}"),
        }
    }

    /// All that comes until [`END`].
    fn until_end(timeline: &Reader) -> Given {
        let mut given = Given::default();
        let mut ends = 0;
        while ends < 2 {
            for text in taken(timeline, 1) {
                match text.starts_with("count end ") || text.contains("\"title\":\"end\"") {
                    true => ends += 1,
                    false => given.take(&text),
                }
            }
        }
        given
    }
}

/// A leela-statsd by every transport.
struct Served {
    sandbox: Sandbox,
    timeline: Reader,
    statsd: Process,
    udp: SocketAddr,
}

impl Served {
    fn new() -> Served {
        let mut sandbox = Sandbox::new();
        let timeline = sandbox.reader("timeline.databus");
        let at = sandbox.path().display();
        let config = format!(
            "tcp = [\"127.0.0.1:0\"]\nunix_datagram = [\"{at}/datagram\"]\nunix_stream = [\"{at}/stream\"]"
        );
        let statsd = sandbox.start_held("statsd", &config);
        let udp = sandbox.listens("statsd")[0];
        Served { sandbox, timeline, statsd, udp }
    }

    fn tcp(&self) -> SocketAddr {
        let line = self.statsd.wait_log("ready");
        let mut words = line.split(['"', ',', ' ', '\n']).filter_map(|word| word.strip_prefix("tcp://"));
        words.next().expect("it listens").parse().expect("an address")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.sandbox.path().join(name)
    }

    /// Calls a library to its end, and gives what came of it; none where the library is not there.
    fn call(&self, library: &str, kind: &str) -> Option<Given> {
        let mut command = self.sandbox.statsd_client(library)?;
        let arguments: Vec<String> = match (library, kind) {
            ("datadog-go", "udp") => vec![self.udp.to_string()],
            ("datadog-go", "unix") => vec![format!("unixgram://{}", self.path("datagram").display())],
            ("datadog-go", _) => vec![format!("unixstream://{}", self.path("stream").display())],
            (_, "udp" | "tcp") => {
                let address = if kind == "udp" { self.udp } else { self.tcp() };
                vec![kind.to_owned(), address.ip().to_string(), address.port().to_string()]
            }
            ("statsd", _) => vec!["unix".to_owned(), self.path("stream").display().to_string()],
            _ => vec!["unix".to_owned(), self.path("datagram").display().to_string()],
        };
        let connected = self.counter("connected");
        let output = command.args(arguments).output().expect("it runs");
        assert!(output.status.success(), "{library}: {}", String::from_utf8_lossy(&output.stderr));
        let is_stream = kind == "tcp" || kind == "stream" || (library, kind) == ("statsd", "unix");
        if is_stream {
            wait_until("its connections are over", || {
                self.counter("connected") > connected && self.counter("connections") == 0
            });
        }
        Some(self.given(kind == "unix" && !is_stream))
    }

    /// What has come, by UDP and streams, or by unix datagrams.
    fn given(&self, by_unix: bool) -> Given {
        if by_unix {
            let socket = UnixDatagram::unbound().expect("a socket");
            socket.send_to(END, self.path("datagram")).expect("it listens");
        } else {
            self.sandbox.client(self.udp).send(END).expect("it listens");
        }
        Given::until_end(&self.timeline)
    }

    fn counter(&self, name: &str) -> u64 {
        self.sandbox.books("statsd").counter(name)
    }

    fn assert_none_refused(&self) {
        let books = self.sandbox.books("statsd");
        let refusals = books.refusals();
        assert_eq!(books.total("refused"), 0, "{refusals:?}");
        assert_balanced(&self.sandbox);
    }
}

fn map<V: Clone>(entries: &[(&str, V)]) -> BTreeMap<String, V> {
    entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect()
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
    map(&[("dogstatsd.event;a=b;env=test", event), (&format!("{prefix}check;a=b;env=test"), check)])
}

#[test]
fn pythons_datadog() {
    let served = Served::new();
    for kind in ["udp", "unix"] {
        let Some(given) = served.call("datadog", kind) else { return };
        let want = Given {
            counts: map(&[
                ("py.incr;az=1;env=test", 1000.0),
                ("py.decr;env=test", -3.0),
                ("py.rated;env=test", 2.0),
                ("py.count.at;env=test", 3.0),
                ("py.unbuffered;env=test", 1.0),
            ]),
            gauges: map(&[
                ("py.gauge;env=test", 12.5),
                ("py.gauge.at;env=test", 7.0),
                ("py.check.status;a=b;env=test", 1.0),
            ]),
            samples: map(&[
                ("py.histogram;env=test;route=/a", SAMPLES.to_vec()),
                ("py.distribution;env=test", SAMPLES.to_vec()),
                ("py.timing;env=test", SAMPLES.to_vec()),
            ]),
            members: map(&[("py.set;env=test", vec!["alice".to_owned(), "bob".to_owned()])]),
            notes: notes("py.", &[("source", "s")]),
            ..Given::default()
        };
        assert_eq!(given, want, "{kind}");
    }
    served.assert_none_refused();
}

#[test]
fn pythons_statsd() {
    let served = Served::new();
    for kind in ["udp", "tcp", "unix"] {
        let Some(given) = served.call("statsd", kind) else { return };
        let want = Given {
            counts: map(&[("py.incr", 105.0), ("py.decr", -3.0), ("py.rated", 2.0)]),
            gauges: map(&[("py.gauge", 12.5), ("py.negative", 0.0)]),
            changes: map(&[("py.relative", vec![3.0, -2.0]), ("py.negative", vec![-4.0])]),
            samples: map(&[("py.timing", vec![17.5, 320.0])]),
            members: map(&[("py.set", vec!["alice".to_owned(), "bob".to_owned()])]),
            ..Given::default()
        };
        assert_eq!(given, want, "{kind}");
    }
    served.assert_none_refused();
}

#[test]
fn nodes_hot_shots() {
    let served = Served::new();
    for kind in ["udp", "tcp"] {
        let Some(given) = served.call("hot-shots", kind) else { return };
        // It puts its prefix in front of titles, too; and what it sends by TCP is Latin-1.
        let title = if kind == "tcp" { "js.gr\u{fffd}\u{fffd}e|x" } else { "js.größe|x" };
        let mut notes = notes("js.", &[("title", title)]);
        notes.insert(
            "js.check;a=b;env=test".to_owned(),
            json!({"status": "warning", "host": "web01", "message": "slow"}),
        );
        let want = Given {
            counts: map(&[
                ("js.incr;az=1;env=test", 100.0),
                ("js.decr;env=test", -3.0),
                ("js.one;env=test", 1.0),
                ("js.two;env=test", 1.0),
            ]),
            gauges: map(&[("js.gauge;env=test", 12.5), ("js.check.status;a=b;env=test", 1.0)]),
            samples: map(&[
                ("js.histogram;env=test;route=/a", SAMPLES.to_vec()),
                ("js.distribution;env=test", SAMPLES.to_vec()),
                ("js.timing;env=test", SAMPLES.to_vec()),
            ]),
            members: map(&[("js.set;env=test", ["alice", "bob", "carol"].map(str::to_owned).to_vec())]),
            notes,
            ..Given::default()
        };
        assert_eq!(given, want, "{kind}");
    }
    served.assert_none_refused();
}

#[test]
fn gos_datadog() {
    let served = Served::new();
    for kind in ["udp", "unix", "stream"] {
        let Some(given) = served.call("datadog-go", kind) else { return };
        let want = Given {
            counts: map(&[
                ("go.incr;az=1;env=test", 1000.0),
                ("go.count;env=test", 41.0),
                ("go.decr;env=test", -1.0),
                ("go.count.at;env=test", 3.0),
            ]),
            gauges: map(&[
                ("go.gauge;env=test", 12.5),
                ("go.gauge.at;env=test", 7.0),
                ("go.check.status;a=b;env=test", 1.0),
            ]),
            samples: map(&[
                ("go.histogram;env=test;route=/a", SAMPLES.to_vec()),
                ("go.distribution;env=test", SAMPLES.to_vec()),
                ("go.timing;env=test", SAMPLES.to_vec()),
            ]),
            members: map(&[("go.set;env=test", vec!["alice".to_owned(), "bob".to_owned()])]),
            notes: notes("go.", &[("source", "s")]),
            ..Given::default()
        };
        assert_eq!(given, want, "{kind}");
    }
    served.assert_none_refused();
}

/// Makes each call of a cadence client.
/// What [`call_cadence`] sends.
const CADENCE_METRICS: u64 = 112;

fn call_cadence(client: &StatsdClient) {
    for _ in 0..100 {
        client.count_with_tags("incr", 1_i64).with_tag("az", "1").send();
    }
    client.decr("decr").expect("it is sent");
    client.incr("one").expect("it is sent");
    client.gauge("gauge", 12.5_f64).expect("it is sent");
    client.time("timing", Duration::from_millis(320)).expect("it is sent");
    client.time("timing", vec![1_u64, 7]).expect("it is sent");
    client.histogram("histogram", vec![1.0_f64, 2.5]).expect("it is sent");
    client.distribution_with_tags("distribution", 100_u64).with_tag_value("beta").send();
    client.gauge_with_tags("at", 7_u64).with_timestamp(1_700_000_000).send();
    client.set("set", 33_i64).expect("it is sent");
    client.count_with_tags("sampled", 2_i64).with_sampling_rate(0.5).send();
    client.flush().expect("it is sent");
}

#[test]
fn rusts_cadence() {
    let served = Served::new();
    let udp = || UdpSocket::bind("127.0.0.1:0").unwrap();
    for kind in ["udp", "buffered udp", "queued udp", "buffered unix"] {
        let client = match kind {
            "udp" => StatsdClient::builder("rs", UdpMetricSink::from(served.udp, udp()).unwrap()),
            "buffered udp" => {
                StatsdClient::builder("rs", BufferedUdpMetricSink::from(served.udp, udp()).unwrap())
            }
            "queued udp" => {
                let sink = BufferedUdpMetricSink::from(served.udp, udp()).unwrap();
                StatsdClient::builder("rs", QueuingMetricSink::from(sink))
            }
            _ => {
                let socket = UnixDatagram::unbound().unwrap();
                StatsdClient::builder("rs", BufferedUnixMetricSink::from(served.path("datagram"), socket))
            }
        };
        let client = client.with_tag("env", "test").with_container_id("in-12").build();
        let before = served.counter("accepted");
        call_cadence(&client);
        // A queue is worked off when its client goes, but nobody waits for that.
        drop(client);
        wait_until("all has come", || served.counter("accepted") >= before + CADENCE_METRICS);
        let want = Given {
            counts: map(&[
                ("rs.incr;az=1;env=test", 100.0),
                ("rs.decr;env=test", -1.0),
                ("rs.one;env=test", 1.0),
                ("rs.sampled;env=test", 4.0),
            ]),
            gauges: map(&[("rs.gauge;env=test", 12.5), ("rs.at;env=test", 7.0)]),
            samples: map(&[
                ("rs.timing;env=test", vec![1.0, 7.0, 320.0]),
                ("rs.histogram;env=test", vec![1.0, 2.5]),
                ("rs.distribution;beta;env=test", vec![100.0]),
            ]),
            members: map(&[("rs.set;env=test", vec!["33".to_owned()])]),
            ..Given::default()
        };
        assert_eq!(served.given(kind.ends_with("unix")), want, "{kind}");
    }
    served.assert_none_refused();
}
