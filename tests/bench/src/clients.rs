//! Clients of the proc socket, many in one process: each runs a proc of its own; together they sum.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::path::PathBuf;

use anyhow::{Context, bail, ensure};
use common::query::answer::{Answer, Answers};
use common::query::proc;
use mio::net::UnixStream;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use sockets::frame::{self, Frames};

use crate::clock::{cpu_of_self, monotonic_ns};
use crate::receiver::{Latency, Report, say};

const STDIN: Token = Token(usize::MAX - 1);
/// Descriptors beside the connections.
const FILES: u64 = 64;

/// What the clients ask.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The proc socket.
    #[arg(long)]
    socket: PathBuf,
    /// How many clients.
    #[arg(long)]
    procs: usize,
    /// The regex of each; `{}` is its number, four digits.
    #[arg(long)]
    pattern: String,
    /// The pipeline of all.
    #[arg(long)]
    pipeline: String,
    /// Values are stamps of the monotonic clock.
    #[arg(long)]
    stamps: bool,
}

struct Client {
    stream: UnixStream,
    frames: Frames,
    runs: bool,
}

/// Serves until its standard input ends; for each line there it says what it has.
pub(crate) fn serve(options: &Options) -> anyhow::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, (options.procs as u64 + FILES).min(hard), hard)?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut SourceFd(&0), STDIN, Interest::READABLE)?;
    let mut clients = (0..options.procs)
        .map(|number| {
            let mut client = Client::open(options, number)?;
            poll.registry().register(&mut client.stream, Token(number), Interest::READABLE)?;
            Ok(client)
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    let mut events = Events::with_capacity(1024);
    let (mut report, mut times_ns) = (Report::default(), Vec::new());
    let mut buffer = vec![0; 256 * 1024];
    let mut waiting = options.procs;
    let cpu = cpu_of_self();
    loop {
        poll.poll(&mut events, None)?;
        for event in &events {
            if event.token() == STDIN {
                let length = io::stdin().lock().read(&mut buffer)?;
                report.cpu_ns = (cpu_of_self() - cpu).as_nanos() as u64;
                report.latency = options.stamps.then(|| Latency::of(&mut times_ns));
                for _ in 0..length {
                    say(&serde_json::to_string(&report)?)?;
                }
                if length == 0 {
                    return Ok(());
                }
                continue;
            }
            let client = &mut clients[event.token().0];
            let ran = client.runs;
            client.read(&mut buffer, &mut report, options.stamps.then_some(&mut times_ns))?;
            waiting -= usize::from(!ran && client.runs);
            if !ran && waiting == 0 {
                say("ready")?;
            }
        }
    }
}

impl Client {
    fn open(options: &Options, number: usize) -> anyhow::Result<Client> {
        let pattern = options.pattern.replace("{}", &format!("{number:04}"));
        let mut payload = Vec::new();
        write!(payload, "with lost;proc match {}|{pattern} {};", pattern.len(), options.pipeline)?;
        ensure!(proc::parse(&payload).is_ok(), "no proc: {}", payload.escape_ascii());
        let mut ask = Vec::new();
        frame::write(&mut ask, &payload);
        let stream =
            std::os::unix::net::UnixStream::connect(&options.socket).context("connecting to dmproc")?;
        (&stream).write_all(&ask)?;
        stream.set_nonblocking(true)?;
        Ok(Client { stream: UnixStream::from_std(stream), frames: Frames::default(), runs: false })
    }

    /// Sums all that is there.
    fn read(
        &mut self,
        buffer: &mut [u8],
        report: &mut Report,
        mut times_ns: Option<&mut Vec<u64>>,
    ) -> anyhow::Result<()> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => bail!("dmproc hung up"),
                Ok(length) => self.frames.push(&buffer[..length]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            }
            let now_ns = monotonic_ns();
            while let Some(payload) = self.frames.next_frame() {
                for answer in Answers::of(payload) {
                    match answer? {
                        Answer::Event(event) => {
                            report.sums.add(event.key, event.value as u64);
                            if let Some(times_ns) = &mut times_ns {
                                times_ns.push(now_ns.saturating_sub(event.value as u64));
                            }
                        }
                        Answer::Status(true) => self.runs = true,
                        Answer::Lost(events) => report.missing += events,
                        other => bail!("dmproc says {other:?}"),
                    }
                }
            }
            report.last_ns = now_ns;
        }
    }
}
