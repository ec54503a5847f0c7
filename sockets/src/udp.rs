//! Datagrams of clients, by UDP and unix sockets, received many at a time into memory that outlives the process.
//!
//! The kernel writes each datagram into a slot of a mapped file whose first byte was set to a mark before. What
//! a process killed by SIGKILL had in its hand (received, not committed) is so counted by its successor.

use std::fs;
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, SocketAddrV4, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::atomic::Ordering::{Acquire, Release};

use mapped::Mapping;
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
use nix::sys::stat::fstat;

use crate::meminfo::meminfo;
use crate::ring::CARRIED_WORDS;

/// Datagrams received by one system call.
pub const SLOTS: usize = 64;

/// A slot holds any UDP datagram.
const SLOT_BYTES: usize = 64 * 1024;

/// What a slot begins with while no datagram is in it. No protocol of Leela's inputs begins so; a stranger's
/// datagram that does is not seen as in hand after a kill.
const MARK: u8 = 0xff;

/// Words of [`crate::sender::Sender::seal`]'s: which batch is done with, which sockets the kernel's drops were
/// counted of, and how many.
const HAND_WORD: usize = CARRIED_WORDS - 1;
const SOCKETS_WORD: usize = CARRIED_WORDS - 2;
const DROPS_WORD: usize = CARRIED_WORDS - 3;

/// A datagram that came.
#[derive(Clone, Copy, Debug)]
pub struct Received<'a> {
    /// What it holds.
    pub bytes: &'a [u8],
    /// Who sent it, as far as that is known.
    pub from: Option<SockaddrStorage>,
    /// It was longer than a slot, as unix datagrams can be: its end is gone.
    pub is_cut: bool,
}

/// Receives datagrams into a mapped file.
#[derive(Debug)]
pub struct Receiver {
    hand: Mapping,
    headers: MultiHeaders<SockaddrStorage>,
    batch: u64,
    used: usize,
    sockets: u64,
    drops: u64,
}

impl Receiver {
    /// Opens the file at `path`; `carried` is what the books hold. Also says how many datagrams a predecessor
    /// had in hand when it was killed: to be committed, with [`Receiver::seal`], before anything is received.
    pub fn open(path: &Path, carried: &[u64; CARRIED_WORDS]) -> io::Result<(Receiver, u64)> {
        let open = || Mapping::open(path, 8, SLOTS * SLOT_BYTES);
        let hand = match open() {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                tracing::warn!(path = %path.display(), %error, "what another version had in hand is not known");
                fs::remove_file(path)?;
                open()?
            }
            other => other?,
        };
        hand.reserve(0..SLOTS * SLOT_BYTES)?;
        let batch = hand.words()[0].load(Acquire);
        let slots = hand.body().chunks_exact(SLOT_BYTES);
        // Any other batch is none of these books': the file was removed, or they were.
        let lost = match batch == carried[HAND_WORD].wrapping_add(1) {
            true => slots.filter(|slot| slot[0] != MARK).count() as u64,
            false => 0,
        };
        let headers = MultiHeaders::preallocate(SLOTS, None);
        let batch = batch.max(carried[HAND_WORD]);
        let (sockets, drops) = (carried[SOCKETS_WORD], carried[DROPS_WORD]);
        // The slots keep what is in them until the books have it: killed before, the successor counts it.
        Ok((Receiver { hand, headers, batch, used: SLOTS, sockets, drops }, lost))
    }

    /// Datagrams that the kernel dropped at `sockets` since the last call, over a restart too as long as the
    /// sockets were handed over.
    pub fn kernel_drops<'s>(&mut self, sockets: impl Iterator<Item = &'s UdpSocket>) -> io::Result<u64> {
        let (mut identity, mut drops) = (0, 0);
        for socket in sockets {
            identity += fstat(socket)?.st_ino;
            drops += u64::from(meminfo(socket)?.drops);
        }
        if identity != self.sockets {
            (self.sockets, self.drops) = (identity, 0);
        }
        // Each socket's count wraps at 2^32.
        let more = drops.wrapping_sub(self.drops) & u64::from(u32::MAX);
        self.drops = drops;
        Ok(more)
    }

    /// Adds to what the books commit that everything received so far is done with.
    pub fn seal(&self, carried: &mut [u64; CARRIED_WORDS]) {
        carried[HAND_WORD] = self.batch;
        carried[SOCKETS_WORD] = self.sockets;
        carried[DROPS_WORD] = self.drops;
    }

    /// Receives what is there, up to [`SLOTS`] datagrams, without blocking. What was received before must be
    /// committed. Returns how many came; fewer than [`SLOTS`] means that the queue is drained.
    pub fn receive(
        &mut self,
        socket: &impl AsRawFd,
        mut each: impl FnMut(Received<'_>),
    ) -> io::Result<usize> {
        // The marks come first: between a new batch and its marks, a kill would count what is committed as in hand.
        for slot in self.hand.body_mut().chunks_exact_mut(SLOT_BYTES).take(self.used) {
            slot[0] = MARK;
        }
        self.used = 0;
        self.batch += 1;
        self.hand.words()[0].store(self.batch, Release);
        let mut slots = self.hand.body_mut().chunks_exact_mut(SLOT_BYTES);
        let mut slices: [[IoSliceMut<'_>; 1]; SLOTS] =
            std::array::from_fn(|_| [IoSliceMut::new(slots.next().expect("the body has that many slots"))]);
        let received = match recvmmsg(
            socket.as_raw_fd(),
            &mut self.headers,
            &mut slices,
            MsgFlags::MSG_DONTWAIT,
            None,
        ) {
            Ok(received) => received,
            // A refused answer to an earlier `pong` is no matter of ours.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => return Ok(0),
            Err(errno) => return Err(errno.into()),
        };
        for message in received {
            self.used += 1;
            each(Received {
                bytes: message.iovs().next().unwrap_or(&[]),
                from: message.address,
                is_cut: message.flags.contains(MsgFlags::MSG_TRUNC),
            });
        }
        Ok(self.used)
    }
}

/// The address of a sender.
pub fn address(from: Option<SockaddrStorage>) -> Option<SocketAddr> {
    let from = from?;
    match (from.as_sockaddr_in(), from.as_sockaddr_in6()) {
        (Some(v4), _) => Some(SocketAddrV4::from(*v4).into()),
        (_, Some(v6)) => Some(SocketAddrV6::from(*v6).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixDatagram;

    #[test]
    fn a_unix_datagram_that_is_longer_than_a_slot_is_known_as_cut() {
        let dir = tempfile::tempdir().unwrap();
        let (socket, sender) = UnixDatagram::pair().unwrap();
        let (mut receiver, _) = Receiver::open(&dir.path().join("hand"), &[0; CARRIED_WORDS]).unwrap();
        let mut got = Vec::new();
        for length in [SLOT_BYTES - 1, SLOT_BYTES, SLOT_BYTES + 1, 100_000] {
            sender.send(&vec![b'a'; length]).unwrap();
            receiver.receive(&socket, |one| got.push((one.bytes.len(), one.is_cut))).unwrap();
        }
        assert_eq!(
            got,
            [(SLOT_BYTES - 1, false), (SLOT_BYTES, false), (SLOT_BYTES, true), (SLOT_BYTES, true)]
        );
    }

    #[test]
    fn what_was_in_hand_at_a_kill_is_counted_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("udp.hand");
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let send = |count: usize| {
            for n in 0..count {
                sender.send_to(format!("gauge {n}").as_bytes(), socket.local_addr().unwrap()).unwrap();
            }
        };
        let mut carried = [0; CARRIED_WORDS];
        let (mut receiver, lost) = Receiver::open(&path, &carried).unwrap();
        assert_eq!(lost, 0);
        send(5);
        let mut got = Vec::new();
        let from = sender.local_addr().unwrap();
        let count = receiver.receive(&socket, |received| {
            assert_eq!((address(received.from), received.is_cut), (Some(from), false));
            got.push(received.bytes.to_vec());
        });
        assert_eq!((count.unwrap(), got.len(), got[4].as_slice()), (5, 5, b"gauge 4".as_slice()));
        receiver.seal(&mut carried); // committed: not in hand any more
        drop(receiver);
        let (mut receiver, lost) = Receiver::open(&path, &carried).unwrap();
        assert_eq!(lost, 0);
        send(SLOTS + 3);
        assert_eq!(receiver.receive(&socket, |_| {}).unwrap(), SLOTS);
        receiver.seal(&mut carried);
        assert_eq!(receiver.receive(&socket, |_| {}).unwrap(), 3);
        drop(receiver); // killed before its commit
        let (mut receiver, lost) = Receiver::open(&path, &carried).unwrap();
        assert_eq!(lost, 3);
        receiver.seal(&mut carried);
        assert_eq!(receiver.receive(&socket, |_| {}).unwrap(), 0);
        receiver.seal(&mut carried);
        for (label, damage) in [
            ("removed", None),
            ("of another version", Some(vec![1; 100])),
            (
                "of another instance",
                Some([&7u64.to_ne_bytes()[..], &[0; 56], &[1; SLOTS * SLOT_BYTES]].concat()),
            ),
        ] {
            drop(receiver);
            match damage {
                None => fs::remove_file(&path).unwrap(),
                Some(bytes) => fs::write(&path, bytes).unwrap(),
            }
            let opened = Receiver::open(&path, &carried).unwrap();
            assert_eq!(opened.1, 0, "{label}");
            receiver = opened.0;
        }
    }
}
