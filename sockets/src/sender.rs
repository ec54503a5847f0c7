//! The sender: one ring, and for each peer a connected, non-blocking socket of its own.
//!
//! Sends never block. A peer that is behind or away costs the others nothing (with one shared socket its unread
//! datagrams would use up the send buffer); only the ring drops, and counts.
//!
//! Order of a hand-over: [`Sender::append`], commit [`Sender::seal`] in the books, [`Sender::send`].

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use mio::{Events, Poll, Registry, Token};

use crate::net::{Kernel, Net};
use crate::peer::{PEERS_MAX, Peer, Standing, Wants};
use crate::ring::{CARRIED_WORDS, Entry, PeerError, Ring};

const BACKOFF_FIRST: Duration = Duration::from_millis(5);
const BACKOFF_LAST: Duration = Duration::from_millis(250);
/// A peer that is not durable goes after this silence.
pub const SILENCE_MAX: Duration = Duration::from_secs(5);
/// A durable peer goes after this silence.
pub const DURABLE_SILENCE_MAX: Duration = Duration::from_secs(600);
/// Datagrams that a peer gets before the others have their turn: one that catches up with a full ring would
/// keep them waiting for a second.
const DATAGRAMS_A_TURN: usize = 16;
/// How long a link waits for the kernel's word before it tries by itself.
const BLOCKED_MAX: Duration = Duration::from_millis(100);

/// Renders a binary datagram as text datagrams, for peers that asked for text.
pub type Render = fn(datagram: &[u8], texts: &mut Vec<Vec<u8>>);

/// Sends the datagrams of a ring to its peers.
#[derive(Debug)]
pub struct Sender<N: Net = Kernel> {
    ring: Ring,
    links: Vec<Link<N::Link>>,
    net: N,
    first_token: usize,
    render: Render,
    /// Peers whose socket cannot be written: their owner has to set its mode to 0660.
    pub unwritable: u64,
}

#[derive(Debug)]
struct Link<S> {
    socket: Option<S>,
    /// Which file the path led to before the socket was connected; 0 where that was not told.
    file: u64,
    /// Not before: after EAGAIN (until the kernel says writable), while the peer is away, or after its turn.
    not_before: Option<Instant>,
    /// The poll tells when the socket becomes writable. Only from the first EAGAIN on, until nothing waits: else
    /// each datagram that the peer reads would wake this process for nothing.
    is_watched: bool,
    backoff: Duration,
    seen: Instant,
    /// The rest of an entry rendered as text.
    texts: Vec<Vec<u8>>,
    texts_of: u64,
}

impl Sender {
    /// A sender over `ring`. It uses [`PEERS_MAX`] tokens of `registry` from `first_token` on.
    pub fn new(ring: Ring, registry: &Registry, first_token: usize, render: Render) -> io::Result<Sender> {
        Ok(Sender::over(Kernel::new(registry)?, ring, first_token, render, Instant::now()))
    }

    /// At the end of a process: gives connected peers up to `deadline` to take what waits. The rest stays in
    /// the ring for the successor.
    pub fn drain(&mut self, poll: &mut Poll, deadline: Instant) -> io::Result<()> {
        let mut events = Events::with_capacity(PEERS_MAX);
        loop {
            let now = Instant::now();
            self.send(now);
            let connected =
                |place: &usize| self.links[*place].socket.is_some() && self.ring.waiting(*place) > 0;
            if now >= deadline || !(0..PEERS_MAX).any(|place| connected(&place)) {
                return Ok(());
            }
            let until = self.next_try().map_or(deadline, |at| at.min(deadline));
            match poll.poll(&mut events, Some(until.saturating_duration_since(now))) {
                Err(error) if error.kind() != io::ErrorKind::Interrupted => return Err(error),
                _ => {}
            }
            for event in &events {
                self.resume(event.token(), now);
            }
        }
    }
}

impl<N: Net> Sender<N> {
    /// As [`Sender::new`], over any network.
    pub fn over(net: N, ring: Ring, first_token: usize, render: Render, now: Instant) -> Sender<N> {
        let link = || Link {
            socket: None,
            file: 0,
            not_before: None,
            is_watched: false,
            backoff: BACKOFF_FIRST,
            seen: now,
            texts: Vec::new(),
            texts_of: 0,
        };
        let links = std::iter::repeat_with(link).take(PEERS_MAX).collect();
        Sender { ring, links, net, first_token, render, unwritable: 0 }
    }

    /// Makes `path` the one peer of an input's sender.
    pub fn only(&mut self, path: &Path, contents: u8, now: Instant) -> Result<(), PeerError> {
        let wants = Wants { contents, text: false, durable: false, fixed: true };
        for place in 0..PEERS_MAX {
            let peer = &self.ring.peers()[place];
            if peer.standing == Standing::Active && (peer.path != path || peer.wants != wants) {
                self.ring.leave(place);
            }
        }
        self.join(path, wants, now).map(|_| ())
    }

    /// Makes `path` a peer, or notes that it is still there. True when it is new.
    pub fn join(&mut self, path: &Path, wants: Wants, now: Instant) -> Result<bool, PeerError> {
        let is = |peer: &Peer| peer.standing == Standing::Active && peer.path == path;
        if let Some(place) = self.ring.peers().iter().position(is) {
            if self.ring.peers()[place].wants == wants {
                self.links[place].seen = now;
                return Ok(false);
            }
            self.leave(place);
        }
        let place = self.ring.join(path, wants)?;
        let link = &mut self.links[place];
        (link.seen, link.not_before, link.backoff) = (now, None, BACKOFF_FIRST);
        Ok(true)
    }

    /// Lets silent peers go, and says which.
    pub fn expire(&mut self, now: Instant) -> Vec<Peer> {
        let mut gone = Vec::new();
        for place in 0..PEERS_MAX {
            let Peer { standing, wants, .. } = self.ring.peers()[place];
            let silence_max = if wants.durable { DURABLE_SILENCE_MAX } else { SILENCE_MAX };
            if standing == Standing::Active && !wants.fixed && now - self.links[place].seen > silence_max {
                gone.push(self.ring.peers()[place].clone());
                self.leave(place);
            }
        }
        gone
    }

    /// True when at least one peer wants this content.
    pub fn wanted(&self, content: u8) -> bool {
        let wants = |peer: &Peer| peer.standing == Standing::Active && peer.wants.content(content);
        self.ring.peers().iter().any(wants)
    }

    /// The number that the next record of a content gets.
    pub fn next_number(&self, content: u8) -> u64 {
        self.ring.next_number(content)
    }

    /// Lets numbers pass that nobody wants; call it only where [`Sender::wanted`] is false.
    pub fn skip_numbers(&mut self, content: u8, count: u32) {
        self.ring.skip_numbers(content, count);
    }

    /// Puts a datagram of `count` records into the ring.
    pub fn append(&mut self, content: u8, count: u32, datagram: &[u8]) {
        self.ring.append(content, count, datagram);
    }

    /// What the books have to commit before the next [`Sender::send`].
    #[must_use = "the books have to commit it before anything is sent"]
    pub fn seal(&mut self) -> [u64; CARRIED_WORDS] {
        self.ring.seal()
    }

    /// Gives every peer what it can take now, up to a stated number of datagrams; the rest at [`Sender::next_try`].
    pub fn send(&mut self, now: Instant) {
        for place in 0..PEERS_MAX {
            if self.ring.peers()[place].standing == Standing::Active {
                self.send_to(place, now);
            }
        }
    }

    /// Goes on with the peer of a token that became writable; false when the token is not the sender's.
    pub fn resume(&mut self, token: Token, now: Instant) -> bool {
        let Some(place) = token.0.checked_sub(self.first_token).filter(|place| *place < PEERS_MAX) else {
            return false;
        };
        if self.links[place].socket.is_some() {
            self.links[place].not_before = None;
            self.send_to(place, now);
            if self.ring.waiting(place) == 0 {
                self.unwatch(place);
            }
        }
        true
    }

    /// When [`Sender::send`] is to be called again at the latest; `None` when nothing waits.
    pub fn next_try(&self) -> Option<Instant> {
        let waiting =
            |(place, link): (usize, &Link<N::Link>)| link.not_before.filter(|_| self.ring.waiting(place) > 0);
        self.links.iter().enumerate().filter_map(waiting).min()
    }

    /// How full the ring is, from 0 to 1.
    pub fn filling(&self) -> f64 {
        self.ring.filling()
    }

    /// How much of the ring waits for the slowest of the peers that were heard of lately, from 0 to 1. What makes more
    /// at its own pace, as a flush does, waits for these; one that is stopped or away it does not wait for.
    pub fn live_filling(&self, now: Instant) -> f64 {
        let is_live = |place: &usize| {
            let fixed = self.ring.peers()[*place].wants.fixed;
            fixed || now.saturating_duration_since(self.links[*place].seen) <= SILENCE_MAX
        };
        (0..PEERS_MAX).filter(is_live).map(|place| self.ring.behind(place)).fold(0.0, f64::max)
    }

    /// Records that wait for peers, the fullest peer's; 0 when all have everything.
    pub fn waiting(&self) -> u64 {
        (0..PEERS_MAX).map(|place| self.ring.waiting(place)).max().unwrap_or(0)
    }

    /// The peers, by place.
    pub fn peers(&self) -> &[Peer] {
        self.ring.peers()
    }

    fn leave(&mut self, place: usize) {
        self.disconnect(place);
        self.ring.leave(place);
        self.links[place].texts.clear();
    }

    fn disconnect(&mut self, place: usize) {
        self.unwatch(place);
        self.links[place].socket = None;
    }

    fn watch(&mut self, place: usize) {
        let link = &mut self.links[place];
        if let (false, Some(socket)) = (link.is_watched, &mut link.socket) {
            let token = Token(self.first_token + place);
            // Where the system has no room for it, the link tries by itself after BLOCKED_MAX.
            link.is_watched = self.net.watch(socket, token);
        }
    }

    fn unwatch(&mut self, place: usize) {
        let link = &mut self.links[place];
        if let (true, Some(socket)) = (link.is_watched, &mut link.socket) {
            self.net.unwatch(socket);
        }
        link.is_watched = false;
    }

    fn send_to(&mut self, place: usize, now: Instant) {
        if self.links[place].not_before.is_some_and(|at| at > now) {
            return;
        }
        for _ in 0..DATAGRAMS_A_TURN {
            let Some(entry) = self.ring.next_entry(place) else { return };
            if planted!(CursorBeforeSend) {
                self.ring.sent(place, &entry);
            }
            if let Err(error) = self.connect(place).and_then(|()| self.send_entry(place, &entry)) {
                self.put_off(place, &entry, &error, now);
                return;
            }
            let link = &mut self.links[place];
            if link.backoff != BACKOFF_FIRST {
                tracing::info!(peer = %self.ring.peers()[place].path.display(), "the peer is back");
            }
            (link.not_before, link.backoff) = (None, BACKOFF_FIRST);
            if !planted!(CursorBeforeSend) {
                self.ring.sent(place, &entry);
            }
        }
        // Perhaps more waits: the caller comes back at once, by `next_try`.
        self.links[place].not_before = Some(now);
    }

    fn put_off(&mut self, place: usize, entry: &Entry, error: &io::Error, now: Instant) {
        let path = &self.ring.peers()[place].path;
        match error.kind() {
            io::ErrorKind::WouldBlock => {
                let link = &mut self.links[place];
                // Nothing was read for a while. A reader that still holds the socket of this path's former file
                // is not the peer any more.
                let is_replaced = link.not_before.is_some() && ![0, link.file].contains(&self.net.file(path));
                link.not_before = Some(if is_replaced { now } else { now + BLOCKED_MAX });
                match is_replaced {
                    true => self.disconnect(place),
                    false => self.watch(place),
                }
                return;
            }
            _ if error.raw_os_error() == Some(libc::EMSGSIZE) => {
                tracing::warn!(peer = %path.display(), %error, "a datagram is larger than the system lets pass");
                self.ring.dropped(place, entry);
                self.links[place].not_before = Some(now);
                return;
            }
            kind => {
                let is_unwritable = kind == io::ErrorKind::PermissionDenied;
                self.unwritable += u64::from(is_unwritable);
                let peer = path.display();
                match (self.links[place].backoff == BACKOFF_FIRST, is_unwritable) {
                    (false, _) => tracing::debug!(%peer, %error, "the peer is still away"),
                    (true, false) => {
                        tracing::info!(%peer, %error, "the peer is away, records wait in the ring");
                    }
                    (true, true) => {
                        tracing::warn!(%peer, "the peer's socket is not writable: its mode has to be 0660");
                    }
                }
            }
        }
        self.disconnect(place);
        let link = &mut self.links[place];
        link.not_before = Some(now + link.backoff);
        link.backoff = (link.backoff * 2).min(BACKOFF_LAST);
    }

    fn connect(&mut self, place: usize) -> io::Result<()> {
        if self.links[place].socket.is_some() {
            return Ok(());
        }
        let path = &self.ring.peers()[place].path;
        self.links[place].file = self.net.file(path);
        self.links[place].socket = Some(self.net.connect(path)?);
        Ok(())
    }

    fn send_entry(&mut self, place: usize, entry: &Entry) -> io::Result<()> {
        let link = &mut self.links[place];
        let socket = link.socket.as_ref().expect("connected just before");
        let datagram = self.ring.datagram(entry);
        if !self.ring.peers()[place].wants.text {
            return self.net.send(socket, datagram);
        }
        if link.texts_of != entry.next || link.texts.is_empty() {
            link.texts.clear();
            (self.render)(datagram, &mut link.texts);
            link.texts.reverse();
            link.texts_of = entry.next;
        }
        while let Some(text) = link.texts.last() {
            self.net.send(socket, text)?;
            link.texts.pop();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::net;
    use std::thread;

    const EVENTS: Wants = Wants { contents: 1 << 2, text: false, durable: true, fixed: false };

    #[test]
    fn only_a_peer_that_is_behind_wakes_the_sender() {
        let dir = tempfile::tempdir().unwrap();
        let mut poll = Poll::new().unwrap();
        let ring = Ring::open(&dir.path().join("ring"), 1 << 20, 7, &[0; CARRIED_WORDS]).unwrap();
        let mut sender = Sender::new(ring, poll.registry(), 0, |_, _| {}).unwrap();
        let path = dir.path().join("peer");
        let peer = net::UnixDatagram::bind(&path).unwrap();
        peer.set_nonblocking(true).unwrap();
        assert!(sender.join(&path, EVENTS, Instant::now()).unwrap());
        let mut events = Events::with_capacity(8);
        let mut wakes = |poll: &mut Poll| {
            poll.poll(&mut events, Some(Duration::ZERO)).unwrap();
            events.iter().map(|event| event.token()).collect::<Vec<_>>()
        };
        let read = || (0..).take_while(|_| peer.recv(&mut [0; 64]).is_ok()).count();
        for _ in 0..3 {
            sender.append(2, 1, &[7; 32]);
            let _ = sender.seal();
            sender.send(Instant::now());
            assert_eq!((read(), wakes(&mut poll)), (1, vec![]));
        }
        let queue: usize =
            fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap().trim().parse().unwrap();
        for _ in 0..2 {
            for _ in 0..queue + 2 {
                sender.append(2, 1, &[7; 32]);
            }
            let _ = sender.seal();
            while sender.waiting() > 1 {
                sender.send(Instant::now());
            }
            assert_eq!(wakes(&mut poll), [], "the queue is full");
            assert_eq!((read(), wakes(&mut poll)), (queue + 1, vec![Token(0)]));
            assert!(sender.resume(Token(0), Instant::now()));
            assert_eq!(
                (sender.waiting(), read(), wakes(&mut poll)),
                (0, 1, vec![]),
                "it is not behind any more"
            );
        }
    }

    #[test]
    fn who_binds_a_path_anew_gets_what_a_stuck_reader_of_the_old_socket_does_not_take() {
        let dir = tempfile::tempdir().unwrap();
        let poll = Poll::new().unwrap();
        let ring = Ring::open(&dir.path().join("ring"), 1 << 20, 7, &[0; CARRIED_WORDS]).unwrap();
        let mut sender = Sender::new(ring, poll.registry(), 0, |_, _| {}).unwrap();
        let path = dir.path().join("peer");
        let _stuck = net::UnixDatagram::bind(&path).unwrap();
        let mut now = Instant::now();
        assert!(sender.join(&path, EVENTS, now).unwrap());
        let queue: usize =
            fs::read_to_string("/proc/sys/net/unix/max_dgram_qlen").unwrap().trim().parse().unwrap();
        for _ in 0..queue + 2 {
            sender.append(2, 1, &[7; 32]);
        }
        let _ = sender.seal();
        let mut send = |sender: &mut Sender| {
            for _ in 0..queue {
                now += BLOCKED_MAX;
                sender.send(now);
            }
        };
        send(&mut sender);
        assert_eq!(sender.waiting(), 1, "the old queue is full");
        fs::remove_file(&path).unwrap();
        let peer = net::UnixDatagram::bind(&path).unwrap();
        send(&mut sender);
        assert_eq!(sender.waiting(), 0);
        peer.set_nonblocking(true).unwrap();
        assert_eq!(peer.recv(&mut [0; 64]).unwrap(), 32);
    }

    #[test]
    fn a_peer_that_catches_up_takes_turns_with_the_others() {
        const DATAGRAMS: usize = 1000;
        let dir = tempfile::tempdir().unwrap();
        let mut poll = Poll::new().unwrap();
        let ring = Ring::open(&dir.path().join("ring"), 1 << 20, 7, &[0; CARRIED_WORDS]).unwrap();
        let mut sender = Sender::new(ring, poll.registry(), 0, |_, _| {}).unwrap();
        let readers = ["one", "two"].map(|name| {
            let path = dir.path().join(name);
            let socket = net::UnixDatagram::bind(&path).unwrap();
            assert!(sender.join(&path, EVENTS, Instant::now()).unwrap());
            thread::spawn(move || {
                (0..DATAGRAMS).for_each(|_| assert_eq!(socket.recv(&mut [0; 64]).unwrap(), 32));
            })
        });
        for _ in 0..DATAGRAMS {
            sender.append(2, 1, &[1; 32]);
        }
        let _ = sender.seal();
        let mut events = Events::with_capacity(8);
        loop {
            let before = [0, 1].map(|place| sender.peers()[place].sent);
            sender.send(Instant::now());
            for (place, before) in before.into_iter().enumerate() {
                let more = sender.peers()[place].sent - before;
                assert!(more <= DATAGRAMS_A_TURN as u64, "{more} in one turn");
            }
            if sender.waiting() == 0 {
                // No reader has to wake the sender any more.
                break;
            }
            let at = sender.next_try().expect("something is due as long as something waits");
            poll.poll(&mut events, Some(at.saturating_duration_since(Instant::now()))).unwrap();
            for event in &events {
                sender.resume(event.token(), Instant::now());
            }
        }
        for reader in readers {
            reader.join().unwrap();
        }
    }
}
