//! What every request is answered with.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use common::runtime_dir::RuntimeDir;
use tokio::sync::{Semaphore, watch};

use crate::config::Config;
use crate::gate::Guests;
use crate::status::Reports;
use crate::storage::Storage;
use crate::tally::Tally;
use crate::writer::Writer;

/// Bytes that one permit of [`App::bodies`] stands for.
pub const PERMIT_BYTES: usize = 1024;

/// Everything that handlers need.
#[derive(Debug)]
pub struct App {
    /// As it was read.
    pub config: Config,
    /// Where points go.
    pub writer: Writer,
    /// Where points come from.
    pub(crate) storage: Arc<Storage>,
    /// Where live values come from.
    pub proc: PathBuf,
    /// The instance.
    pub run: RuntimeDir,
    /// What is counted.
    pub tally: Arc<Tally>,
    /// Who may ask.
    pub guests: Guests,
    /// The state of the instance, for whoever asks.
    pub(crate) reports: Reports,
    /// Memory for bodies, in [`PERMIT_BYTES`].
    pub bodies: Arc<Semaphore>,
    /// Places for live streams.
    pub live: Arc<Semaphore>,
    /// True when the process is told to stop.
    pub stop: watch::Receiver<bool>,
}

impl App {
    /// With all its limits as configured.
    pub fn new(
        config: Config,
        guests: Guests,
        writer: Writer,
        run: &RuntimeDir,
        tally: Arc<Tally>,
        stop: watch::Receiver<bool>,
    ) -> Arc<App> {
        let connections = config.storage_connections as usize;
        let storage = Storage::new(run.storage_query(), connections, config.storage_timeout.duration());
        let permits = (config.bodies_max.len() / PERMIT_BYTES).min(Semaphore::MAX_PERMITS);
        let bodies = Arc::new(Semaphore::new(permits));
        let live = Arc::new(Semaphore::new(config.live_max as usize));
        let (proc, reports) = (run.dmproc_proc(), Reports::new(run.clone()));
        Arc::new(App {
            config,
            writer,
            storage,
            proc,
            run: run.clone(),
            tally,
            guests,
            reports,
            bodies,
            live,
            stop,
        })
    }

    /// How long a client may take for a body.
    pub fn body_timeout(&self) -> Duration {
        self.config.body_timeout.duration()
    }
}

/// All routes.
pub fn routes(app: Arc<App>) -> Router {
    Router::new()
        .merge(crate::v2::routes())
        .merge(crate::health::routes())
        .merge(crate::page::routes())
        .fallback(crate::v1::answer)
        .with_state(app)
}
