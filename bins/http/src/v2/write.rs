//! `POST /v2/write`: points of any number of series.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, StatusCode};
use axum::response::Response;
use common::books::Label;
use common::time::Time;
use serde_json::{Value, json};

use super::json;
use crate::app::App;
use crate::body;
use crate::gate::Peer;
use crate::points::{Form, Refused};
use crate::query::Query;
use crate::refusal::Refusal;
use crate::write::{Told, write_all};

/// A body up to here is read by the thread that received it.
const LIGHT_BYTES_MAX: usize = 512 * 1024;

pub(super) async fn write(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request<Body>,
) -> Result<Response, Refusal> {
    Query::of(request.uri()).only(&[])?;
    let (parts, body) = request.into_parts();
    let content = body::read(&app, &parts.headers, body).await?;
    let now = Time::now();
    let kind = parts.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let form = Form::of(kind, &content.bytes).ok_or_else(|| {
        Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "media_type",
            "a body is application/json, application/x-ndjson or text/plain (Leela's text)",
        )
    })?;
    let heavy = content.bytes.len() > LIGHT_BYTES_MAX;
    let told = write_all(&app, &peer, now, heavy, move |intake| intake.read(form, &content.bytes)).await?;
    let Told { accepted, refused, faults } = told;
    if refused == 0 {
        return Ok(json(format!("{{\"accepted\":{accepted},\"refused\":0}}")));
    }
    // Part of it may be in the ring: the answer says which part is not.
    let detail = format!("{refused} of {} points were refused, {accepted} are accepted", accepted + refused);
    let code = faults.first().map_or("json", |fault| fault.reason.name());
    let left_out = refused - faults.len() as u64;
    let errors: Vec<Value> = faults.iter().map(told_of).collect();
    Err(Refusal::wrong(code, detail)
        .and("accepted", accepted)
        .and("refused", refused)
        .and("errors", errors)
        .and("errors_left_out", left_out))
}

fn told_of(fault: &Refused) -> Value {
    let Refused { index, line, offset, reason, detail, text, .. } = fault;
    let text = String::from_utf8_lossy(&text[..text.len().min(120)]);
    json!({
        "index": index,
        "line": line,
        "offset": offset,
        "reason": reason.name(),
        "detail": detail,
        "text": text,
    })
}
