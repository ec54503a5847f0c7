//! Counts, some of them late, while the timeline and the inputs are restarted and the wall clock moves: the sum of what
//! comes out is what was sent, and no window of a series comes out twice.

use std::collections::HashSet;
use std::io::Write as _;
use std::time::{Duration, Instant};

use common::time::{SECOND_NS, Time};
use tests::{Running, wait_until};

use crate::Scale;
use crate::clock::Clock;
use crate::core::Core;
use crate::load::{KEYS, Pour, sender};
use crate::row::Row;

const COUNTS: &str = "hits";
/// The latest come so long after their time.
const LATE_SECONDS: u64 = 90;
/// Where the clock stands, in turn; the last of all is ahead of every one, so that no window waits for it.
const CLOCK: [i64; 8] = [0, 20, 0, 3600, 3590, -30, 700, 0];
const LAST: i64 = 7200;

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let every = Duration::from_millis(scale.pick(3_000, 800));
    let pour = Pour { rate: scale.pick(20_000, 2_500), seconds: scale.pick(600, 10), packed: 50 };
    let mut core = Core::with("interval = \"1s\"\n", Clock::of)?;
    core.recorder.keep_only(COUNTS);
    for name in ["udp", "statsd"] {
        core.start(name, "");
    }
    let plain = pour.counts(core.sandbox.listens("statsd")[0], COUNTS);
    let late = late(pour, &core);
    let (begun, end) = (Instant::now(), Duration::from_secs(pour.seconds));
    let mut restarts = 0;
    for name in ["timeline", "statsd", "timeline", "udp"].into_iter().cycle() {
        restarts += 1;
        let due = every * restarts;
        if due + every / 2 > end {
            break;
        }
        wait_until("it is time for the next restart", || begun.elapsed() >= due);
        // While it is away, or while it runs.
        let (process, config) = core.take(name);
        anyhow::ensure!(process.terminate().success(), "{name} ends in order");
        let seconds = CLOCK[restarts as usize % CLOCK.len()];
        if restarts % 3 == 0 {
            core.clock()?.set(seconds)?;
            core.start_again(name, config);
        } else {
            core.start_again(name, config);
            core.clock()?.set(seconds)?;
        }
    }
    let (plain, late) = (plain.finish(), late.finish());
    core.settle(&[("statsd", plain / pour.packed), ("udp", late / pour.packed)]);
    core.clock()?.set(LAST)?;
    core.windows_are_out();
    let timeline = core.books("timeline");
    let drops: u64 = ["udp", "statsd"].iter().map(|input| core.books(input).counter("kernel_drops")).sum();
    let (totals, is_once) = core.recorder.look(|tally| {
        let mut seen = HashSet::new();
        (tally.totals as u64, tally.kept.iter().all(|kept| seen.insert((&kept.key, kept.time))))
    });
    let missing = core.missing_of("udp") + core.missing_of("statsd");
    let row = Row::new("conserve", format!("{}, and as many that are late", pour.says("counts")))
        .sums(plain + late, totals)
        .counted("kernel_drops", drops * pour.packed)
        .counted("missing at the timeline", missing)
        .counted("refused.future", timeline.counter("refused.future"))
        .must(is_once, "a window came out twice")
        .must(timeline.counter("aggregated_lost") == 0, "windows were lost")
        .must(timeline.counter("expired") == 0, "series were forgotten")
        .must(core.all_alive(), "one ended by itself")
        .must(core.is_balanced(), "leela status is not content")
        .seen(format!(
            "{} restarts, the clock set as often; late {}",
            restarts - 1,
            timeline.counter("late")
        ));
    Ok(vec![row])
}

/// Counts of one as Leela's text, whose times are up to a minute and a half ago.
fn late(pour: Pour, core: &Core) -> Running {
    let send = sender(core.sandbox.listens("udp")[0]);
    let mut text = Vec::new();
    Running::start(pour.rate, pour.records(), pour.packed, move |first, count| {
        text.clear();
        let now = Time::now();
        for number in first..first + count {
            let time = now.plus_ns(-((number % LATE_SECONDS) as i64) * SECOND_NS);
            let key = number % KEYS;
            write!(text, "count 12|{COUNTS}.k{key:06} 1 {time};").expect("a Vec takes all");
        }
        send(&text);
    })
}
