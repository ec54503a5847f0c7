//! The core at work under a load, whose processes end and come back; and the account of it by the books.

use tests::{Proc, Process, Recorder, Running, Sandbox, wait_until};

/// What a client of dmproc asks.
const PROC: &str = "proc match 5|^load id;";

/// What the losses of a load are called in the books.
pub(crate) struct Losses {
    pub(crate) kernel_drops: u64,
    pub(crate) in_input: u64,
    pub(crate) in_timeline: u64,
    pub(crate) in_dmproc: u64,
}

/// The core at work: an input, the timeline, dmproc with a client, the host's numbers, and a recorder.
pub(crate) struct Core {
    input: &'static str,
    processes: Vec<(&'static str, Process)>,
    pub(crate) recorder: Recorder,
    proc: Proc,
    /// What clients of killed dmprocs got.
    heard: u64,
    pub(crate) sandbox: Sandbox,
}

impl Core {
    pub(crate) fn new(input: &'static str) -> Core {
        let mut sandbox = Sandbox::new();
        let mut processes = Vec::from(["timeline", "dmproc"].map(|name| (name, start(&mut sandbox, name))));
        let recorder = sandbox.recorder("one");
        let databus = sandbox.run().dmproc_databus();
        wait_until("dmproc is a peer", || {
            sandbox.peers("timeline").iter().any(|(peer, _)| peer.path == databus)
        });
        // What comes in before has no peer.
        processes.extend(["host", input].map(|name| (name, start(&mut sandbox, name))));
        let proc = sandbox.proc(PROC).expect("it is right");
        Core { input, processes, recorder, proc, heard: 0, sandbox }
    }

    /// Kills a process and starts it again.
    pub(crate) fn kill(&mut self, victim: &'static str) {
        self.take(victim).kill9();
        self.start(victim);
    }

    /// Ends a process in order, and starts it again.
    pub(crate) fn restart(&mut self, process: &'static str) {
        assert!(self.take(process).terminate().success(), "{process} ends in order");
        self.start(process);
    }

    /// The ids of the processes, but for one.
    pub(crate) fn pids_but(&self, process: &str) -> Vec<(&'static str, u32)> {
        let others = self.processes.iter().filter(|(name, _)| *name != process);
        let mut pids: Vec<_> = others.map(|(name, process)| (*name, process.pid())).collect();
        pids.sort_unstable();
        pids
    }

    /// True when none has ended by itself.
    pub(crate) fn all_alive(&mut self) -> bool {
        self.processes.iter_mut().all(|(_, process)| process.is_alive())
    }

    fn take(&mut self, name: &str) -> Process {
        let place = self.processes.iter().position(|(have, _)| *have == name).expect("it runs");
        self.processes.swap_remove(place).1
    }

    fn start(&mut self, name: &'static str) {
        let process = start(&mut self.sandbox, name);
        self.processes.push((name, process));
        if name == "dmproc" {
            let next = self.sandbox.proc(PROC).expect("it is right");
            self.heard += std::mem::replace(&mut self.proc, next).wait_end().events;
        }
    }

    /// Waits for the end of the load, and until every record is accounted for; gives what was sent, and the
    /// losses.
    pub(crate) fn settle(&mut self, load: Running) -> (u64, Losses) {
        let sent = load.finish();
        // What is lost at the end of a stream is seen by the numbers of what comes next.
        let rounds = self.sandbox.books("host").counter("rounds");
        wait_until("one more round of the host", || self.sandbox.books("host").counter("rounds") > rounds);
        assert!(self.take("host").terminate().success());
        let mut losses = None;
        wait_until("everything that was sent is accounted for", || {
            losses = self.losses(sent);
            losses.is_some()
        });
        let status = self.sandbox.leela(&["status"]);
        assert!(status.status.success(), "{}", String::from_utf8_lossy(&status.stdout));
        (sent, losses.expect("just found"))
    }

    pub(crate) fn seen(&self) -> u64 {
        self.recorder.look(|tally| tally.numbered)
    }

    /// What clients of dmproc got in all.
    pub(crate) fn heard(&self) -> u64 {
        self.heard + self.proc.look(|heard| heard.events)
    }

    /// The losses by the books, once all of `sent` is accounted for.
    fn losses(&self, sent: u64) -> Option<Losses> {
        let Core { sandbox, recorder, .. } = self;
        let [input, host, timeline, dmproc] =
            [self.input, "host", "timeline", "dmproc"].map(|process| sandbox.books(process));
        let kernel_drops = input.counter("kernel_drops");
        let in_input = input.counter("lost_in_crash");
        let peers = sandbox.peers("timeline");
        let peer = |path| peers.iter().find(|(peer, _)| peer.path == path).expect("it is a peer");
        let one = &peer(sandbox.run().peers().join("one")).0;
        let live = &peer(sandbox.run().dmproc_databus()).0;
        let inputs = [self.input, "host"].map(|process| sandbox.peers(process).remove(0));
        let waiting: u64 = peers.iter().chain(&inputs).map(|(_, waiting)| waiting).sum();
        let dropped: u64 = peers.iter().chain(&inputs).map(|(peer, _)| peer.dropped).sum();
        assert_eq!((dropped, timeline.counter("no_peer")), (0, 0), "the rings have room for all of this");
        for books in [&input, &host, &timeline, &dmproc] {
            assert_eq!(books.total("refused"), 0, "{}: {:?}", books.process, books.refusals());
        }
        let at_rest = waiting == 0
            && input.counter("datagrams") + kernel_drops + in_input == sent
            && timeline.counter("received") + timeline.counter("missing")
                == input.counter("passed") + host.counter("passed")
            && recorder.look(|tally| tally.events) == one.sent
            && dmproc.counter("received") + dmproc.counter("missing") == live.sent
            && dmproc.counter("frames.waiting") == 0;
        at_rest.then(|| Losses {
            kernel_drops,
            in_input,
            in_timeline: timeline.counter("missing"),
            in_dmproc: dmproc.counter("missing"),
        })
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for process in ["timeline", "dmproc", "host", self.input] {
                let books = self.sandbox.books(process);
                let counters: Vec<_> = books.counters.iter().filter(|(_, value)| *value > 0).collect();
                eprintln!("{process}: {counters:?}");
                for (peer, waiting) in self.sandbox.peers(process).iter().filter(|(peer, _)| peer.sent > 0) {
                    eprintln!(
                        "    {:?}: sent {}, dropped {}, {waiting} wait",
                        peer.path, peer.sent, peer.dropped
                    );
                }
            }
        }
    }
}

fn start(sandbox: &mut Sandbox, process: &str) -> Process {
    sandbox.start_held(process, if process == "host" { "interval = \"1s\"" } else { "" })
}
