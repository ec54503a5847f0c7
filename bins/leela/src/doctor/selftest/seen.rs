//! Where the metrics come out: live, by leela-dmproc, and in the store.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use common::ask::{Answer, Ask, Range, Selection};
use common::exit::Exit;
use common::query::answer::{Answer as Said, Answers};
use common::query::proc::{self, With};
use common::query::selector::Selector;
use common::time::Time;
use common::wire::{Content, Runs};
use sockets::frame::{self, Frames};

use crate::instance::Instance;
use crate::store::client::Client;

/// How often the store is asked.
const EVERY: Duration = Duration::from_millis(20);
/// The range that is asked for: all there is.
const EVER: (Time, Time) = (Time::from_ns(0), Time::from_ns(i64::MAX));

/// The regex of all metrics of this test.
fn regex(name: &str) -> String {
    format!("^{}\\.", name.replace('.', "\\."))
}

/// A proc in leela-dmproc.
#[derive(Debug)]
pub(super) struct Live {
    stream: UnixStream,
    frames: Frames,
    buffer: Box<[u8]>,
    runs: bool,
}

impl Live {
    /// Connects, asks, and waits until the proc runs.
    pub(super) fn open(instance: &Instance, name: &str, until: Instant) -> anyhow::Result<Live> {
        let path = instance.runtime_dir.dmproc_proc();
        let mut stream =
            UnixStream::connect(&path).map_err(|error| instance.unreached(&path, "dmproc", &error))?;
        let mut payload = Vec::new();
        let with = With { reason: true, ..With::default() };
        proc::Ask { with, only: None, regex: &regex(name), pipeline: "id" }.write(&mut payload);
        let mut frame = Vec::new();
        frame::write(&mut frame, &payload);
        stream.write_all(&frame).context("asking leela-dmproc")?;
        let buffer = vec![0; 64 * 1024].into_boxed_slice();
        let mut live = Live { stream, frames: Frames::default(), buffer, runs: false };
        while !live.runs {
            if Instant::now() >= until {
                return Err(Exit::TempFail
                    .error("leela-dmproc took the query and does not say that it runs; it is busy"));
            }
            live.read(EVERY, |_, _| {})?;
        }
        Ok(live)
    }

    /// Gives what has come to `each`; waits for it, but not longer than `patience`.
    pub(super) fn read(
        &mut self,
        patience: Duration,
        mut each: impl FnMut(&[u8], f64),
    ) -> anyhow::Result<()> {
        self.stream.set_read_timeout(Some(patience))?;
        match self.stream.read(&mut self.buffer) {
            Ok(0) => return Err(Exit::TempFail.error("leela-dmproc went away")),
            Ok(length) => self.frames.push(&self.buffer[..length]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(anyhow::Error::new(error).context("reading dmproc.proc")),
        }
        while let Some(payload) = self.frames.next_frame() {
            for said in Answers::of(payload) {
                match said.context("reading dmproc.proc")? {
                    Said::Status(runs) => self.runs = runs,
                    Said::Event(event) => each(event.key, event.value),
                    Said::Reason { text, .. } => {
                        return Err(
                            Exit::TempFail.error(format_args!("leela-dmproc refused the query: {text}"))
                        );
                    }
                    Said::Lost(_) | Said::Rate { .. } => {}
                }
            }
        }
        Ok(())
    }
}

/// The query socket of leela-storage.
#[derive(Debug)]
pub(super) struct Stored {
    client: Result<Client, String>,
    ask: Option<Ask>,
    next: Instant,
}

impl Stored {
    pub(super) fn of(instance: &Instance, name: &str, until: Instant) -> Stored {
        let client = Client::hurried(&instance.runtime_dir.storage_query(), until);
        let selector = Selector::parse(&regex(name)).ok();
        let ask = selector.map(|selector| {
            let (from, to) = EVER;
            let selection = Selection::matching(selector);
            Ask::Range(Range { selection, from, to, content: Content::Events, limit: None })
        });
        Stored { client: client.map_err(|error| error.to_string()), ask, next: Instant::now() }
    }

    /// Gives what is in the store to `each`, every now and then.
    pub(super) fn read(&mut self, mut each: impl FnMut(&[u8], f64)) -> anyhow::Result<()> {
        let now = Instant::now();
        let (Ok(client), Some(ask)) = (&mut self.client, &self.ask) else { return Ok(()) };
        if now < self.next {
            return Ok(());
        }
        self.next = now + EVERY;
        let asked = client.ask(ask, |answer| {
            let Answer::Records(header, records) = answer else { return Ok(()) };
            for run in Runs::new(records, header.count) {
                let run = run.context("reading storage.query")?;
                run.points().for_each(|(_, value)| each(run.key, value));
            }
            Ok(())
        });
        match asked {
            Ok(done) => done.tell(),
            // It has no more to say: what is missing is told of each input.
            Err(error) => self.client = Err(format!("{error:#}")),
        }
        Ok(())
    }
}
