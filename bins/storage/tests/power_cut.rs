//! The power goes while leela-storage is written to: a process whose files lose what is not synced is cut at random
//! moments, and another is started on what was on the disk then. All that it had read when the last sync before the cut
//! began is there, such a sync comes every `sync_every`, and the store says the last event, and its time, that was
//! durable.
//!
//! The process is this program once more (`storage_process`), with everything of leela-storage's but its files.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::HashMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use common::ask::report::Stats;
use common::ask::{Answer, Ask, Range, Selection, Status};
use common::books::Books;
use common::metric::Event;
use common::process::{self, Process as _};
use common::query::selector::Selector;
use common::runtime_dir::{RuntimeDir, StateDir};
use common::time::Time;
use common::wire::{Batch, Content, Runs};
use hop::Turns;
use leela_storage::config::Config;
use leela_storage::service::{Ends, Service};
use leela_storage::testing::{Loss, TestFiles};
use nix::time::{ClockId, clock_gettime};
use sockets::frame::{self, Frames};
use tempfile::TempDir;

/// Whoever waits longer than this has failed.
const PATIENCE: Duration = Duration::from_secs(60);
/// Series that events go round.
const SERIES: u64 = 100;
/// So few in a datagram that much more comes between two syncs than can be under way.
const DATAGRAM_EVENTS: u64 = 50;
/// Datagrams that leela-storage logs with one write: so many it may have in hand.
const DATAGRAMS_A_TURN: usize = 64;

/// A power cut: how often is synced, how long events come before it at least, how many calls to the files follow until it
/// is done, and what a disk may have come to. Seeded: each runs alike, as far as two processes do.
struct Case {
    sync_every: &'static str,
    within: Duration,
    after: Duration,
    calls: u64,
    loss: Loss,
}

/// A stream of numbers from a seed. Source: SplitMix64, <https://prng.di.unimi.it/splitmix64.c>.
fn draw(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn monotonic() -> Duration {
    clock_gettime(ClockId::CLOCK_MONOTONIC).unwrap().into()
}

/// Datagrams that have been sent to a databus, and are not logged, at most: those that wait, and those in hand.
fn under_way_max() -> usize {
    let text = fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap();
    // The kernel lets one more than that wait.
    text.trim().parse::<usize>().unwrap() + 1 + DATAGRAMS_A_TURN
}

/// The moments of a power cut, by [`monotonic`].
struct Cut {
    at: Duration,
    /// When the last sync before it began that made all of the log durable, and the one before that.
    synced: Duration,
    synced_before: Duration,
}

impl Cut {
    fn say(&self) {
        let [at, synced, before] = [self.at, self.synced, self.synced_before].map(|moment| moment.as_nanos());
        println!("cut at {at} synced {synced} and {before}");
    }

    /// Reads what [`Cut::say`] says.
    fn heard(line: &str) -> Option<Cut> {
        let numbers = line.trim_end().strip_prefix("cut at ")?;
        let (at, numbers) = numbers.split_once(" synced ")?;
        let (synced, before) = numbers.split_once(" and ")?;
        let [at, synced, synced_before] =
            [at, synced, before].map(|number| Duration::from_nanos(number.parse().unwrap()));
        Some(Cut { at, synced, synced_before })
    }
}

/// The event of a number: its key, its time, its value.
fn event(number: u64, base_ms: i64) -> (String, Time, f64) {
    let time_ms = base_ms + (number / SERIES) as i64;
    (format!("cut.k{:02}", number % SERIES), Time::from_ns(time_ms * 1_000_000), number as f64)
}

/// A storage process, and the directories it lives in.
struct Storage {
    child: Child,
    said: BufReader<ChildStdout>,
    run: RuntimeDir,
    _notify: UnixDatagram,
}

impl Storage {
    /// Starts one on what lies in `state`, with a new runtime directory: that of before was memory. `copy` is where
    /// what is on the disk goes when the power is cut.
    fn start(root: &Path, name: &str, config: &str, state: &Path, copy: Option<(&Path, &Case)>) -> Storage {
        let run = RuntimeDir::at(&root.join(format!("run-{name}"))).unwrap();
        run.prepare().unwrap();
        let notify_path = run.path().join("notify");
        let notify = UnixDatagram::bind(&notify_path).unwrap();
        notify.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", "storage_process", "--nocapture", "--include-ignored"])
            .env("POWER_CUT_RUN", run.path())
            .env("POWER_CUT_STATE", state)
            .env("POWER_CUT_CONFIG", config)
            .env("NOTIFY_SOCKET", &notify_path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some((copy, case)) = copy {
            command.env("POWER_CUT_COPY", copy);
            command.env("POWER_CUT_WITHIN", case.within.as_millis().to_string());
            if let Loss::Some(seed) = case.loss {
                command.env("POWER_CUT_SEED", seed.to_string());
            }
        }
        let mut child = command.spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap());
        let storage = Storage { child, said, run, _notify: notify };
        let mut message = [0; 4096];
        loop {
            let length = storage._notify.recv(&mut message).expect("it becomes ready");
            if message[..length].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") {
                return storage;
            }
        }
    }

    /// Cuts its power after so many more calls to its files, and says when that was.
    fn cut(&mut self, calls: u64) -> Cut {
        writeln!(self.child.stdin.as_mut().unwrap(), "{calls}").unwrap();
        let mut line = String::new();
        while self.said.read_line(&mut line).unwrap() > 0 {
            if let Some(cut) = Cut::heard(&line) {
                return cut;
            }
            line.clear();
        }
        panic!("it ended before it was cut");
    }

    /// Asks, and gives every answer to `each`.
    fn ask(&self, ask: &Ask, mut each: impl FnMut(Answer<'_>)) {
        let mut stream = UnixStream::connect(self.run.storage_query()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut asked = Vec::new();
        frame::write_with(&mut asked, |payload| ask.write(payload));
        stream.write_all(&asked).unwrap();
        let (mut frames, mut buffer) = (Frames::default(), vec![0; 64 * 1024]);
        loop {
            let length = stream.read(&mut buffer).unwrap();
            assert!(length > 0, "it hung up");
            frames.push(&buffer[..length]);
            while let Some(payload) = frames.next_frame() {
                match Answer::parse(payload).unwrap() {
                    Answer::End => return,
                    Answer::Status(status) => assert_eq!(status, Status::Done { warning: None }),
                    answer => each(answer),
                }
            }
        }
    }

    /// Every event it has, by number, each of which has to be as it was sent, and there once.
    fn readable(&self, base_ms: i64) -> Vec<bool> {
        let selection = Selection::matching(Selector::parse("^cut").unwrap());
        let (from, to) = (Time::from_secs(0), Time::from_secs(4_000_000_000));
        let ask = Ask::Range(Range { selection, from, to, content: Content::Events, limit: None });
        let mut readable = Vec::new();
        self.ask(&ask, |answer| {
            let Answer::Records(header, records) = answer else { panic!("{answer:?}") };
            for run in Runs::new(records, header.count) {
                let run = run.unwrap();
                for (time, value) in run.points() {
                    let number = value as u64;
                    let (key, sent, _) = event(number, base_ms);
                    assert_eq!((run.key, time), (key.as_bytes(), sent), "event {number}");
                    if readable.len() <= number as usize {
                        readable.resize(number as usize + 1, false);
                    }
                    assert!(
                        !std::mem::replace(&mut readable[number as usize], true),
                        "twice: event {number}"
                    );
                }
            }
        });
        readable
    }

    fn stats(&self) -> Stats {
        let mut stats = None;
        self.ask(&Ask::Stats, |answer| {
            if let Answer::Object(json) = answer {
                stats = Some(serde_json::from_str(json).unwrap());
            }
        });
        stats.expect("it has stats")
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The timeline's stream of events, as a sender that waits.
struct Stream {
    batch: Batch,
    source: u64,
    base_ms: i64,
    /// When each event was sent.
    sent: Vec<Duration>,
}

impl Stream {
    /// Sends one datagram of events; false when nobody is there any more.
    fn send(&mut self, socket: &UnixDatagram) -> bool {
        let first = self.sent.len() as u64;
        let next = first + DATAGRAM_EVENTS;
        for number in first..next {
            let (key, time, value) = event(number, self.base_ms);
            self.batch.event(&Event { key: key.as_bytes(), time, value }).unwrap();
        }
        let is_sent = socket.send(self.batch.seal(self.source, first)).is_ok();
        self.batch.clear();
        if is_sent {
            // Behind the call, which waits for room.
            self.sent.resize(next as usize, monotonic());
        }
        is_sent
    }
}

fn cases() -> Vec<Case> {
    let mut seed = 4;
    let mut cases = Vec::new();
    for place in 0..10 {
        let (sync_every, within) = match place {
            // The default once, and otherwise a tenth of it.
            0 => ("1s", Duration::from_secs(1)),
            _ => ("100ms", Duration::from_millis(100)),
        };
        let after = within * 2 + Duration::from_millis(draw(&mut seed) % 1500);
        let loss = if draw(&mut seed).is_multiple_of(2) { Loss::All } else { Loss::Some(draw(&mut seed)) };
        cases.push(Case { sync_every, within, after, calls: draw(&mut seed) % 50, loss });
    }
    cases
}

#[test]
fn a_power_cut_costs_what_came_since_the_last_sync_and_the_store_says_so() {
    let mut lost = Vec::new();
    for (place, case) in cases().iter().enumerate() {
        lost.push(is_cut(place, case));
    }
    let mut said = String::new();
    for (events, age) in &lost {
        let _ = write!(said, " {events} events of {} ms;", age.as_millis());
    }
    eprintln!("lost:{said}");
    // A test of cuts that cost nothing at all would prove nothing.
    assert!(lost.iter().any(|(events, _)| *events > 0));
}

/// One cut. Gives how many events it cost, and how long before the cut the first of them was sent.
fn is_cut(place: usize, case: &Case) -> (usize, Duration) {
    // Nothing waits for a disk there: what these files lose is not asked of one.
    let memory = Path::new("/dev/shm");
    let root = if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() };
    let root = root.unwrap();
    let (state, copy) = (root.path().join("state"), root.path().join("copy"));
    fs::create_dir(&state).unwrap();
    // Small, so that files are sealed and merged all the time.
    let config = format!(
        "sync_every = \"{}\"\nhead_max = \"1MiB\"\nseal_after = \"1s\"\nmin_free = \"0B\"\n",
        case.sync_every
    );
    let mut storage = Storage::start(root.path(), "before", &config, &state, Some((&copy, case)));
    let base_ms = Time::now().ns() / 1_000_000 - 3_600_000;
    let mut stream = Stream { batch: Batch::new(Content::Events), source: 77, base_ms, sent: Vec::new() };
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(storage.run.storage_databus()).unwrap();
    let begun = Instant::now();
    while begun.elapsed() < case.after {
        assert!(stream.send(&socket), "{place}: it is there until it is cut");
    }
    // It goes on to come, until the power is gone.
    let cut = std::thread::scope(|scope| {
        let cut = scope.spawn(|| storage.cut(case.calls));
        while stream.send(&socket) {}
        cut.join().unwrap()
    });
    drop(storage);

    let after = Storage::start(root.path(), "after", &config, &copy, None);
    let readable = after.readable(base_ms);
    assert!(readable.len() <= stream.sent.len(), "{place}: events that nobody sent");
    let is_there = |number: usize| readable.get(number).copied().unwrap_or(false);
    let sent_before = |moment: Duration| stream.sent.iter().take_while(|sent| **sent < moment).count();
    let missing: Vec<usize> = (0..sent_before(cut.at)).filter(|number| !is_there(*number)).collect();
    let oldest = missing.first().map_or(Duration::ZERO, |first| cut.at - stream.sent[*first]);
    let under_way = under_way_max() * DATAGRAM_EVENTS as usize;
    let before_sync = sent_before(cut.synced);
    let unsynced = missing.iter().filter(|number| **number < before_sync).count();
    assert!(unsynced <= under_way, "{place}: {unsynced} events of before the last sync are missing");
    let age = cut.at - cut.synced;
    assert!(age < PATIENCE, "{place}: the last sync was {age:?} before the cut");

    // What it says was durable is there, with all that came before it.
    let stats = after.stats();
    let said =
        stats.power_cut.as_ref().unwrap_or_else(|| panic!("{place}: it does not say that there was one"));
    let last = said.last_number as usize;
    assert!((0..=last).all(is_there), "{place}: an event up to {last} is missing");
    let (_, time, _) = event(last as u64, base_ms);
    assert!((said.last_time - time.as_secs_f64()).abs() < 1e-3, "{place}: {} is not {time}", said.last_time);
    // What a sync says was durable is what it had read when it was ordered: after the sync before.
    let sure = sent_before(cut.synced_before);
    assert!(last + under_way >= sure, "{place}: {sure} events were sent before a sync, it says up to {last}");
    let books = common::books::Snapshot::read(&after.run.books("storage")).unwrap();
    let counters: HashMap<String, u64> = books.counters.into_iter().collect();
    assert_eq!(counters["power_cuts"], 1, "{place}");

    // And it goes on: the timeline sends what it still has, and more.
    let next = readable.len();
    stream.sent.truncate(next);
    stream.source = 78;
    let socket = UnixDatagram::unbound().unwrap();
    socket.connect(after.run.storage_databus()).unwrap();
    (0..10).for_each(|_| assert!(stream.send(&socket)));
    let begun = Instant::now();
    loop {
        let again = after.readable(base_ms);
        if again.len() == stream.sent.len() && again[next..].iter().all(|is_there| *is_there) {
            break;
        }
        assert!(begun.elapsed() < PATIENCE, "{place}: {} of {} events", again.len(), stream.sent.len());
    }
    (missing.len(), oldest)
}

/// Not a test: leela-storage as the tests above start it.
#[test]
#[ignore = "a process that the other test starts"]
fn storage_process() {
    let Some(run) = env::var_os("POWER_CUT_RUN") else { return };
    let run = RuntimeDir::at(Path::new(&run)).unwrap();
    let state = StateDir::choose(Some(Path::new(&env::var_os("POWER_CUT_STATE").unwrap())), Config::NAME);
    let config: Config = toml::from_str(&env::var("POWER_CUT_CONFIG").unwrap()).unwrap();
    let databus = UnixDatagram::bind(run.storage_databus()).unwrap();
    let listener = UnixListener::bind(run.storage_query()).unwrap();
    let mut turns = Turns::new(process::stop_signal().unwrap()).unwrap();
    let files = TestFiles::default();
    match env::var_os("POWER_CUT_COPY").map(PathBuf::from) {
        Some(copy) => cut_when_told(files.clone(), state.path().to_owned(), copy),
        // The machine was started anew.
        None => files.boot(),
    }
    let books = Books::open(&run.books(Config::NAME), Config::NAME, 48).unwrap();
    let ends = Ends { databus, listener, producer: run.timeline_multicast() };
    let service = Service::open(files.shared(), &config, ends, books, &state, &mut turns).unwrap().unwrap();
    process::ready();
    service.serve(&mut turns).unwrap();
}

/// Waits for a number on standard input, for syncs as often as they should come, and then for so many calls; cuts the
/// power, says when, and ends the process.
fn cut_when_told(files: TestFiles, state: PathBuf, copy: PathBuf) {
    let seed = env::var("POWER_CUT_SEED").ok().map(|seed| seed.parse().unwrap());
    let loss = seed.map_or(Loss::All, Loss::Some);
    let within = Duration::from_millis(env::var("POWER_CUT_WITHIN").unwrap().parse().unwrap());
    std::thread::spawn(move || {
        let mut line = String::new();
        if std::io::stdin().read_line(&mut line).unwrap() == 0 {
            return;
        }
        let told = Instant::now();
        while !is_synced_every(within, &files) {
            if told.elapsed() > PATIENCE {
                eprintln!("it does not sync every {within:?}");
                std::process::exit(1);
            }
            std::thread::yield_now();
        }
        let (calls, told) = (files.calls() + line.trim().parse::<u64>().unwrap(), Instant::now());
        // There may be no more calls: the log alone has several a second.
        while files.calls() < calls && told.elapsed() < Duration::from_secs(2) {
            std::thread::yield_now();
        }
        // The other clock is read first: no sync is said to be later than it was.
        let synced = files.log_syncs().map(|began| {
            let now = monotonic();
            now - began.expect("two are waited for").elapsed()
        });
        let at = monotonic();
        files.power_cut(&state, &copy, loss).unwrap();
        Cut { at, synced: synced[1], synced_before: synced[0] }.say();
        // Neither destructors nor signals: it is gone.
        std::process::exit(0);
    });
}

/// True when the last two syncs and now are no further apart than a punctual machine lets them be: on another it may be
/// long until that is so once.
fn is_synced_every(within: Duration, files: &TestFiles) -> bool {
    let [Some(before), Some(last)] = files.log_syncs() else { return false };
    last - before < within * 2 && last.elapsed() < within * 2
}
