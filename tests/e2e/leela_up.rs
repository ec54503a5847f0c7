//! `leela up`: a whole instance in the foreground, from its first line to its last.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashMap;
use std::fs;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::unix::net::{UnixDatagram, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use common::books::{Snapshot, State};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tests::{Leela, Sandbox, binary, wait_for, wait_until};

/// All that it runs, in the order of its lines.
const PROCESSES: [&str; 8] = ["udp", "collectd", "statsd", "host", "timeline", "dmproc", "storage", "http"];

/// A `leela up` on the instance of a sandbox; no port of the system's is used.
struct Up {
    up: Leela,
    listen: HashMap<String, SocketAddr>,
    sandbox: Sandbox,
}

/// A directory with a configuration that takes any free port.
fn config(sandbox: &Sandbox, udp: &str, collectd: &str) -> PathBuf {
    PROCESSES.iter().for_each(|process| {
        binary(&format!("leela-{process}"));
    });
    let dir = sandbox.path().join("up");
    fs::create_dir(&dir).unwrap();
    fs::write(dir.join("udp.toml"), format!("listen = [\"{udp}\"]\n")).unwrap();
    fs::write(dir.join("collectd.toml"), format!("listen = [\"{collectd}\"]\n")).unwrap();
    fs::write(dir.join("statsd.toml"), "listen = [\"127.0.0.1:0\"]\n").unwrap();
    fs::write(dir.join("http.toml"), "listen = [\"127.0.0.1:0\"]\n").unwrap();
    for process in PROCESSES {
        // A machine that others use may give them no half second to drain.
        let drop_ins = dir.join(format!("{process}.d"));
        fs::create_dir(&drop_ins).unwrap();
        fs::write(drop_ins.join("patience.toml"), "drain_timeout = \"20s\"\n").unwrap();
    }
    dir
}

fn up_on(udp: &str, collectd: &str) -> Up {
    let sandbox = Sandbox::new();
    let config = config(&sandbox, udp, collectd);
    let up = sandbox.begin_leela(&["up", "--config-dir", config.to_str().unwrap()]);
    up.wait_out("processes ready");
    let listen = addresses(&up.out());
    Up { up, listen, sandbox }
}

fn up() -> Up {
    up_on("127.0.0.1:0", "127.0.0.1:0")
}

/// What it says about who listens where.
fn addresses(out: &str) -> HashMap<String, SocketAddr> {
    out.lines()
        .filter_map(|line| {
            let mut words = line.strip_prefix("  ")?.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
        })
        .collect()
}

impl Up {
    fn client(&self) -> UdpSocket {
        self.sandbox.client(self.listen["udp"])
    }

    fn pid(&self, process: &str) -> u64 {
        self.sandbox.books(process).pid
    }

    /// Sends a signal to one of its processes.
    fn signal(&self, process: &str, signal: Signal) {
        kill(Pid::from_raw(self.pid(process) as i32), signal).unwrap();
    }

    /// `leela status -o json` and its exit status.
    fn status(&self) -> (Option<i32>, Value) {
        let output = self.sandbox.leela(&["status", "-o", "json"]);
        let report =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
        (output.status.code(), report)
    }

    /// Sends a gauge, again and again until its event is there.
    fn flows(&self, recorder: &tests::Recorder, key: &str) {
        let client = self.client();
        wait_until(&format!("{key} comes through"), || {
            client.send(format!("gauge {}|{key} 1;", key.len()).as_bytes()).unwrap();
            recorder.look(|tally| tally.kept.iter().any(|event| event.key == key))
        });
    }
}

/// The number before `what` in a line: 1,203 of `in: 1,203 metrics`.
fn number_before(line: &str, what: &str) -> u64 {
    let (before, _) = line.split_once(what).unwrap_or_else(|| panic!("no {what:?} in {line:?}"));
    number(before.rsplit(|c: char| !c.is_ascii_digit() && c != ',').next().unwrap())
}

/// The number behind `what`: 7 of `(udp 7, host 3)`.
fn number_behind(line: &str, what: &str) -> u64 {
    let (_, behind) = line.split_once(what).unwrap_or_else(|| panic!("no {what:?} in {line:?}"));
    let end = behind.find(|c: char| !c.is_ascii_digit() && c != ',').unwrap_or(behind.len());
    number(behind[..end].trim_end_matches(','))
}

fn number(text: &str) -> u64 {
    text.replace(',', "").parse().unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

#[test]
fn it_says_what_listens_where_and_what_to_type_next() {
    let Up { mut up, listen, sandbox } = up();
    // Its last line.
    up.wait_out(" status");
    let said = up.out();
    let ready = said.lines().find(|line| line.contains("processes ready")).unwrap();
    assert!(ready.starts_with("8 of 8 processes ready after "), "{ready}");
    let run = sandbox.run().to_string();
    for want in [&sandbox.path().join(".leela").display().to_string(), &run, "/up"] {
        assert!(ready.contains(want), "{want}: {ready}");
    }
    for (process, want) in [
        ("udp", &listen["udp"].to_string()[..]),
        ("collectd", &listen["collectd"].to_string()),
        ("statsd", &listen["statsd"].to_string()),
        ("host", ""),
        ("timeline", "timeline.databus timeline.multicast"),
        ("dmproc", "dmproc.databus dmproc.proc"),
        ("storage", "storage.databus storage.query"),
        ("http", "http://127.0.0.1:"),
    ] {
        let line = said.lines().find(|line| line.starts_with(&format!("  {process} ")));
        let line = line.unwrap_or_else(|| panic!("{process}: {said}"));
        assert!(line.contains(want), "{want}: {line}");
    }
    assert!(listen.values().all(|address| address.port() != 0), "{listen:?}");
    // What it says to type works, word by word.
    for line in said.lines().filter(|line| line.contains("--runtime-dir") && line.contains(" send ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| *word == "--runtime-dir").unwrap();
        assert_eq!(words[at + 1], run);
        let sent = sandbox.leela(&words[at + 2..]);
        assert!(sent.status.success(), "{line}: {sent:?}");
    }
    assert_eq!(up.interrupt(), Some(0), "{}", up.out());
}

#[test]
fn a_port_that_is_taken_is_told_with_its_holder_and_replaced() {
    let taken = ["127.0.0.1:0"; 2].map(|any| UdpSocket::bind(any).unwrap());
    let [udp, collectd] = taken.each_ref().map(|socket| socket.local_addr().unwrap());
    let mut running = up_on(&udp.to_string(), &collectd.to_string());
    let said = running.up.out();
    let own = fs::read_to_string("/proc/self/comm").unwrap();
    for (process, address) in [("udp", udp), ("collectd", collectd)] {
        let (holder, instead) = (std::process::id(), running.listen[process]);
        let comm = own.trim_end();
        let want =
            format!("{process}: {address} is taken by {comm} (pid {holder}); listening on {instead} instead");
        assert!(said.lines().any(|line| line == want), "{want}: {said}");
        assert_ne!(instead, address);
    }
    let recorder = running.sandbox.recorder("one");
    running.flows(&recorder, "elsewhere");
    // Nobody else got it.
    taken[0].set_nonblocking(true).unwrap();
    assert!(taken[0].recv(&mut [0; 16]).is_err());
    assert_eq!(running.up.interrupt(), Some(0));
}

#[test]
fn a_process_that_is_killed_comes_back_and_it_says_so() {
    let mut running = up();
    let recorder = running.sandbox.recorder("one");
    running.flows(&recorder, "before");
    for process in PROCESSES {
        let pid = running.pid(process);
        running.signal(process, Signal::SIGKILL);
        running.up.wait_out(&format!("{process} was killed by SIGKILL (pid {pid}, "));
        let back = running.up.wait_out(&format!("{process} is back after "));
        let books = wait_for("its books are its successor's", || {
            let books = running.sandbox.books(process);
            (books.pid != pid && books.state == State::Running).then_some(books)
        });
        assert!(back.ends_with(&format!("(pid {})", books.pid)), "{back}");
        running.flows(&recorder, &format!("after.{process}"));
    }
    // Each socket was kept: where it listened it still listens.
    assert_eq!(addresses(&running.up.out()), running.listen);
    let (status, report) = running.status();
    assert_eq!((status, &report["balanced"]), (Some(0), &Value::Bool(true)), "{report:#}");
    assert_eq!(running.up.interrupt(), Some(0), "{}", running.up.out());
}

#[test]
fn a_statsd_that_restarts_loses_no_unix_datagram_and_refuses_no_stream() {
    let sandbox = Sandbox::new();
    let config = config(&sandbox, "127.0.0.1:0", "127.0.0.1:0");
    let [datagram, stream] = ["datagram", "stream"].map(|name| sandbox.path().join(name));
    let statsd = format!(
        "listen = [\"127.0.0.1:0\"]\ntcp = [\"127.0.0.1:0\"]\nunix_datagram = [{datagram:?}]\nunix_stream = [{stream:?}]\n"
    );
    fs::write(config.join("statsd.toml"), statsd).unwrap();
    fs::write(config.join("timeline.toml"), "interval = \"1s\"\n").unwrap();
    let mut up = sandbox.begin_leela(&["up", "--config-dir", config.to_str().unwrap()]);
    up.wait_out("processes ready");
    let out = up.out();
    let tcp: SocketAddr =
        out.split_whitespace().find_map(|word| word.strip_prefix("tcp://")).unwrap().parse().unwrap();
    let recorder = sandbox.recorder("one");
    let (is_over, senders) = (AtomicBool::new(false), [AtomicU64::new(0), AtomicU64::new(0)]);
    std::thread::scope(|scope| {
        // One that waits where the queue is full, as every client that loses nothing does.
        scope.spawn(|| {
            let socket = UnixDatagram::unbound().unwrap();
            while !is_over.load(Relaxed) {
                socket.send_to(b"unix:1|c", &datagram).expect("somebody holds the socket");
                senders[0].fetch_add(1, Relaxed);
            }
        });
        // One that connects again and again, by TCP and by the unix stream.
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                let mut one = TcpStream::connect(tcp).expect("somebody holds the socket");
                let mut other = UnixStream::connect(&stream).expect("somebody holds the socket");
                // One that is closed in the middle has been served by the one that stopped.
                let _ = one.write_all(b"tcp:1|c\n").and_then(|()| other.write_all(b"stream:1|c\n"));
                senders[1].fetch_add(1, Relaxed);
            }
        });
        for _ in 0..3 {
            let (pid, before) =
                (sandbox.books("statsd").pid, senders.each_ref().map(|sent| sent.load(Relaxed)));
            wait_until("both send", || {
                senders.iter().zip(before).all(|(sent, before)| sent.load(Relaxed) > before)
            });
            kill(Pid::from_raw(pid as i32), Signal::SIGTERM).unwrap();
            wait_until("another one serves", || {
                let books = sandbox.books("statsd");
                books.pid != pid && books.state == State::Running
            });
        }
        is_over.store(true, Relaxed);
    });
    let sent = senders[0].load(Relaxed) as f64;
    wait_until("all of it is there", || {
        let of = |tally: &tests::Tally| {
            tally.kept.iter().filter(|kept| kept.key == "unix.total").map(|kept| kept.value).sum::<f64>()
        };
        recorder.look(of) == sent
    });
    let books = sandbox.books("statsd");
    assert_eq!(
        (books.counter("kernel_drops"), books.total("refused") - books.counter("refused.unfinished")),
        (0, 0)
    );
    assert_eq!(up.interrupt(), Some(0), "{}", up.out());
    assert!(!datagram.exists() && !stream.exists(), "its paths are left");
}

#[test]
fn a_second_one_is_told_the_first_one_s_pid() {
    let mut running = up();
    let pid = running.up.process().pid();
    let config = running.sandbox.path().join("up");
    let mut second = running.sandbox.begin_leela(&["up", "--config-dir", config.to_str().unwrap()]);
    assert_eq!(second.status(), Some(75));
    assert!(second.err().contains(&format!("another leela up runs here, pid {pid} ")), "{}", second.err());
    assert_eq!(running.up.interrupt(), Some(0));
}

#[test]
fn at_the_end_it_says_what_came_in_and_where_it_went() {
    const SENT: u64 = 1234;
    let mut running = up();
    let recorder = running.sandbox.recorder("one");
    let client = running.client();
    for number in 0..SENT {
        client.send(format!("gauge 3|sum {number};").as_bytes()).unwrap();
    }
    for _ in 0..7 {
        client.send(b"gauge 3|sum nan;").unwrap();
    }
    client.send(b"derive 4|base 1;").unwrap();
    // What is still queued is drained.
    assert_eq!(running.up.interrupt(), Some(0), "{}", running.up.err());
    let out = running.up.out();
    let line = out.lines().find(|line| line.starts_with("in: ")).unwrap_or_else(|| panic!("{out}"));
    let from_host = number_behind(line, "host ");
    assert_eq!(number_behind(line, "(udp "), SENT + 8, "{line}");
    assert_eq!(number_before(line, " metrics ("), SENT + 8 + from_host, "{line}");
    assert_eq!(number_before(line, " udp not_finite"), 7, "{line}");
    assert!(line.contains("; nothing lost"), "{line}");
    // Each metric is an event, part of a state, or refused; host's first ones may have come before any peer.
    let events = number_behind(line, "out: ");
    let unwanted = match line.contains(" that no peer wanted") {
        true => number_before(line, " events that no peer wanted"),
        false => 0,
    };
    let merged = number_before(line, " metrics merged into state");
    assert_eq!(events + unwanted + merged + 7, SENT + 8 + from_host, "{line}");
    let books = running.sandbox.books("timeline");
    assert_eq!(events, books.counter("passed") + books.counter("timer_events") - books.counter("no_peer"));
    assert_eq!(books.counter("received"), SENT + 1 + from_host);
    let sums = |tally: &tests::Tally| {
        tally.kept.iter().filter(|event| event.key == "sum").map(|event| event.value).sum::<f64>()
    };
    let want = (SENT * (SENT - 1) / 2) as f64;
    wait_until("the recorder has read all", || recorder.look(sums) == want);
    assert!(out.lines().last().unwrap().starts_with("ended in order after "), "{out}");
    assert!(PROCESSES.iter().all(|process| running.sandbox.books(process).state == State::Ended));
    assert!(!running.sandbox.run().dmproc_proc().exists(), "its sockets are gone");
}

#[test]
fn status_works_while_a_process_is_stopped_or_dead() {
    let mut running = up();
    let recorder = running.sandbox.recorder("one");
    running.flows(&recorder, "before");
    let state = |report: &Value, process: &str| {
        let processes = report["processes"].as_array().unwrap();
        let found = processes.iter().find(|found| found["name"] == process);
        found.unwrap_or_else(|| panic!("{process}: {report:#}"))["state"].as_str().unwrap().to_owned()
    };
    let finding = |report: &Value, text: &str| {
        report["findings"].as_array().unwrap().iter().any(|finding| finding.as_str().unwrap().contains(text))
    };
    for process in PROCESSES {
        let pid = running.pid(process);
        running.signal(process, Signal::SIGSTOP);
        wait_until("it is stopped", || running.sandbox.books(process).state == State::Stopped);
        let (status, report) = running.status();
        assert_eq!((status, &report["balanced"]), (Some(0), &Value::Bool(true)), "{process}: {report:#}");
        assert_eq!(state(&report, process), "stopped");
        assert!(
            finding(&report, &format!("{process} is stopped by a signal: `kill -CONT {pid}`")),
            "{report:#}"
        );
        running.signal(process, Signal::SIGCONT);
        wait_until("it runs again", || running.sandbox.books(process).state == State::Running);
    }
    // What waits for a stopped timeline is told.
    running.signal("timeline", Signal::SIGSTOP);
    wait_until("it is stopped", || running.sandbox.books("timeline").state == State::Stopped);
    let before = running.sandbox.books("udp").counter("passed");
    let client = running.client();
    for _ in 0..500 {
        client.send(b"gauge 4|wait 1;").unwrap();
    }
    wait_until("udp has read it", || running.sandbox.books("udp").counter("passed") == before + 500);
    let (status, report) = running.status();
    assert_eq!((status, &report["balanced"]), (Some(0), &Value::Bool(true)), "{report:#}");
    let hops = report["hops"].as_array().unwrap();
    let hop = hops.iter().find(|hop| hop["from"] == "udp" && hop["to"] == "timeline").unwrap();
    assert_eq!(hop["waiting"].as_u64(), Some(500), "{report:#}");
    running.signal("timeline", Signal::SIGCONT);

    // A dead one, which nobody starts again for now.
    running.up.process().stop();
    running.signal("udp", Signal::SIGKILL);
    wait_until("it is dead", || running.sandbox.books("udp").state == State::Dead);
    let (status, report) = running.status();
    assert_eq!((status, &report["balanced"]), (Some(0), &Value::Bool(true)), "{report:#}");
    assert_eq!(state(&report, "udp"), "dead");
    assert!(finding(&report, "udp is dead, killed or crashed"), "{report:#}");
    running.up.process().cont();
    wait_until("it is back", || running.sandbox.books("udp").state == State::Running);
    running.flows(&recorder, "after");
    assert_eq!(running.up.interrupt(), Some(0), "{}", running.up.out());
    let (status, report) = running.status();
    assert_eq!((status, &report["balanced"]), (Some(0), &Value::Bool(true)), "{report:#}");
    assert!(PROCESSES.iter().all(|process| state(&report, process) == "ended"), "{report:#}");
}

#[test]
fn a_leela_up_that_is_killed_leaves_nobody_behind() {
    let mut running = up();
    let pids = PROCESSES.map(|process| running.pid(process));
    running.up.kill9();
    wait_until("all have ended in order", || {
        PROCESSES.iter().all(|process| running.sandbox.books(process).state == State::Ended)
    });
    assert_eq!(PROCESSES.map(|process| running.pid(process)), pids);
    // The next one goes on where it was.
    let config = running.sandbox.path().join("up");
    let mut next = running.sandbox.begin_leela(&["up", "--config-dir", config.to_str().unwrap()]);
    next.wait_out(&format!("{0} of {0} processes ready", PROCESSES.len()));
    assert_eq!(next.interrupt(), Some(0), "{}", next.out());
}

#[test]
fn status_in_json_has_just_these_fields() {
    let mut running = up();
    let recorder = running.sandbox.recorder("one");
    running.flows(&recorder, "before");
    let (status, report) = running.status();
    assert_eq!(status, Some(0), "{report:#}");
    let fields = |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(fields(&report), ["balanced", "findings", "hops", "instance", "processes"]);
    for process in report["processes"].as_array().unwrap() {
        assert_eq!(fields(process), ["counters", "name", "pid", "since", "state"], "{process}");
        assert_eq!(process["state"], "running");
        let name = process["name"].as_str().unwrap();
        assert_eq!(process["pid"].as_u64(), Some(running.pid(name)));
        assert!(process["counters"].as_object().unwrap().values().all(Value::is_u64), "{process}");
    }
    let names: Vec<&str> = report["processes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|process| process["name"].as_str().unwrap())
        .collect();
    assert!(PROCESSES.iter().all(|process| names.contains(process)), "{names:?}");
    let hops = report["hops"].as_array().unwrap();
    for hop in hops {
        assert_eq!(
            fields(hop),
            ["dropped", "from", "in_flight", "lost_in_crash", "received", "sent", "to", "waiting"],
            "{hop}"
        );
    }
    for (from, to) in [
        ("udp", "timeline"),
        ("collectd", "timeline"),
        ("statsd", "timeline"),
        ("host", "timeline"),
        ("http", "timeline"),
        ("timeline", "dmproc"),
        ("timeline", "storage"),
    ] {
        assert!(hops.iter().any(|hop| hop["from"] == from && hop["to"] == to), "{from} {to}: {report:#}");
    }
    assert_eq!(report["instance"], running.sandbox.run().to_string());
    assert_eq!(running.up.interrupt(), Some(0));
    // An instance that never was.
    let nowhere = Sandbox::new();
    fs::remove_dir_all(nowhere.run().path()).unwrap();
    assert_eq!(nowhere.leela(&["status"]).status.code(), Some(69));
}

#[test]
fn without_options_it_keeps_its_data_below_the_working_directory() {
    let sandbox = Sandbox::new();
    let home = sandbox.path().join("home");
    fs::create_dir(&home).unwrap();
    let config = config(&sandbox, "127.0.0.1:0", "127.0.0.1:0");
    fs::create_dir(home.join(".leela")).unwrap();
    fs::rename(config, home.join(".leela/etc")).unwrap();
    let mut up = sandbox.begin_leela_in(&home, &["up"]);
    up.wait_out("processes ready");
    let run = Gone(fs::canonicalize(home.join(".leela/run")).unwrap());
    // Other commands find it from here.
    let mut query =
        sandbox.begin_leela_in(&home, &["query", "--count", "1", "--timeout", "60s", "id", "^room"]);
    wait_until("it has asked", || {
        Snapshot::read(&run.0.join("books/dmproc")).is_ok_and(|books| books.counter("procs") == 1)
    });
    let mut send = sandbox.begin_leela_in(&home, &["send", "gauge", "room.temp", "21.5"]);
    assert_eq!(send.status(), Some(0), "{}", send.err());
    assert_eq!(query.status(), Some(0), "{}", query.err());
    assert!(query.out().starts_with("event 9|room.temp 21.5 "), "{}", query.out());
    assert_eq!(up.interrupt(), Some(0), "{}", up.out());
    assert!(["state", "store", "lock"].iter().all(|name| home.join(".leela").join(name).exists()));
}

/// A directory that goes with the test: a tmpfs is memory.
struct Gone(PathBuf);

impl Drop for Gone {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(Path::new(&self.0));
    }
}
