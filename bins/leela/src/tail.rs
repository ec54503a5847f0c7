//! `leela tail`: events as they happen, from a socket in `peers/`.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::Context;
use clap::Args;
use common::books::{Admission, Sources};
use common::exit::Exit;
use common::query::caret;
use common::query::selector::Selector;
use common::wire::{Content, Events, Header};
use mio::Interest;
use sockets::databus::Databus;
use sockets::registration;

use crate::cli::Limits;
use crate::instance::{Instance, forbidden, is_absent};
use crate::output::{self, Output};
use crate::points::Points;
use crate::wait::{SOURCE, Wait, Woke};

/// Print events as they happen.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Tail {
    /// A regex of the names to print
    #[arg(value_name = "PATTERN")]
    pattern: Option<String>,
    #[command(flatten)]
    limits: Limits,
    #[command(flatten)]
    output: Output,
}

const EXAMPLES: &str = "\
Examples:
  leela tail
  leela tail '^room'
  leela tail --count 1 --timeout 30s '^disk\\.' || echo 'no event of a disk in 30 s'
  leela tail -o json | jq .value

Exit status: 0, 1 not in time, 65 the pattern is wrong, 69 leela-timeline is not running";

/// How many timelines a tail sees in its life, at most; more are not told apart.
const SOURCES_MAX: usize = 16;

/// Datagrams that are read before signals and the next registration have their turn.
const DATAGRAMS_MAX: usize = 64;

/// Prints events until it has enough.
pub fn run(tail: &Tail, instance: &Instance) -> anyhow::Result<()> {
    let pattern = tail.pattern.as_deref().unwrap_or("");
    let selector = Selector::parse(pattern).map_err(|error| {
        Exit::Data.error(format_args!("the pattern is wrong\n{}", caret::render(pattern, &error).trim_end()))
    })?;
    let mut wait = Wait::new(tail.limits.timeout)?;
    let mut consumer = Consumer::bind(instance, "leela-tail")?;
    wait.registry().register(&mut consumer.databus, SOURCE, Interest::READABLE)?;
    consumer.register().map_err(|error| {
        instance.unreached(&instance.runtime_dir.timeline_multicast(), "timeline", &error)
    })?;
    let mut next = Instant::now() + registration::INTERVAL;
    let mut points = Points::new(tail.output.form(), output::out())?;
    let mut lost = 0;
    let ended = loop {
        let mut datagrams = 0;
        'drain: while datagrams < DATAGRAMS_MAX {
            let Some((events, missing)) = consumer.receive()? else { break };
            datagrams += 1;
            lost += missing;
            for event in events {
                // A record that cannot be read takes those behind it along; the next datagram stands by itself.
                let Ok(event) = event else {
                    output::say("a datagram of another version of leela-timeline was not understood");
                    break;
                };
                if !selector.matches(event.key) {
                    continue;
                }
                points.event(&event).context("printing")?;
                wait.over();
                if tail.limits.reached(points.printed) {
                    break 'drain;
                }
            }
        }
        crate::flush(points.out())?;
        if tail.limits.reached(points.printed) {
            break Ok(());
        }
        let now = Instant::now();
        if next <= now {
            consumer.stay();
            tell(&mut lost);
            next = now + registration::INTERVAL;
        }
        let until = if datagrams == DATAGRAMS_MAX { now } else { next };
        match wait.wait(Some(until), "events")? {
            Woke::Due => {}
            woke => break tail.limits.end(woke, points.printed),
        }
    };
    tell(&mut lost);
    ended
}

fn tell(lost: &mut u64) {
    if *lost > 0 {
        output::say(format_args!("{lost} events were lost on the way, of all names: this reader is behind"));
        *lost = 0;
    }
}

/// A peer of the timeline, for as long as it registers.
#[derive(Debug)]
pub(crate) struct Consumer {
    databus: Databus,
    path: PathBuf,
    multicast: PathBuf,
    sources: Sources,
    away: bool,
}

impl Consumer {
    /// Binds a socket that begins with `name`.
    pub(crate) fn bind(instance: &Instance, name: &str) -> anyhow::Result<Consumer> {
        let run = &instance.runtime_dir;
        let path = run.peers().join(format!("{name}.{}", std::process::id()));
        // A tail that was killed had this pid before.
        match fs::remove_file(&path) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(forbidden(format_args!("binding {}: {error}", path.display())));
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", path.display()));
            }
            _ => {}
        }
        let socket = UnixDatagram::bind(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => instance.absent("it has no peers directory: nobody ever ran here"),
            io::ErrorKind::PermissionDenied => forbidden(format_args!("binding {}: {error}", path.display())),
            _ => anyhow::Error::new(error).context(format!("binding {}", path.display())),
        })?;
        let databus = Databus::new(socket)?;
        let multicast = run.timeline_multicast();
        let consumer = Consumer { databus, path, multicast, sources: Sources::new(SOURCES_MAX), away: false };
        // The timeline is another user of the same group.
        fs::set_permissions(&consumer.path, Permissions::from_mode(0o660))
            .with_context(|| format!("opening {} to the group", consumer.path.display()))?;
        Ok(consumer)
    }

    /// What is to be watched for being readable.
    pub(crate) fn databus(&mut self) -> &mut Databus {
        &mut self.databus
    }

    /// Joins the timeline's peers, or stays with them: to be called every second.
    pub(crate) fn register(&self) -> io::Result<()> {
        match registration::register(self.databus.socket(), &self.path, "", &self.multicast) {
            // Others register as well; there is a next time.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(()),
            other => other,
        }
    }

    /// Registers again, and says when the timeline goes away or comes back.
    fn stay(&mut self) {
        match self.register() {
            Ok(()) if self.away => {
                self.away = false;
                output::say("leela-timeline is back");
            }
            Ok(()) => {}
            Err(error) if !self.away => {
                self.away = true;
                match is_absent(&error) {
                    true => output::say("leela-timeline went away; waiting for it"),
                    false => output::say(format_args!("registering with leela-timeline: {error}; trying on")),
                }
            }
            Err(_) => {}
        }
    }

    /// The events of the next datagram, and how many before them never came; `None` when the queue is empty.
    pub(crate) fn receive(&mut self) -> io::Result<Option<(Events<'_>, u64)>> {
        let Some(datagram) = self.databus.receive()? else { return Ok(None) };
        // Whoever writes here is in our group: what is no events is nobody's loss.
        let none = || Ok(Some((Events::new(&[], 0), 0)));
        let Ok((header, records)) = Header::read(datagram) else { return none() };
        if header.content != Content::Events {
            return none();
        }
        match self.sources.admit(&header) {
            Admission::Repeated => none(),
            Admission::Take { missing } => Ok(Some((Events::new(records, header.count), missing))),
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        // What is left there does no harm but to the eye.
        let _ = fs::remove_file(&self.path);
    }
}
