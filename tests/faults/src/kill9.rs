//! Every process in turn is killed, stopped before every other time, while gauges come by UDP and counts by StatsD; what
//! came out and what the books call lost is what was sent.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use common::time::Time;
use tests::wait_until;

use crate::Scale;
use crate::core::Core;
use crate::load::Pour;
use crate::row::Row;
use crate::stored::stored;

/// Whose turn it is.
const VICTIMS: [&str; 7] = ["udp", "timeline", "storage", "statsd", "dmproc", "host", "http"];
/// A client of dmproc.
const PROC: &str = "proc match 5|^load id;";
/// What the names of the counts begin with.
const COUNTS: &str = "hits";
/// `leela status` reads again for a second while records are under way.
const STATUS_SECONDS_MAX: f64 = 2.5;
/// On the way of the counts: leela-statsd says their times, and the timeline has the windows.
const OF_COUNTS: [&str; 2] = ["statsd", "timeline"];
/// No window closes before a second after its end: a count is late only when it, or all that comes to the timeline, took
/// so long. Half of that may go by before and after what is seen of it here.
const PUNCTUAL: Duration = Duration::from_millis(500);

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Row>> {
    let every = Duration::from_millis(scale.pick(3000, 600));
    let pour = Pour { rate: scale.pick(100_000, 5_000), seconds: scale.pick(300, 10), packed: 50 };
    // Sealing has its share of the kills.
    let storage = "head_max = \"16MiB\"\nseal_after = \"10s\"\nmin_free = \"0B\"\n";
    let interval = format!("interval = \"{}s\"\n", scale.pick(10, 1));
    let mut core = Core::new(&interval);
    core.start("storage", storage);
    core.start("dmproc", "");
    core.start("host", "interval = \"1s\"");
    for name in ["http", "udp", "statsd"] {
        core.start(name, "");
    }
    let mut proc = core.sandbox.proc(PROC).map_err(anyhow::Error::msg)?;
    let mut heard = 0;

    let begin = Time::now();
    let load = pour.as_long_as_it_takes();
    let gauges = load.gauges(core.sandbox.listens("udp")[0], begin);
    let counts = load.counts(core.sandbox.listens("statsd")[0], COUNTS);
    let (begun, end) = (Instant::now(), Duration::from_secs(pour.seconds));
    let (mut kills, mut slowest_status, mut wrong) = (0, 0.0_f64, Vec::new());
    let mut longest_away = Duration::ZERO;
    for victim in VICTIMS.iter().cycle() {
        kills += 1;
        let due = every * kills;
        if due + every / 2 > end {
            break;
        }
        wait_until("it is time for the next kill", || begun.elapsed() >= due);
        let mut look = |core: &Core, want: &str| -> anyhow::Result<()> {
            let (state, seconds) = core.status_of(victim)?;
            slowest_status = slowest_status.max(seconds);
            if state != want {
                wrong.push(format!("leela status calls {victim} {state}, which is {want}"));
            }
            Ok(())
        };
        let away = Instant::now();
        if kills % 2 == 0 {
            core.process(victim).stop();
            look(&core, "stopped")?;
        }
        let (process, config) = core.take(victim);
        process.kill9();
        look(&core, "dead")?;
        let received = core.books(victim).counter("received");
        core.start_again(victim, config);
        if OF_COUNTS.contains(victim) {
            wait_until("it goes on", || core.books(victim).counter("received") > received);
            longest_away = longest_away.max(away.elapsed());
        }
        look(&core, "running")?;
        if *victim == "dmproc" {
            let next = core.sandbox.proc(PROC).map_err(anyhow::Error::msg)?;
            heard += std::mem::replace(&mut proc, next).wait_end().events;
        }
    }
    wait_until("the load is over", || begun.elapsed() >= end);
    let all_alive = core.all_alive();
    let (gauges, counts) = (gauges.halt(), counts.halt());
    core.settle(&[("udp", gauges / pour.packed), ("statsd", counts / pour.packed)]);
    core.windows_are_out();

    let tally = core.recorder.tally();
    let times = format!("killed {} times; leela status took {slowest_status:.1} s at most", kills - 1);
    let seen_once = {
        let mut seen = HashSet::new();
        tally
            .kept
            .iter()
            .filter(|kept| kept.key.starts_with(COUNTS))
            .all(|kept| seen.insert((&kept.key, kept.time)))
    };
    let [udp, statsd, timeline] = ["udp", "statsd", "timeline"].map(|name| core.books(name));
    let (packed, late) = (pour.packed, timeline.counter("late"));
    // A killed dmproc may have written frames that it had not booked yet, never the other way round; what it had in hand,
    // and what came while its client was away, may be the host's.
    let dmproc = core.books("dmproc");
    let delivered = dmproc.counter("frames.delivered");
    wait_until("the client has what was written", || heard + proc.look(|heard| heard.events) >= delivered);
    heard += proc.look(|heard| heard.events);
    let named = dmproc.counter("missing") + dmproc.counter("unmatched") + dmproc.total("frames.lost");
    let gauges_row = Row::new("kill9, gauges by udp", pour.says("gauges"))
        .sums(gauges, tally.numbered)
        .counted("kernel_drops", udp.counter("kernel_drops") * packed)
        .counted("lost_in_crash of udp", udp.counter("lost_in_crash") * packed)
        .counted("missing at the timeline", core.missing_of("udp"))
        .counted("dropped for the recorder", tally.gaps)
        .must(tally.twice == 0, "a gauge came out twice")
        .must(heard <= tally.numbered && heard + named >= tally.numbered, "a client of dmproc lost some unseen")
        .must(all_alive, "one ended by itself")
        .must(wrong.is_empty(), wrong.join(", "))
        // What takes a second and less says nothing of it.
        .must(scale == Scale::Short || slowest_status < STATUS_SECONDS_MAX, "leela status was slow")
        .must(core.is_balanced(), "leela status is not content")
        .seen(format!(
            "{times}; events sent again to the recorder, which knows them by their numbers: {}; clients of dmproc heard {heard}",
            tally.repeated
        ));
    let totals: f64 = {
        let of_counts = tally.kept.iter().filter(|kept| kept.key.starts_with(COUNTS));
        of_counts.filter(|kept| kept.key.contains(".total")).map(|kept| kept.value).sum()
    };
    let counts_row = Row::new("kill9, counts by statsd", pour.says("counts"))
        .sums(counts, totals as u64)
        .counted("kernel_drops", statsd.counter("kernel_drops") * packed)
        .counted("lost_in_crash of statsd", statsd.counter("lost_in_crash") * packed)
        .counted("missing at the timeline", core.missing_of("statsd"))
        .counted("aggregated_lost", timeline.counter("aggregated_lost"))
        .must(seen_once, "a window came out twice")
        .must(late == 0 || (scale == Scale::Short && longest_away > PUNCTUAL), "a count was late")
        .seen(format!(
            "late {late}; leela-statsd and leela-timeline were away for {longest_away:.1?} at most"
        ));
    let storage_row = stored(&core, "kill9, in the store", pour, begin, tally.numbered)
        .counted("dropped by storage", core.books("storage").total("dropped"));
    Ok(vec![gauges_row, counts_row, storage_row])
}
