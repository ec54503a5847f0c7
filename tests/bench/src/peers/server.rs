//! A peer's process, and what is asked of it over HTTP.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use super::Peer;
use crate::clock::cpu_of;
use crate::disk::status_mib;
use crate::http::{Connection, free_address, request};

/// It is ready, or has settled, within so long.
const WAIT_MAX: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(20);
const STILL: Duration = Duration::from_millis(400);

/// A peer at work; killed when it is dropped.
pub(super) struct Server {
    child: Child,
    address: SocketAddr,
    connection: Connection,
    write_head: &'static str,
}

impl Server {
    /// Starts it on a free port, with its data in `dir`, and waits until it serves.
    pub(super) fn start(peer: &Peer, program: &Path, dir: &Path) -> anyhow::Result<Server> {
        let address = free_address()?;
        let mut command = Command::new(program);
        command
            .args((peer.arguments)(&address.to_string(), dir))
            // Its collector of garbage and its mergers would else take every idle core.
            .env("GOMAXPROCS", "1")
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut child = command.spawn().with_context(|| format!("starting {}", program.display()))?;
        let end = Instant::now() + WAIT_MAX;
        let connection = loop {
            if let Ok(mut connection) = Connection::open(address)
                && connection.ask(&request("GET", peer.ready, "", b"")).is_ok()
            {
                break connection;
            }
            if let Some(status) = child.try_wait()? {
                anyhow::bail!("{} ended with {status}", program.display());
            }
            if Instant::now() > end {
                let _ = child.kill();
                let _ = child.wait();
                anyhow::bail!("{} is not ready within {WAIT_MAX:?}", program.display());
            }
            std::thread::sleep(POLL);
        };
        Ok(Server { child, address, connection, write_head: peer.write })
    }

    /// Sends a body of remote write.
    pub(super) fn write(&mut self, body: &[u8]) -> anyhow::Result<()> {
        let headers = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
                       X-Prometheus-Remote-Write-Version: 0.1.0\r\n";
        self.connection.ask(&request("POST", self.write_head, headers, body)).map(drop)
    }

    /// Asks for a path, and gives the body.
    pub(super) fn ask(&mut self, method: &str, path: &str) -> anyhow::Result<Vec<u8>> {
        self.connection.ask(&request(method, path, "", b""))
    }

    /// The sum of a metric on its page of metrics; none when it is not there.
    pub(super) fn metric(&mut self, name: &str) -> anyhow::Result<Option<f64>> {
        let page = self.ask("GET", "/metrics")?;
        let page = String::from_utf8_lossy(&page);
        let values = page.lines().filter_map(|line| {
            let rest = line.strip_prefix(name)?;
            let is_it = rest.starts_with(['{', ' ']);
            rest.rsplit_once(' ').filter(|_| is_it)?.1.parse::<f64>().ok()
        });
        let values: Vec<f64> = values.collect();
        Ok((!values.is_empty()).then(|| values.iter().sum()))
    }

    /// Waits until a question has the answer yes.
    pub(super) fn wait(
        &mut self,
        what: &str,
        mut is_so: impl FnMut(&mut Server) -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let end = Instant::now() + WAIT_MAX;
        while !is_so(self)? {
            ensure!(Instant::now() < end, "not within {WAIT_MAX:?}: {what}");
            std::thread::sleep(POLL);
        }
        Ok(())
    }

    /// Milliseconds until all points of the matching series have come, over a connection of its own. So many of so
    /// many series have to.
    pub(super) fn read(&mut self, selector: &str, points: usize, series: usize) -> anyhow::Result<f64> {
        let path = format!("/api/v1/query?query={}", encoded(&format!("{{__name__{selector}}}[2d]")));
        let request = request("GET", &path, "", b"");
        let begun = Instant::now();
        let body = Connection::open(self.address)?.ask(&request)?;
        let ms = begun.elapsed().as_secs_f64() * 1e3;
        let found = result(&body)?;
        let found = found.as_array().context("a result is a list")?;
        let whole = |series: &Value| series["values"].as_array().is_some_and(|values| values.len() == points);
        ensure!(found.len() == series && found.iter().all(whole), "of {series} series {} came", found.len());
        Ok(ms)
    }

    /// Waits until it takes less than a twentieth of a core.
    pub(super) fn wait_still(&mut self) -> anyhow::Result<()> {
        self.wait("it has nothing to do", |server| {
            let before = server.cpu()?;
            std::thread::sleep(STILL);
            Ok(server.cpu()? - before < STILL / 20)
        })
    }

    /// The result of a query.
    pub(super) fn query(&mut self, query: &str) -> anyhow::Result<Value> {
        let body = self.ask("GET", &format!("/api/v1/query?query={}", encoded(query)))?;
        result(&body)
    }

    /// Its processor time so far.
    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        cpu_of(self.child.id())
    }

    /// The most memory that it has had, in MiB.
    pub(super) fn highest_mib(&self) -> anyhow::Result<f64> {
        status_mib(self.child.id(), "VmHWM")
    }

    /// Ends it as its user does.
    pub(super) fn stop(mut self) -> anyhow::Result<()> {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM)?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn result(body: &[u8]) -> anyhow::Result<Value> {
    let mut answer: Value = serde_json::from_slice(body).context("an answer is JSON")?;
    ensure!(answer["status"] == "success", "{answer}");
    Ok(answer["data"]["result"].take())
}

fn encoded(query: &str) -> String {
    let each = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    query.bytes().map(each).collect()
}
