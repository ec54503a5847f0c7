//! `/health`: the process answers. `/ready`: writes are taken and reads are answered, or why not. `/metrics`: the books
//! of all processes.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use common::books::{Snapshot, State as Doing};
use serde_json::{Map, Value, json};
use tokio::net::UnixStream;

use crate::app::App;
use crate::metrics;
use crate::openapi;
use crate::refusal::{RETRY_SECONDS, Refusal};
use crate::v2::{json, only};

/// How long a process may take to be reached.
const REACHED_WITHIN: Duration = Duration::from_secs(1);
/// From here on writes are answered 503.
const FILLING_MAX: f64 = 0.5;

/// The routes.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/health", only("GET, HEAD", get(health)))
        .route("/ready", only("GET, HEAD", get(ready)))
        .route("/metrics", only("GET, HEAD", get(metrics)))
        .route("/openapi.json", only("GET, HEAD", get(async || json(openapi::DOCUMENT))))
}

async fn health() -> Response {
    json("{\"healthy\":true}")
}

async fn ready(State(app): State<Arc<App>>) -> Response {
    let mut reasons = Vec::new();
    let mut parts = Map::new();
    let run = app.run.clone();
    let timeline = tokio::task::spawn_blocking(move || Snapshot::read(&run.books("timeline")).ok()).await;
    let timeline = timeline.ok().flatten().filter(|books| books.state == Doing::Running);
    let filling = app.writer.filling();
    let writes = match (&timeline, filling < FILLING_MAX) {
        (_, false) => Err("the ring is half full: leela-timeline is behind or away, writes are answered 503"),
        (None, true) => Err("leela-timeline does not run: writes wait in the ring"),
        (Some(_), true) => Ok(()),
    };
    for (part, state, is_needed) in [
        ("writes", writes.map_err(str::to_owned), true),
        ("reads", reached(&app.run.storage_query(), "leela-storage").await, true),
        ("live", reached(&app.proc, "leela-dmproc").await, false),
    ] {
        if let (Err(reason), true) = (&state, is_needed) {
            reasons.push(Value::from(reason.as_str()));
        }
        parts.insert(part.to_owned(), Value::from(state.err().unwrap_or_else(|| "ok".to_owned())));
    }
    let is_ready = reasons.is_empty();
    let body = json!({ "ready": is_ready, "reasons": reasons, "parts": parts });
    let mut response = json(body.to_string());
    if !is_ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.headers_mut().insert(axum::http::header::RETRY_AFTER, HeaderValue::from(RETRY_SECONDS));
    }
    response
}

async fn reached(path: &std::path::Path, process: &str) -> Result<(), String> {
    match tokio::time::timeout(REACHED_WITHIN, UnixStream::connect(path)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(format!("{process} is not reached: {error}")),
        Err(_) => Err(format!("{process} does not take connections")),
    }
}

async fn metrics(State(app): State<Arc<App>>) -> Result<Response, Refusal> {
    let reading = app.reports.reading().await?;
    let mut response = metrics::render(&app.run, &reading).into_response();
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}
