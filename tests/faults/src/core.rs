//! Processes at work on one instance, which end and come back; and what the books say they lost.

use std::collections::HashMap;
use std::time::Instant;

use anyhow::Context;
use common::books::Snapshot;
use sockets::peer::Standing;
use tests::{Process, Recorder, Sandbox, wait_until};

use crate::clock::Clock;

/// Series of the load's that are poked until what was lost before is seen by the numbers that follow.
const POKE: &str = "poke";

/// Processes by name, each with its configuration.
pub(crate) struct Core {
    processes: HashMap<&'static str, (Process, String)>,
    /// The consumer whose counts are what came out.
    pub(crate) recorder: Recorder,
    clock: Option<Clock>,
    pub(crate) sandbox: Sandbox,
}

impl Core {
    /// The timeline, and a recorder that is its peer.
    pub(crate) fn new(timeline: &str) -> Core {
        Core::over(Sandbox::new(), timeline, None)
    }

    /// The same, with a clock that all processes have in common.
    pub(crate) fn with(
        timeline: &str,
        clock: impl FnOnce(&mut Sandbox) -> anyhow::Result<Clock>,
    ) -> anyhow::Result<Core> {
        let mut sandbox = Sandbox::new();
        let clock = clock(&mut sandbox)?;
        Ok(Core::over(sandbox, timeline, Some(clock)))
    }

    fn over(mut sandbox: Sandbox, timeline: &str, clock: Option<Clock>) -> Core {
        let process = sandbox.start_timeline(timeline);
        let recorder = sandbox.recorder("one");
        let processes = HashMap::from([("timeline", (process, timeline.to_owned()))]);
        Core { processes, recorder, clock, sandbox }
    }

    /// Starts one more; returns when a consumer is a peer.
    pub(crate) fn start(&mut self, name: &'static str, config: &str) {
        let process = self.sandbox.start_held(name, config);
        self.processes.insert(name, (process, config.to_owned()));
        if ["dmproc", "storage"].contains(&name) {
            let databus = self.sandbox.run().path().join(format!("{name}.databus"));
            self.sandbox.wait_peer(&databus);
        }
    }

    /// One of them.
    pub(crate) fn process(&self, name: &str) -> &Process {
        &self.processes[name].0
    }

    /// Takes one out, to end it.
    pub(crate) fn take(&mut self, name: &str) -> (Process, String) {
        self.processes.remove(name).unwrap_or_else(|| panic!("{name} runs"))
    }

    /// Puts back one that was taken, started anew over the same sockets and state.
    pub(crate) fn start_again(&mut self, name: &'static str, config: String) {
        let process = self.sandbox.start_held(name, &config);
        self.processes.insert(name, (process, config));
    }

    /// The clock that they have in common.
    pub(crate) fn clock(&self) -> anyhow::Result<&Clock> {
        self.clock.as_ref().context("the case has a clock of its own")
    }

    /// True when none has ended by itself.
    pub(crate) fn all_alive(&mut self) -> bool {
        self.processes.values_mut().all(|(process, _)| process.is_alive())
    }

    /// What `leela status` says of a process, and how long it took to say it.
    pub(crate) fn status_of(&self, process: &str) -> anyhow::Result<(String, f64)> {
        let begun = Instant::now();
        let output = self.sandbox.leela(&["status", "-o", "json"]);
        let seconds = begun.elapsed().as_secs_f64();
        let said: serde_json::Value = serde_json::from_slice(&output.stdout).with_context(|| {
            format!("leela status says no JSON: {}", String::from_utf8_lossy(&output.stderr))
        })?;
        let processes = said["processes"].as_array().context("leela status names processes")?;
        let found = processes.iter().find(|found| found["name"] == process);
        let state = found.and_then(|found| found["state"].as_str());
        Ok((state.with_context(|| format!("leela status does not know {process}"))?.to_owned(), seconds))
    }

    /// Pokes leela-udp and leela-statsd, where they are, until all they passed is accounted for at the timeline and at
    /// its peers: the number of what comes next tells what was lost before. `sent` datagrams were sent to each.
    pub(crate) fn settle(&mut self, sent: &[(&'static str, u64)]) {
        let mut pokes: HashMap<&str, u64> = HashMap::new();
        for (input, _) in sent {
            self.poke(input, &mut pokes);
        }
        let mut poked = Instant::now();
        wait_until("everything that was sent is accounted for", || {
            // Late enough that one can have come through, and only while something is missing.
            if poked.elapsed().as_millis() > 500 {
                for (input, _) in sent {
                    self.poke(input, &mut pokes);
                }
                poked = Instant::now();
            }
            sent.iter().all(|(input, datagrams)| self.has_read(input, datagrams + pokes[input]))
                && self.is_through()
        });
    }

    /// Waits until no window is open, and what came out of the last one is here.
    pub(crate) fn windows_are_out(&self) {
        wait_until("every window came out", || self.books("timeline").counter("aggregated_open") == 0);
        wait_until("and is here", || self.is_through());
    }

    fn poke(&self, input: &'static str, pokes: &mut HashMap<&'static str, u64>) {
        let client = self.sandbox.client(self.sandbox.listens(input)[0]);
        let text = match input {
            "statsd" => format!("{POKE}.statsd:1|g"),
            _ => format!("gauge 8|{POKE}.udp 1;"),
        };
        client.send(text.as_bytes()).expect("the sandbox holds the socket");
        *pokes.entry(input).or_default() += 1;
    }

    /// The input has read, dropped or lost so many datagrams, and nothing of it waits for the timeline.
    fn has_read(&self, input: &str, datagrams: u64) -> bool {
        let books = self.sandbox.books(input);
        let known =
            books.counter("datagrams") + books.counter("kernel_drops") + books.counter("lost_in_crash");
        let timeline = self.sandbox.books("timeline");
        let row = timeline.sources.iter().find(|row| row.source == books.source);
        known == datagrams
            && self.sandbox.peers(input).iter().all(|(_, waiting)| *waiting == 0)
            && row.is_some_and(|row| row.applied() + row.missing == books.counter("passed"))
    }

    /// Nothing waits for a peer of the timeline that is there, and the recorder has what it was sent.
    fn is_through(&self) -> bool {
        let peers = self.sandbox.peers("timeline");
        let active = peers.iter().filter(|(peer, _)| peer.standing == Standing::Active);
        let one = self.sandbox.peer("one").map_or(0, |(peer, _)| peer.sent);
        active.map(|(_, waiting)| waiting).sum::<u64>() == 0
            && self.recorder.look(|tally| tally.events) == one
    }

    /// Records of an input that never reached the timeline, as its books say.
    pub(crate) fn missing_of(&self, input: &str) -> u64 {
        let source = self.sandbox.books(input).source;
        let rows = self.sandbox.books("timeline").sources;
        rows.iter().filter(|row| row.source == source).map(|row| row.missing).sum()
    }

    /// The books of a process.
    pub(crate) fn books(&self, process: &str) -> Snapshot {
        self.sandbox.books(process)
    }

    /// True when `leela status` is content.
    pub(crate) fn is_balanced(&self) -> bool {
        let output = self.sandbox.leela(&["status"]);
        if !output.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&output.stdout));
        }
        output.status.success()
    }
}
