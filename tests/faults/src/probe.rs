//! How long a gauge is under way, from a client of leela-udp to a consumer of the timeline's.

use std::io;
use std::net::SocketAddr;
use std::os::unix::net::UnixDatagram;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use common::runtime_dir::RuntimeDir;
use common::wire::{Content, DATAGRAM_BYTES_MAX, Events, Header};
use sockets::registration::{self, INTERVAL};

use crate::load::sender;

const KEY: &[u8] = b"probe";
/// How often one is sent.
const EVERY: Duration = Duration::from_millis(3);

/// Threads that send and receive probes until they are taken.
pub(crate) struct Probe {
    ended: Arc<AtomicBool>,
    late_us: Arc<Mutex<Vec<f64>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Probe {
    /// A consumer of its own in `peers/`, and a client of the input that listens there.
    pub(crate) fn start(run: RuntimeDir, listen: SocketAddr) -> io::Result<Probe> {
        let path = run.peers().join("probe");
        let socket = UnixDatagram::bind(&path)?;
        socket.set_read_timeout(Some(Duration::from_millis(20)))?;
        let begun = Instant::now();
        let (ended, late_us) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<Vec<f64>>>::default());
        let (stop, late) = (ended.clone(), late_us.clone());
        let receive = move || {
            let mut buffer = [0; DATAGRAM_BYTES_MAX + 1];
            let mut register_at = Instant::now();
            while !stop.load(Relaxed) {
                if Instant::now() >= register_at {
                    register_at = Instant::now() + INTERVAL;
                    // Nobody there, or a full queue: the next one may do.
                    let _ = registration::register(&socket, &path, "", &run.timeline_multicast());
                }
                let Ok(length) = socket.recv(&mut buffer) else { continue };
                let now_us = begun.elapsed().as_micros() as f64;
                let Ok((header, records)) = Header::read(&buffer[..length]) else { continue };
                if header.content != Content::Events {
                    continue;
                }
                for event in Events::new(records, header.count).flatten().filter(|event| event.key == KEY) {
                    late.lock().unwrap_or_else(PoisonError::into_inner).push(now_us - event.value);
                }
            }
        };
        let stop = ended.clone();
        let send = sender(listen);
        let probes = move || {
            while !stop.load(Relaxed) {
                send(format!("gauge 5|probe {};", begun.elapsed().as_micros()).as_bytes());
                thread::sleep(EVERY);
            }
        };
        Ok(Probe { ended, late_us, threads: vec![thread::spawn(receive), thread::spawn(probes)] })
    }

    /// The 99th percentile in ms of those that came since it was last asked.
    pub(crate) fn take_p99_ms(&self) -> f64 {
        let mut late_us = std::mem::take(&mut *self.late_us.lock().unwrap_or_else(PoisonError::into_inner));
        late_us.sort_unstable_by(f64::total_cmp);
        late_us.get(late_us.len() * 99 / 100).map_or(f64::INFINITY, |late_us| late_us / 1e3)
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.ended.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
