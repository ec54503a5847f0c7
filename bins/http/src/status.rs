//! The account of the instance, as `leela status -o json` prints it: read at most once for all who ask at the same time.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::StatusCode;
use bytes::Bytes;
use common::runtime_dir::RuntimeDir;
use hop::account::{Reading, ReadingError, Report};
use tokio::sync::Mutex;

use crate::refusal::Refusal;

/// How long records may be under way before it is told that they are.
const PATIENCE: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_millis(20);
/// A report of so lately is still told.
const FRESH: Duration = Duration::from_millis(250);

/// Reports of one instance.
#[derive(Debug)]
pub(crate) struct Reports {
    run: RuntimeDir,
    last: Mutex<Option<(Instant, Bytes)>>,
}

impl Reports {
    /// Of the instance in `run`.
    pub(crate) fn new(run: RuntimeDir) -> Reports {
        Reports { run, last: Mutex::default() }
    }

    /// A report, in JSON.
    pub(crate) async fn json(&self) -> Result<Bytes, Refusal> {
        // Who waits here gets what the one before him has read.
        let mut last = self.last.lock().await;
        if let Some((at, report)) = &*last
            && at.elapsed() < FRESH
        {
            return Ok(report.clone());
        }
        let end = Instant::now() + PATIENCE;
        let report = loop {
            let run = self.run.clone();
            let read = move || Reading::of(&run).map(|reading| Report::of(&run, &reading));
            let report = read_files(read).await?;
            if report.at_rest() || Instant::now() >= end {
                break report;
            }
            tokio::time::sleep(AGAIN).await;
        };
        let json = serde_json::to_vec(&report)
            .map_err(|error| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", error.to_string()))?;
        let json = Bytes::from(json);
        *last = Some((Instant::now(), json.clone()));
        Ok(json)
    }

    /// Books and rings as they are just now.
    pub(crate) async fn reading(&self) -> Result<Arc<Reading>, Refusal> {
        let run = self.run.clone();
        read_files(move || Reading::of(&run)).await.map(Arc::new)
    }
}

/// Reads files in a thread that may wait for a disk.
async fn read_files<T: Send + 'static>(
    read: impl FnOnce() -> Result<T, ReadingError> + Send + 'static,
) -> Result<T, Refusal> {
    let fault = |detail: String| Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", detail);
    let read = tokio::task::spawn_blocking(read).await.map_err(|error| fault(error.to_string()))?;
    read.map_err(|error| fault(format!("{:#}", anyhow::Error::new(error))))
}
