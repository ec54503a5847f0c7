//! Multicast groups, and the sockets that join them.

use std::fmt;
use std::io;
use std::net::{AddrParseError, IpAddr, SocketAddr, UdpSocket};
use std::str::FromStr;

use nix::net::if_::if_nametoindex;
use serde::{Deserialize, Serialize};
use socket2::{InterfaceIndexOrAddress, SockRef};
use thiserror::Error;

/// A group to join: `239.192.74.66`, or with the interface to join it on `ff18::efc0:4a42%eth0`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Group {
    /// A multicast address.
    pub address: IpAddr,
    /// The interface's name; empty is the one that the routing table says.
    pub interface: String,
}

/// Why a text is no group.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum GroupError {
    /// Not an IP address.
    #[error("{text:?} is no group, write it like \"239.192.74.66\" or \"ff18::efc0:4a42%eth0\"")]
    Address {
        /// The text.
        text: String,
        /// What the address lacks.
        #[source]
        source: AddrParseError,
    },
    /// An IP address of one host.
    #[error("{0} is no multicast address: those are 224.0.0.0/4 and ff00::/8")]
    Unicast(IpAddr),
    /// Nothing behind the `%`.
    #[error("{0:?} names no interface behind the %")]
    Interface(String),
}

/// Why a group is not joined.
#[derive(Debug, Error)]
pub enum JoinError {
    /// A socket does not say its address, or takes no options.
    #[error("preparing a socket for multicast")]
    Socket(#[source] io::Error),
    /// The machine has no such interface.
    #[error("joining {0}: there is no interface of this name")]
    Interface(Group),
    /// No route says which interface is meant.
    #[error("joining {0}: no route leads to it, name the interface: \"{0}%eth0\"")]
    Route(Group),
    /// The system refuses.
    #[error("joining {group}")]
    Io {
        /// The group.
        group: Group,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

impl Group {
    /// Whether a socket that is bound to `address` can hear this group.
    pub fn reaches(&self, address: IpAddr) -> bool {
        address == self.address || address.is_unspecified() && address.is_ipv4() == self.address.is_ipv4()
    }

    /// Which of the sockets with these addresses is to join for a port: the first one bound to the group itself,
    /// else the first one bound to all addresses.
    fn hearer(&self, addresses: &[SocketAddr], port: u16) -> Option<usize> {
        let reaching = addresses
            .iter()
            .enumerate()
            .filter(|(_, address)| address.port() == port && self.reaches(address.ip()));
        reaching.min_by_key(|(_, address)| address.ip() != self.address).map(|(place, _)| place)
    }

    fn join(&self, socket: &UdpSocket) -> Result<(), JoinError> {
        let index = match self.interface.as_str() {
            "" => 0,
            name => if_nametoindex(name).map_err(|_| JoinError::Interface(self.clone()))?,
        };
        let socket = SockRef::from(socket);
        let joined = match self.address {
            IpAddr::V4(group) => socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index)),
            IpAddr::V6(group) => socket.join_multicast_v6(&group, index),
        };
        match joined {
            Ok(()) => Ok(()),
            // A socket that was handed over has it from the process before.
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(()),
            Err(error) if index == 0 && error.raw_os_error() == Some(nix::errno::Errno::ENODEV as i32) => {
                Err(JoinError::Route(self.clone()))
            }
            Err(source) => Err(JoinError::Io { group: self.clone(), source }),
        }
    }
}

/// Joins each group on the sockets that can hear it: one for each port, since each member gets every datagram of
/// a group. Nothing else that is sent to groups is taken, whoever on this host joined them.
pub fn join(sockets: &[UdpSocket], groups: &[Group]) -> Result<(), JoinError> {
    let addresses = sockets.iter().map(UdpSocket::local_addr).collect::<Result<Vec<_>, _>>();
    let addresses = addresses.map_err(JoinError::Socket)?;
    for (socket, address) in sockets.iter().zip(&addresses) {
        only_joined(socket, address).map_err(JoinError::Socket)?;
    }
    for group in groups {
        for (place, socket) in sockets.iter().enumerate() {
            if group.hearer(&addresses, addresses[place].port()) == Some(place) {
                group.join(socket)?;
            }
        }
    }
    Ok(())
}

/// By default a socket bound to all addresses gets the datagrams of every group that any process has joined.
fn only_joined(socket: &UdpSocket, address: &SocketAddr) -> io::Result<()> {
    let socket = SockRef::from(socket);
    match address {
        SocketAddr::V4(_) => socket.set_multicast_all_v4(false),
        SocketAddr::V6(_) => socket.set_multicast_all_v6(false),
    }
}

impl FromStr for Group {
    type Err = GroupError;

    fn from_str(text: &str) -> Result<Group, GroupError> {
        let (address, interface) = match text.split_once('%') {
            Some((_, "")) => return Err(GroupError::Interface(text.to_owned())),
            Some((address, interface)) => (address, interface.to_owned()),
            None => (text, String::new()),
        };
        let address: IpAddr =
            address.parse().map_err(|source| GroupError::Address { text: text.to_owned(), source })?;
        if !address.is_multicast() {
            return Err(GroupError::Unicast(address));
        }
        Ok(Group { address, interface })
    }
}

impl TryFrom<String> for Group {
    type Error = GroupError;

    fn try_from(text: String) -> Result<Group, GroupError> {
        text.parse()
    }
}

impl From<Group> for String {
    fn from(group: Group) -> String {
        group.to_string()
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.interface.as_str() {
            "" => write!(f, "{}", self.address),
            interface => write!(f, "{}%{interface}", self.address),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sockets::inherited::bind_udp;

    #[test]
    fn a_group_is_read_and_shown() {
        for (text, want) in [
            ("239.192.74.66", Ok(())),
            ("ff18::efc0:4a42%eth0", Ok(())),
            ("239.192.74.66%lo", Ok(())),
            ("192.0.2.1", Err("192.0.2.1 is no multicast address: those are 224.0.0.0/4 and ff00::/8")),
            ("239.192.74.66%", Err("\"239.192.74.66%\" names no interface behind the %")),
            (
                "239.192.74.66:25826",
                Err("\"239.192.74.66:25826\" is no group, write it like \"239.192.74.66\" or \
                    \"ff18::efc0:4a42%eth0\""),
            ),
        ] {
            let got = text.parse::<Group>().map(|group| assert_eq!(group.to_string(), text));
            assert_eq!(got.map_err(|error| error.to_string()), want.map_err(str::to_owned), "{text}");
        }
    }

    #[test]
    fn one_socket_of_a_port_joins_and_the_nearest() {
        let group: Group = "239.192.74.66".parse().unwrap();
        for (addresses, want) in [
            (&["0.0.0.0:1", "0.0.0.0:1"][..], Some(0)),
            (&["127.0.0.1:1", "[::]:1", "0.0.0.0:1", "0.0.0.0:1"], Some(2)),
            (&["0.0.0.0:1", "239.192.74.66:1", "239.192.74.66:1"], Some(1)),
            (&["239.192.74.67:1", "0.0.0.0:2"], None),
        ] {
            let parsed: Vec<SocketAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
            assert_eq!(group.hearer(&parsed, 1), want, "{addresses:?}");
        }
    }

    #[test]
    fn a_datagram_of_a_group_comes_once_however_often_it_is_joined() {
        let sockets = bind_udp("0.0.0.0:0".parse().unwrap(), 3, 4096).unwrap();
        let port = sockets[0].local_addr().unwrap().port();
        let other = bind_udp("0.0.0.0:0".parse().unwrap(), 1, 4096).unwrap();
        let [joined, foreign] =
            ["239.192.74.66%lo", "239.192.74.67%lo"].map(|text| text.parse::<Group>().unwrap());
        for _ in 0..2 {
            join(&sockets, std::slice::from_ref(&joined)).unwrap();
            join(&other, std::slice::from_ref(&foreign)).unwrap();
        }

        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        SockRef::from(&sender).set_multicast_if_v4(&std::net::Ipv4Addr::LOCALHOST).unwrap();
        for group in [&foreign, &joined] {
            sender.send_to(group.to_string().as_bytes(), (group.address, port)).unwrap();
        }
        let mut got = Vec::new();
        for socket in &sockets {
            socket.set_nonblocking(true).unwrap();
            let mut room = [0; 64];
            while let Ok(length) = socket.recv(&mut room) {
                got.push(String::from_utf8(room[..length].to_vec()).unwrap());
            }
        }
        assert_eq!(got, [joined.to_string()]);
    }

    #[test]
    fn an_unknown_interface_is_named() {
        let sockets = bind_udp("0.0.0.0:0".parse().unwrap(), 1, 4096).unwrap();
        let error = join(&sockets, &["239.192.74.66%none0".parse().unwrap()]).unwrap_err().to_string();
        assert_eq!(error, "joining 239.192.74.66%none0: there is no interface of this name");
    }
}
