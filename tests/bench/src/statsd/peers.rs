//! statsd_peers: the datagrams of `statsd_packed` into other servers that take StatsD, on one core each.
//! `tests/bench/peers/install.sh` fetches them; one that is not there is skipped, and said to be.

mod server;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use super::lines::Lines;
use crate::Scale;
use crate::disk::Disk;
use crate::figure::{Figure, Unit};
use crate::peers::place;
use crate::udp_load::Load;
use server::Server;

/// After so long it is given no more lines.
const SEND_MAX: Duration = Duration::from_secs(5);
/// All of them give out what they have so often; it is theirs to do as well.
const FLUSH: Duration = Duration::from_secs(10);
/// Datagrams at a time: what a receive buffer of the kernel's default holds.
const BURST: usize = 40;

/// A server that is not Leela's.
struct Peer {
    name: &'static str,
    /// The file that has to be there, in the directory of the peers; its version is in one beside the
    /// first part of it.
    program: &'static str,
    /// Its command: where the peers are, where it may write, its port.
    command: fn(&Path, &Path, u16) -> anyhow::Result<Command>,
}

const PEERS: [Peer; 7] = [
    Peer { name: "statsd (node)", program: "statsd/node_modules/statsd/stats.js", command: node },
    Peer { name: "statsd_exporter", program: "statsd_exporter", command: exporter },
    Peer { name: "gostatsd", program: "gostatsd", command: gostatsd },
    Peer { name: "veneur", program: "veneur", command: veneur },
    Peer { name: "telegraf", program: "telegraf", command: telegraf },
    Peer { name: "collectd", program: "collectd/usr/sbin/collectd", command: collectd },
    Peer { name: "netdata", program: "netdata/usr/sbin/netdata", command: netdata },
];

pub(crate) fn run(scale: Scale) -> anyhow::Result<Vec<Figure>> {
    let (place, lines) = (place(), Lines::counts(scale.pick(10_000, 100)));
    PEERS.iter().map(|peer| figure(peer, &place, &lines, scale).context(peer.name)).collect()
}

fn figure(peer: &Peer, place: &Path, lines: &Lines, scale: Scale) -> anyhow::Result<Figure> {
    let program = place.join(peer.program);
    let name = format!("statsd_peers, {}", peer.name);
    if !program.is_file() {
        let why = format!("{} is not there; tests/bench/peers/install.sh fetches it", program.display());
        return Ok(Figure::skipped(name, why));
    }
    let first = peer.program.split('/').next().unwrap_or_default();
    let version = std::fs::read_to_string(place.join(format!("{first}.version"))).unwrap_or_default();
    let disk = Disk::new()?;
    let server = Server::start(|port| (peer.command)(place, disk.path(), port))?;
    let (load, before, begun) = (Load::to(server.address())?, server.cpu()?, Instant::now());
    let send_max = scale.pick(SEND_MAX, Duration::from_millis(100));
    let mut sent = 0;
    let bursts = lines.bytes.chunks(BURST * lines.datagram_bytes);
    for burst in bursts.cycle().take_while(|_| begun.elapsed() < send_max) {
        load.send(burst, lines.datagram_bytes)?;
        sent += burst.len() / lines.datagram_bytes * lines.a_datagram;
        server.wait_read()?;
    }
    let took = begun.elapsed();
    std::thread::sleep(scale.pick(FLUSH, Duration::ZERO) + Duration::from_secs(1));
    let (cpu, dropped) = (server.cpu()? - before, server.queue()?.dropped);
    ensure!(dropped == 0, "the kernel dropped {dropped} datagrams before it");
    let note = format!("{}; it took {:.2} M lines/s", version.trim(), sent as f64 / took.as_secs_f64() / 1e6);
    Ok(Figure::new(name, Unit::LinesPerCpuSecond, sent as f64 / cpu.as_secs_f64()).note(note))
}

/// Writes a configuration, and gives its path.
fn file(dir: &Path, text: &str) -> anyhow::Result<PathBuf> {
    let path = dir.join("peer.conf");
    std::fs::write(&path, text).with_context(|| path.display().to_string())?;
    Ok(path)
}

fn node(place: &Path, dir: &Path, port: u16) -> anyhow::Result<Command> {
    let text = format!(
        "{{ address: '127.0.0.1', port: {port}, mgmt_port: 0, mgmt_address: '127.0.0.1', backends: [], \
         flushInterval: {}, graphite: {{ legacyNamespace: false }} }}",
        FLUSH.as_millis()
    );
    let mut command = Command::new("node");
    command.arg(place.join("statsd/node_modules/statsd/stats.js")).arg(file(dir, &text)?);
    Ok(command)
}

fn exporter(place: &Path, _: &Path, port: u16) -> anyhow::Result<Command> {
    let mut command = Command::new(place.join("statsd_exporter"));
    command.arg(format!("--statsd.listen-udp=127.0.0.1:{port}"));
    command.args(["--statsd.listen-tcp=", "--web.listen-address=127.0.0.1:0", "--log.level=error"]);
    Ok(command)
}

fn gostatsd(place: &Path, dir: &Path, port: u16) -> anyhow::Result<Command> {
    let text = format!(
        "backends = [\"null\"]\nflush-interval = \"{}s\"\nmetrics-addr = \"127.0.0.1:{port}\"\n\
         statser-type = \"null\"\nignore-host = true\nmax-readers = 1\nmax-parsers = 1\nmax-workers = 1\n",
        FLUSH.as_secs()
    );
    let path = dir.join("gostatsd.toml");
    std::fs::write(&path, text)?;
    let mut command = Command::new(place.join("gostatsd"));
    command.arg("--config-path").arg(path);
    Ok(command)
}

fn veneur(place: &Path, dir: &Path, port: u16) -> anyhow::Result<Command> {
    // It ends at once where it serves nothing else, and hangs without readers.
    let text = format!(
        "interval: \"{}s\"\nhostname: peer\nstats_address: 127.0.0.1:9\n\
         statsd_listen_addresses: [\"udp://127.0.0.1:{port}\"]\nhttp_address: \"127.0.0.1:0\"\nnum_readers: 1\n\
         num_workers: 1\nmetric_max_length: 8192\nread_buffer_size_bytes: 4194304\naggregates: [count]\n\
         metric_sinks: [{{kind: blackhole, name: none}}]\n",
        FLUSH.as_secs()
    );
    let mut command = Command::new(place.join("veneur"));
    command.arg("-f").arg(file(dir, &text)?);
    Ok(command)
}

fn telegraf(place: &Path, dir: &Path, port: u16) -> anyhow::Result<Command> {
    let text = format!(
        "[agent]\ninterval = \"{every}s\"\nflush_interval = \"{every}s\"\nround_interval = false\nomit_hostname = true\n\
         metric_batch_size = 20000\nmetric_buffer_limit = 200000\n[[inputs.statsd]]\nprotocol = \"udp\"\n\
         service_address = \"127.0.0.1:{port}\"\ndelete_counters = true\nallowed_pending_messages = 100000\n\
         number_workers_threads = 1\nread_buffer_size = 4194304\n[[outputs.discard]]\n",
        every = FLUSH.as_secs()
    );
    let mut command = Command::new(place.join("telegraf"));
    command.arg("--config").arg(file(dir, &text)?).arg("--quiet");
    Ok(command)
}

fn collectd(place: &Path, dir: &Path, port: u16) -> anyhow::Result<Command> {
    let usr = place.join("collectd/usr");
    let text = format!(
        "BaseDir \"{dir}\"\nPIDFile \"{dir}/pid\"\nPluginDir \"{usr}/lib/collectd\"\n\
         TypesDB \"{usr}/share/collectd/types.db\"\nInterval {interval}\nLoadPlugin statsd\n\
         <Plugin statsd>\n  Host \"127.0.0.1\"\n  Port \"{port}\"\n</Plugin>\n",
        dir = dir.display(),
        usr = usr.display(),
        interval = FLUSH.as_secs()
    );
    let mut command = Command::new(usr.join("sbin/collectd"));
    command.arg("-f").arg("-C").arg(file(dir, &text)?);
    Ok(command)
}

fn netdata(place: &Path, dir: &Path, port: u16) -> anyhow::Result<Command> {
    let usr = place.join("netdata/usr");
    let text = format!(
        "[global]\n  hostname = peer\n  run as user = {user}\n[directories]\n  stock config = {dir}\n  \
         web = {dir}\n  home = {dir}\n  config = {dir}\n  lib = {dir}\n  cache = {dir}\n  log = {dir}\n  \
         plugins = {usr}/lib/netdata/plugins.d\n[db]\n  mode = ram\n  update every = {every}\n\
         [logs]\n  debug = none\n  error = none\n  access = none\n[plugins]\n  statsd = yes\n  proc = no\n  diskspace = no\n  \
         cgroups = no\n  tc = no\n  idlejitter = no\n  timex = no\n  enable running new plugins = no\n  \
         check for new plugins every = 3600\n  netdata monitoring = no\n  profile = no\n[statsd]\n  \
         bind to = udp:127.0.0.1:{port}\n  update every (flushInterval) = {every}\n[web]\n  mode = none\n\
         [ml]\n  enabled = no\n[health]\n  enabled = no\n",
        dir = dir.display(),
        usr = usr.display(),
        user = std::env::var("USER").unwrap_or_else(|_| "root".to_owned()),
        every = FLUSH.as_secs()
    );
    let mut command = Command::new(usr.join("sbin/netdata"));
    command.arg("-D").arg("-c").arg(file(dir, &text)?).env("DISABLE_TELEMETRY", "1");
    Ok(command)
}
