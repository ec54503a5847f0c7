//! Leela's own routes, under /v2.

mod fold;
mod form;
mod live;
pub(crate) mod range;
mod select;
mod series;
mod tags;
mod write;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get, post};

use crate::app::App;
use crate::refusal::Refusal;

/// The routes.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/v2/write", only("POST", post(write::write)))
        .route("/v2/range", only("GET, HEAD", get(range::range)))
        .route("/v2/series", only("GET, HEAD", get(series::series)))
        .route("/v2/tags", only("GET, HEAD", get(tags::tags)))
        .route("/v2/tags/{*tag}", only("GET, HEAD", get(tags::values)))
        .route("/v2/live", only("GET", get(live::live)))
        .route("/v2/status", only("GET, HEAD", get(status)))
}

/// A route's methods; any other is answered with what there is.
pub(crate) fn only(methods: &'static str, router: MethodRouter<Arc<App>>) -> MethodRouter<Arc<App>> {
    router.fallback(async move || Refusal::method(methods))
}

/// JSON of now, which nobody keeps.
pub(crate) fn json(body: impl Into<axum::body::Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn status(State(app): State<Arc<App>>) -> Response {
    match app.reports.json().await {
        Ok(report) => json(report),
        Err(refusal) => refusal.into_response(),
    }
}
