//! The baseline of rows over UDP: receives datagrams and looks at none.

use std::net::SocketAddr;
use std::time::Instant;

use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::os::fd::AsRawFd;

use sockets::inherited::bind_udp;
use sockets::ring::CARRIED_WORDS;
use sockets::udp::Receiver;

use crate::clock::cpu_of_self;
use crate::receiver::{Report, say};

/// Datagrams after which it says that it has them.
const BURST: u64 = 125;

/// How it receives.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Ends when it has so many; says so after each 125 of them.
    #[arg(long)]
    datagrams: Option<u64>,
    /// One system call a datagram, until it is killed.
    #[arg(long)]
    one_by_one: bool,
}

pub(crate) fn serve(options: &Options) -> anyhow::Result<()> {
    let socket = bind_udp(SocketAddr::from(([127, 0, 0, 1], 0)), 1, 64 << 20)?.remove(0);
    say("ready")?;
    say(&socket.local_addr()?.to_string())?;
    if options.one_by_one {
        let mut buffer = [0; 64 * 1024];
        loop {
            socket.recv(&mut buffer)?;
        }
    }
    let hand = tempfile::NamedTempFile::new()?;
    std::fs::remove_file(hand.path())?;
    let (mut receiver, _) = Receiver::open(hand.path(), &[0; CARRIED_WORDS])?;
    let mut poll = Poll::new()?;
    poll.registry().register(&mut SourceFd(&socket.as_raw_fd()), Token(0), Interest::READABLE)?;
    let mut events = Events::with_capacity(1);
    let (wanted, mut report, mut said) = (options.datagrams.unwrap_or(0), Report::default(), 0);
    let cpu = cpu_of_self();
    let mut heard = Instant::now();
    while report.sums.records < wanted && heard.elapsed().as_secs() < 10 {
        if receiver.receive(&socket, |_| report.sums.records += 1)? == 0 {
            poll.poll(&mut events, Some(std::time::Duration::from_secs(1)))?;
        } else {
            heard = Instant::now();
        }
        while said + BURST <= report.sums.records {
            said += BURST;
            say("took a burst")?;
        }
    }
    report.cpu_ns = (cpu_of_self() - cpu).as_nanos() as u64;
    say(&serde_json::to_string(&report)?)
}
