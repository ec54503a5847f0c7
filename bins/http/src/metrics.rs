//! The books and rings of all processes in Prometheus' text form.
//!
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>, text format 0.0.4.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use common::books::State;
use common::runtime_dir::RuntimeDir;
use hop::account::{Counter, Reading};
use sockets::peer::Standing;
use sockets::ring::RingFile;

/// One metric with all its samples.
#[derive(Debug)]
struct Family {
    kind: &'static str,
    help: String,
    /// Labels as they are written, and the value.
    samples: Vec<(String, u64)>,
}

/// By name, so that all samples of one stand together.
type Families = BTreeMap<String, Family>;

/// Renders all of it.
pub(crate) fn render(run: &RuntimeDir, reading: &Reading) -> String {
    let mut families = Families::new();
    for books in &reading.books {
        let process = books.process.as_str();
        let about = |what: &str| format!("{what}, by process");
        let of = labels(&[("process", process)]);
        put(
            &mut families,
            "leela_up",
            "gauge",
            || about("Whether the process runs"),
            of.clone(),
            u64::from(books.state == State::Running),
        );
        let since = (books.since.as_secs_f64().max(0.0)) as u64;
        put(
            &mut families,
            "leela_start_time_seconds",
            "gauge",
            || about("When the process was started, since 1970"),
            of,
            since,
        );
        for (name, value) in &books.counters {
            let counter = Counter::of(name);
            let base = format!("leela_{}_{}", word(process), word(counter.name));
            let help = || format!("{} of leela-{process}(8)", counter.name);
            let tags: Vec<(&str, &str)> = counter.tag.into_iter().collect();
            let (name, kind) =
                if counter.is_level { (base, "gauge") } else { (format!("{base}_total"), "counter") };
            put(&mut families, &name, kind, help, labels(&tags), *value);
        }
    }
    for (process, ring) in &reading.rings {
        let Some(books) = reading.books.iter().find(|books| books.process == *process) else { continue };
        let numbers = RingFile::numbers(&books.carried);
        // Those who come and go are together: each would leave series behind.
        let mut passing = None;
        for peer in ring.peers.iter().filter(|peer| peer.standing == Standing::Active) {
            let waiting = peer.waiting(&numbers);
            match lasting(run.path(), &peer.path, peer.wants.durable) {
                None => *passing.get_or_insert(0) += waiting,
                Some(to) => {
                    let of = labels(&[("from", process), ("to", &to)]);
                    for (name, kind, help, value) in [
                        ("leela_hop_waiting", "gauge", "Records that wait in the ring for a peer", waiting),
                        ("leela_hop_sent_total", "counter", "Records that a peer's socket took", peer.sent),
                        (
                            "leela_hop_dropped_total",
                            "counter",
                            "Records that fell off the ring",
                            peer.dropped,
                        ),
                    ] {
                        put(&mut families, name, kind, || help.to_owned(), of.clone(), value);
                    }
                }
            }
        }
        if let Some(waiting) = passing {
            let of = labels(&[("from", process), ("to", "peers")]);
            let help = || "Records that wait in the ring for a peer".to_owned();
            put(&mut families, "leela_hop_waiting", "gauge", help, of, waiting);
        }
    }
    write(&families)
}

/// The word for a peer that belongs to the instance or is durable.
fn lasting(run: &Path, peer: &Path, durable: bool) -> Option<String> {
    let own = peer.parent() == Some(run);
    let path = peer.strip_prefix(run).unwrap_or(peer).to_string_lossy();
    (own || durable).then(|| path.strip_suffix(".databus").unwrap_or(&path).to_owned())
}

fn put(
    families: &mut Families,
    name: &str,
    kind: &'static str,
    help: impl FnOnce() -> String,
    labels: String,
    value: u64,
) {
    let family = match families.get_mut(name) {
        Some(family) => family,
        None => families.entry(name.to_owned()).or_insert(Family { kind, help: help(), samples: Vec::new() }),
    };
    family.samples.push((labels, value));
}

fn write(families: &Families) -> String {
    let mut out = String::new();
    for (name, Family { kind, help, samples }) in families {
        // A String takes all text.
        let _ = writeln!(out, "# HELP {name} {}", escaped(help, false));
        let _ = writeln!(out, "# TYPE {name} {kind}");
        for (labels, value) in samples {
            let _ = writeln!(out, "{name}{labels} {value}");
        }
    }
    out
}

fn labels(pairs: &[(&str, &str)]) -> String {
    if pairs.is_empty() {
        return String::new();
    }
    let pairs: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}=\"{}\"", word(name), escaped(value, true))).collect();
    format!("{{{}}}", pairs.join(","))
}

/// As much of a text as a name may have.
fn word(text: &str) -> String {
    text.chars().map(|char| if char.is_ascii_alphanumeric() { char } else { '_' }).collect()
}

fn escaped(text: &str, quotes: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '"' if quotes => out.push_str("\\\""),
            char => out.push(char),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_stands_together_and_labels_are_escaped() {
        let mut families = Families::new();
        let help = || "a \\ and\na line".to_owned();
        put(&mut families, "leela_b_total", "counter", help, labels(&[("reason", "a\"\\\n")]), 1);
        put(&mut families, "leela_a", "gauge", || "a".to_owned(), String::new(), 2);
        put(
            &mut families,
            "leela_b_total",
            "counter",
            help,
            labels(&[("reason", "c"), ("x.y", "")]),
            u64::MAX,
        );
        assert_eq!(
            write(&families),
            "# HELP leela_a a\n# TYPE leela_a gauge\nleela_a 2\n# HELP leela_b_total a \\\\ and\\na line\n# TYPE \
             leela_b_total counter\nleela_b_total{reason=\"a\\\"\\\\\\n\"} 1\nleela_b_total{reason=\"c\",x_y=\"\"} \
             18446744073709551615\n"
        );
    }
}
