//! Metrics one by one, a datagram each, at an even rate.

use std::net::SocketAddr;
use std::time::Duration;

use crate::child::Receiving;
use crate::clock::{cpu_of, monotonic_ns};
use crate::cores::Cores;
use crate::load::keys;
use crate::sums::Sums;
use crate::udp_load::Load;

/// How much too late a sleep may end: the generator sleeps to that long before a metric is due and spins from there.
/// So metrics come one by one, not in bursts, as far as one core can send them.
const SLEEP_LATE_NS: u64 = 80_000;

/// Sends `rate` metrics a second, going round the keys; `write` writes one, whose value is its stamp.
pub(crate) fn singles(
    address: SocketAddr,
    rate: f64,
    seconds: f64,
    write: impl Fn(&mut Vec<u8>, &[u8], u64) -> anyhow::Result<()>,
) -> anyhow::Result<Sums> {
    let (load, keys) = (Load::to(address)?, keys());
    let mut series = keys.iter().cycle();
    let records = (rate * seconds) as u64;
    let mut sent = Sums::default();
    let mut bytes = Vec::new();
    let start = monotonic_ns();
    let due_ns = |record: u64| start + (record as f64 / rate * 1e9) as u64;
    while sent.records < records {
        let now = monotonic_ns();
        let mut datagram_bytes = 0;
        while sent.records < records && due_ns(sent.records) <= now {
            let key = series.next().expect("it goes round");
            let begin = bytes.len();
            write(&mut bytes, key, now)?;
            sent.add(key, now);
            datagram_bytes = bytes.len() - begin;
        }
        if datagram_bytes > 0 {
            // All of one moment have the same number of digits.
            load.send(&bytes, datagram_bytes)?;
            bytes.clear();
        }
        let next = due_ns(sent.records);
        std::thread::sleep(Duration::from_nanos(next.saturating_sub(monotonic_ns() + SLEEP_LATE_NS)));
        while monotonic_ns() < next {
            std::hint::spin_loop();
        }
    }
    Ok(sent)
}

/// The share of a core, in percent, of a process that receives what `send` sends one by one, unread.
pub(crate) fn one_by_one(send: impl Fn(SocketAddr) -> anyhow::Result<Sums>) -> anyhow::Result<f64> {
    let cores = Cores::without_first()?;
    let mut receiver = Receiving::start("raw-udp", &["--one-by-one".as_ref()])?;
    let address: SocketAddr = receiver.line()?.parse()?;
    cores.generate()?;
    let (before, start) = (cpu_of(receiver.pid())?, monotonic_ns());
    send(address)?;
    let cpu = cpu_of(receiver.pid())? - before;
    Ok(cpu.as_nanos() as f64 / (monotonic_ns() - start) as f64 * 100.0)
}
