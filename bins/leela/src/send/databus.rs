//! The way to `timeline.databus`: unnumbered datagrams, for a command leaves no books behind.

use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::exit::Exit;
use common::metric::{Metric, Note};
use common::span::Span;
use common::wire::{Batch, Content, Full};
use mio::Interest;
use mio::unix::SourceFd;

use crate::instance::{Instance, is_absent};
use crate::wait::{SOURCE, Wait, Woke};

/// The source of a sender without numbers.
const UNNUMBERED: u64 = 0;
/// How often to look whether the timeline is back.
const AGAIN: Duration = Duration::from_millis(20);

/// Batches for the timeline, sent without ever blocking.
#[derive(Debug)]
pub(super) struct Databus {
    instance: Instance,
    path: PathBuf,
    socket: UnixDatagram,
    metrics: Batch,
    notes: Batch,
    timeout: Span,
    /// Made when the databus is full for the first time.
    wait: Option<Wait>,
    sent: u64,
}

impl Databus {
    /// Connects; exits 69 when nobody is there. While the databus is full it waits up to `timeout`.
    pub(super) fn open(instance: &Instance, timeout: Span) -> anyhow::Result<Databus> {
        let path = instance.runtime_dir.timeline_databus();
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(&path).map_err(|error| instance.unreached(&path, "timeline", &error))?;
        let (metrics, notes) = (Batch::new(Content::Metrics), Batch::new(Content::Notes));
        Ok(Databus { instance: instance.clone(), path, socket, metrics, notes, timeout, wait: None, sent: 0 })
    }

    /// Metrics and notes that the kernel took.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Takes a metric; it is sent with those around it.
    pub(super) fn metric(&mut self, metric: &Metric<'_>) -> anyhow::Result<()> {
        if self.metrics.metric(metric) == Err(Full) {
            self.flush()?;
            self.metrics.metric(metric).unwrap_or_else(|Full| {
                debug_assert!(false, "any one record fits into an empty datagram");
            });
        }
        Ok(())
    }

    /// Takes a note.
    pub(super) fn note(&mut self, note: &Note<'_>) -> anyhow::Result<()> {
        if self.notes.note(note) == Err(Full) {
            self.flush()?;
            self.notes.note(note).unwrap_or_else(|Full| {
                debug_assert!(false, "any one record fits into an empty datagram");
            });
        }
        Ok(())
    }

    /// Sends what was taken.
    pub(super) fn flush(&mut self) -> anyhow::Result<()> {
        let Databus { instance, path, socket, metrics, notes, timeout, wait, sent } = self;
        for batch in [metrics, notes] {
            if batch.is_empty() {
                continue;
            }
            let count = batch.count();
            let mut due = None;
            loop {
                let error = match socket.send(batch.seal(UNNUMBERED, 0)) {
                    Ok(_) => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Err(error) => error,
                };
                let now = Instant::now();
                let end = *due.get_or_insert_with(|| now.checked_add(timeout.duration()));
                if end.is_some_and(|end| end <= now) {
                    return Err(instance.unreached(path, "timeline", &error));
                }
                let wait = match wait {
                    Some(wait) => wait,
                    None => wait.insert(Wait::new(None)?),
                };
                let until = match error.kind() {
                    io::ErrorKind::WouldBlock => {
                        watch(socket, wait)?;
                        end
                    }
                    // It went away under our hands; its successor binds the same path.
                    _ if is_absent(&error) => {
                        // Whether that is so the next send says.
                        let _ = socket.connect(&*path);
                        Some(end.map_or(now + AGAIN, |end| end.min(now + AGAIN)))
                    }
                    _ => return Err(instance.unreached(path, "timeline", &error)),
                };
                if wait.wait(until, "the timeline to take metrics")? == Woke::Stop {
                    return Err(Exit::No.error("ended before the timeline took all metrics"));
                }
            }
            *sent += u64::from(count);
            batch.clear();
        }
        Ok(())
    }
}

/// Lets `wait` wake when the socket can be written.
fn watch(socket: &UnixDatagram, wait: &Wait) -> io::Result<()> {
    let fd = socket.as_raw_fd();
    let mut source = SourceFd(&fd);
    match wait.registry().register(&mut source, SOURCE, Interest::WRITABLE) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            wait.registry().reregister(&mut source, SOURCE, Interest::WRITABLE)
        }
        other => other,
    }
}
