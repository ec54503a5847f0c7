//! Where a process gets its sockets: handed over by systemd, `leela up` or a test, else bound by itself.
//!
//! What is handed over is matched by type and local address, and outlives the process: its queue waits for the
//! successor. Source: sd_listen_fds(3); LISTEN_PID may be left out by those who start a process directly.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{self, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};

use listenfd::ListenFd;
use nix::sys::socket::{setsockopt, sockopt};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use thiserror::Error;

/// The mode of a socket between Leela's own processes.
const OWN_MODE: u32 = 0o660;

/// Connections that the kernel keeps until they are taken; it cuts this to `net.core.somaxconn`.
const CONNECTIONS_WAITING: i32 = 4096;

/// Why a process does not get the sockets it was configured for.
#[derive(Debug, Error)]
pub enum InheritError {
    /// The system refuses.
    #[error("binding {address}")]
    Bind {
        /// What was to be bound.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Another process reads from this path.
    #[error("{path} is read by another process: stop it first, or choose another --runtime-dir")]
    Busy {
        /// The path.
        path: PathBuf,
    },
    /// The .socket unit and the configuration disagree.
    #[error(
        "{handed} sockets were handed over for {address}, the configuration wants {wanted}. Write this to \
         /etc/systemd/system/leela-{process}.socket.d/listen.conf, then systemctl daemon-reload and systemctl restart \
         leela-{process}.socket:\n{drop_in}"
    )]
    Mismatch {
        /// The process, without `leela-`.
        process: String,
        /// The address in question.
        address: SocketAddr,
        /// Sockets that were handed over for it.
        handed: usize,
        /// Sockets that the configuration wants for it.
        wanted: usize,
        /// The drop-in that makes them agree.
        drop_in: String,
    },
    /// A descriptor that is no socket this process has a use for.
    #[error("file descriptor {0} was handed over, and the configuration has no use for it")]
    Unused(usize),
}

/// The sockets that were handed over and not taken yet.
#[derive(Debug, Default)]
pub struct Inherited {
    udp: Vec<(SocketAddr, UdpSocket)>,
    tcp: Vec<(SocketAddr, TcpListener)>,
    datagrams: Vec<(PathBuf, UnixDatagram)>,
    listeners: Vec<(PathBuf, UnixListener)>,
}

impl Inherited {
    /// Takes what the environment says was handed over; call it once, before anything else is opened.
    pub fn take() -> Result<Inherited, InheritError> {
        let mut handed = ListenFd::from_env();
        let mut inherited = Inherited::default();
        for place in 0..handed.len() {
            if let Ok(Some(socket)) = handed.take_udp_socket(place) {
                let address = socket.local_addr().map_err(|_| InheritError::Unused(place + 3))?;
                inherited.udp.push((address, socket));
            } else if let Ok(Some(socket)) = handed.take_tcp_listener(place) {
                let address = socket.local_addr().map_err(|_| InheritError::Unused(place + 3))?;
                inherited.tcp.push((address, socket));
            } else if let Ok(Some(socket)) = handed.take_unix_datagram(place) {
                let path = socket.local_addr().ok().as_ref().and_then(path_of);
                inherited.datagrams.push((path.ok_or(InheritError::Unused(place + 3))?, socket));
            } else if let Ok(Some(socket)) = handed.take_unix_listener(place) {
                let path = socket.local_addr().ok().as_ref().and_then(path_of);
                inherited.listeners.push((path.ok_or(InheritError::Unused(place + 3))?, socket));
            } else {
                return Err(InheritError::Unused(place + 3));
            }
        }
        Ok(inherited)
    }

    /// The datagram socket at `path`, for Leela's own processes.
    pub fn databus(&mut self, path: &Path) -> Result<UnixDatagram, InheritError> {
        self.datagram(path, OWN_MODE)
    }

    /// The listening stream socket at `path`, for Leela's own processes.
    pub fn listener(&mut self, path: &Path) -> Result<UnixListener, InheritError> {
        self.stream(path, OWN_MODE)
    }

    /// The datagram socket at `path`, or of the abstract name behind an `@`. One that is bound here gets `mode`.
    pub fn datagram(&mut self, path: &Path, mode: u32) -> Result<UnixDatagram, InheritError> {
        match self.datagrams.iter().position(|(have, _)| same(have, path)) {
            Some(place) => Ok(self.datagrams.swap_remove(place).1),
            None => bind_datagram(path, mode),
        }
    }

    /// The listening stream socket at `path`, or of the abstract name behind an `@`. One that is bound here gets `mode`.
    pub fn stream(&mut self, path: &Path, mode: u32) -> Result<UnixListener, InheritError> {
        match self.listeners.iter().position(|(have, _)| same(have, path)) {
            Some(place) => Ok(self.listeners.swap_remove(place).1),
            None => bind_listener(path, mode),
        }
    }

    /// `readers` UDP sockets for each address of `listen`, with a receive buffer of `buffer_bytes` as far as the
    /// system grants it. When any UDP socket was handed over, they must be just those.
    pub fn udp(
        &mut self,
        process: &str,
        listen: &[SocketAddr],
        readers: usize,
        buffer_bytes: usize,
    ) -> Result<Vec<UdpSocket>, InheritError> {
        let handed = std::mem::take(&mut self.udp);
        if handed.is_empty() {
            return listen.iter().try_fold(Vec::new(), |mut sockets, address| {
                sockets.extend(bind_udp(*address, readers, buffer_bytes)?);
                Ok(sockets)
            });
        }
        configured(handed, "ListenDatagram", process, listen, readers)
    }

    /// A listening TCP socket for each address of `listen`. When any was handed over, they must be just those.
    pub fn tcp(&mut self, process: &str, listen: &[SocketAddr]) -> Result<Vec<TcpListener>, InheritError> {
        let handed = std::mem::take(&mut self.tcp);
        if handed.is_empty() {
            return listen.iter().map(|address| bind_tcp(*address)).collect();
        }
        configured(handed, "ListenStream", process, listen, 1)
    }

    /// An error when something was handed over that nobody took.
    pub fn finish(self) -> Result<(), InheritError> {
        match self.udp.len() + self.tcp.len() + self.datagrams.len() + self.listeners.len() {
            0 => Ok(()),
            left => Err(InheritError::Unused(2 + left)),
        }
    }
}

/// The sockets that were handed over, when there are `readers` of them for each address of `listen` and no others.
fn configured<S>(
    handed: Vec<(SocketAddr, S)>,
    key: &str,
    process: &str,
    listen: &[SocketAddr],
    readers: usize,
) -> Result<Vec<S>, InheritError> {
    for address in listen.iter().chain(handed.iter().map(|(address, _)| address)) {
        let count = handed.iter().filter(|(have, _)| have == address).count();
        let wanted = if listen.contains(address) { readers } else { 0 };
        if count != wanted {
            let drop_in = drop_in(key, listen, readers);
            let process = process.to_owned();
            return Err(InheritError::Mismatch {
                process,
                address: *address,
                handed: count,
                wanted,
                drop_in,
            });
        }
    }
    Ok(handed.into_iter().map(|(_, socket)| socket).collect())
}

/// Listens at `address`. A port whose last connections are not quite gone is free.
pub fn bind_tcp(address: SocketAddr) -> Result<TcpListener, InheritError> {
    let bind = || -> io::Result<TcpListener> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(CONNECTIONS_WAITING)?;
        Ok(socket.into())
    };
    bind().map_err(|source| InheritError::Bind { address: address.to_string(), source })
}

/// Binds `readers` sockets to `address`. A plain bind comes first: with SO_REUSEPORT a taken port of the same
/// user would be shared silently.
pub fn bind_udp(
    address: SocketAddr,
    readers: usize,
    buffer_bytes: usize,
) -> Result<Vec<UdpSocket>, InheritError> {
    let bind = |address: SocketAddr, shared: bool| -> io::Result<UdpSocket> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
        }
        if shared {
            socket.set_reuse_port(true)?;
        }
        socket.bind(&address.into())?;
        grow_receive_buffer(&socket, buffer_bytes);
        Ok(socket.into())
    };
    let error = |source| InheritError::Bind { address: address.to_string(), source };
    if readers <= 1 {
        return Ok(vec![bind(address, false).map_err(error)?]);
    }
    let probe = bind(address, false).map_err(error)?;
    let address = probe.local_addr().map_err(error)?;
    drop(probe);
    (0..readers).map(|_| bind(address, true).map_err(error)).collect()
}

/// Sets the receive buffer past `net.core.rmem_max` where the process may, else up to it.
pub fn grow_receive_buffer(socket: &Socket, bytes: usize) {
    if setsockopt(socket, sockopt::RcvBufForce, &bytes).is_err() {
        // Less than asked for is no error: meminfo shows what was granted, and drops are counted.
        let _ = SockRef::from(socket).set_recv_buffer_size(bytes);
    }
}

fn bind_datagram(path: &Path, mode: u32) -> Result<UnixDatagram, InheritError> {
    if let Some(name) = abstract_name(path) {
        return named(path, name.and_then(|name| UnixDatagram::bind_addr(&name)));
    }
    clear(path, UnixDatagram::unbound().and_then(|probe| probe.connect(path)))?;
    finish_bind(path, UnixDatagram::bind(path), mode)
}

fn bind_listener(path: &Path, mode: u32) -> Result<UnixListener, InheritError> {
    if let Some(name) = abstract_name(path) {
        return named(path, name.and_then(|name| UnixListener::bind_addr(&name)));
    }
    clear(path, net::UnixStream::connect(path).map(|_| ()))?;
    finish_bind(path, UnixListener::bind(path), mode)
}

fn finish_bind<S>(path: &Path, bound: io::Result<S>, mode: u32) -> Result<S, InheritError> {
    let error = |source| InheritError::Bind { address: path.display().to_string(), source };
    let socket = bound.map_err(error)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(error)?;
    Ok(socket)
}

/// An abstract name goes with its last socket: one that is taken is taken by somebody.
fn named<S>(path: &Path, bound: io::Result<S>) -> Result<S, InheritError> {
    bound.map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => InheritError::Busy { path: path.to_owned() },
        _ => InheritError::Bind { address: path.display().to_string(), source },
    })
}

/// The address of the name behind an `@`; none for a path.
fn abstract_name(path: &Path) -> Option<io::Result<net::SocketAddr>> {
    let name = path.as_os_str().as_bytes().strip_prefix(b"@")?;
    Some(net::SocketAddr::from_abstract_name(name))
}

/// A path, or an abstract name behind an `@`; none where the socket has no address.
fn path_of(address: &net::SocketAddr) -> Option<PathBuf> {
    let name = |name: &[u8]| PathBuf::from(OsString::from_vec([b"@", name].concat()));
    address.as_pathname().map(Path::to_owned).or_else(|| address.as_abstract_name().map(name))
}

/// Removes a socket that nobody reads; `probe` is an attempt to reach its reader.
fn clear(path: &Path, probe: io::Result<()>) -> Result<(), InheritError> {
    match probe {
        Ok(()) => Err(InheritError::Busy { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|source| InheritError::Bind { address: path.display().to_string(), source }),
        Err(source) => Err(InheritError::Bind { address: path.display().to_string(), source }),
    }
}

/// The same socket file, whatever way the directory is written.
fn same(a: &Path, b: &Path) -> bool {
    a == b || matches!((fs::canonicalize(a), fs::canonicalize(b)), (Ok(a), Ok(b)) if a == b)
}

fn drop_in(key: &str, listen: &[SocketAddr], readers: usize) -> String {
    let mut text = format!("[Socket]\n{key}=\n");
    for address in listen {
        for _ in 0..readers {
            text.push_str(&format!("{key}={address}\n"));
        }
    }
    if readers > 1 {
        text.push_str("ReusePort=yes\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("timeline.databus");
        let live = Inherited::default().databus(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
        assert!(matches!(Inherited::default().databus(&path), Err(InheritError::Busy { .. })));
        drop(live);
        Inherited::default().databus(&path).unwrap();
        let path = dir.path().join("dmproc.proc");
        let live = Inherited::default().listener(&path).unwrap();
        assert!(matches!(Inherited::default().listener(&path), Err(InheritError::Busy { .. })));
        drop(live);
        Inherited::default().listener(&path).unwrap();
    }

    #[test]
    fn a_socket_has_the_mode_it_is_given_and_an_abstract_name_none() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("s");
        let mut inherited = Inherited::default();
        let _datagrams = inherited.datagram(&path, 0o666).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
        let name = PathBuf::from(format!("@{}", dir.path().display()));
        let taken = inherited.datagram(&name, 0o666).unwrap();
        let listener = inherited.stream(&name, 0o666).unwrap();
        let address = net::SocketAddr::from_abstract_name(dir.path().as_os_str().as_bytes()).unwrap();
        UnixDatagram::unbound().unwrap().send_to_addr(b"x", &address).unwrap();
        net::UnixStream::connect_addr(&address).unwrap();
        assert!(matches!(inherited.datagram(&name, 0o666), Err(InheritError::Busy { .. })));
        assert!(matches!(inherited.stream(&name, 0o666), Err(InheritError::Busy { .. })));
        // Handed over, they are known by the same name.
        let handed = path_of(&taken.local_addr().unwrap()).unwrap();
        assert_eq!(handed, name);
        inherited.datagrams.push((handed, taken));
        inherited.listeners.push((path_of(&listener.local_addr().unwrap()).unwrap(), listener));
        inherited.datagram(&name, 0o666).unwrap();
        inherited.stream(&name, 0o666).unwrap();
        inherited.finish().unwrap();
    }

    #[test]
    fn a_taken_port_is_an_error_also_for_several_readers() {
        let address = "127.0.0.1:0".parse().unwrap();
        let readers = bind_udp(address, 3, 1 << 20).unwrap();
        let taken = readers[0].local_addr().unwrap();
        assert!(readers.iter().all(|socket| socket.local_addr().unwrap() == taken));
        for readers in [1, 2] {
            let error = bind_udp(taken, readers, 1 << 20).unwrap_err();
            assert!(
                matches!(error, InheritError::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
            );
        }
    }

    #[test]
    fn a_tcp_port_is_taken_once() {
        let first = bind_tcp("127.0.0.1:0".parse().unwrap()).unwrap();
        let taken = first.local_addr().unwrap();
        let error = bind_tcp(taken).unwrap_err();
        assert!(
            matches!(error, InheritError::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse)
        );
        let handed = || Inherited { tcp: vec![(taken, first.try_clone().unwrap())], ..Inherited::default() };
        assert_eq!(handed().tcp("http", &[taken]).unwrap().len(), 1);
        let other: SocketAddr = "127.0.0.1:1".parse().unwrap();
        let error = handed().tcp("http", &[other]).unwrap_err().to_string();
        assert!(error.contains("[Socket]\nListenStream=\nListenStream=127.0.0.1:1\n"), "{error}");
        assert!(handed().finish().is_err());
    }

    #[test]
    fn handed_sockets_must_be_the_configured_ones() {
        let [a, b] = [0, 0].map(|_| bind_udp("127.0.0.1:0".parse().unwrap(), 1, 4096).unwrap().remove(0));
        let (one, two) = (a.local_addr().unwrap(), b.local_addr().unwrap());
        let mut inherited = Inherited { udp: vec![(one, a), (two, b)], ..Inherited::default() };
        let error = inherited.udp("udp", &[one], 2, 4096).unwrap_err().to_string();
        assert!(
            error.contains(&format!("ListenDatagram={one}\nListenDatagram={one}\nReusePort=yes\n")),
            "{error}"
        );
    }
}
