//! The thread that seals, merges and drops what is too old.

use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use common::time::Time;

use crate::counters::Counters;
use crate::store::{Maintained, Stats, Store};

/// It looks at the store so often, at least.
const LOOK: Duration = Duration::from_secs(1);
/// The store is asked how it is so often.
const ASK: Duration = Duration::from_secs(5);

/// The thread, and what it last saw.
#[derive(Debug)]
pub(super) struct Keeper {
    thread: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    is_over: AtomicBool,
    seen: Mutex<Stats>,
}

impl Keeper {
    /// Begins.
    pub(super) fn start(store: Arc<dyn Store>) -> io::Result<Keeper> {
        let shared = Arc::new(Shared::default());
        let mine = shared.clone();
        let thread = Builder::new().name("keeper".to_owned()).spawn(move || keep(&*store, &mine))?;
        Ok(Keeper { thread: Some(thread), shared })
    }

    /// Levels of the books.
    pub(super) fn book(&self, counters: &mut Counters) {
        let seen = self.shared.seen.lock().unwrap_or_else(PoisonError::into_inner);
        counters.series = seen.series;
        counters.in_memory = seen.points_in_memory;
        counters.files = seen.files;
        counters.disk_bytes = seen.file_bytes + seen.index_bytes;
    }

    /// Ends what it does, and the thread.
    pub(super) fn stop(&mut self, store: &dyn Store) {
        self.shared.is_over.store(true, Release);
        store.stop();
        if let Some(thread) = self.thread.take() {
            // A panic there has said so already.
            let _ = thread.join();
        }
    }
}

fn keep(store: &dyn Store, shared: &Shared) {
    let mut asked: Option<Instant> = None;
    while !shared.is_over.load(Acquire) {
        let maintained = store.maintain(Time::now());
        if asked.is_none_or(|asked| asked.elapsed() >= ASK) {
            let stats = store.stats(Time::now());
            *shared.seen.lock().unwrap_or_else(PoisonError::into_inner) = stats;
            asked = Some(Instant::now());
        }
        if let Maintained::Idle(until) = maintained {
            store.wait(until.min(LOOK));
        }
    }
}
