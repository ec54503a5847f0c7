//! The wall clock of all processes is set an hour forward, back, an hour back, and forward again, under load and over
//! restarts: no window comes out twice, no series is forgotten, nothing stands still, and what is refused is counted.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use tests::wait_until;

use crate::Scale;
use crate::clock::Clock;
use crate::core::Core;
use crate::load::Pour;
use crate::row::Row;

const HOUR: i64 = 3600;
/// How long the clock is wrong before each step: less than a window lasts.
const FLICK: Duration = Duration::from_millis(300);
/// Where the clock stands, and whether it is set while the timeline is away.
const STEPS: [(i64, bool); 10] = [
    (0, false),
    (HOUR, false),
    (0, false),
    (HOUR, false),
    (0, false),
    (-HOUR, false),
    (0, false),
    (HOUR, true),
    (0, true),
    (2 * HOUR, false),
];
/// Nothing comes for so long only when something stands still.
const SILENT_MAX: Duration = Duration::from_secs(5);
const COUNTS: &str = "hits";

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let step = Duration::from_millis(scale.pick(20_000, 1_200));
    let seconds = (step * STEPS.len() as u32).as_secs() + 1;
    let pour = Pour { rate: scale.pick(50_000, 2_500), seconds, packed: 50 };
    let mut core = Core::with("interval = \"1s\"\n", Clock::of)?;
    core.recorder.keep_only(COUNTS);
    core.start("storage", "min_free = \"0B\"\n");
    for name in ["dmproc", "udp", "statsd"] {
        core.start(name, "");
    }
    let load = pour.as_long_as_it_takes();
    let gauges = load.gauges_of_now(core.sandbox.listens("udp")[0]);
    let counts = load.counts(core.sandbox.listens("statsd")[0], COUNTS);
    let begun = Instant::now();
    let mut silent = Vec::new();
    for (number, (seconds, is_over_restart)) in STEPS.into_iter().enumerate() {
        wait_until("it is time for the next step", || begun.elapsed() >= step * number as u32);
        // Ahead and back again: the window that it comes back to has come out.
        core.clock()?.set(2 * HOUR)?;
        std::thread::sleep(FLICK);
        core.clock()?.set(if number == 0 { 0 } else { STEPS[number - 1].0 })?;
        let flowed = || core.recorder.look(|tally| (tally.numbered, tally.kept.len()));
        let before = flowed();
        if is_over_restart {
            let (timeline, config) = core.take("timeline");
            anyhow::ensure!(timeline.terminate().success(), "leela-timeline ends in order");
            core.clock()?.set(seconds)?;
            core.start_again("timeline", config);
        } else {
            core.clock()?.set(seconds)?;
        }
        let set = Instant::now();
        let flows = |core: &Core| {
            let (gauges, windows) = core.recorder.look(|tally| (tally.numbered, tally.kept.len()));
            gauges > before.0 && windows > before.1
        };
        while !flows(&core) && set.elapsed() < SILENT_MAX {
            std::thread::sleep(Duration::from_millis(5));
        }
        if !flows(&core) {
            silent.push(format!("nothing comes for {SILENT_MAX:?} after the clock was set to {seconds:+} s"));
        }
    }
    wait_until("the last step is as long as others", || begun.elapsed() >= Duration::from_secs(pour.seconds));
    let (gauges, counts) = (gauges.halt(), counts.halt());
    core.settle(&[("udp", gauges / pour.packed), ("statsd", counts / pour.packed)]);
    core.windows_are_out();
    let timeline = core.books("timeline");
    let drops: u64 = ["udp", "statsd"].iter().map(|input| core.books(input).counter("kernel_drops")).sum();
    let totals = core.recorder.look(|tally| tally.totals) as u64;
    let is_once = core.recorder.look(|tally| {
        let mut seen = HashSet::new();
        tally.kept.iter().all(|kept| seen.insert((&kept.key, kept.time)))
    });
    let (numbered, twice) = core.recorder.look(|tally| (tally.numbered, tally.twice));
    let missing = core.missing_of("udp") + core.missing_of("statsd");
    let row = Row::new("clock", format!("{}, and as many counts", pour.says("gauges")))
        .sums(gauges + counts, numbered + totals)
        .counted("kernel_drops", drops * pour.packed)
        .counted("missing at the timeline", missing)
        .counted("refused.future", timeline.counter("refused.future"))
        .must(is_once, "a window came out twice")
        .must(twice == 0, "a gauge came out twice")
        .must(timeline.counter("expired") == 0, "series were forgotten")
        .must(silent.is_empty(), silent.join(", "))
        .must(core.all_alive(), "one ended by itself")
        .must(core.is_balanced(), "leela status is not content")
        .seen(format!(
            "set {} times; late {}, ahead {}",
            STEPS.len() - 1,
            timeline.counter("late"),
            timeline.counter("ahead")
        ));
    Ok(vec![row])
}
