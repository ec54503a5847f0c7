//! store_peers: other stores given the same points as `store_write` and `store_read` give to Leela's, on one core each.
//! `tests/bench/peers/install.sh` fetches them; one that is not there is skipped, and said to be.

mod prometheus;
mod remote_write;
mod server;
mod victoria;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use common::time::Time;

use crate::Scale;
use crate::disk::{Disk, bytes_of, drop_caches};
use crate::figure::{Figure, Unit, median};
use crate::points::{DAY_POINTS, first_ms};
use crate::store_read::SERIES_OF_A_DAY;
use crate::store_write::{POINTS, SERIES};
use remote_write::Writes;
use server::Server;

/// After so long it is given no more points.
const WRITE_MAX: Duration = Duration::from_secs(60);

/// A store that is not Leela's.
struct Peer {
    /// The file in the directory of the peers; its version is in one beside it.
    program: &'static str,
    /// Its arguments: where it listens, and its directory.
    arguments: fn(&str, &Path) -> Vec<String>,
    /// Answered once it serves.
    ready: &'static str,
    /// Takes remote write.
    write: &'static str,
    /// Has it put everything where it stays, as small as it becomes; gives the directory of that.
    settle: fn(&mut Server, &Path) -> anyhow::Result<PathBuf>,
    /// How many points lie there.
    count: fn(&mut Server, &Path) -> anyhow::Result<u64>,
    /// What that is, for the table.
    settled: &'static str,
}

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let (mut figures, place) = (Vec::new(), place());
    for peer in [victoria::PEER, prometheus::PEER] {
        let program = place.join(peer.program);
        if program.is_file() {
            figures.extend(measure(&peer, &program, scale).context(peer.program)?);
        } else {
            let note = format!("{} is not there; tests/bench/peers/install.sh fetches it", program.display());
            figures.push(Figure::skipped(format!("store_peers, {}", peer.program), note));
        }
    }
    Ok(figures)
}

/// Where the programs are installed: `peers` in the target folder.
pub(crate) fn place() -> PathBuf {
    let this = std::env::current_exe().unwrap_or_default();
    let target = this.parent().and_then(Path::parent).map(Path::to_owned);
    target.unwrap_or_default().join("peers")
}

fn measure(peer: &Peer, program: &Path, scale: Scale) -> anyhow::Result<[Figure; 4]> {
    let (series, points) = (scale.pick(SERIES, 100), scale.pick(POINTS, 10));
    let (rate, bytes, seen) = written(peer, program, series, points)?;
    let (points, rounds) = (scale.pick(DAY_POINTS, 100), scale.pick(3, 1));
    let (one_ms, all_ms) = read_cold(peer, program, points, rounds)?;
    let version = std::fs::read_to_string(program.with_extension("version")).unwrap_or_default();
    let named = |what: &str| format!("{} {}, {what}", peer.program, version.trim());
    Ok([
        Figure::new(named("write"), Unit::PointsPerCpuSecond, rate).note(seen),
        Figure::new(named("disk"), Unit::BytesPerPoint, bytes).note(peer.settled),
        Figure::new(named("a day, cold"), Unit::Milliseconds, one_ms),
        Figure::new(named("100 series of a day, cold"), Unit::Milliseconds, all_ms),
    ])
}

/// Points a cpu-second, bytes a point, and what else was seen.
fn written(peer: &Peer, program: &Path, series: usize, points: usize) -> anyhow::Result<(f64, f64, String)> {
    let disk = Disk::new()?;
    let mut server = Server::start(peer, program, disk.path())?;
    let begun = Instant::now();
    let mut writes = Writes::of("web", series, first_ms(Time::now(), points));
    let mut rounds = 0;
    while rounds < points && begun.elapsed() < WRITE_MAX {
        writes.round(|body| server.write(body))?;
        rounds += 1;
    }
    writes.finish(|body| server.write(body))?;
    let place = (peer.settle)(&mut server, disk.path())?;
    let seconds = begun.elapsed().as_secs_f64();
    let (cpu, highest) = (server.cpu()?, server.highest_mib()?);
    let sent = (series * rounds) as u64;
    let came = (peer.count)(&mut server, &place)?;
    ensure!(came == sent, "{sent} points were sent, {came} came");
    let bytes = bytes_of(&place)? as f64 / sent as f64;
    let seen =
        format!("remote write, {seconds:.0} s with its own compaction; {highest:.0} MiB at its highest");
    server.stop()?;
    Ok((sent as f64 / cpu.as_secs_f64(), bytes, seen))
}

/// Milliseconds until a series of a day, and a hundred of them, have come from a process that was just started.
fn read_cold(peer: &Peer, program: &Path, points: usize, rounds: usize) -> anyhow::Result<(f64, f64)> {
    let disk = Disk::new()?;
    let mut server = Server::start(peer, program, disk.path())?;
    let mut writes = Writes::of("day", SERIES_OF_A_DAY, first_ms(Time::now(), points));
    for _ in 0..points {
        writes.round(|body| server.write(body))?;
    }
    writes.finish(|body| server.write(body))?;
    let place = (peer.settle)(&mut server, disk.path())?;
    server.stop()?;
    let (mut one, mut all) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let name = format!("=\"{}\"", writes.name(round * 7 % SERIES_OF_A_DAY));
        for (times, selector, series) in
            [(&mut one, name.as_str(), 1), (&mut all, "=~\"day.*\"", SERIES_OF_A_DAY)]
        {
            drop_caches(&place)?;
            let mut server = Server::start(peer, program, &place)?;
            drop_caches(&place)?;
            times.push(server.read(selector, points, series)?);
            server.stop()?;
        }
    }
    Ok((median(&one), median(&all)))
}
