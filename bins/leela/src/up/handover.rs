//! The sockets of a process: bound here, handed over at every start, so that their queues outlive it.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::PathBuf;

use anyhow::Context;
use common::runtime_dir::RuntimeDir;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::SockRef;
use sockets::inherited::{InheritError, Inherited, bind_udp, grow_receive_buffer};
use sockets::meminfo::meminfo;

use super::doors::{self, Door, Doors};
use super::holder::{self, Holder};
use super::services::Wanted;
use super::settings::Settings;

/// A configured address, and where its sockets really are.
#[derive(Debug)]
struct Listen {
    configured: SocketAddr,
    actual: SocketAddr,
    sockets: Vec<UdpSocket>,
}

/// A port that was taken.
#[derive(Debug)]
pub(super) struct Taken {
    /// What the configuration wants.
    pub(super) configured: SocketAddr,
    /// Who has it.
    pub(super) holder: Holder,
    /// What was free instead.
    pub(super) instead: SocketAddr,
}

/// What one process is handed.
#[derive(Debug, Default)]
pub(super) struct Handover {
    datagrams: Vec<(PathBuf, UnixDatagram)>,
    listeners: Vec<(PathBuf, UnixListener)>,
    udp: Vec<Listen>,
    tcp: Vec<Door>,
    doors: Doors,
    /// TCP is https.
    is_tls: bool,
    /// The receive buffer that is configured for each UDP socket, in bytes.
    buffer: u64,
    /// Datagrams in sockets that the configuration did not want any more.
    unread: u64,
}

impl Handover {
    /// Binds what is not bound yet, by what the configuration says now; what it does not want any more goes.
    /// Gives the ports that were taken.
    pub(super) fn bind(
        &mut self,
        wanted: &[Wanted],
        settings: &Settings,
        run: &RuntimeDir,
    ) -> anyhow::Result<Vec<Taken>> {
        self.bind_paths(wanted, run)?;
        let mut taken = Vec::new();
        if wanted.iter().any(|wanted| matches!(wanted, Wanted::Udp)) {
            taken.extend(self.bind_udp(settings)?);
        }
        if wanted.iter().any(|wanted| matches!(wanted, Wanted::Tcp)) {
            self.is_tls = !settings.tls_certificate.as_os_str().is_empty();
            taken.extend(doors::keep(&mut self.tcp, &settings.listen)?);
        }
        if wanted.iter().any(|wanted| matches!(wanted, Wanted::Doors)) {
            taken.extend(self.doors.bind(settings, &mut self.unread)?);
        }
        Ok(taken)
    }

    /// The part of [`Handover::bind`] that no configuration changes: sockets in the runtime directory.
    pub(super) fn bind_paths(&mut self, wanted: &[Wanted], run: &RuntimeDir) -> anyhow::Result<()> {
        for wanted in wanted {
            match wanted {
                Wanted::Datagram(path) => {
                    let path = path(run);
                    if self.datagrams.iter().all(|(have, _)| *have != path) {
                        let socket = Inherited::default().databus(&path)?;
                        self.datagrams.push((path, socket));
                    }
                }
                Wanted::Listener(path) => {
                    let path = path(run);
                    if self.listeners.iter().all(|(have, _)| *have != path) {
                        let socket = Inherited::default().listener(&path)?;
                        self.listeners.push((path, socket));
                    }
                }
                Wanted::Udp | Wanted::Tcp | Wanted::Doors => {}
            }
        }
        Ok(())
    }

    fn bind_udp(&mut self, settings: &Settings) -> anyhow::Result<Vec<Taken>> {
        let readers = settings.readers.max(1);
        let kept =
            |listen: &Listen| settings.listen.contains(&listen.configured) && listen.sockets.len() == readers;
        let (kept, gone) = std::mem::take(&mut self.udp).into_iter().partition(kept);
        self.udp = kept;
        self.unread += unread(&gone);
        if self.buffer != settings.receive_buffer.bytes() {
            for socket in self.udp.iter().flat_map(|listen| &listen.sockets) {
                grow_receive_buffer(&SockRef::from(socket), settings.receive_buffer.len());
            }
            self.buffer = settings.receive_buffer.bytes();
        }
        let mut taken = Vec::new();
        for &configured in &settings.listen {
            if self.udp.iter().any(|listen| listen.configured == configured) {
                continue;
            }
            let buffer = settings.receive_buffer.len();
            let sockets = match bind_udp(configured, readers, buffer) {
                Err(InheritError::Bind { source, .. }) if source.kind() == io::ErrorKind::AddrInUse => {
                    // Before the search, so that the time it takes is not without a socket.
                    let sockets = bind_udp(SocketAddr::new(configured.ip(), 0), readers, buffer)?;
                    let instead = local(&sockets)?;
                    taken.push(Taken { configured, holder: holder::of_udp(configured), instead });
                    sockets
                }
                bound => bound?,
            };
            self.udp.push(Listen { configured, actual: local(&sockets)?, sockets });
        }
        // As configured, for the drop-in and for what is shown.
        self.udp.sort_by_key(|listen| settings.listen.iter().position(|wanted| *wanted == listen.configured));
        Ok(taken)
    }

    /// Where is really listened to, by the key of the configuration that says where.
    pub(super) fn listens(&self) -> Vec<(&'static str, Vec<SocketAddr>)> {
        let actual = |doors: &[Door]| -> Vec<SocketAddr> { doors.iter().map(|door| door.actual).collect() };
        let Doors { tcp, tls, .. } = &self.doors;
        let mut listens = vec![("listen", self.addresses())];
        listens.extend(
            [("tcp", actual(tcp)), ("tls", actual(tls))].into_iter().filter(|(_, all)| !all.is_empty()),
        );
        listens
    }

    /// Where UDP, or the TCP of the key `listen`, is really listened to.
    pub(super) fn addresses(&self) -> Vec<SocketAddr> {
        let udp = self.udp.iter().map(|listen| listen.actual);
        udp.chain(self.tcp.iter().map(|door| door.actual)).collect()
    }

    /// Whether any of it is not as configured, so that the process has to be told.
    pub(super) fn elsewhere(&self) -> bool {
        self.udp.iter().any(|listen| listen.actual != listen.configured)
            || self.tcp.iter().chain(self.doors.open()).any(Door::is_elsewhere)
    }

    /// All of it as people know it: addresses, those of pages to be opened, and the names of unix sockets.
    pub(super) fn shown(&self) -> Vec<String> {
        let paths =
            self.datagrams.iter().map(|(path, _)| path).chain(self.listeners.iter().map(|(path, _)| path));
        let names = paths.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned()));
        let scheme = if self.is_tls { "https" } else { "http" };
        let udp = self.udp.iter().map(|listen| listen.actual.to_string());
        let tcp = self.tcp.iter().map(|door| format!("{scheme}://{}/", door.actual));
        udp.chain(tcp).chain(self.doors.shown()).chain(names).collect()
    }

    /// The receive buffer of its UDP sockets where the system granted less than is configured: `(granted,
    /// configured)`, in bytes.
    pub(super) fn cut_buffer(&self) -> Option<(u64, u64)> {
        let sockets = self.udp.iter().flat_map(|listen| &listen.sockets);
        // The kernel books twice what is asked for.
        let granted = |socket: &UdpSocket| Some(u64::from(meminfo(socket).ok()?.receive_buffer) / 2);
        let smallest = sockets.filter_map(granted).min()?;
        (smallest < self.buffer).then_some((smallest, self.buffer))
    }

    /// Descriptors of its own for each, with its name: for LISTEN_FDS and LISTEN_FDNAMES.
    pub(super) fn descriptors(&self) -> anyhow::Result<Vec<(String, OwnedFd)>> {
        let name =
            |path: &PathBuf| path.file_name().map_or_else(String::new, |name| name.to_string_lossy().into());
        let mut descriptors = Vec::new();
        for (path, socket) in &self.datagrams {
            descriptors.push((name(path), socket.try_clone().context("handing over")?.into()));
        }
        for (path, socket) in &self.listeners {
            descriptors.push((name(path), socket.try_clone().context("handing over")?.into()));
        }
        for socket in self.udp.iter().flat_map(|listen| &listen.sockets) {
            descriptors.push(("udp".to_owned(), socket.try_clone().context("handing over")?.into()));
        }
        for Door { socket, .. } in &self.tcp {
            descriptors.push(("tcp".to_owned(), socket.try_clone().context("handing over")?.into()));
        }
        descriptors.extend(self.doors.descriptors().context("handing over")?);
        Ok(descriptors)
    }

    /// Whether a datagram waits in one of the sockets.
    pub(super) fn queued(&self) -> bool {
        let datagrams = self.datagrams.iter().map(|(_, socket)| socket.as_fd());
        let udp = self.udp.iter().flat_map(|listen| &listen.sockets).map(UdpSocket::as_fd);
        let mut fds: Vec<PollFd<'_>> = datagrams
            .chain(udp)
            .chain(self.doors.queues())
            .map(|socket| PollFd::new(socket, PollFlags::POLLIN))
            .collect();
        poll(&mut fds, PollTimeout::ZERO).is_ok_and(|ready| ready > 0)
    }

    /// Closes the sockets of client programs, and counts the datagrams that nobody will read any more.
    pub(super) fn close_network(&mut self) {
        self.tcp.clear();
        self.unread += self.doors.close() + unread(&self.udp);
        self.udp.clear();
    }

    /// The end: closes all, removes the paths, and counts the clients' datagrams that nobody will read any more.
    pub(super) fn close(mut self) -> u64 {
        self.close_network();
        for path in
            self.datagrams.iter().map(|(path, _)| path).chain(self.listeners.iter().map(|(path, _)| path))
        {
            // A path that stays is replaced by the next `leela up`.
            let _ = std::fs::remove_file(path);
        }
        self.unread
    }
}

fn local(sockets: &[UdpSocket]) -> anyhow::Result<SocketAddr> {
    sockets.first().context("binding no socket")?.local_addr().context("asking a socket for its address")
}

fn unread(listens: &[Listen]) -> u64 {
    let queued = |socket: &UdpSocket| read_away(|| socket.set_nonblocking(true), || socket.recv(&mut [0]));
    listens.iter().flat_map(|listen| &listen.sockets).map(queued).sum()
}

/// Takes what is queued, and counts it, but not what comes for ever: at most what the largest buffer can hold.
pub(super) fn read_away(
    without_waiting: impl Fn() -> io::Result<()>,
    read: impl Fn() -> io::Result<usize>,
) -> u64 {
    const QUEUE_MAX: u64 = 1 << 20;
    let mut count = 0;
    if without_waiting().is_ok() {
        while count < QUEUE_MAX && read().is_ok() {
            count += 1;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::size::Size;
    use std::net::TcpListener;

    fn settings(listen: &[SocketAddr], readers: usize) -> Settings {
        Settings {
            listen: listen.to_vec(),
            readers,
            receive_buffer: Size::from_mib(1),
            ..Settings::default()
        }
    }

    fn run() -> (tempfile::TempDir, RuntimeDir) {
        let dir = tempfile::tempdir().unwrap();
        let run = RuntimeDir::at(dir.path()).unwrap();
        (dir, run)
    }

    #[test]
    fn a_port_that_is_taken_is_replaced_by_a_free_one_and_its_holder_named() {
        let (_dir, run) = run();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        let configured = other.local_addr().unwrap();
        for readers in [1, 2] {
            let mut handover = Handover::default();
            let wanted = settings(&[configured], readers);
            let taken = handover.bind(&[Wanted::Udp], &wanted, &run).unwrap();
            assert_eq!(taken.len(), 1);
            assert_eq!(taken[0].configured, configured);
            assert!(matches!(taken[0].holder, Holder::Process(pid, _) if pid == std::process::id()));
            assert_eq!(handover.addresses(), [taken[0].instead]);
            assert!(handover.elsewhere());
            assert_eq!(handover.descriptors().unwrap().len(), readers);
            // At the next start nothing is taken: the sockets are there.
            assert!(handover.bind(&[Wanted::Udp], &wanted, &run).unwrap().is_empty());
            assert_eq!(handover.addresses(), [taken[0].instead]);
        }
    }

    #[test]
    fn a_tcp_port_that_is_taken_is_replaced_and_shown_as_a_page() {
        let (_dir, run) = run();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let configured = other.local_addr().unwrap();
        let mut handover = Handover::default();
        let wanted = settings(&[configured], 1);
        let taken = handover.bind(&[Wanted::Tcp], &wanted, &run).unwrap();
        assert!(matches!(taken[0].holder, Holder::Process(pid, _) if pid == std::process::id()));
        assert_eq!((handover.addresses(), handover.elsewhere()), (vec![taken[0].instead], true));
        assert_eq!(handover.shown(), [format!("http://{}/", taken[0].instead)]);
        assert_eq!(handover.descriptors().unwrap().len(), 1);
        assert!(handover.bind(&[Wanted::Tcp], &wanted, &run).unwrap().is_empty());
        assert_eq!(handover.addresses(), [taken[0].instead]);
        handover.close_network();
        assert!(std::net::TcpStream::connect(taken[0].instead).is_err());
    }

    #[test]
    fn sockets_follow_the_configuration_and_what_it_still_wants_is_kept() {
        let (_dir, run) = run();
        let mut handover = Handover::default();
        let free = || bind_udp("127.0.0.1:0".parse().unwrap(), 1, 4096).unwrap()[0].local_addr().unwrap();
        let (one, two) = (free(), free());
        handover.bind(&[Wanted::Udp], &settings(&[one], 1), &run).unwrap();
        assert!(!handover.elsewhere());
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.send_to(b"waits", one).unwrap();
        handover.bind(&[Wanted::Udp], &settings(&[two, one], 1), &run).unwrap();
        assert_eq!(handover.addresses(), [two, one]);
        client.send_to(b"waits too", two).unwrap();
        let larger = Settings { receive_buffer: Size::from_kib(64), ..settings(&[one], 1) };
        handover.bind(&[Wanted::Udp], &larger, &run).unwrap();
        assert_eq!((handover.addresses(), handover.unread), (vec![one], 1));
        client.send_to(b"waits too", one).unwrap();
        assert_eq!(handover.close(), 3);
    }

    #[test]
    fn unix_sockets_outlive_their_reader_and_go_at_the_end() {
        let (_dir, run) = run();
        let wanted =
            [Wanted::Datagram(RuntimeDir::dmproc_databus), Wanted::Listener(RuntimeDir::dmproc_proc)];
        let mut handover = Handover::default();
        for label in ["first", "again"] {
            assert!(handover.bind(&wanted, &Settings::default(), &run).unwrap().is_empty(), "{label}");
        }
        assert_eq!(handover.shown(), ["dmproc.databus", "dmproc.proc"]);
        assert!(!handover.queued());
        UnixDatagram::unbound().unwrap().send_to(b"x", run.dmproc_databus()).unwrap();
        assert!(handover.queued());
        assert_eq!(handover.close(), 0);
        assert!(!run.dmproc_databus().exists() && !run.dmproc_proc().exists());
    }
}
