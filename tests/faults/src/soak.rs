//! Half an hour under load, with series that come and go: nothing grows. The times of the gauges go a day on with every
//! new set of series, so that the store, whose size is bounded, has something to let go.

use std::io::Write as _;
use std::time::{Duration, Instant};

use common::time::{SECOND_NS, Time};
use tests::{Running, wait_until};

use crate::Scale;
use crate::core::Core;
use crate::load::{KEYS, Pour, sender};
use crate::row::Row;
use crate::watch::{Trend, descriptors, memory_bytes};

const PROCESSES: [&str; 6] = ["udp", "timeline", "storage", "dmproc", "host", "http"];
const DAY_NS: i64 = 86_400 * SECOND_NS;
/// What the line through the resident memory of a process, but for rings and books, may rise in the last two thirds, in hundredths.
const RISE_MAX: f64 = 2.0;
/// What the line through its descriptors may rise meanwhile.
const DESCRIPTORS_MAX: f64 = 1.0;
const MIB: f64 = (1 << 20) as f64;
/// The disk follows its limit: files are let go when they are complete, and a merged one is there beside its parts.
const DISK_OVER: f64 = 1.5;

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let pour = Pour { rate: scale.pick(200_000, 5_000), seconds: scale.pick(1_800, 12), packed: 50 };
    let generation = Duration::from_secs(scale.pick(20, 2));
    let ttl = scale.pick(60, 3);
    let disk_max_mib = 16;
    let mut core = Core::new(&format!("ttl = \"{ttl}s\"\n"));
    core.recorder.keep_only("none");
    core.start(
        "storage",
        &format!(
            "disk_max = \"{disk_max_mib}MiB\"\nhead_max = \"16MiB\"\nseal_after = \"20s\"\nmerge_after = \"20s\"\nmin_free = \"0B\"\n"
        ),
    );
    core.start("dmproc", &format!("series_ttl = \"{ttl}s\"\n"));
    core.start("host", "interval = \"10s\"\n");
    for name in ["http", "udp"] {
        core.start(name, "");
    }
    let proc = core.sandbox.proc("proc match 8|^load\\.g window 60 (mean);").map_err(anyhow::Error::msg)?;
    let load = pour_of(pour, generation, &core);
    let begun = Instant::now();
    let third = Duration::from_secs(pour.seconds / 3);
    let end = Duration::from_secs(pour.seconds);
    wait_long(begun, third);
    let mut memory: Vec<Trend> = PROCESSES.iter().map(|_| Trend::new(begun)).collect();
    // Without what it maps: rings and books.
    let mut own: Vec<Trend> = PROCESSES.iter().map(|_| Trend::new(begun)).collect();
    let mut open: Vec<Trend> = PROCESSES.iter().map(|_| Trend::new(begun)).collect();
    let (mut disk, mut series) = (Trend::new(begun), Trend::new(begun));
    while begun.elapsed() < end {
        for (at, name) in PROCESSES.iter().enumerate() {
            let pid = core.process(name).pid();
            memory[at].note(memory_bytes(pid, "VmRSS")?);
            own[at].note(memory_bytes(pid, "RssAnon")?);
            open[at].note(descriptors(pid)?);
        }
        disk.note(core.books("storage").counter("disk_bytes"));
        series.note(core.books("timeline").counter("series"));
        wait_long(begun, begun.elapsed() + Duration::from_millis(scale.pick(2_000, 200)));
    }
    let sent = load.finish();
    core.settle(&[("udp", sent / pour.packed)]);
    let storage_databus = core.sandbox.run().storage_databus();
    let kept = || {
        let peers = core.sandbox.peers("timeline");
        peers.into_iter().find(|(peer, _)| peer.path == storage_databus).map(|(peer, _)| peer)
    };
    wait_until("storage has all there is for it", || {
        kept().is_some_and(|peer| core.books("storage").counter("received") == peer.sent)
    });
    let (udp, timeline, storage) = (core.books("udp"), core.books("timeline"), core.books("storage"));
    let (numbered, twice) = core.recorder.look(|tally| (tally.numbered, tally.twice));
    let (lowest, highest) = series.range();
    let (_, disk_highest) = disk.range();
    let mut row =
        Row::new("soak", format!("{}; {KEYS} new series every {generation:?}", pour.says("gauges")))
            .sums(sent, numbered)
            .counted("kernel_drops", udp.counter("kernel_drops") * pour.packed)
            .counted("missing at the timeline", core.missing_of("udp"))
            .counted("dropped for the recorder", core.sandbox.peer("one").map_or(0, |(peer, _)| peer.dropped))
            .must(twice == 0, "a gauge came out twice")
            .must(timeline.counter("expired") > 0, "no series went")
            .must(storage.total("dropped") == 0, format!("storage dropped {}", storage.total("dropped")))
            .must(disk_highest <= disk_max_mib as f64 * MIB * DISK_OVER, "the disk is over its limit");
    let mut seen = Vec::new();
    for (((name, memory), own), open) in PROCESSES.iter().zip(&memory).zip(&own).zip(&open) {
        let (rise, mean) = (memory.rise_percent(), memory.mean() / MIB);
        let (own_rise, own_mean) = (own.rise_percent(), own.mean() / MIB);
        seen.push(format!("{name} {mean:.1} MiB {rise:+.2} % (its own {own_mean:.1} MiB {own_rise:+.2} %)"));
        // What it holds in a few seconds says nothing of growth.
        row = row.must(scale == Scale::Short || rise < RISE_MAX, format!("{name} grows by {rise:.2} %"));
        // The store has one for each of its files, which come and go: it is the line through them that has to be flat.
        let ((few, many), more) = (open.range(), open.rise());
        seen.push(format!("{name} {few} to {many} descriptors {more:+.1}"));
        row = row.must(
            scale == Scale::Short || more < DESCRIPTORS_MAX,
            format!("{name} has {more:.1} descriptors more, {few} to {many}"),
        );
    }
    let row = row
        .must(core.all_alive(), "one ended by itself")
        .must(core.is_balanced(), "leela status is not content");
    Ok(vec![row.seen(format!(
        "resident, and its rise in the last two thirds: {}; series {lowest} to {highest}; disk {:.0} MiB at most of \
         {disk_max_mib}; a client of dmproc heard {}",
        seen.join(", "),
        disk_highest / MIB,
        proc.look(|heard| heard.events)
    ))])
}

/// Gauges `load.g<generation>.k<0 to 999>`, a day of their own for each generation.
fn pour_of(pour: Pour, generation: Duration, core: &Core) -> Running {
    let send = sender(core.sandbox.listens("udp")[0]);
    let mut text = Vec::new();
    let a_generation = pour.rate * generation.as_secs();
    let first_day = Time::now().plus_ns(-200 * DAY_NS);
    Running::start(pour.rate, pour.records(), pour.packed, move |first, count| {
        text.clear();
        for number in first..first + count {
            let generation = number / a_generation;
            // Somewhere in a slot of its own: what can be foretold takes so little room that the disk is never full.
            let jitter_ms = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
            let of_day = ((number % a_generation / KEYS) * 64 + jitter_ms) as i64 * 1_000_000;
            let time = first_day.plus_ns(generation as i64 * DAY_NS + of_day);
            let key = number % KEYS;
            write!(text, "gauge 16|load.g{generation:04}.k{key:04} {number} {time};")
                .expect("a Vec takes all");
        }
        send(&text);
    })
}

/// Waits until so much has passed, longer than a test may wait for an event.
fn wait_long(begun: Instant, until: Duration) {
    while let Some(left) = until.checked_sub(begun.elapsed()) {
        std::thread::sleep(left.min(Duration::from_secs(1)));
    }
}
