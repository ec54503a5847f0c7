//! Logging: one line a message, to the journal under systemd, else to stderr.
//!
//! `warn leela-udp: points are being lost dropped=12`. The journal gets the same text, and each field as
//! `LEELA_DROPPED=12` beside it, so that a plain `journalctl -u leela-udp` shows the facts.

mod journal;
mod line;

use std::env;
use std::io::{self, IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use anyhow::Context as _;
use nix::sys::stat::fstat;
use tracing::{Event, Subscriber, warn};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::{EnvFilter, Registry};

use journal::Journal;
use line::Line;

/// The variable with the level: `debug`, or `warn,leela_udp=debug`. Without it `info`.
pub const VARIABLE: &str = "LEELA_LOG";

/// The target of what a process says last. The journal looks in /proc for the unit of who sends it a datagram, and one
/// that has ended is not there any more: `journalctl -u` would not show why. Of a stream it knows the unit from the first.
pub(crate) const LAST_WORDS: &str = "leela::last_words";

/// Starts logging for the program `name` (`leela-udp`). Once a process, before anything is logged.
pub fn start(name: &'static str) -> anyhow::Result<()> {
    let wanted = env::var(VARIABLE).unwrap_or_default();
    let parsed = EnvFilter::try_new(if wanted.is_empty() { "info" } else { &wanted });
    let (filter, wrong) = match parsed {
        Ok(filter) => (filter, None),
        Err(error) => (EnvFilter::new("info"), Some(error)),
    };
    let stream = stderr_is_journal();
    // Where its socket cannot be reached (a sandbox without it), its stream still takes text with a level.
    let journal = if stream { Journal::connect().ok() } else { None };
    let colour = io::stderr().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let output = Output { name, stream, journal, colour, lost: AtomicU64::new(0), text: Mutex::default() };
    tracing::subscriber::set_global_default(Registry::default().with(filter).with(output))
        .context("starting the log")?;
    if let Some(error) = wrong {
        warn!(%error, "{VARIABLE} is not understood, logging at info");
    }
    Ok(())
}

/// Where lines go.
struct Output {
    name: &'static str,
    /// Whether stderr is the journal's stream.
    stream: bool,
    journal: Option<Journal>,
    colour: bool,
    /// Lines the journal did not take since the last that it took.
    lost: AtomicU64,
    text: Mutex<Vec<u8>>,
}

impl<S: Subscriber> Layer<S> for Output {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::new(event);
        let journal = match &self.journal {
            Some(journal) if event.metadata().target() != LAST_WORDS => journal,
            _ => return self.print(&line),
        };
        let lost = self.lost.swap(0, Relaxed);
        if lost > 0 {
            line.add("log_lines_lost", lost);
        }
        match journal.send(self.name, &line) {
            Ok(()) => {}
            // The journal is behind: a process that serves does not wait for it.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.lost.fetch_add(lost + 1, Relaxed);
            }
            // Too long for a datagram, or the journal is away; its stream on stderr may still take it.
            Err(_) => self.print(&line),
        }
    }
}

impl Output {
    fn print(&self, line: &Line) {
        let mut text = self.text.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        text.clear();
        if self.stream {
            text.extend_from_slice(
                format!("<{}>{}\n", journal::priority(line.level), line.text()).as_bytes(),
            );
        } else {
            line.print(self.name, self.colour, &mut text);
        }
        // One write a line, so that processes sharing a terminal do not mix theirs. Where stderr is gone
        // there is nobody left to tell.
        let _ = io::stderr().write_all(&text);
    }
}

/// Whether stderr is the journal's stream, as systemd says it in `$JOURNAL_STREAM`: `device:inode`.
///
/// Source: systemd.exec(5).
fn stderr_is_journal() -> bool {
    let Ok(stream) = env::var("JOURNAL_STREAM") else { return false };
    let Some((device, inode)) = stream.split_once(':') else { return false };
    fstat(io::stderr())
        .is_ok_and(|stat| device.parse() == Ok(stat.st_dev) && inode.parse() == Ok(stat.st_ino))
}
