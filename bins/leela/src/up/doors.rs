//! Sockets of client programs beside UDP's, as a configuration names them: TCP, TLS, and unix sockets anywhere.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};

use anyhow::Context;
use sockets::inherited::{InheritError, Inherited, bind_tcp};

use super::handover::{Taken, read_away};
use super::holder;
use super::settings::Settings;

/// A configured address at which TCP is listened to, and where it really is.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) configured: SocketAddr,
    pub(super) actual: SocketAddr,
    pub(super) socket: TcpListener,
}

impl Door {
    /// Listens at `configured`, or at a free port where somebody has that one.
    fn open(configured: SocketAddr, taken: &mut Vec<Taken>) -> anyhow::Result<Door> {
        let local = |socket: &TcpListener| socket.local_addr().context("asking a socket for its address");
        let socket = match bind_tcp(configured) {
            Err(InheritError::Bind { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {
                let socket = bind_tcp(SocketAddr::new(configured.ip(), 0))?;
                let instead = local(&socket)?;
                taken.push(Taken { configured, holder: holder::of_tcp(configured), instead });
                socket
            }
            bound => bound?,
        };
        Ok(Door { configured, actual: local(&socket)?, socket })
    }

    pub(super) fn is_elsewhere(&self) -> bool {
        self.actual != self.configured
    }
}

/// Opens the doors at `wanted` that are not open yet; the others go. Gives the ports that were taken.
pub(super) fn keep(doors: &mut Vec<Door>, wanted: &[SocketAddr]) -> anyhow::Result<Vec<Taken>> {
    let mut taken = Vec::new();
    doors.retain(|door| wanted.contains(&door.configured));
    for &configured in wanted {
        if doors.iter().all(|door| door.configured != configured) {
            doors.push(Door::open(configured, &mut taken)?);
        }
    }
    // As configured, for the drop-in and for what is shown.
    doors.sort_by_key(|door| wanted.iter().position(|wanted| *wanted == door.configured));
    Ok(taken)
}

/// The sockets that the keys `tcp`, `tls`, `unix_datagram` and `unix_stream` name.
#[derive(Debug, Default)]
pub(super) struct Doors {
    pub(super) tcp: Vec<Door>,
    pub(super) tls: Vec<Door>,
    datagrams: Vec<(PathBuf, UnixDatagram)>,
    listeners: Vec<(PathBuf, UnixListener)>,
}

impl Doors {
    /// Binds what is not bound yet; what the configuration does not want any more goes, and the datagrams in it that
    /// nobody read are added to `unread`. Gives the ports that were taken.
    pub(super) fn bind(&mut self, settings: &Settings, unread: &mut u64) -> anyhow::Result<Vec<Taken>> {
        let Settings { tcp, tls, unix_datagram, unix_stream, .. } = settings;
        let mode = u32::from_str_radix(&settings.unix_mode, 8).context("unix_mode is no octal number")?;
        // Before anything is bound: an address may have gone from one key to another.
        self.tcp.retain(|door| tcp.contains(&door.configured));
        self.tls.retain(|door| tls.contains(&door.configured));
        self.datagrams.retain(|(path, socket)| {
            let is_wanted = unix_datagram.contains(path);
            if !is_wanted {
                *unread += read_away(|| socket.set_nonblocking(true), || socket.recv(&mut [0]));
                remove(path);
            }
            is_wanted
        });
        self.listeners.retain(|(path, _)| unix_stream.contains(path) || !remove(path));
        for path in unix_datagram {
            if self.datagrams.iter().all(|(have, _)| have != path) {
                self.datagrams.push((path.clone(), Inherited::default().datagram(path, mode)?));
            }
        }
        for path in unix_stream {
            if self.listeners.iter().all(|(have, _)| have != path) {
                self.listeners.push((path.clone(), Inherited::default().stream(path, mode)?));
            }
        }
        let mut taken = keep(&mut self.tcp, tcp)?;
        taken.extend(keep(&mut self.tls, tls)?);
        Ok(taken)
    }

    /// All that listens to TCP.
    pub(super) fn open(&self) -> impl Iterator<Item = &Door> {
        self.tcp.iter().chain(&self.tls)
    }

    /// All of it as people know it.
    pub(super) fn shown(&self) -> Vec<String> {
        let tcp = self.tcp.iter().map(|door| format!("tcp://{}", door.actual));
        let tls = self.tls.iter().map(|door| format!("tls://{}", door.actual));
        let paths = self.paths().map(|path| path.display().to_string());
        tcp.chain(tls).chain(paths).collect()
    }

    fn paths(&self) -> impl Iterator<Item = &Path> {
        let datagrams = self.datagrams.iter().map(|(path, _)| path.as_path());
        datagrams.chain(self.listeners.iter().map(|(path, _)| path.as_path()))
    }

    /// Descriptors of its own for each, with its name.
    pub(super) fn descriptors(&self) -> io::Result<Vec<(String, OwnedFd)>> {
        let mut descriptors = Vec::new();
        for door in self.open() {
            descriptors.push(("tcp".to_owned(), door.socket.try_clone()?.into()));
        }
        for (_, socket) in &self.datagrams {
            descriptors.push(("datagram".to_owned(), socket.try_clone()?.into()));
        }
        for (_, socket) in &self.listeners {
            descriptors.push(("stream".to_owned(), socket.try_clone()?.into()));
        }
        Ok(descriptors)
    }

    /// The sockets that may hold datagrams.
    pub(super) fn queues(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.datagrams.iter().map(|(_, socket)| socket.as_fd())
    }

    /// Closes all of it, removes the paths, and counts the datagrams that nobody will read any more.
    pub(super) fn close(&mut self) -> u64 {
        self.paths().for_each(|path| {
            remove(path);
        });
        let Doors { datagrams, .. } = std::mem::take(self);
        datagrams
            .iter()
            .map(|(_, socket)| read_away(|| socket.set_nonblocking(true), || socket.recv(&mut [0])))
            .sum()
    }
}

/// Removes the path of a socket: true, whether it could be or not. One that stays is replaced by the next `leela up`.
fn remove(path: &Path) -> bool {
    let _ = std::fs::remove_file(path);
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;
    use std::os::unix::net::UnixStream;

    #[test]
    fn sockets_follow_the_configuration_and_outlive_their_reader() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let held = other.local_addr().unwrap();
        let settings = Settings {
            tls: vec![held],
            unix_datagram: vec![path("datagram"), path("gone")],
            unix_stream: vec![path("stream")],
            unix_mode: "0622".to_owned(),
            ..Settings::default()
        };
        let (mut doors, mut unread) = (Doors::default(), 0);
        let taken = doors.bind(&settings, &mut unread).unwrap();
        assert_eq!((taken.len(), taken[0].configured, taken[0].instead), (1, held, doors.tls[0].actual));
        let mode = std::fs::metadata(path("datagram")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o622);
        assert_eq!(doors.descriptors().unwrap().len(), 4);
        let client = UnixDatagram::unbound().unwrap();
        client.send_to(b"a", path("datagram")).unwrap();
        client.send_to(b"b", path("gone")).unwrap();
        let _waits = UnixStream::connect(path("stream")).unwrap();
        // The next start finds the sockets where they were; what is not wanted any more goes.
        let less = Settings { unix_datagram: vec![path("datagram")], ..settings };
        assert!(doors.bind(&less, &mut unread).unwrap().is_empty());
        assert_eq!((unread, path("gone").exists()), (1, false));
        // What was by TLS is by TCP now, at the port that is free now.
        drop(other);
        let plain = Settings { tcp: vec![held], tls: Vec::new(), ..less };
        assert!(doors.bind(&plain, &mut unread).unwrap().is_empty());
        assert_eq!(doors.shown()[0], format!("tcp://{held}"));
        assert_eq!(doors.close(), 1);
        assert!(!path("datagram").exists() && !path("stream").exists());
    }
}
