//! Ten million different keys in a minute: memory stays under what the limits allow, series that were known keep
//! flowing, and what is over the limits is folded, so that the sum is right.

use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::Context;
use serde_json::Value;
use tests::Running;

use crate::Scale;
use crate::core::Core;
use crate::load::{KEYS, Pour, sender};
use crate::row::Row;
use crate::watch::memory_bytes;

/// What leela-timeline(8) says a series takes, about; its name with it.
const SERIES_BYTES: u64 = 120;
/// What a timeline without series takes, and what its tables grow by at once.
const BASE_BYTES: u64 = 64 << 20;
/// The known series go through in windows of a second: they stand still when nothing of them comes for so long.
const SILENT_MAX: Duration = Duration::from_secs(5);
/// Overflow series are beside the limits.
const OVERFLOW_SERIES: u64 = 1_001;
const KNOWN: &str = "known";
/// Where the new series come from, an eighth from each.
const CULPRITS: [&str; 8] =
    ["bang0.*", "bang1.*", "bang2.*", "bang3.*", "boom0.*", "boom1.*", "boom2.*", "boom3.*"];
const SHARE_PERCENT: f64 = 12.5;

/// Keys in a datagram, of both loads: so what was dropped is known in keys.
const PACKED: u64 = 40;

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let (series_max, seconds) = (scale.pick(2_000_000, 20_000), scale.pick(60, 6));
    // The defaults, a hundredth of them where it is short.
    let config = format!(
        "interval = \"1s\"\nseries_max = {series_max}\nseries_per_input_max = {}\nseries_per_part_max = {}\n\
         series_reserve = {}\n",
        series_max / 2,
        series_max / 4,
        series_max / 200
    );
    let mut core = Core::new(&config);
    core.recorder.keep_only(KNOWN);
    core.start("udp", "");
    core.start("statsd", "");
    let keys = scale.pick(10_000_000, 100_000);
    let flood = Pour { rate: keys / 2 / seconds, seconds, packed: PACKED };
    let calm = Pour { rate: 1_000, seconds: seconds + 5, packed: PACKED };
    let known = calm.counts(core.sandbox.listens("statsd")[0], KNOWN);
    tests::wait_until("all of it is known", || core.books("timeline").counter("series") >= KEYS);
    let floods = [text(flood, &core), lines(flood, &core)];
    let begun = Instant::now();
    let pid = core.process("timeline").pid();
    let (mut highest, mut silence) = (0, Duration::ZERO);
    let (mut came, mut since) = (0, begun);
    while floods.iter().any(|flood| flood.sent() < keys / 2) {
        highest = memory_bytes(pid, "RssAnon")?.max(highest);
        let now = core.recorder.look(|tally| tally.kept.len());
        if now > came {
            (came, since) = (now, Instant::now());
        }
        silence = silence.max(since.elapsed());
        std::thread::sleep(Duration::from_millis(20));
    }
    let [by_text, by_lines] = floods.map(Running::finish);
    let took = begun.elapsed();
    let named = culprits(&core)?;
    let known_sent = known.finish();
    core.settle(&[("udp", by_text / PACKED), ("statsd", (by_lines + known_sent) / PACKED)]);
    core.windows_are_out();
    highest = memory_bytes(pid, "RssAnon")?.max(highest);
    let timeline = core.books("timeline");
    let drops: u64 = ["udp", "statsd"].iter().map(|input| core.books(input).counter("kernel_drops")).sum();
    let (totals, known_totals) = core.recorder.look(|tally| {
        let known = tally.kept.iter().filter(|kept| kept.key.ends_with(".total"));
        (tally.totals as u64, known.map(|kept| kept.value).sum::<f64>() as u64)
    });
    let bound = series_max * SERIES_BYTES + BASE_BYTES;
    let row =
        Row::new("explosion", format!("{keys} different keys of counts in {seconds} s, 1 k/s of known ones"))
            .sums(by_text + by_lines + known_sent, totals)
            .counted("kernel_drops", drops * PACKED)
            .counted("missing at the timeline", core.missing_of("udp") + core.missing_of("statsd"))
            .must(drops > 0 || known_totals == known_sent, "the known ones were folded")
            .must(silence < SILENT_MAX, format!("nothing came of the known ones for {silence:.1?}"))
            .must(
                highest <= bound,
                format!("leela-timeline took {} MiB, over its {} MiB", highest >> 20, bound >> 20),
            )
            .must(timeline.counter("series") <= series_max + OVERFLOW_SERIES, "there are too many series")
            .must(timeline.counter("overflowed") > 0, "nothing was folded")
            .must(named == CULPRITS, format!("leela top --growth names {named:?}"))
            .must(core.all_alive(), "one ended by itself")
            .must(core.is_balanced(), "leela status is not content");
    Ok(vec![row.seen(format!(
        "sent in {:.0} s; {} series, {} records folded; {} MiB of memory at most, {} allowed; the longest time without \
         a known one {silence:.1?}",
        took.as_secs_f64(),
        timeline.counter("series"),
        timeline.counter("overflowed"),
        highest >> 20,
        bound >> 20
    ))])
}

/// The names that `leela top --growth` says have about the share of the new series that each of them has.
fn culprits(core: &Core) -> anyhow::Result<Vec<String>> {
    let out = core.sandbox.leela(&["top", "--growth", "-o", "json", "--count", "1"]);
    let top: Value = serde_json::from_slice(&out.stdout).context("reading what leela top says")?;
    let rows = top["rows"].as_array().context("leela top has no rows")?;
    let has_share = |row: &&Value| row["share%"].as_f64().is_some_and(|share| share > SHARE_PERCENT / 2.0);
    let mut named: Vec<String> =
        rows.iter().filter(has_share).filter_map(|row| row["of"].as_str().map(str::to_owned)).collect();
    named.sort();
    Ok(named)
}

/// Counts as Leela's text, each of a key of its own, under four first parts.
fn text(pour: Pour, core: &Core) -> Running {
    let send = sender(core.sandbox.listens("udp")[0]);
    let mut text = Vec::new();
    Running::start(pour.rate, pour.records(), pour.packed, move |first, count| {
        text.clear();
        for number in first..first + count {
            write!(text, "count 15|bang{}.k{number:08} 1;", number % 4).expect("a Vec takes all");
        }
        send(&text);
    })
}

/// The same as StatsD's lines.
fn lines(pour: Pour, core: &Core) -> Running {
    let send = sender(core.sandbox.listens("statsd")[0]);
    let mut text = Vec::new();
    Running::start(pour.rate, pour.records(), pour.packed, move |first, count| {
        text.clear();
        for number in first..first + count {
            writeln!(text, "boom{}.k{number:08}:1|c", number % 4).expect("a Vec takes all");
        }
        send(&text);
    })
}
