//! live: 100,000 series, 1,000 procs that match 100 of them each; clients read and sum.

use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::ensure;
use common::metric::Event;
use common::runtime_dir::RuntimeDir;
use common::time::Time;
use common::wire::Content;
use tempfile::TempDir;

use crate::Scale;
use crate::child::{Process, Receiving, build, scratch};
use crate::clock::monotonic_ns;
use crate::figure::{Figure, Unit, median};
use crate::receiver::Report;
use crate::sums::Sums;
use crate::udp_load::Progress;
use crate::writer::Writer;

const SERIES_A_PROC: usize = 100;
/// Points in a window.
const WINDOW: usize = 60;
const RECORD_BYTES: usize = 26 + 18;
const RECORDS_A_COMMIT: usize = 16 * 711;
/// Frames that wait for all clients together, at most: a tenth of what their buffers hold.
const WAITING_MAX: u64 = 500_000;
/// So often all series get an event before the measurement begins, at most: until every one is matched.
const WARM_UPS_MAX: usize = 200;

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    build(&["leela-dmproc"])?;
    let procs = scale.pick(1000, 5);
    let mut figures = Vec::new();
    for (pipeline, passes, name, to_reach) in [
        ("id", scale.pick(20, 2), "live, id", 1e6),
        ("window 60 (mean)", scale.pick(60, 60), "live, window 60 (mean)", 2e6),
    ] {
        let mut live = Live::start(procs, pipeline)?;
        let (mut rates, mut costs, mut plain) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..scale.pick(3, 1) {
            let (rate, ns) = live.round(passes)?;
            rates.push(rate);
            costs.push(ns);
            plain.push(plain_round(procs, passes)?);
        }
        let (cost, matched) = (median(&costs), live.matched.as_secs_f64());
        live.end()?;
        let figure = Figure::new(name, Unit::RecordsPerSecond, median(&rates))
            .bounds(to_reach, 5e6)
            .baseline("the same events summed by one peer", median(&plain))
            .note(format!(
                "{cost:.0} ns of dmproc's cpu an event; before, all series matched in {matched:.2} s"
            ));
        figures.push(figure);
    }
    Ok(figures)
}

fn key(series: usize) -> String {
    format!("proc{:04}.nginx.requests.{:02}", series / SERIES_A_PROC, series % SERIES_A_PROC)
}

fn keys(procs: usize) -> Vec<String> {
    (0..procs * SERIES_A_PROC).map(key).collect()
}

/// One event of every series. Its value is the number of the series, so that the mean of any window is exact.
fn pass(
    writer: &mut Writer,
    keys: &[String],
    mut behind: impl FnMut() -> anyhow::Result<()>,
) -> anyhow::Result<Sums> {
    let mut sums = Sums::default();
    for (place, keys) in keys.chunks(RECORDS_A_COMMIT).enumerate() {
        let time = Time::now();
        for (series, key) in (place * RECORDS_A_COMMIT..).zip(keys) {
            let value = series as u64;
            writer.event(&Event { key: key.as_bytes(), time, value: value as f64 });
            sums.add(key.as_bytes(), value);
        }
        writer.commit(keys.len() as u64);
        writer.keep_close(RECORD_BYTES, None)?;
        behind()?;
    }
    Ok(sums)
}

/// dmproc between a writer in the timeline's place and its clients; every series is matched.
struct Live {
    pipeline: String,
    keys: Vec<String>,
    writer: Writer,
    dmproc: Process,
    clients: Receiving,
    books: Progress,
    sent: u64,
    /// How long it took until every series was matched.
    matched: Duration,
    _multicast: UnixDatagram,
    _dir: TempDir,
}

impl Live {
    fn start(procs: usize, pipeline: &str) -> anyhow::Result<Live> {
        let (dir, run) = scratch()?;
        // In the timeline's place: dmproc registers here, and nobody reads it.
        let multicast = UnixDatagram::bind(run.timeline_multicast())?;
        let dmproc = Process::start("dmproc", &dir, &run, "client_buffer = \"1MiB\"\n", Vec::new())?;
        let clients = clients(&run, procs, pipeline)?;
        let writer = Writer::to_peers(&run, 1 << Content::Events as u8, &[&run.dmproc_databus()])?;
        let mut live = Live {
            pipeline: pipeline.to_owned(),
            keys: keys(procs),
            writer,
            dmproc,
            clients,
            books: Progress::of(run.books("dmproc")),
            sent: 0,
            matched: Duration::ZERO,
            _multicast: multicast,
            _dir: dir,
        };
        live.warm_up()?;
        Ok(live)
    }

    /// Passes until one of them met no series that was still to be matched.
    fn warm_up(&mut self) -> anyhow::Result<()> {
        let begun = Instant::now();
        for _ in 0..WARM_UPS_MAX {
            let deferred = self.books.counter("deferred")?;
            self.passes(1)?;
            if self.books.counter("deferred")? == deferred {
                self.matched = begun.elapsed();
                return Ok(());
            }
        }
        anyhow::bail!("after {WARM_UPS_MAX} events of each series some are not matched yet")
    }

    /// Sends passes, and waits until dmproc has applied them. Gives the sums of one.
    fn passes(&mut self, passes: usize) -> anyhow::Result<Sums> {
        let mut one_pass = Sums::default();
        for _ in 0..passes {
            let behind = || self.books.wait_at_most("frames.waiting", WAITING_MAX);
            one_pass = pass(&mut self.writer, &self.keys, behind)?;
            self.sent += one_pass.records;
        }
        self.writer.finish(None)?;
        self.books.wait("received", self.sent)?;
        Ok(one_pass)
    }

    /// Events a second, and nanoseconds of dmproc's processor time an event.
    fn round(&mut self, passes: usize) -> anyhow::Result<(f64, f64)> {
        let before = self.settled()?;
        let (start, cpu) = (monotonic_ns(), self.dmproc.cpu()?);
        let one_pass = self.passes(passes)?;
        let report = self.settled()?;
        let cpu = self.dmproc.cpu()? - cpu;
        // Each window that a whole number of passes fills gives one mean, wherever it began.
        let outputs = if self.pipeline == "id" { passes } else { passes / WINDOW };
        let mut want = before.sums;
        (0..outputs).for_each(|_| want.join(one_pass));
        report.sums.equal(want)?;
        ensure!(report.missing == 0, "clients lost {} events", report.missing);
        let events = (passes * self.keys.len()) as f64;
        let seconds = report.last_ns.max(start + 1) - start;
        Ok((events / (seconds as f64 / 1e9), cpu.as_nanos() as f64 / events))
    }

    /// What the clients have once every frame has reached them.
    fn settled(&mut self) -> anyhow::Result<Report> {
        self.books.wait_at_most("frames.waiting", 0)?;
        let produced = self.books.counter("frames.produced")?;
        self.clients.ask_until(produced)
    }

    fn end(self) -> anyhow::Result<()> {
        drop(self.clients);
        self.dmproc.stop()
    }
}

fn clients(run: &RuntimeDir, procs: usize, pipeline: &str) -> anyhow::Result<Receiving> {
    let (socket, procs) = (run.dmproc_proc(), procs.to_string());
    let arguments = ["--procs", &procs, "--pattern", r"^proc{}\.", "--pipeline", pipeline, "--socket"];
    let arguments: Vec<&Path> = arguments.iter().map(Path::new).chain([socket.as_path()]).collect();
    Receiving::start("clients", &arguments.iter().map(|path| path.as_os_str()).collect::<Vec<_>>())
}

/// As many of the same events to a peer that sums them itself.
fn plain_round(procs: usize, passes: usize) -> anyhow::Result<f64> {
    let (_dir, run) = scratch()?;
    let keys = keys(procs);
    let events = passes * keys.len();
    let path = run.dmproc_databus();
    let receiver = Receiving::sum(&run, &path, &["--pace", "--records", &events.to_string()])?;
    let mut writer = Writer::to_peers(&run, 1 << Content::Events as u8, &[&path])?;
    let start = monotonic_ns();
    let mut sent = Sums::default();
    for _ in 0..passes {
        sent.join(pass(&mut writer, &keys, || Ok(()))?);
    }
    writer.finish(None)?;
    let report = receiver.report()?;
    report.sums.equal(sent)?;
    Ok(events as f64 / ((report.last_ns - start) as f64 / 1e9))
}
