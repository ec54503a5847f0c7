//! The sockets of this host, as the kernel lists them, and who has them open.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The way a socket takes what comes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Protocol {
    Udp,
    Tcp,
}

impl Protocol {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Protocol::Udp => "UDP",
            Protocol::Tcp => "TCP",
        }
    }
}

/// A socket that is bound, by UDP, or listens, by TCP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Bound {
    pub(super) protocol: Protocol,
    pub(super) address: SocketAddr,
    pub(super) uid: u32,
    pub(super) inode: u64,
}

/// A process that has a socket open.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Holder {
    pub(super) pid: u64,
    pub(super) name: String,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    bound: Vec<Bound>,
    holders: HashMap<u64, Vec<Holder>>,
}

impl Sockets {
    /// Reads them. The descriptors of other users' processes are seen by root alone.
    pub(super) fn read() -> Sockets {
        let mut bound = Vec::new();
        for (file, protocol) in
            [("udp", Protocol::Udp), ("udp6", Protocol::Udp), ("tcp", Protocol::Tcp), ("tcp6", Protocol::Tcp)]
        {
            let text = fs::read_to_string(format!("/proc/net/{file}")).unwrap_or_default();
            bound.extend(text.lines().skip(1).filter_map(|line| parse(line, protocol)));
        }
        Sockets { bound, holders: holders().unwrap_or_default() }
    }

    /// Those that take what comes to `address`.
    pub(super) fn at(&self, protocol: Protocol, address: SocketAddr) -> impl Iterator<Item = &Bound> {
        let takes = move |bound: &&Bound| bound.protocol == protocol && meets(bound.address, address);
        self.bound.iter().filter(takes)
    }

    /// Those that a process has open.
    pub(super) fn of(&self, pid: u64) -> impl Iterator<Item = &Bound> {
        self.bound.iter().filter(move |bound| self.holders(bound).iter().any(|holder| holder.pid == pid))
    }

    /// Who has a socket open, as far as this user may see.
    pub(super) fn holders(&self, bound: &Bound) -> &[Holder] {
        self.holders.get(&bound.inode).map_or(&[], Vec::as_slice)
    }
}

/// Whether a socket at `bound` is in the way of one at `address`.
fn meets(bound: SocketAddr, address: SocketAddr) -> bool {
    let plain = |ip: IpAddr| ip.to_canonical();
    let same = plain(bound.ip()) == plain(address.ip());
    let any = |one: IpAddr, other: IpAddr| {
        one.is_unspecified() && (one.is_ipv6() || plain(one).is_ipv4() == plain(other).is_ipv4())
    };
    bound.port() == address.port() && (same || any(bound.ip(), address.ip()) || any(address.ip(), bound.ip()))
}

/// Source: proc_net_udp.rst and proc_net_tcp.rst of the kernel: `sl local_address rem_address st ... uid timeout inode`.
fn parse(line: &str, protocol: Protocol) -> Option<Bound> {
    const LISTENS: &str = "0A";
    let words: Vec<&str> = line.split_whitespace().collect();
    if protocol == Protocol::Tcp && *words.get(3)? != LISTENS {
        return None;
    }
    let address = parse_address(words.get(1)?)?;
    Some(Bound { protocol, address, uid: words.get(7)?.parse().ok()?, inode: words.get(9)?.parse().ok()? })
}

/// `0100007F:1B38`: the words of the address are numbers of this host.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| u32::from_str_radix(ip.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (at, room) in bytes.chunks_exact_mut(4).enumerate() {
                room.copy_from_slice(&word(at * 8)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

fn holders() -> io::Result<HashMap<u64, Vec<Holder>>> {
    let mut holders: HashMap<u64, Vec<Holder>> = HashMap::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u64>().ok()) else {
            continue;
        };
        // Of another user, or gone since.
        let Ok(descriptors) = fs::read_dir(entry.path().join("fd")) else { continue };
        let name = fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        for descriptor in descriptors.flatten() {
            let Ok(target) = fs::read_link(descriptor.path()) else { continue };
            let inode = target.to_str().and_then(|text| text.strip_prefix("socket:[")?.strip_suffix(']'));
            let Some(inode) = inode.and_then(|inode| inode.parse().ok()) else { continue };
            let of = holders.entry(inode).or_default();
            if of.iter().all(|holder| holder.pid != pid) {
                of.push(Holder { pid, name: name.trim_end().to_owned() });
            }
        }
    }
    Ok(holders)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, UdpSocket};

    #[test]
    fn own_sockets_are_found_with_their_holder() {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let tcp = TcpListener::bind("[::1]:0").unwrap();
        let sockets = Sockets::read();
        for (protocol, address) in
            [(Protocol::Udp, udp.local_addr().unwrap()), (Protocol::Tcp, tcp.local_addr().unwrap())]
        {
            let found: Vec<&Bound> = sockets.at(protocol, address).collect();
            assert_eq!(found.len(), 1, "{address}");
            assert_eq!(found[0].address, address);
            let holders = sockets.holders(found[0]);
            assert!(holders.iter().any(|holder| holder.pid == u64::from(std::process::id())), "{holders:?}");
        }
        let own: Vec<SocketAddr> = sockets.of(std::process::id().into()).map(|bound| bound.address).collect();
        assert!(own.contains(&udp.local_addr().unwrap()), "{own:?}");
    }

    #[test]
    fn a_socket_is_in_the_way_where_it_takes_what_comes() {
        for (bound, address, want) in [
            ("127.0.0.1:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "127.0.0.1:2", false),
            ("0.0.0.0:1", "127.0.0.1:1", true),
            ("127.0.0.1:1", "0.0.0.0:1", true),
            ("127.0.0.2:1", "127.0.0.1:1", false),
            ("[::]:1", "127.0.0.1:1", true),
            ("0.0.0.0:1", "[::1]:1", false),
            ("[::ffff:127.0.0.1]:1", "127.0.0.1:1", true),
        ] {
            let [one, other] = [bound, address].map(|text| text.parse().unwrap());
            assert_eq!(meets(one, other), want, "{bound} {address}");
        }
    }
}
