//! All processes of an instance, and the clocks; what happens to them is the seed's.

use std::cell::Cell;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use common::books::{Books, Snapshot};
use common::runtime_dir::RuntimeDir;
use common::size::Size;
use common::time::Time;
use common::wire::{Content, Header};
use hop::{Output, Turn};
use leela_storage::store::options::Options;
use leela_timeline::rules::Rules;
use leela_timeline::service::{Clocks, DATABUS, Ends, MULTICAST, OUTPUT, Service};
use leela_timeline::timeline::Timeline;
use leela_timeline::uptime::Uptime;
use mio::Token;
use sockets::peer::Standing;
use sockets::ring::RingFile;
use tempfile::TempDir;

use crate::hop::{Arrival, Hop};
use crate::input::{Input, stream_of};
use crate::ledger::Ledger;
use crate::network::{Network, Reader, Sent};
use crate::peer::Peer;
use crate::process::{Process, guard};
use crate::random::Random;
use crate::store::Storage;

/// The wall clock when the world begins.
const BEGIN: i64 = 1_780_000_000;

thread_local! {
    /// Of the world of this thread: what the timeline asks the machine.
    static UPTIME: Cell<Option<Uptime>> = const { Cell::new(None) };
}

fn uptime() -> Option<Uptime> {
    UPTIME.get()
}

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) is_told: bool,
    pub(crate) network: Network,
    room: TempDir,
    pub(crate) run: RuntimeDir,
    pub(crate) state: PathBuf,
    base: Instant,
    pub(crate) now: Duration,
    pub(crate) wall: Time,
    owners: u64,
    pub(crate) inputs: Vec<Input>,
    pub(crate) timeline: Process<Service<Sent, Reader>>,
    timeline_owner: u64,
    timeline_tick: Duration,
    pub(crate) hop: Hop,
    pub(crate) peers: Vec<Peer>,
    pub(crate) storage: Storage,
    pub(crate) ledger: Ledger,
    /// Numbers that are there once.
    pub(crate) drawn: u64,
    /// What makes names longer: rings are full sooner.
    pub(crate) pad: String,
    /// When the machine came up.
    booted: Duration,
    pub(crate) faults: u64,
    pub(crate) cuts: u64,
    /// What the last books of the timeline say is lost, and whether more may be when it is started.
    lost: u64,
    pub(crate) may_lose: bool,
}

impl World {
    pub(crate) fn new(seed: u64, is_told: bool) -> Result<World, String> {
        let mut random = Random::new(seed);
        // Nothing waits for a disk there.
        let memory = std::path::Path::new("/dev/shm");
        let room = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let room = room.map_err(|err| err.to_string())?;
        let run = RuntimeDir::at(&room.path().join("run0")).map_err(|err| err.to_string())?;
        let state = room.path().join("state");
        std::fs::create_dir(&state).map_err(|err| err.to_string())?;
        let mut options = Options::at("");
        options.head_bytes_max = 16_000 + random.below(60_000);
        options.memory_bytes_max = 4 << 20;
        options.seal_after = Duration::from_secs(20 + random.below(200));
        options.settle = Duration::from_secs(60);
        options.min_free = 1 << 20;
        let storage = Storage::new(room.path().join("store0"), options, &run);
        std::fs::create_dir(&storage.directory).map_err(|err| err.to_string())?;
        let pad = "x".repeat(*random.pick(&[0, 60, 300, 600]));
        let mut world = World {
            random,
            is_told,
            network: Network::default(),
            room,
            run,
            state,
            base: Instant::now(),
            now: Duration::ZERO,
            wall: Time::from_secs(BEGIN),
            owners: 0,
            inputs: Vec::new(),
            timeline: Process::new(),
            timeline_owner: 0,
            timeline_tick: Duration::ZERO,
            hop: Hop::default(),
            peers: Vec::new(),
            storage,
            ledger: Ledger::default(),
            drawn: 0,
            pad,
            booted: Duration::ZERO,
            faults: 0,
            cuts: 0,
            lost: 0,
            may_lose: false,
        };
        world.boot()?;
        Ok(world)
    }

    /// The machine comes up: the runtime directory is empty, all sockets are bound.
    pub(crate) fn boot(&mut self) -> Result<(), String> {
        self.run = RuntimeDir::at(&self.room.path().join(format!("run{}", self.cuts)))
            .map_err(|err| err.to_string())?;
        self.run.prepare().map_err(|err| err.to_string())?;
        self.network = Network::default();
        self.hop = Hop::default();
        self.ledger = Ledger::default();
        self.lost = 0;
        self.booted = self.now;
        self.keep_uptime();
        self.timeline.die(self.now);
        self.inputs = ["udp", "statsd", "http"].map(Input::new).into();
        self.peers = vec![
            Peer::new("witness", "events notes durable", u64::MAX, &self.run),
            Peer::new("dmproc", "events durable", 1 + self.random.below(30), &self.run),
            Peer::new("tail", "events", 1 + self.random.below(30), &self.run),
            Peer::new("slow", "events notes", 1, &self.run),
        ];
        let databus_room = *self.random.pick(&[2, 11, 11, 64]);
        self.network.bind(&self.run.timeline_databus(), databus_room);
        self.network.bind(&self.run.timeline_multicast(), 64);
        for place in 0..self.peers.len() {
            self.bind_peer(place);
        }
        self.storage.path = self.run.storage_databus();
        self.network.bind(&self.storage.path, 11);
        // The peer that misses nothing is there before anything is.
        for place in 0..self.peers.len() {
            self.peers[place].start(&self.run, &self.network)?;
        }
        self.start_timeline()?;
        self.step_peer(0)?;
        self.step_timeline()
    }

    pub(crate) fn tell(&self, what: impl FnOnce() -> String) {
        if self.is_told {
            println!("{:>10.3} {} {}", self.now.as_secs_f64(), self.wall, what());
        }
    }

    pub(crate) fn instant(&self) -> Instant {
        self.base + self.now
    }

    pub(crate) fn own_directory(&self, name: &str) -> PathBuf {
        self.room.path().join(name)
    }

    fn owner(&mut self) -> u64 {
        self.owners += 1;
        self.owners
    }

    /// Binds the socket of a peer anew; what was in its queue is lost.
    pub(crate) fn bind_peer(&mut self, place: usize) {
        let room = if self.peers[place].is_witness { usize::MAX } else { *self.random.pick(&[1, 3, 11]) };
        let peer = &mut self.peers[place];
        for datagram in self.network.bind(&peer.path, room) {
            if let Ok((header, _)) = Header::read(&datagram) {
                peer.hop.lose(&header);
            }
        }
    }

    /// Lets the clocks go on, and everybody have a turn now and then.
    pub(crate) fn pass(&mut self, time: Duration) -> Result<(), String> {
        self.now += time;
        self.keep_uptime();
        self.wall = self.wall.plus_ns(time.as_nanos() as i64);
        self.step()
    }

    /// Everybody may have a turn.
    pub(crate) fn step(&mut self) -> Result<(), String> {
        for _ in 0..2 {
            for place in 0..self.inputs.len() {
                if self.random.percent(70) {
                    self.step_input(place)?;
                }
            }
            if self.random.percent(80) {
                self.step_timeline()?;
            }
            self.step_peer(0)?;
            for place in 1..self.peers.len() {
                if self.random.percent(60) {
                    self.step_peer(place)?;
                }
            }
            if self.random.percent(60) {
                self.step_storage()?;
            }
        }
        Ok(())
    }

    /// So long a process that was killed stays away.
    fn away(&mut self) -> Duration {
        self.now + Duration::from_millis(*self.random.pick(&[0, 10, 500, 500, 4000]))
    }

    pub(crate) fn step_input(&mut self, place: usize) -> Result<(), String> {
        if self.inputs[place].process.is_due(self.now) {
            let owner = self.owner();
            let instant = self.instant();
            self.inputs[place].start(&self.run, &self.network, owner, instant)?;
            for content in [Content::Metrics, Content::Notes] {
                self.hop.join(self.inputs[place].source, content as u8, 0);
            }
        }
        let instant = self.instant();
        if self.inputs[place].process.live.is_some()
            && self.inputs[place].turn(&self.network, &self.run, instant)?
        {
            self.input_died(place);
        }
        Ok(())
    }

    pub(crate) fn input_died(&mut self, place: usize) {
        let away = self.away();
        self.tell(|| format!("{} is killed", self.inputs[place].name));
        self.inputs[place].process.die(away);
        self.note_unnoted();
    }

    /// What the kernel had just taken of a process that was killed in the call may be sent again.
    fn note_unnoted(&mut self) {
        let Some((path, datagram)) = self.network.take_unnoted() else { return };
        let Ok((header, _)) = Header::read(&datagram) else { return };
        if path == self.run.timeline_databus() {
            self.hop.unnoted(&header);
        } else if path == self.storage.path {
            self.storage.hop.unnoted(&header);
        } else if let Some(peer) = self.peers.iter_mut().find(|peer| peer.path == path) {
            peer.hop.unnoted(&header);
        }
    }

    /// Tells the timeline of this thread how long the machine is up.
    fn keep_uptime(&self) {
        let since = self.now - self.booted;
        UPTIME.set(Some(Uptime { boot: [1 + self.cuts as u8; 16], since }));
    }

    /// Starts the timeline; what its predecessor had open is in its state, or lost.
    pub(crate) fn start_timeline(&mut self) -> Result<(), String> {
        let books =
            Books::open(&self.run.books("timeline"), "timeline", 64).map_err(|err| err.to_string())?;
        let owner = self.owner();
        let net = self.network.of(owner, &self.timeline.fuse);
        let ring = Size::from_kib(256);
        let (instant, state) = (self.instant(), self.state.join("timeline.state"));
        let output = Output::over(net, &self.run, "timeline", ring, &books, OUTPUT, instant)
            .map_err(|err| err.to_string())?;
        let ends = Ends {
            databus: self.network.open(&self.run.timeline_databus(), &self.timeline.fuse),
            multicast: self.network.open(&self.run.timeline_multicast(), &self.timeline.fuse),
            directory: self.run.path().to_owned(),
            state,
        };
        let timeline = Timeline::new(Rules::default());
        let clocks = Clocks { now: instant, time: self.wall, uptime };
        let service = Service::over(timeline, ends, books, output, Duration::ZERO, clocks);
        self.timeline.live = Some(service);
        (self.timeline_owner, self.timeline_tick) = (owner, self.now);
        Ok(())
    }

    /// What the books of the timeline hold.
    pub(crate) fn timeline_books(&self) -> Result<Snapshot, String> {
        Snapshot::read(&self.run.books("timeline")).map_err(|err| err.to_string())
    }

    pub(crate) fn step_timeline(&mut self) -> Result<(), String> {
        if self.timeline.is_due(self.now) {
            self.start_timeline()?;
        }
        let Some(mut service) = self.timeline.live.take() else { return Ok(()) };
        let mut ready: Vec<Token> = self.network.take_ready(self.timeline_owner);
        if self.network.waiting(&self.run.timeline_databus()) > 0 {
            ready.push(DATABUS);
        }
        if self.network.waiting(&self.run.timeline_multicast()) > 0 {
            ready.push(MULTICAST);
        }
        let tick = self.now >= self.timeline_tick;
        if tick {
            self.timeline_tick = self.now + Duration::from_secs(1);
        }
        let turn = Turn { now: self.instant(), time: self.wall, stop: None, tick };
        self.timeline.live = guard(move || {
            service.turn(&turn, ready.into_iter()).expect("its sockets can be read");
            service
        })?;
        self.account_timeline()?;
        if self.timeline.live.is_none() {
            self.tell(|| "the timeline is killed".to_owned());
            self.timeline_died();
        }
        Ok(())
    }

    pub(crate) fn timeline_died(&mut self) {
        let away = self.away();
        self.timeline.die(away);
        self.may_lose = true;
        self.note_unnoted();
    }

    /// Counts what the timeline read: what it committed it applied.
    pub(crate) fn account_timeline(&mut self) -> Result<(), String> {
        let popped = self.network.take_popped(&self.run.timeline_databus());
        self.network.take_popped(&self.run.timeline_multicast());
        if popped.is_empty() && self.timeline.live.is_some() && !self.may_lose {
            return Ok(());
        }
        let books = self.timeline_books()?;
        let committed = |header: &Header| {
            let is = |row: &&common::books::SourceRow| {
                row.source == header.source && row.content == header.content as u64
            };
            books.sources.iter().find(is).map_or(0, |row| row.next)
        };
        for datagram in popped {
            let (header, _) = Header::read(&datagram).map_err(|err| err.to_string())?;
            if committed(&header) <= header.first {
                self.hop.lose(&header);
                continue;
            }
            if self.hop.arrive(&header) == Arrival::Again {
                continue;
            }
            let Some(input) = self.inputs.iter().find(|input| input.source == header.source) else {
                return Err(format!("{header:?} is of nobody"));
            };
            let stream = &input.streams[stream_of(header.content)];
            let (first, end) = (header.first as usize, header.first as usize + header.count as usize);
            let records = stream.get(first..end).ok_or_else(|| {
                format!("{} was given {} records, {header:?} arrived", input.name, stream.len())
            })?;
            for record in records {
                self.ledger.apply(*record, self.wall);
            }
        }
        for place in 0..=self.peers.len() {
            self.account_joined(place)?;
        }
        let lost = books.counter("aggregated_lost") + books.counter("absolute_lost");
        if lost != self.lost && !std::mem::take(&mut self.may_lose) {
            return Err(format!("{} records are lost of which nothing was killed", lost - self.lost));
        }
        self.lost = lost;
        Ok(())
    }

    /// From when on the numbers are a peer's.
    fn account_joined(&mut self, place: usize) -> Result<(), String> {
        let (path, hop) = match self.peers.get_mut(place) {
            Some(peer) => (peer.path.clone(), &mut peer.hop),
            None => (self.storage.path.clone(), &mut self.storage.hop),
        };
        if !hop.is_empty() {
            return Ok(());
        }
        let ring = RingFile::read(&self.run.ring("timeline")).map_err(|err| err.to_string())?;
        let Some(ring) = ring else { return Ok(()) };
        let is = |peer: &&sockets::peer::Peer| peer.standing == Standing::Active && peer.path == path;
        if let Some(peer) = ring.peers.iter().find(is) {
            for content in [Content::Events, Content::States, Content::Notes] {
                if peer.wants.content(content as u8) {
                    hop.join(ring.source, content as u8, peer.marks[content as usize]);
                }
            }
        }
        Ok(())
    }

    pub(crate) fn step_peer(&mut self, place: usize) -> Result<(), String> {
        if self.peers[place].process.is_due(self.now) {
            self.peers[place].start(&self.run, &self.network)?;
        }
        let now = self.now;
        let World { peers, run, network, ledger, .. } = self;
        if peers[place].process.live.is_some() && peers[place].turn(run, network, now, &mut ledger.out)? {
            let away = self.away();
            self.tell(|| format!("{} is killed", self.peers[place].name));
            self.peers[place].process.die(away);
        }
        Ok(())
    }

    pub(crate) fn step_storage(&mut self) -> Result<(), String> {
        let (now, instant, wall) = (self.now, self.instant(), self.wall);
        if self.storage.process.is_due(now) && !self.storage.start(&self.run, &self.network, now, instant)? {
            self.tell(|| "storage does not start".to_owned());
            return Ok(());
        }
        if self.storage.process.live.is_some()
            && self.storage.turn(&self.run, &self.network, now, instant, wall)?
        {
            let away = self.away();
            self.tell(|| "storage is killed".to_owned());
            self.storage.process.die(away);
        }
        Ok(())
    }
}
