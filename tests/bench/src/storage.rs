//! leela-storage as it is built for users: its sockets in memory, its store on a disk, and a writer in the timeline's
//! place, which waits.

use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail, ensure};
use common::ask::report::Stats;
use common::ask::{Answer, Ask, Range, Selection, Status};
use common::metric::Event;
use common::query::selector::Selector;
use common::runtime_dir::RuntimeDir;
use common::time::Time;
use common::wire::{Content, Header, Runs, Series, Words};
use sockets::frame::{self, Frames};
use tempfile::TempDir;

use crate::child::{Process, scratch};
use crate::disk::{Disk, bytes_of, drop_caches, status_mib};
use crate::points::Point;
use crate::sums::Sums;
use crate::udp_load::Progress;
use crate::writer::Writer;

/// Sealing goes by memory, as it does at the defaults, while points come; the rest is sealed and all of it merged
/// soon after them, since a row waits for that.
const CONFIG: &str = "seal_after = \"10s\"\nmerge_after = \"1s\"\n";
/// Events before the writer commits, as the timeline does.
const RECORDS_A_COMMIT: u64 = 16 * 711;
/// An answer comes within so long.
const ANSWER_MAX: Duration = Duration::from_secs(60);
/// All is sealed and merged within so long.
const SEALED_MAX: Duration = Duration::from_secs(60);
/// So often it is looked at. It is done when it takes less than a twenty-fifth of a core for so long: longer than it
/// waits for more before it merges.
const LOOK: Duration = Duration::from_millis(250);
pub(crate) const STILL: Duration = Duration::from_millis(2500);

/// leela-storage, and who feeds it.
#[derive(Debug)]
pub(crate) struct Storage {
    process: Process,
    writer: Writer,
    sent: u64,
    uncommitted: u64,
    record_bytes: usize,
    books: Progress,
    run: RuntimeDir,
    disk: Disk,
    /// In the timeline's place: storage registers here, and nobody reads it.
    _multicast: UnixDatagram,
    _sockets: TempDir,
}

/// What came of a question.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Answered {
    /// Of points: what they add up to. Of series: how many, and their keys.
    pub(crate) sums: Sums,
    /// From the moment before it was asked until the end was read.
    pub(crate) took: Duration,
}

impl Storage {
    /// Starts it with an empty store. Records have about so many bytes.
    pub(crate) fn start(record_bytes: usize) -> anyhow::Result<Storage> {
        let (sockets, run) = scratch()?;
        let multicast = UnixDatagram::bind(run.timeline_multicast())?;
        let disk = Disk::new()?;
        let process = Process::start("storage", disk.dir(), &run, CONFIG, Vec::new())?;
        let writer = Writer::to_peers(&run, 1 << Content::Events as u8, &[&run.storage_databus()])?;
        let books = Progress::of(run.books("storage"));
        Ok(Storage {
            process,
            writer,
            sent: 0,
            uncommitted: 0,
            record_bytes,
            books,
            run,
            disk,
            _multicast: multicast,
            _sockets: sockets,
        })
    }

    /// Sends a point, once there is room for it.
    #[inline]
    pub(crate) fn write(&mut self, key: &[u8], point: Point) -> anyhow::Result<()> {
        self.writer.event(&Event { key, time: point.time(), value: point.value() });
        self.uncommitted += 1;
        if self.uncommitted == RECORDS_A_COMMIT { self.commit() } else { Ok(()) }
    }

    fn commit(&mut self) -> anyhow::Result<()> {
        self.sent += self.uncommitted;
        self.writer.commit(std::mem::take(&mut self.uncommitted));
        self.writer.keep_close(self.record_bytes, None)
    }

    /// Waits until it has everything.
    pub(crate) fn finish(&mut self) -> anyhow::Result<()> {
        self.commit()?;
        self.writer.finish(None)?;
        self.books.wait("received", self.sent)
    }

    pub(crate) fn run(&self) -> &RuntimeDir {
        &self.run
    }

    /// Where its configuration and its store lie.
    pub(crate) fn dir(&self) -> &TempDir {
        self.disk.dir()
    }

    /// Its processor time so far.
    pub(crate) fn cpu(&self) -> anyhow::Result<Duration> {
        self.process.cpu()
    }

    /// `VmHWM` or `VmRSS`, in MiB.
    pub(crate) fn memory_mib(&self, word: &str) -> anyhow::Result<f64> {
        status_mib(self.process.pid(), word)
    }

    /// What lies in its store, log and index with it.
    pub(crate) fn disk_bytes(&self) -> anyhow::Result<u64> {
        bytes_of(&self.store())
    }

    fn store(&self) -> PathBuf {
        self.disk.path().join("storage")
    }

    /// Stops it, and starts it again over the same store with nothing of it in memory. Gives how long
    /// the start took.
    pub(crate) fn start_cold(&mut self) -> anyhow::Result<Duration> {
        let store = self.store();
        self.process.end()?;
        drop_caches(&store)?;
        let begun = Instant::now();
        self.process = Process::start("storage", self.disk.dir(), &self.run, CONFIG, Vec::new())?;
        let started = begun.elapsed();
        drop_caches(&store)?;
        Ok(started)
    }

    /// Asks over a connection of its own, and sums what comes until the end.
    pub(crate) fn ask(&self, ask: &Ask) -> anyhow::Result<Answered> {
        let mut answered = Answered::default();
        answered.took = self.each_answer(ask, |answer| {
            if let Answer::Records(header, records) = answer {
                take(&header, records, &mut answered.sums)?;
            }
            Ok(())
        })?;
        Ok(answered)
    }

    fn stats(&self) -> anyhow::Result<Stats> {
        let mut stats = None;
        self.each_answer(&Ask::Stats, |answer| {
            if let Answer::Object(json) = answer {
                stats = Some(serde_json::from_str(json)?);
            }
            Ok(())
        })?;
        stats.context("storage gave no stats")
    }

    /// How long it took, from the moment before it was asked until the end was read.
    fn each_answer(
        &self,
        ask: &Ask,
        mut each: impl FnMut(Answer<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Duration> {
        let mut asked = Vec::new();
        frame::write_with(&mut asked, |payload| ask.write(payload));
        let mut buffer = vec![0; 256 * 1024];
        let (mut frames, mut is_done) = (Frames::default(), false);
        let begun = Instant::now();
        let path = self.run.storage_query();
        let mut stream = UnixStream::connect(&path).with_context(|| path.display().to_string())?;
        stream.set_read_timeout(Some(ANSWER_MAX))?;
        stream.write_all(&asked)?;
        loop {
            let length = stream.read(&mut buffer).context("reading an answer")?;
            ensure!(length > 0, "storage hung up in an answer to {}", ask.word());
            frames.push(&buffer[..length]);
            while let Some(payload) = frames.next_frame() {
                match Answer::parse(payload)? {
                    Answer::End if is_done => return Ok(begun.elapsed()),
                    Answer::Status(Status::Done { warning: None }) => is_done = true,
                    wrong @ (Answer::End | Answer::Status(_)) => bail!("{}: {wrong:?}", ask.word()),
                    answer => each(answer)?,
                }
            }
        }
    }

    /// Waits until nothing is in memory only, and no work is left that it gives itself.
    pub(crate) fn wait_sealed(&self) -> anyhow::Result<()> {
        let end = Instant::now() + SEALED_MAX;
        let (mut before, mut still) = (self.cpu()?, Duration::ZERO);
        while still < STILL {
            std::thread::sleep(LOOK);
            let cpu = self.cpu()?;
            let stats = self.stats()?;
            let is_still = stats.points_in_memory == 0 && cpu - before < LOOK / 25;
            still = if is_still { still + LOOK } else { Duration::ZERO };
            // What it takes to say so is no work of its own.
            before = self.cpu()?;
            ensure!(Instant::now() < end, "it is not done with {} points in memory", stats.points_in_memory);
        }
        Ok(())
    }

    pub(crate) fn stop(self) -> anyhow::Result<()> {
        self.process.stop()
    }
}

fn take(header: &Header, records: &[u8], sums: &mut Sums) -> anyhow::Result<()> {
    match header.content {
        Content::Runs => {
            for run in Runs::new(records, header.count) {
                let run = run?;
                run.points().for_each(|(time, value)| sums.add(run.key, Point::of(time, value).mark()));
            }
        }
        Content::Series => {
            for series in Series::new(records, header.count) {
                let series = series?;
                sums.add(series.key, series.points);
            }
        }
        Content::Words => {
            for word in Words::new(records, header.count) {
                sums.add(word?.word, 0);
            }
        }
        other => bail!("an answer of {}", other.word()),
    }
    Ok(())
}

/// The one series of a key.
pub(crate) fn one(key: &[u8]) -> Selection {
    Selection::key(String::from_utf8_lossy(key))
}

/// All series that a regex selects.
pub(crate) fn matching(regex: &str) -> anyhow::Result<Selection> {
    let selector = Selector::parse(regex).map_err(|error| anyhow!("{regex}: {error}"))?;
    Ok(Selection::matching(selector))
}

/// All points of all time.
pub(crate) fn all_time(selection: Selection) -> Ask {
    let (from, to) = (Time::from_secs(0), Time::from_secs(4_000_000_000));
    Ask::Range(Range { selection, from, to, content: Content::Events, limit: None })
}
