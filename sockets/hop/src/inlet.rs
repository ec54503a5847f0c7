//! The datagram sockets of an input, read so that signals and the sender have their turn under any load; and, beside
//! them, whatever else the input reads from.

use std::fs;
use std::net::UdpSocket;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Context;
use common::books::{Books, Slots};
use common::process;
use common::time::Time;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use nix::sys::socket::SockaddrStorage;
use sockets::meminfo::meminfo;
use sockets::pace::{OVERHEAD_BYTES, Pace, Patience};
use sockets::udp::{Received, Receiver, SLOTS, address};

use crate::{Output, Turn, Turns};

/// Rounds of [`SLOTS`] datagrams in one turn, over all sockets; each socket gets one at least. Each round is a
/// datagram of the databus or a few: more of them than its queue holds would wait for the next turn with the
/// timeline idle.
const ROUNDS_A_TURN: usize = 4;
/// A turn with pauses takes so long at most: signals and the sender wait for its end.
const UNPOLLED_MAX: Duration = Duration::from_millis(5);

/// Datagrams that a unix socket holds where the system does not say.
const QUEUE_DEFAULT: u64 = 10;

/// What an input makes of the datagrams it gets.
pub trait Protocol {
    /// The input's counters.
    type Counters: Slots + Default;

    /// How long what came may wait for more.
    const PATIENCE: Patience = Patience::LIVE;

    /// Where the inlet counts.
    fn counted(counters: &mut Self::Counters) -> Counted<'_>;

    /// Takes a datagram: its records go to `output`, what is wrong with it into `books`.
    fn take(&mut self, datagram: Datagram<'_>, books: &mut Books<Self::Counters>, output: &mut Output);

    /// To be done once a second.
    fn tick(&mut self, _now: Time) {}

    /// What it reads from beside the inlet's sockets, as people know it.
    fn listens(&self) -> Vec<String> {
        Vec::new()
    }

    /// A descriptor that the protocol has registered by itself became ready. Its tokens are from [`OWN_TOKENS`] on.
    fn ready(&mut self, _token: Token) {}

    /// Takes what its own descriptors have, for one turn.
    fn turn(&mut self, _turn: &Turn, _books: &mut Books<Self::Counters>, _output: &mut Output) -> Progress {
        Progress::Idle
    }

    /// The end: takes what is there already, and no more, up to `deadline`.
    fn finish(&mut self, _deadline: Instant, _books: &mut Books<Self::Counters>, _output: &mut Output) {}
}

/// Tokens from here on are a protocol's own.
pub const OWN_TOKENS: usize = 1 << 20;

/// What a protocol did in its turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// Nothing: there is nothing to be committed.
    Idle,
    /// It took all there was, or all it may for now.
    Drained,
    /// It took something, and wants another turn at once.
    More,
}

/// A socket that datagrams come in by.
#[derive(Debug)]
pub enum Socket {
    /// An address of the network.
    Udp(UdpSocket),
    /// A unix socket, and how people know it.
    Unix(UnixDatagram, String),
}

impl From<UdpSocket> for Socket {
    fn from(socket: UdpSocket) -> Socket {
        Socket::Udp(socket)
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        match self {
            Socket::Udp(socket) => socket.as_raw_fd(),
            Socket::Unix(socket, _) => socket.as_raw_fd(),
        }
    }
}

impl Socket {
    fn name(&self) -> anyhow::Result<String> {
        Ok(match self {
            Socket::Udp(socket) => socket.local_addr()?.to_string(),
            Socket::Unix(_, name) => name.clone(),
        })
    }

    fn udp(&self) -> Option<&UdpSocket> {
        match self {
            Socket::Udp(socket) => Some(socket),
            Socket::Unix(..) => None,
        }
    }

    /// Gets it ready to be read; gives the bytes its queue has room for, as the kernel counts them.
    fn prepare(&self) -> anyhow::Result<u64> {
        Ok(match self {
            Socket::Udp(socket) => {
                // The flag is for answers: a send buffer may be full of those that wait for a neighbour's address.
                socket.set_nonblocking(true)?;
                u64::from(meminfo(socket)?.receive_buffer)
            }
            Socket::Unix(socket, _) => {
                socket.set_nonblocking(true)?;
                // It holds so many datagrams, of any length.
                let queue = fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen");
                let queue = queue.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(QUEUE_DEFAULT);
                queue * OVERHEAD_BYTES
            }
        })
    }
}

/// The counters that every input by UDP has.
#[derive(Debug)]
pub struct Counted<'a> {
    /// Datagrams that were received.
    pub datagrams: &'a mut u64,
    /// Bytes of those datagrams.
    pub bytes: &'a mut u64,
    /// Datagrams that the kernel dropped because the receive buffer was full.
    pub kernel_drops: &'a mut u64,
    /// Datagrams that were in hand when the process was killed.
    pub lost_in_crash: &'a mut u64,
}

/// A datagram that came. It can be answered.
#[derive(Debug)]
pub struct Datagram<'a> {
    /// What it holds.
    pub bytes: &'a [u8],
    /// The moment its turn began.
    pub time: Time,
    /// Its end is gone: it was longer than 64 KiB.
    pub is_cut: bool,
    from: Option<SockaddrStorage>,
    socket: &'a Socket,
}

impl Datagram<'_> {
    /// Who sent it; empty where that is not known. Of what came by a unix socket, that socket.
    pub fn peer(&self) -> String {
        match self.socket {
            Socket::Udp(_) => address(self.from).map_or_else(String::new, |peer| peer.to_string()),
            Socket::Unix(_, name) => name.clone(),
        }
    }

    /// Answers it; an answer for which the send buffer has no room is lost like any datagram.
    pub fn answer(&self, bytes: &[u8]) {
        if let (Socket::Udp(socket), Some(peer)) = (self.socket, address(self.from)) {
            let _ = socket.send_to(bytes, peer);
        }
    }
}

/// The sockets, what was received from them, and where it goes.
#[derive(Debug)]
pub struct Inlet<P: Protocol> {
    protocol: P,
    sockets: Vec<Socket>,
    readable: Vec<bool>,
    /// The protocol has more to take.
    more: bool,
    receiver: Receiver,
    books: Books<P::Counters>,
    output: Output,
    pace: Pace,
    /// Datagrams and bytes since the sockets were last found empty.
    drained: (u64, u64),
    drain_timeout: Duration,
}

impl<P: Protocol> Inlet<P> {
    /// Registers the sockets, with their places as tokens, and books what a predecessor that was killed had in
    /// its hand.
    pub fn open(
        protocol: P,
        sockets: Vec<impl Into<Socket>>,
        hand: &Path,
        mut books: Books<P::Counters>,
        output: Output,
        registry: &Registry,
        drain_timeout: Duration,
    ) -> anyhow::Result<Inlet<P>> {
        let (receiver, lost) =
            Receiver::open(hand, &books.carried()).with_context(|| format!("opening {}", hand.display()))?;
        if lost > 0 {
            tracing::warn!(datagrams = lost, "the process before this one was killed with datagrams in hand");
            *P::counted(&mut books.counters).lost_in_crash += lost;
        }
        let sockets: Vec<Socket> = sockets.into_iter().map(Into::into).collect();
        let mut granted = u64::MAX;
        for (place, socket) in sockets.iter().enumerate() {
            granted = granted.min(socket.prepare()?);
            registry.register(&mut SourceFd(&socket.as_raw_fd()), Token(place), Interest::READABLE)?;
        }
        let readable = vec![true; sockets.len()];
        let now = Instant::now();
        let pace = Pace::with(P::PATIENCE, granted, now);
        let drained = (0, 0);
        let mut inlet = Inlet {
            protocol,
            sockets,
            readable,
            more: false,
            receiver,
            books,
            output,
            pace,
            drained,
            drain_timeout,
        };
        // What was lost is committed before the hand is filled again.
        inlet.commit(now);
        Ok(inlet)
    }

    /// Receives until it is told to stop; then hands on what it has.
    pub fn serve(mut self, turns: &mut Turns) -> anyhow::Result<()> {
        let mut names = self.sockets.iter().map(Socket::name).collect::<Result<Vec<_>, _>>()?;
        names.extend(self.protocol.listens());
        tracing::info!(listen = names.join(", "), "ready");
        loop {
            let more = self.more || self.readable.contains(&true);
            let until = if more { Some(Instant::now()) } else { self.output.next_try() };
            let turn = turns.next_turn(until)?;
            if let Some(signal) = turn.stop {
                tracing::info!(signal, "stopping");
                break;
            }
            for token in turns.tokens() {
                if token.0 >= OWN_TOKENS {
                    self.protocol.ready(token);
                } else if !self.output.resume(token, turn.now) {
                    self.readable[token.0] = true;
                }
            }
            self.output.send(turn.now);
            if turn.tick {
                self.protocol.tick(Time::now());
            }
            let progress = self.protocol.turn(&turn, &mut self.books, &mut self.output);
            self.more = progress == Progress::More;
            if progress != Progress::Idle {
                self.commit(turn.now);
            }
            self.drain_and_pause(turn.now)?;
            if turn.tick {
                self.count_kernel_drops()?;
                self.commit(turn.now);
            }
        }
        process::stopping();
        self.count_kernel_drops()?;
        let deadline = Instant::now() + self.drain_timeout;
        self.protocol.finish(deadline, &mut self.books, &mut self.output);
        let receiver = self.receiver;
        self.output.close(self.books, turns.poll(), deadline, |carried| receiver.seal(carried))?;
        Ok(())
    }

    /// Reads what is there, pauses when that saves wake-ups, and reads again without asking the poll: each of its
    /// answers would be that there is more.
    fn drain_and_pause(&mut self, mut now: Instant) -> anyhow::Result<()> {
        let turn_ends = now + UNPOLLED_MAX;
        while let Some(pause) = self.drain(now)? {
            std::thread::sleep(pause);
            now = Instant::now();
            self.readable.fill(true);
            // A timeline that is behind is heard of by the poll alone.
            if now >= turn_ends || self.output.next_try().is_some() {
                break;
            }
        }
        Ok(())
    }

    /// Reads what is there, for one turn. Says how long to pause when that saves wake-ups.
    fn drain(&mut self, now: Instant) -> anyhow::Result<Option<Duration>> {
        let rounds_max = (ROUNDS_A_TURN / self.sockets.len().max(1)).max(1);
        for place in 0..self.sockets.len() {
            for _ in 0..rounds_max {
                if !self.readable[place] {
                    break;
                }
                self.readable[place] = self.receive(place)? == SLOTS;
                // What is in hand is committed before the hand is filled again.
                self.commit(now);
            }
        }
        let (datagrams, bytes) = self.drained;
        if datagrams == 0 || self.readable.contains(&true) {
            return Ok(None);
        }
        self.drained = (0, 0);
        Ok(self.pace.drained(datagrams, bytes, now))
    }

    fn receive(&mut self, place: usize) -> anyhow::Result<usize> {
        let Inlet { protocol, sockets, receiver, books, output, drained, .. } = self;
        let socket = &sockets[place];
        // The clock is read once what is here has been received: no datagram has a time before it was sent.
        let mut received = None;
        let count = receiver.receive(socket, |Received { bytes, from, is_cut }| {
            let time = *received.get_or_insert_with(Time::now);
            drained.0 += 1;
            drained.1 += bytes.len() as u64;
            let counted = P::counted(&mut books.counters);
            *counted.datagrams += 1;
            *counted.bytes += bytes.len() as u64;
            protocol.take(Datagram { bytes, time, is_cut, from, socket }, books, output);
        });
        count.context("receiving")
    }

    fn count_kernel_drops(&mut self) -> anyhow::Result<()> {
        let sockets = self.sockets.iter().filter_map(Socket::udp);
        let drops = self.receiver.kernel_drops(sockets).context("asking for the kernel's drops")?;
        *P::counted(&mut self.books.counters).kernel_drops += drops;
        Ok(())
    }

    fn commit(&mut self, now: Instant) {
        let receiver = &self.receiver;
        self.output.commit(&mut self.books, now, |carried| receiver.seal(carried));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::counters;
    use common::process::stop_signal;
    use common::runtime_dir::RuntimeDir;
    use common::size::Size;
    use sockets::inherited::bind_udp;

    counters! {
        /// Of a test.
        struct Counters {
            /// All.
            datagrams: u64,
            /// Their bytes.
            bytes: u64,
            /// Dropped by the kernel.
            kernel_drops: u64,
            /// In hand.
            lost_in_crash: u64,
        }
    }

    /// Answers all with what came.
    struct Echo;

    impl Protocol for Echo {
        type Counters = Counters;

        fn counted(counters: &mut Counters) -> Counted<'_> {
            let Counters { datagrams, bytes, kernel_drops, lost_in_crash } = counters;
            Counted { datagrams, bytes, kernel_drops, lost_in_crash }
        }

        fn take(&mut self, datagram: Datagram<'_>, _: &mut Books<Counters>, _: &mut Output) {
            datagram.answer(datagram.bytes);
        }
    }

    fn inlet(run: &RuntimeDir, sockets: Vec<UdpSocket>) -> Inlet<Echo> {
        run.prepare().unwrap();
        let turns = Turns::new(stop_signal().unwrap()).unwrap();
        let books = Books::open(&run.books("echo"), "echo", 0).unwrap();
        let registry = turns.registry();
        let output = Output::to_timeline(run, "echo", Size::from_mib(1), &books, registry, 1 << 16).unwrap();
        let timeout = Duration::ZERO;
        Inlet::open(Echo, sockets, &run.hand("echo"), books, output, registry, timeout).unwrap()
    }

    #[test]
    fn a_turn_ends_under_any_load_and_the_next_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let run = RuntimeDir::at(&dir.path().join("run")).unwrap();
        let sockets = bind_udp("127.0.0.1:0".parse().unwrap(), 1, 4 << 20).unwrap();
        let address = sockets[0].local_addr().unwrap();
        let mut inlet = inlet(&run, sockets);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sent = ROUNDS_A_TURN * SLOTS + 5;
        for _ in 0..sent {
            sender.send_to(b"x", address).unwrap();
        }
        assert_eq!(inlet.drain(Instant::now()).unwrap(), None);
        assert_eq!((inlet.books.counters.datagrams, inlet.readable[0]), ((sent - 5) as u64, true));
        inlet.drain(Instant::now()).unwrap();
        assert_eq!((inlet.books.counters.datagrams, inlet.readable[0]), (sent as u64, false));
        sender.set_nonblocking(true).unwrap();
        let answers = (0..).take_while(|_| sender.recv(&mut [0; 9]).is_ok()).count();
        assert!(answers > 0);
    }

    #[test]
    fn neither_reading_nor_answering_ever_blocks() {
        let dir = tempfile::tempdir().unwrap();
        let run = RuntimeDir::at(&dir.path().join("run")).unwrap();
        // As systemd hands them over.
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let inlet = inlet(&run, vec![socket]);
        let error = inlet.sockets[0].udp().unwrap().recv(&mut [0; 9]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    }

    #[test]
    fn what_was_in_hand_is_booked_before_anything_else_happens() {
        let dir = tempfile::tempdir().unwrap();
        let run = RuntimeDir::at(&dir.path().join("run")).unwrap();
        let mut first = inlet(&run, vec![UdpSocket::bind("127.0.0.1:0").unwrap()]);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..3 {
            sender.send_to(b"x", first.sockets[0].udp().unwrap().local_addr().unwrap()).unwrap();
        }
        assert_eq!(first.receive(0).unwrap(), 3);
        drop(first); // killed before its commit
        for label in ["killed again at once", "and again"] {
            let next = inlet(&run, Vec::new());
            drop(next);
            let seen = common::books::Snapshot::read(&run.books("echo")).unwrap();
            assert_eq!(seen.counter("lost_in_crash"), 3, "{label}");
        }
    }
}
