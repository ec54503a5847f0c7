//! A service that cannot start, and what waits for it meanwhile.

use std::net::UdpSocket;

use common::metric::Kind;
use common::time::Time;

use crate::booted::Booted;
use crate::collectd::Packet;
use crate::wait::wait_until;

/// Why a service cannot start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// A key in its configuration that there is not.
    Configuration,
    /// Its program is missing.
    Program,
}

/// What became of datagrams that were sent to an input that could not start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flood {
    /// Datagrams that were sent.
    pub sent: u64,
    /// Those that waited for it.
    pub read: u64,
    /// Those that had no room, by its books.
    pub kernel_drops: u64,
}

impl Booted {
    /// A service cannot start while `meanwhile` runs, and can again behind it; returns when it has.
    ///
    /// # Panics
    /// When it has started, or its socket unit is not active.
    #[track_caller]
    pub fn outage(&self, service: &str, fault: Fault, meanwhile: impl FnOnce()) {
        let (there, away) = match fault {
            Fault::Configuration => {
                let file = format!("/etc/leela/{service}.d/broken.toml");
                (format!("mkdir -p /etc/leela/{service}.d; echo nonsense=1 >{file}"), format!("rm {file}"))
            }
            Fault::Program => {
                let program = format!("/usr/bin/leela-{service}");
                (format!("mv {program} {program}.away"), format!("mv {program}.away {program}"))
            }
        };
        self.ok(&format!("{there}; systemctl restart leela-{service} && exit 1 || true"));
        meanwhile();
        let is_active =
            |unit: &str| self.run(&format!("systemctl is-active leela-{service}.{unit}")).status.success();
        assert!(is_active("socket") && !is_active("service"), "{service}, {fault:?}");
        self.ok(&away);
        // It is tried every half second, without an operator.
        wait_until(&format!("leela-{service} starts"), || is_active("service"));
    }

    /// Sends so many small datagrams to leela-udp, leela-statsd or leela-collectd while it cannot start.
    pub fn flood(&self, input: &str, sent: u64) -> Flood {
        let count = |counter: &str| self.books(input).counter(counter);
        let before = ["datagrams", "kernel_drops"].map(count);
        let (listen, datagram) = match input {
            "statsd" => ("127.0.0.1:8125", b"flood:1|g".to_vec()),
            "collectd" => {
                let one = 1_f64.to_bits();
                (
                    "127.0.0.1:25826",
                    Packet::of(["flood", "f", "gauge", "x"], Kind::Gauge, one, Time::now()).bytes().to_vec(),
                )
            }
            _ => ("127.0.0.1:6968", b"gauge 5|flood 1;".to_vec()),
        };
        self.outage(input, Fault::Configuration, || {
            self.inside(|| {
                let socket = UdpSocket::bind("127.0.0.1:0").expect("a port is free");
                socket.connect(listen).expect("loopback");
                for _ in 0..sent {
                    socket.send(&datagram).expect("a socket unit listens");
                }
            });
        });
        let now = || {
            let [read, kernel_drops] = ["datagrams", "kernel_drops"].map(count);
            Flood { sent, read: read - before[0], kernel_drops: kernel_drops - before[1] }
        };
        wait_until("all of it is accounted for", || now().read + now().kernel_drops >= sent);
        now()
    }
}
