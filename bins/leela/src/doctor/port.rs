//! Who holds the addresses that processes are configured to listen at.

use std::net::SocketAddr;

use super::finding::{Check, Finding, Severity};
use super::host::{Bound, Holder, Protocol, Sockets};
use super::member::{Member, Settings};

/// systemd, which holds sockets for its units.
const MANAGER: u64 = 1;
/// A `leela up` holds sockets as well.
const SUPERVISOR: &str = "leela";

pub(super) fn findings(members: &[Member]) -> Vec<Finding> {
    let sockets = Sockets::read();
    members
        .iter()
        .flat_map(|member| listed(member.settings()).into_iter().map(move |listen| (member, listen)))
        .map(|(member, (protocol, address, key))| finding(&sockets, member, protocol, address, key))
        .collect()
}

/// Where a process is to listen in the network, and the key that says so.
pub(super) fn listed(settings: &Settings) -> Vec<(Protocol, SocketAddr, &'static str)> {
    // A process that receives datagrams says how many wait.
    let protocol = if settings.size("receive_buffer").is_some() { Protocol::Udp } else { Protocol::Tcp };
    let keys = [("listen", protocol), ("tcp", Protocol::Tcp), ("tls", Protocol::Tcp)];
    let all = keys.into_iter().flat_map(|(key, protocol)| {
        settings.list(key).into_iter().filter_map(move |text| Some((protocol, text.parse().ok()?, key)))
    });
    all.filter(|(_, address, _): &(Protocol, SocketAddr, _)| address.port() != 0).collect()
}

/// What a process has open in the network, for those that do not listen where they should.
fn elsewhere(sockets: &Sockets, member: &Member) -> String {
    let own: Vec<String> = sockets.of(member.books.pid).map(|bound| format!("{}", bound.address)).collect();
    if own.is_empty() { String::new() } else { format!("; it listens at {}", own.join(", ")) }
}

fn finding(
    sockets: &Sockets,
    member: &Member,
    protocol: Protocol,
    address: SocketAddr,
    key: &str,
) -> Finding {
    let (name, place) = (member.name(), format!("{address} ({})", protocol.word()));
    let at: Vec<&Bound> = sockets.at(protocol, address).collect();
    let is_own = |holder: &Holder| member.runs() && holder.pid == member.books.pid;
    let is_kept = |holder: &Holder| holder.pid == MANAGER || holder.name == SUPERVISOR;
    let (own, others): (Vec<&Bound>, Vec<&Bound>) = at.iter().copied().partition(|bound| {
        let holders = sockets.holders(bound);
        holders.iter().any(is_own) || (!member.runs() && holders.iter().any(is_kept))
    });
    let who = |bounds: &[&Bound]| {
        let names: Vec<String> =
            bounds.iter().map(|bound| named(sockets.holders(bound), bound.uid)).collect();
        names.join("; ")
    };
    let free = format!("end it, or choose another address: `{key}` in {name}.toml");
    let error =
        |text: String, way_out: String| Finding::new(Severity::Error, Check::Port, name, text, way_out);
    match (own.is_empty(), others.is_empty()) {
        (false, true) => {
            let holder = if member.runs() { member.title() } else { who(&own) };
            Finding::ok(Check::Port, name, format!("{place} is held by {holder}"))
        }
        // With SO_REUSEPORT the kernel deals datagrams out among all of them.
        (false, false) => {
            error(format!("{place} is shared: what comes goes to {} as well", who(&others)), free)
        }
        (true, false) if hidden(sockets, &others) => Finding::new(
            Severity::Note,
            Check::Port,
            name,
            format!("{place} is held by {}, whose descriptors are hidden from this user", who(&others)),
            "`sudo leela doctor` sees who it is",
        ),
        (true, false) if member.runs() => error(
            format!(
                "{place} is held by {}, not by {}{}",
                who(&others),
                member.title(),
                elsewhere(sockets, member)
            ),
            format!("{free}; then restart leela-{name}"),
        ),
        (true, false) => {
            error(format!("{place} is held by {}: leela-{name} cannot start there", who(&others)), free)
        }
        (true, true) if member.runs() => error(
            format!(
                "nobody listens at {place}, though {} runs{}",
                member.title(),
                elsewhere(sockets, member)
            ),
            format!("its configuration has changed since it started: restart leela-{name}, and its .socket"),
        ),
        (true, true) => Finding::new(
            Severity::Warning,
            Check::Port,
            name,
            format!("nobody listens at {place}: what comes there is lost"),
            format!("start leela-{name}.socket, or `leela up`"),
        ),
    }
}

fn hidden(sockets: &Sockets, bounds: &[&Bound]) -> bool {
    bounds.iter().all(|bound| sockets.holders(bound).is_empty())
}

/// `leela-udp (pid 7), systemd (pid 1)`; the user where that is all there is to see.
fn named(holders: &[Holder], uid: u32) -> String {
    if holders.is_empty() {
        return format!("somebody of user {uid}");
    }
    let names: Vec<String> =
        holders.iter().map(|holder| format!("{} (pid {})", holder.name, holder.pid)).collect();
    names.join(", ")
}
