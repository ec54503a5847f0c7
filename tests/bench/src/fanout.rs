//! fanout: one sender to eight peers, with one of them stopped and without.

use std::path::{Path, PathBuf};
use std::time::Duration;

use common::metric::Event;
use common::time::Time;
use common::wire::Content;
use nix::sys::signal::Signal;

use crate::Scale;
use crate::child::{Receiving, scratch};
use crate::clock::monotonic_ns;
use crate::figure::{Figure, Unit, median};
use crate::load::{KEY_BYTES, keys};
use crate::sums::Sums;
use crate::writer::Writer;

/// Peers that run.
const RUNNING: usize = 7;
const RECORD_BYTES: usize = KEY_BYTES + 18;
/// Events the timeline makes before it commits, of 16 datagrams with 711 metrics each.
const RECORDS_A_COMMIT: u64 = 16 * 711;

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let records = scale.pick(10_000_000, 50_000);
    let (mut alone, mut beside, mut costs) = (Vec::new(), Vec::new(), Vec::new());
    let mut gap_ms: f64 = 0.0;
    for pair in 0..scale.pick(7, 1) {
        // Which one goes first changes, so that a drift of the machine takes no side.
        let mut rates = [0.0; 2];
        for stopped in if pair % 2 == 0 { [false, true] } else { [true, false] } {
            let (rate, gap_ns) = round(records, stopped)?;
            rates[usize::from(stopped)] = rate;
            if stopped {
                gap_ms = gap_ms.max(gap_ns as f64 / 1e6);
            }
        }
        let [without, with] = rates;
        alone.push(without);
        beside.push(with);
        costs.push((1.0 - with / without) * 100.0);
    }
    Ok(vec![
        Figure::new("fanout", Unit::RecordsPerSecond, median(&beside))
            .bounds(2e6, 5e6)
            .baseline("without the stopped peer", median(&alone))
            .note(format!("each of {RUNNING} peers; longest gap beside the stopped one {gap_ms:.1} ms")),
        Figure::new("fanout, stopped peer costs", Unit::Percent, median(&costs))
            .bounds(5.0, 1.0)
            .note("median of the pairs; under 0 is noise"),
    ])
}

/// Records a second at each running peer, and their longest gap.
fn round(records: u64, with_stopped: bool) -> anyhow::Result<(f64, u64)> {
    let (_dir, run) = scratch()?;
    let paths: Vec<PathBuf> = (0..RUNNING).map(|peer| run.peers().join(format!("peer{peer}"))).collect();
    let stopped_path = run.peers().join("stopped");
    let count = records.to_string();
    let start_one = |path: &Path| Receiving::sum(&run, path, &["--records", &count]);
    let running = paths.iter().map(|path| start_one(path)).collect::<anyhow::Result<Vec<_>>>()?;
    let stopped = with_stopped.then(|| Receiving::sum(&run, &stopped_path, &[])).transpose()?;
    let mut all: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    if let Some(stopped) = &stopped {
        stopped.signal(Signal::SIGSTOP)?;
        all.push(&stopped_path);
    }
    let mut writer = Writer::to_peers(&run, 1 << Content::Events as u8, &all)?;
    let keys = keys();
    let mut series = keys.iter().cycle();
    let mut sent = Sums::default();
    // Before the clock runs: the ring has been round once, and its memory is there.
    let warm_up = records / 5;
    let (mut start, mut counted) = (monotonic_ns(), records);
    while sent.records < records {
        if counted == records && sent.records >= warm_up {
            (start, counted) = (monotonic_ns(), records - sent.records);
        }
        let (time, before) = (Time::now(), sent.records);
        while sent.records < records && sent.records - before < RECORDS_A_COMMIT {
            let (key, value) = (series.next().expect("it goes round"), sent.records);
            writer.event(&Event { key, time, value: value as f64 });
            sent.add(key, value);
        }
        writer.commit(sent.records - before);
        writer.keep_close(RECORD_BYTES, Some(&stopped_path))?;
    }
    writer.finish(Some(&stopped_path))?;
    let (mut last_ns, mut gap_ns) = (start, 0);
    for receiver in running {
        let report = receiver.report()?;
        report.sums.equal(sent)?;
        last_ns = last_ns.max(report.last_ns);
        gap_ns = gap_ns.max(report.gap_ns);
    }
    if let Some(stopped) = stopped {
        continues(&mut writer, stopped, &stopped_path, sent.records)?;
    }
    Ok((counted as f64 / ((last_ns - start) as f64 / 1e9), gap_ns))
}

/// Of what was sent while it was stopped, a peer gets what the ring kept; the rest is booked.
fn continues(writer: &mut Writer, stopped: Receiving, path: &Path, sent: u64) -> anyhow::Result<()> {
    stopped.signal(Signal::SIGCONT)?;
    // The last try was put off for 100 ms at most.
    std::thread::sleep(Duration::from_millis(100));
    writer.finish(None)?;
    let peer = writer.peer(path).ok_or_else(|| anyhow::anyhow!("the stopped peer has lost its place"))?;
    let report = stopped.stop()?;
    anyhow::ensure!(
        report.sums.records == peer.sent && peer.sent + peer.dropped == sent,
        "sums differ at the stopped peer: {sent} for it, {} sent, {} booked as dropped, {} came",
        peer.sent,
        peer.dropped,
        report.sums.records
    );
    Ok(())
}
