//! The network: queues of bound paths, of a stated length, in memory. As unix sockets do, it keeps the order, loses
//! nothing that it took, says when it is full, and outlives the processes. It also kills them: every call of a
//! process counts down its fuse, and unwinds its stack when that is at its end.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::panic::resume_unwind;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use mio::Token;
use nix::errno::Errno;
use sockets::net::{Bound, Net};

/// What a killed process unwinds with.
pub(crate) struct Killed;

/// Calls that a process has left.
#[derive(Clone, Debug)]
pub(crate) struct Fuse(Arc<AtomicI64>);

const ALIVE: i64 = -1;
const DEAD: i64 = -2;

impl Fuse {
    pub(crate) fn new() -> Fuse {
        Fuse(Arc::new(AtomicI64::new(ALIVE)))
    }

    /// The process is killed in the call after so many.
    pub(crate) fn light(&self, calls: u64) {
        self.0.store(calls as i64, Relaxed);
    }

    /// Whether it was not killed yet.
    pub(crate) fn is_alive(&self) -> bool {
        self.0.load(Relaxed) != DEAD
    }

    /// A call: here the process may end. False when it has: what its destructors call then has no effect.
    pub(crate) fn call(&self) -> bool {
        match self.0.load(Relaxed) {
            ALIVE => true,
            DEAD => false,
            0 => {
                self.0.store(DEAD, Relaxed);
                resume_unwind(Box::new(Killed));
            }
            left => {
                self.0.store(left - 1, Relaxed);
                true
            }
        }
    }
}

/// A datagram on its way, and who sent it.
type Datagram = (PathBuf, Vec<u8>);

#[derive(Debug)]
struct Queue {
    file: u64,
    room: usize,
    waiting: RefCell<VecDeque<Datagram>>,
    is_open: Cell<bool>,
    /// Who is told when it has room again.
    watchers: RefCell<Vec<(u64, Token)>>,
    /// What was taken out since it was last asked.
    popped: RefCell<Vec<Vec<u8>>>,
}

#[derive(Debug, Default)]
struct Wires {
    bound: HashMap<PathBuf, Rc<Queue>>,
    files: u64,
    /// Tokens that became ready, by who watches.
    ready: HashMap<u64, Vec<Token>>,
    /// Of a hundred calls so many fail, and the number that chooses.
    flaky: u64,
    chance: u64,
    /// What the kernel took last, of a process that was killed before it could note it: the path, the datagram.
    unnoted: Option<(PathBuf, Vec<u8>)>,
}

/// All sockets there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network(Rc<RefCell<Wires>>);

impl Network {
    /// Binds a path, with room for so many datagrams. What was bound there is gone; gives what was in it.
    pub(crate) fn bind(&self, path: &Path, room: usize) -> Vec<Vec<u8>> {
        let mut wires = self.0.borrow_mut();
        wires.files += 1;
        let queue = Queue {
            file: wires.files,
            room,
            waiting: RefCell::default(),
            is_open: Cell::new(true),
            watchers: RefCell::default(),
            popped: RefCell::default(),
        };
        let before = wires.bound.insert(path.to_owned(), Rc::new(queue));
        before.map_or_else(Vec::new, |queue| {
            queue.is_open.set(false);
            for (owner, token) in queue.watchers.take() {
                wires.ready.entry(owner).or_default().push(token);
            }
            queue.waiting.take().into_iter().map(|(_, datagram)| datagram).collect()
        })
    }

    /// The socket that is bound at a path, for the process of a fuse.
    pub(crate) fn open(&self, path: &Path, fuse: &Fuse) -> Reader {
        let queue = Rc::clone(&self.0.borrow().bound[path]);
        Reader { network: self.clone(), queue, fuse: fuse.clone() }
    }

    /// The network as a process has it.
    pub(crate) fn of(&self, owner: u64, fuse: &Fuse) -> Sent {
        Sent { network: self.clone(), owner, fuse: fuse.clone() }
    }

    /// Sends a datagram from a bound path, as a registration is; false when it is not taken.
    pub(crate) fn send(&self, from: &Path, to: &Path, datagram: Vec<u8>) -> bool {
        let Some(queue) = self.0.borrow().bound.get(to).cloned() else { return false };
        let has_room = queue.waiting.borrow().len() < queue.room;
        if has_room {
            queue.waiting.borrow_mut().push_back((from.to_owned(), datagram));
        }
        has_room
    }

    /// How many datagrams wait at a path.
    pub(crate) fn waiting(&self, path: &Path) -> usize {
        self.0.borrow().bound.get(path).map_or(0, |queue| queue.waiting.borrow().len())
    }

    /// What was read from a path since this was last asked.
    pub(crate) fn take_popped(&self, path: &Path) -> Vec<Vec<u8>> {
        self.0.borrow().bound.get(path).map_or_else(Vec::new, |queue| queue.popped.take())
    }

    /// What became writable for a process.
    pub(crate) fn take_ready(&self, owner: u64) -> Vec<Token> {
        self.0.borrow_mut().ready.remove(&owner).unwrap_or_default()
    }

    /// From now on of a hundred sends so many fail though there is room.
    pub(crate) fn flaky(&self, percent: u64, chance: u64) {
        let mut wires = self.0.borrow_mut();
        (wires.flaky, wires.chance) = (percent, chance | 1);
    }

    /// What a process that was killed had handed over and not noted.
    pub(crate) fn take_unnoted(&self) -> Option<(PathBuf, Vec<u8>)> {
        self.0.borrow_mut().unnoted.take()
    }
}

impl Wires {
    /// An error that comes from nowhere. The one path that all reaches is spared.
    fn fails(&mut self, path: &Path) -> Option<Errno> {
        if path.ends_with("witness") {
            return None;
        }
        self.chance ^= self.chance << 13;
        self.chance ^= self.chance >> 7;
        self.chance ^= self.chance << 17;
        let chance = self.chance >> 16;
        let errors = [Errno::EAGAIN, Errno::ENOBUFS, Errno::ECONNREFUSED, Errno::EINTR, Errno::ENOMEM];
        (chance % 100 < self.flaky).then(|| errors[(chance / 100) as usize % errors.len()])
    }
}

/// The network, as the sender of a process has it.
#[derive(Debug)]
pub(crate) struct Sent {
    network: Network,
    owner: u64,
    fuse: Fuse,
}

/// A connected socket.
#[derive(Debug)]
pub(crate) struct Link {
    queue: Rc<Queue>,
    path: PathBuf,
}

impl Net for Sent {
    type Link = Link;

    fn connect(&self, path: &Path) -> io::Result<Link> {
        self.fuse.call();
        let mut wires = self.network.0.borrow_mut();
        if let Some(errno) = wires.fails(path) {
            return Err(errno.into());
        }
        let queue = wires.bound.get(path).ok_or(Errno::ENOENT)?;
        Ok(Link { queue: Rc::clone(queue), path: path.to_owned() })
    }

    fn send(&self, link: &Link, datagram: &[u8]) -> io::Result<()> {
        self.fuse.call();
        if let Some(errno) = self.network.0.borrow_mut().fails(&link.path) {
            return Err(errno.into());
        }
        if !link.queue.is_open.get() {
            return Err(Errno::ECONNREFUSED.into());
        }
        let mut waiting = link.queue.waiting.borrow_mut();
        if waiting.len() >= link.queue.room {
            return Err(Errno::EAGAIN.into());
        }
        waiting.push_back((PathBuf::new(), datagram.to_vec()));
        drop(waiting);
        // Killed here, the kernel has it, and the sender does not know.
        self.network.0.borrow_mut().unnoted = Some((link.path.clone(), datagram.to_vec()));
        self.fuse.call();
        self.network.0.borrow_mut().unnoted = None;
        Ok(())
    }

    fn watch(&self, link: &mut Link, token: Token) -> bool {
        link.queue.watchers.borrow_mut().push((self.owner, token));
        true
    }

    fn unwatch(&self, link: &mut Link) {
        link.queue.watchers.borrow_mut().retain(|(owner, _)| *owner != self.owner);
    }

    fn file(&self, path: &Path) -> u64 {
        self.network.0.borrow().bound.get(path).map_or(0, |queue| queue.file)
    }
}

/// A bound socket, as its process reads it.
#[derive(Debug)]
pub(crate) struct Reader {
    network: Network,
    queue: Rc<Queue>,
    fuse: Fuse,
}

impl Reader {
    fn pop(&self, buffer: &mut [u8]) -> io::Result<(usize, PathBuf)> {
        self.fuse.call();
        let (from, datagram) = self.queue.waiting.borrow_mut().pop_front().ok_or(Errno::EAGAIN)?;
        let length = datagram.len().min(buffer.len());
        buffer[..length].copy_from_slice(&datagram[..length]);
        self.queue.popped.borrow_mut().push(datagram);
        self.wake();
        Ok((length, from))
    }

    /// Tells those who watch that there is room.
    fn wake(&self) {
        let ready = &mut self.network.0.borrow_mut().ready;
        for (owner, token) in self.queue.watchers.borrow().iter() {
            let ready = ready.entry(*owner).or_default();
            if !ready.contains(token) {
                ready.push(*token);
            }
        }
    }
}

impl Bound for Reader {
    fn receive(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.pop(buffer).map(|(length, _)| length)
    }

    fn receive_from(&self, buffer: &mut [u8]) -> io::Result<(usize, Option<PathBuf>)> {
        self.pop(buffer).map(|(length, from)| (length, Some(from)))
    }
}
