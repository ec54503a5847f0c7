//! What the kernel dropped at a socket, asked of the socket itself.
//!
//! Source: sock_diag(7), SO_MEMINFO (Linux 4.11). The measured gain over SO_RXQ_OVFL: that one only rides on a
//! later packet, so the drops of a socket that went silent stay unseen; /proc/net/udp costs a walk over all
//! sockets of the host.

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// Places in the array that SO_MEMINFO fills (linux/sock_diag.h).
const RCVBUF: usize = 1;
const DROPS: usize = 8;
const PLACES: usize = 9;

/// A socket's receive side, as the kernel sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Meminfo {
    /// The granted receive buffer, in bytes (twice what was asked for).
    pub receive_buffer: u32,
    /// Datagrams dropped since the socket was made; wraps at 2^32.
    pub drops: u32,
}

/// Asks the kernel.
pub fn meminfo(socket: &impl AsFd) -> io::Result<Meminfo> {
    let mut values = [0u32; PLACES];
    let mut length = size_of_val(&values) as libc::socklen_t;
    // SAFETY: the kernel writes at most `length` bytes to `values`, which has just that many, and any bits are
    // u32; both pointers live through the call, and the descriptor is open as long as `socket` is borrowed.
    let status = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_MEMINFO,
            values.as_mut_ptr().cast(),
            &mut length,
        )
    };
    if status != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Meminfo { receive_buffer: values[RCVBUF], drops: values[DROPS] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn what_does_not_fit_the_receive_buffer_is_counted() {
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket2::SockRef::from(&receiver).set_recv_buffer_size(4096).unwrap();
        assert_eq!(meminfo(&receiver).unwrap().drops, 0);
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..1000 {
            sender.send_to(&[0; 100], receiver.local_addr().unwrap()).unwrap();
        }
        receiver.set_nonblocking(true).unwrap();
        let got = (0..).take_while(|_| receiver.recv(&mut [0; 100]).is_ok()).count();
        let seen = meminfo(&receiver).unwrap();
        assert_eq!(got + seen.drops as usize, 1000);
        assert!(seen.drops > 0 && seen.receive_buffer >= 8192, "{seen:?}");
    }
}
