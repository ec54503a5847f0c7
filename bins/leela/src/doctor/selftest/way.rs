//! The ways in: each input that runs, spoken to in its own protocol.

use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{self, UnixDatagram};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use common::books::State;
use common::metric::{Kind, Metric};
use common::time::Time;
use common::value::Value;
use common::wire::{Batch, Content};

use super::super::member::Member;
use crate::instance::Instance;

/// The type and plugin of a value by collectd's protocol: `gauge` is one of every types.db.
const COLLECTD: (&str, &str) = ("selftest", "gauge");
/// The most of an answer that is shown.
const ANSWER_SHOWN: usize = 200;

/// A way in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Way {
    process: String,
    door: Door,
}

/// How it is spoken to.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Door {
    Text(SocketAddr),
    Statsd(SocketAddr),
    StatsdTcp(SocketAddr),
    StatsdUnix(String),
    Collectd(SocketAddr),
    Http { address: SocketAddr, token_file: Option<String> },
    Databus,
}

/// Those of the inputs that run.
pub(super) fn all(members: &[Member]) -> Vec<Way> {
    let mut ways = Vec::new();
    for member in members.iter().filter(|member| member.books.state == State::Running) {
        let settings = member.settings();
        // One that listens at all addresses is spoken to at this host's own.
        let address = |key: &str| {
            let addresses = settings.list(key);
            let addresses = addresses.iter().filter_map(|text| text.parse().ok());
            // Which port it took in the place of 0 is not known.
            addresses.map(own).find(|address| address.port() != 0)
        };
        let listen = address("listen");
        let doors: Vec<Door> = match member.name() {
            "udp" => listen.map(Door::Text).into_iter().collect(),
            "statsd" => [listen.map(Door::Statsd), address("tcp").map(Door::StatsdTcp)]
                .into_iter()
                .chain([settings
                    .list("unix_datagram")
                    .first()
                    .map(|path| Door::StatsdUnix((*path).to_owned()))])
                .flatten()
                .collect(),
            "collectd" => listen.map(Door::Collectd).into_iter().collect(),
            "http" => {
                let token_file = settings.text("token_file").map(str::to_owned);
                // What serves https is beyond this command.
                let is_plain = settings.text("tls_certificate").is_none();
                let http = listen.filter(|_| is_plain).map(|address| Door::Http { address, token_file });
                http.into_iter().collect()
            }
            "timeline" => vec![Door::Databus],
            _ => Vec::new(),
        };
        ways.extend(doors.into_iter().map(|door| Way { process: member.name().to_owned(), door }));
    }
    ways
}

fn own(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

impl Way {
    /// Without `leela-`.
    pub(super) fn process(&self) -> &str {
        &self.process
    }

    /// As it is shown.
    pub(super) fn title(&self) -> &'static str {
        match self.door {
            Door::Text(_) => "udp",
            Door::Statsd(_) => "statsd",
            Door::StatsdTcp(_) => "statsd tcp",
            Door::StatsdUnix(_) => "statsd unix",
            Door::Collectd(_) => "collectd",
            Door::Http { .. } => "http",
            Door::Databus => "databus",
        }
    }

    /// Where it is spoken to.
    pub(super) fn place(&self) -> String {
        match &self.door {
            Door::Text(address)
            | Door::Statsd(address)
            | Door::StatsdTcp(address)
            | Door::Collectd(address)
            | Door::Http { address, .. } => address.to_string(),
            Door::StatsdUnix(path) => path.clone(),
            Door::Databus => "timeline.databus".to_owned(),
        }
    }

    /// What the key of its metric ends with.
    pub(super) fn ending(&self) -> &'static str {
        match self.door {
            Door::Text(_) => ".udp",
            Door::Statsd(_) => ".statsd",
            Door::StatsdTcp(_) => ".statsd_tcp",
            Door::StatsdUnix(_) => ".statsd_unix",
            // Its keys are host.plugin.type.
            Door::Collectd(_) => ".selftest.gauge",
            Door::Http { .. } => ".http",
            Door::Databus => ".databus",
        }
    }

    /// Sends one gauge, whose key begins with `name`.
    pub(super) fn send(
        &self,
        instance: &Instance,
        name: &str,
        value: f64,
        until: Instant,
    ) -> anyhow::Result<()> {
        let key = format!("{name}{}", self.ending());
        let statsd = || format!("{key}:{value}|g\n").into_bytes();
        match &self.door {
            Door::Text(address) => {
                datagram(*address, format!("gauge {}|{key} {value};", key.len()).as_bytes())
            }
            Door::Statsd(address) => datagram(*address, &statsd()),
            Door::StatsdTcp(address) => Ok(connect(*address, until)?.write_all(&statsd())?),
            Door::StatsdUnix(path) => {
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                let address = match path.strip_prefix('@') {
                    Some(name) => net::SocketAddr::from_abstract_name(name)?,
                    None => net::SocketAddr::from_pathname(path)?,
                };
                socket.send_to_addr(&statsd(), &address).with_context(|| path.clone())?;
                Ok(())
            }
            Door::Collectd(address) => datagram(*address, &packet(name, value, Time::now())),
            Door::Http { address, token_file } => post(*address, token_file.as_deref(), &key, value, until),
            Door::Databus => {
                let path = instance.runtime_dir.timeline_databus();
                let socket = UnixDatagram::unbound()?;
                socket.set_nonblocking(true)?;
                let mut batch = Batch::new(Content::Metrics);
                let metric = Metric::new(key.as_bytes(), Time::now(), Kind::Gauge, Value::F64(value));
                if batch.metric(&metric).is_err() {
                    bail!("the metric does not fit a datagram");
                }
                // Unnumbered, as those of `leela send` are.
                let sent = socket.send_to(batch.seal(0, 0), &path);
                sent.map_err(|error| instance.unreached(&path, "timeline", &error))?;
                Ok(())
            }
        }
    }
}

fn datagram(address: SocketAddr, bytes: &[u8]) -> anyhow::Result<()> {
    let any: SocketAddr = match address {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.send_to(bytes, address).with_context(|| format!("sending to {address}"))?;
    Ok(())
}

fn connect(address: SocketAddr, until: Instant) -> anyhow::Result<TcpStream> {
    let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
    let stream =
        TcpStream::connect_timeout(&address, left).with_context(|| format!("connecting to {address}"))?;
    stream.set_read_timeout(Some(left))?;
    stream.set_write_timeout(Some(left))?;
    Ok(stream)
}

/// A packet of collectd's: host, time, interval, plugin, type, one gauge.
///
/// Source: collectd's binary protocol: parts of a type, a length and a body, big-endian; a gauge is a double of x86.
fn packet(host: &str, value: f64, now: Time) -> Vec<u8> {
    const HOST: u16 = 0x0000;
    const PLUGIN: u16 = 0x0002;
    const TYPE: u16 = 0x0004;
    const VALUES: u16 = 0x0006;
    const TIME_HR: u16 = 0x0008;
    const INTERVAL_HR: u16 = 0x0009;
    const GAUGE: u8 = 1;
    let mut packet = Vec::new();
    let mut part = |code: u16, body: &[u8]| {
        packet.extend_from_slice(&code.to_be_bytes());
        packet.extend_from_slice(&((body.len() + 4) as u16).to_be_bytes());
        packet.extend_from_slice(body);
    };
    let text = |text: &str| [text.as_bytes(), b"\0"].concat();
    // In 2^-30 s.
    let time = (u128::try_from(now.ns()).unwrap_or(0) << 30) / 1_000_000_000;
    part(HOST, &text(host));
    part(TIME_HR, &(time as u64).to_be_bytes());
    part(INTERVAL_HR, &(10u64 << 30).to_be_bytes());
    part(PLUGIN, &text(COLLECTD.0));
    part(TYPE, &text(COLLECTD.1));
    let mut values = vec![0, 1, GAUGE];
    values.extend_from_slice(&value.to_le_bytes());
    part(VALUES, &values);
    packet
}

fn post(
    address: SocketAddr,
    token_file: Option<&str>,
    key: &str,
    value: f64,
    until: Instant,
) -> anyhow::Result<()> {
    let mut headers = String::new();
    if let Some(path) = token_file {
        let token = fs::read_to_string(path)
            .with_context(|| format!("reading the token of leela-http in {path}: run as a user who may"))?;
        headers = format!("Authorization: Bearer {}\r\n", token.trim());
    }
    let body = format!("{{\"key\":\"{key}\",\"value\":{value}}}");
    let request = format!(
        "POST /v2/write HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nConnection: close\r\n\
         Content-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    );
    let mut stream = connect(address, until)?;
    stream.write_all(request.as_bytes()).context("asking leela-http")?;
    let mut answer = Vec::new();
    stream.take(64 * 1024).read_to_end(&mut answer).context("waiting for the answer of leela-http")?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split(' ').nth(1).and_then(|status| status.parse::<u16>().ok());
    if status.is_some_and(|status| (200..300).contains(&status)) {
        return Ok(());
    }
    let first = answer.lines().next().unwrap_or("nothing").trim();
    let detail: String =
        answer.split("\r\n\r\n").nth(1).unwrap_or_default().chars().take(ANSWER_SHOWN).collect();
    bail!("leela-http answers {first}: {}", detail.trim().replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_listens_everywhere_is_spoken_to_at_home() {
        for (address, want) in
            [("0.0.0.0:1", "127.0.0.1:1"), ("[::]:1", "[::1]:1"), ("10.0.0.1:1", "10.0.0.1:1")]
        {
            assert_eq!(own(address.parse().unwrap()), want.parse().unwrap());
        }
    }
}
