//! Who holds a port that is taken.
//!
//! Source: proc_pid_net(5): /proc/net/udp, and tcp as well, has each socket's local address, its user and its inode; the process
//! that has `socket:[inode]` open under /proc/PID/fd holds it.

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use nix::unistd::{Uid, User};

/// Who holds a port, as far as this user may see.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Holder {
    /// A process: its id and the name of its command.
    Process(u32, String),
    /// A process of another user, into which this user may not look: the user's name or number.
    OtherUser(String),
    /// Nobody that /proc shows.
    Unknown,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Holder::Process(pid, name) => write!(f, "{name} (pid {pid})"),
            Holder::OtherUser(user) => write!(f, "a process of another user ({user})"),
            Holder::Unknown => write!(f, "a process that /proc does not show"),
        }
    }
}

/// A row of /proc/net/udp or tcp.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Row {
    address: SocketAddr,
    uid: u32,
    inode: u64,
}

/// Who keeps `address` from being bound by UDP.
pub(super) fn of_udp(address: SocketAddr) -> Holder {
    of(["/proc/net/udp", "/proc/net/udp6"], address)
}

/// Who keeps `address` from being listened at by TCP.
pub(super) fn of_tcp(address: SocketAddr) -> Holder {
    of(["/proc/net/tcp", "/proc/net/tcp6"], address)
}

fn of(files: [&str; 2], address: SocketAddr) -> Holder {
    let rows = files
        .into_iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|text| text.lines().filter_map(row).collect::<Vec<_>>());
    let rows: Vec<Row> = rows.filter(|row| conflict(row.address, address)).collect();
    rows.iter()
        .find_map(|row| process_with(row.inode))
        .or_else(|| rows.iter().map(|row| other_user(row.uid)).next())
        .unwrap_or(Holder::Unknown)
}

/// Whether a socket bound to `held` keeps `wanted` from being bound.
fn conflict(held: SocketAddr, wanted: SocketAddr) -> bool {
    let (ip, other) = (held.ip().to_canonical(), wanted.ip().to_canonical());
    // [::] may hold IPv4's port too; whether it does is not shown.
    let everything = |ip: IpAddr, other: IpAddr| ip.is_unspecified() && (ip.is_ipv6() || other.is_ipv4());
    held.port() == wanted.port() && (ip == other || everything(ip, other) || everything(other, ip))
}

fn row(line: &str) -> Option<Row> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let (ip, port) = fields.get(1)?.split_once(':')?;
    Some(Row {
        address: SocketAddr::new(ip_of(ip)?, u16::from_str_radix(port, 16).ok()?),
        uid: fields.get(7)?.parse().ok()?,
        inode: fields.get(9)?.parse().ok()?,
    })
}

/// An address as the kernel prints it: words of 32 bits in its own byte order, in hexadecimal digits.
fn ip_of(text: &str) -> Option<IpAddr> {
    let word = |place: usize| {
        let digits = text.get(place * 8..place * 8 + 8)?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    match text.len() {
        8 => Some(Ipv4Addr::from(word(0)?).into()),
        32 => {
            let mut bytes = [0; 16];
            for (place, room) in bytes.chunks_exact_mut(4).enumerate() {
                room.copy_from_slice(&word(place)?);
            }
            Some(Ipv6Addr::from(bytes).into())
        }
        _ => None,
    }
}

fn process_with(inode: u64) -> Option<Holder> {
    let wanted = format!("socket:[{inode}]");
    fs::read_dir("/proc").ok()?.flatten().find_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        // A process of another user, or one that ended meanwhile.
        let mut files = fs::read_dir(entry.path().join("fd")).ok()?.flatten();
        files.find(|file| {
            fs::read_link(file.path()).is_ok_and(|link| link.as_os_str() == OsStr::new(&wanted))
        })?;
        Some(Holder::Process(pid, command(&entry.path())))
    })
}

fn command(process: &Path) -> String {
    fs::read_to_string(process.join("comm")).map_or_else(|_| "?".into(), |name| name.trim_end().to_owned())
}

fn other_user(uid: u32) -> Holder {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    Holder::OtherUser(user.map_or_else(|| format!("uid {uid}"), |user| user.name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn the_holder_of_a_port_is_named() {
        for bind in ["127.0.0.1:0", "0.0.0.0:0"] {
            let socket = UdpSocket::bind(bind).unwrap();
            let port = socket.local_addr().unwrap().port();
            let Holder::Process(pid, name) = of_udp(SocketAddr::from(([127, 0, 0, 1], port))) else {
                panic!("{bind}: nobody holds it");
            };
            let own = fs::read_to_string("/proc/self/comm").unwrap();
            assert_eq!((pid, name.as_str()), (std::process::id(), own.trim_end()), "{bind}");
            drop(socket);
        }
    }

    #[test]
    fn rows_of_the_kernel_are_read() {
        // The kernel prints words in the host's byte order; these are of a little-endian one.
        if cfg!(target_endian = "big") {
            return;
        }
        for (line, want) in [
            (
                "  123: 0100007F:1B38 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 4242 2 0 0",
                Some(("127.0.0.1:6968", 1000, 4242)),
            ),
            (
                "  9: 00000000000000000000000001000000:64E2 00000000000000000000000000000000:0000 07 00000000:00000000 \
                 00:00000000 00000000     0        0 77 2 0000000000000000 0",
                Some(("[::1]:25826", 0, 77)),
            ),
            (
                "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode",
                None,
            ),
        ] {
            let want =
                want.map(|(address, uid, inode)| Row { address: address.parse().unwrap(), uid, inode });
            assert_eq!(row(line), want, "{line}");
        }
    }

    #[test]
    fn an_address_conflicts_with_itself_and_with_everything() {
        for (held, wanted, want) in [
            ("127.0.0.1:5", "127.0.0.1:5", true),
            ("127.0.0.1:5", "127.0.0.1:6", false),
            ("0.0.0.0:5", "127.0.0.1:5", true),
            ("127.0.0.1:5", "0.0.0.0:5", true),
            ("127.0.0.1:5", "127.0.0.2:5", false),
            ("[::]:5", "127.0.0.1:5", true),
            ("0.0.0.0:5", "[::1]:5", false),
            ("[::ffff:127.0.0.1]:5", "127.0.0.1:5", true),
        ] {
            assert_eq!(conflict(held.parse().unwrap(), wanted.parse().unwrap()), want, "{held} {wanted}");
        }
    }
}
