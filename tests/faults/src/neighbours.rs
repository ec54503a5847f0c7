//! Neighbours of the timeline that are stopped, slow, loop, or register what they may not: the rate and the delay of
//! what a well-behaved consumer gets stay as they are without them.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Context;
use sockets::registration::{self, INTERVAL};
use tests::{Running, wait_until};

use crate::Scale;
use crate::core::Core;
use crate::load::{Pour, sender};
use crate::probe::Probe;
use crate::row::Row;

/// Registrations of the looping one in a round.
const REGISTRATIONS: u32 = 10_000;
/// What a round beside them may be of the undisturbed one before, by the medians.
const RATE_MIN: f64 = 0.9;
const P99_MAX: f64 = 1.25;
const P99_MORE_MS: f64 = 0.2;

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let (pairs, seconds) = (scale.pick(10, 2), scale.pick(12, 1));
    let pour = Pour { rate: scale.pick(200_000, 5_000), seconds, packed: 50 };
    let mut core = Core::new("");
    core.start("dmproc", "");
    core.start("udp", "");
    let probe =
        Probe::start(core.sandbox.run().clone(), core.sandbox.listens("udp")[0]).context("the probe")?;
    let next = Arc::new(AtomicU64::new(0));
    let mut rounds = (Vec::new(), Vec::new());
    // One that is not looked at.
    round(&core, pour, &probe, &next)?;
    for _ in 0..pairs {
        rounds.0.push(round(&core, pour, &probe, &next)?);
        let neighbours = Neighbours::start(core.sandbox.run().path(), Duration::from_secs(seconds))?;
        core.process("dmproc").stop();
        rounds.1.push(round(&core, pour, &probe, &next)?);
        core.process("dmproc").cont();
        neighbours.end();
    }
    drop(probe);
    let sent = next.load(Relaxed);
    let udp = core.books("udp");
    let timeline = core.books("timeline");
    let (numbered, twice) = core.recorder.look(|tally| (tally.numbered, tally.twice));
    let of = |pick: fn(&Round) -> f64| -> (f64, f64, f64) {
        let both = || rounds.0.iter().zip(&rounds.1).map(|(calm, beside)| (pick(calm), pick(beside)));
        let ratio = median(both().map(|(calm, beside)| beside / calm));
        (median(both().map(|(calm, _)| calm)), median(both().map(|(_, beside)| beside)), ratio)
    };
    let (rate, rate_beside, rate_ratio) = of(|round| round.rate);
    let (p99, p99_beside, p99_ratio) = of(|round| round.p99_ms);
    let refused = timeline.total("registrations_refused");
    let load = format!("{} of {}", pairs * 2 + 1, pour.says("gauges"));
    let row = Row::new("neighbours", load)
        .sums(sent, numbered)
        .counted("kernel_drops", udp.counter("kernel_drops") * pour.packed)
        .counted("missing at the timeline", core.missing_of("udp"))
        .must(twice == 0, "a gauge came out twice")
        // What takes a second and less says nothing of either.
        .must(scale == Scale::Short || rate_ratio >= RATE_MIN, "the rate falls")
        .must(
            scale == Scale::Short || p99_ratio <= P99_MAX || p99_beside <= p99 + P99_MORE_MS,
            "the delay rises",
        )
        .must(refused > 0, "registrations that may not be were taken")
        .must(core.all_alive(), "one ended by itself");
    Ok(vec![row.seen(format!(
        "{pairs} pairs, medians: {:.0} k/s alone, {:.0} k/s beside them, ratio {rate_ratio:.2}; p99 {p99:.2} ms and \
         {p99_beside:.2} ms, ratio {p99_ratio:.2}; {refused} registrations refused",
        rate / 1e3,
        rate_beside / 1e3
    ))])
}

/// What a well-behaved consumer saw of a round.
struct Round {
    rate: f64,
    p99_ms: f64,
}

fn round(core: &Core, pour: Pour, probe: &Probe, next: &Arc<AtomicU64>) -> anyhow::Result<Round> {
    let _ = probe.take_p99_ms();
    let before = core.recorder.look(|tally| tally.numbered);
    let udp = core.books("udp");
    let dropped = |books: &common::books::Snapshot| books.counter("kernel_drops") * pour.packed;
    let (first, begun) = (next.load(Relaxed), Instant::now());
    let send = sender(core.sandbox.listens("udp")[0]);
    let mut text = Vec::new();
    let load = Running::start(pour.rate, pour.records(), pour.packed, move |number, count| {
        text.clear();
        (first + number..first + number + count).for_each(|number| tests::numbered(&mut text, number));
        send(&text);
    });
    let sent = load.finish();
    next.store(first + sent, Relaxed);
    let came = || core.recorder.look(|tally| tally.numbered) - before;
    wait_until("what was sent came out", || came() + dropped(&core.books("udp")) - dropped(&udp) >= sent);
    Ok(Round { rate: came() as f64 / begun.elapsed().as_secs_f64(), p99_ms: probe.take_p99_ms() })
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { (values[middle - 1] + values[middle]) / 2.0 }
}

/// Threads that are no good neighbours.
struct Neighbours {
    ended: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Neighbours {
    /// One that reads a datagram a second, one that registers ten thousand times in this time, and one that registers
    /// what it may not.
    fn start(run: &Path, time: Duration) -> anyhow::Result<Neighbours> {
        let ended = Arc::new(AtomicBool::new(false));
        let multicast = run.join("timeline.multicast");
        let peers = run.join("peers");
        let slow = bind(&peers.join("slow"))?;
        let looping = bind(&peers.join("looping"))?;
        let stranger = bind(&peers.join("stranger"))?;
        let file = peers.join("file");
        fs::write(&file, "no socket").context("a file among the peers")?;
        let link = peers.join("link");
        let _ = fs::remove_file(&link);
        symlink(peers.join("slow"), &link).context("a link among the peers")?;
        let outside = run.parent().context("the runtime directory has a parent")?.join("outside");
        let others =
            [file, link, peers.join("one"), outside, PathBuf::from("relative"), run.join("../run/peers/one")];
        let each = |work: Box<dyn Fn(&AtomicBool) + Send>| {
            let ended = ended.clone();
            thread::spawn(move || work(&ended))
        };
        let (at, to) = (peers.join("slow"), multicast.clone());
        let slow = each(Box::new(move |ended| {
            let mut buffer = [0; 64];
            while !ended.load(Relaxed) {
                let _ = registration::register(&slow, &at, "", &to);
                let _ = slow.recv(&mut buffer);
                rest(INTERVAL, ended);
            }
        }));
        let (at, to) = (peers.join("looping"), multicast.clone());
        let looping = each(Box::new(move |ended| {
            for _ in 0..REGISTRATIONS {
                let _ = registration::register(&looping, &at, "", &to);
                if ended.load(Relaxed) {
                    break;
                }
                thread::sleep(time / REGISTRATIONS / 2);
            }
        }));
        let stranger = each(Box::new(move |ended| {
            while !ended.load(Relaxed) {
                for path in &others {
                    let _ = stranger.send_to(path.as_os_str().as_encoded_bytes(), &multicast);
                }
                rest(Duration::from_millis(10), ended);
            }
        }));
        Ok(Neighbours { ended, threads: vec![slow, looping, stranger] })
    }

    fn end(self) {
        self.ended.store(true, Relaxed);
        for thread in self.threads {
            let _ = thread.join();
        }
    }
}

/// A socket that never waits.
fn bind(path: &Path) -> anyhow::Result<UnixDatagram> {
    let _ = fs::remove_file(path);
    let socket = UnixDatagram::bind(path).with_context(|| path.display().to_string())?;
    socket.set_nonblocking(true).context("a socket that never waits")?;
    Ok(socket)
}

fn rest(time: Duration, ended: &AtomicBool) {
    let until = Instant::now() + time;
    while Instant::now() < until && !ended.load(Relaxed) {
        thread::sleep(Duration::from_millis(5));
    }
}
