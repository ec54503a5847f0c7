//! The processes that `leela up` runs: the one list.

use std::path::PathBuf;

use common::runtime_dir::RuntimeDir;

/// Where a process stands on the way of a metric; it is drained in this order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Role {
    /// Takes metrics in.
    Input,
    /// Makes events of them.
    Timeline,
    /// Gets the events.
    Consumer,
}

/// A socket that outlives the process it is handed to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted {
    /// A datagram socket in the runtime directory.
    Datagram(fn(&RuntimeDir) -> PathBuf),
    /// A listening stream socket in the runtime directory.
    Listener(fn(&RuntimeDir) -> PathBuf),
    /// UDP sockets, as the keys `listen`, `readers` and `receive_buffer` of its configuration say.
    Udp,
    /// A listening TCP socket for each address of the key `listen`.
    Tcp,
    /// What the keys `tcp`, `tls`, `unix_datagram` and `unix_stream` name.
    Doors,
}

/// A process, and what it is handed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Service {
    /// Without `leela-`: the name of its configuration and its books.
    pub(super) name: &'static str,
    pub(super) role: Role,
    pub(super) wanted: &'static [Wanted],
    /// What it is for, in a few words.
    pub(super) about: &'static str,
    /// It is left out while its configuration names no account: its key `jid` is empty.
    pub(super) needs_account: bool,
}

impl Service {
    /// The program's name.
    pub(super) fn program(&self) -> String {
        format!("leela-{}", self.name)
    }
}

/// All of them, in the order they are shown.
pub(super) const SERVICES: &[Service] = &[
    Service {
        name: "udp",
        role: Role::Input,
        wanted: &[Wanted::Udp],
        about: "Leela's text",
        needs_account: false,
    },
    Service {
        name: "collectd",
        role: Role::Input,
        wanted: &[Wanted::Udp],
        about: "collectd's network plugin",
        needs_account: false,
    },
    Service {
        name: "statsd",
        role: Role::Input,
        wanted: &[Wanted::Udp, Wanted::Doors],
        about: "StatsD's and DogStatsD's clients",
        needs_account: false,
    },
    Service {
        name: "host",
        role: Role::Input,
        wanted: &[],
        about: "this machine, and the books",
        needs_account: false,
    },
    Service {
        name: "timeline",
        role: Role::Timeline,
        wanted: &[
            Wanted::Datagram(RuntimeDir::timeline_databus),
            Wanted::Datagram(RuntimeDir::timeline_multicast),
        ],
        about: "metrics in, events out",
        needs_account: false,
    },
    Service {
        name: "dmproc",
        role: Role::Consumer,
        wanted: &[Wanted::Datagram(RuntimeDir::dmproc_databus), Wanted::Listener(RuntimeDir::dmproc_proc)],
        about: "live queries",
        needs_account: false,
    },
    Service {
        name: "storage",
        role: Role::Consumer,
        wanted: &[Wanted::Datagram(RuntimeDir::storage_databus), Wanted::Listener(RuntimeDir::storage_query)],
        about: "history",
        needs_account: false,
    },
    Service {
        name: "http",
        role: Role::Input,
        wanted: &[Wanted::Tcp],
        about: "the page and the REST API",
        needs_account: false,
    },
    Service {
        name: "xmpp",
        role: Role::Consumer,
        wanted: &[],
        about: "live queries by chat",
        needs_account: true,
    },
];
