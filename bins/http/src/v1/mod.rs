//! The original's routes, under /v1: paths, parameters, shapes and errors as clients have them.
//!
//! Mended, each with its reason: keys keep their case (the original lower-cased what it stored and not what it looked
//! up); `nan=allow` gives null, not `NaN`, which is no JSON; an answer whose range is not over may not be kept for five
//! minutes; the 31st of a short month is an error, not a day of the next; a value that is null is 400, not 500; an error
//! says what is wrong, in `detail`. The rest stays, also what is odd: the name of a series may not begin like a route
//! (`past24/`, `data/`, `2013/04/`), writes are of one key, and reading nothing is 404.

mod params;
mod read;
mod span;
mod write;

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::http::{Method, Request, StatusCode, Uri};
use axum::response::Response;
use common::time::Time;
use serde_json::{Map, Value};

use crate::app::App;
use crate::body::{Held, Share};
use crate::counters::Route;
use crate::gate::Peer;
use crate::query::unescaped;
use crate::refusal::Refusal;
use params::Params;
use span::Asked;

/// Methods of what is no route, as the original had them: the others are 405.
const CATCH_ALL: [Method; 4] = [Method::GET, Method::POST, Method::HEAD, Method::DELETE];

/// What a path below /v1 names.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Target<'a> {
    /// `/v1/version`.
    Version,
    /// A series, or its notes.
    Series {
        /// `/v1/data/...`: notes.
        is_data: bool,
        /// Of when; `/v1/:key` reads what `start` and `finish` say, and is the one that is written to.
        asked: Asked<'a>,
        /// Its key, as it stands in the path.
        key: &'a str,
    },
}

impl<'a> Target<'a> {
    /// Reads a path, in the order in which the original's routes match.
    pub(crate) fn of(path: &'a str) -> Option<Target<'a>> {
        let rest = path.strip_prefix("/v1/")?;
        if rest == "version" {
            return Some(Target::Version);
        }
        // The routes of data stand before their likes, and `data/:key` before `:key`.
        let (is_data, rest) = match rest.strip_prefix("data/") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let (asked, key) = Asked::of(rest);
        Some(Target::Series { is_data, asked, key })
    }

    /// What it is counted as.
    pub(crate) fn route(&self, method: &Method) -> Route {
        let writes = matches!(*method, Method::POST | Method::PUT);
        match self {
            Target::Version => Route::V1Version,
            Target::Series { is_data: false, .. } if writes => Route::V1Write,
            Target::Series { is_data: false, .. } => Route::V1Read,
            Target::Series { is_data: true, .. } if writes => Route::V1DataWrite,
            Target::Series { is_data: true, .. } => Route::V1DataRead,
        }
    }

    /// The methods that the route has.
    fn methods(&self) -> &'static str {
        match self {
            Target::Series { asked: Asked::Parameters, is_data: true, .. } => "GET, POST, PUT",
            Target::Series { asked: Asked::Parameters, is_data: false, .. } => "GET, POST",
            Target::Series { .. } | Target::Version => "GET",
        }
    }
}

/// What a read asks for: its key and its span; none where it is no read.
pub(crate) fn asked(uri: &Uri, now: Time) -> Result<Option<(String, Time, Time)>, Refusal> {
    let params = Params::of(uri, now)?;
    let Some(Target::Series { asked, key, .. }) = Target::of(uri.path()) else { return Ok(None) };
    let span = asked.span(&params)?;
    Ok(Some((unescaped(key)?.into_owned(), span.from, span.to)))
}

/// The items of a write: how many they are, and the bytes of what is answered of them.
pub(crate) fn items(
    body: &[u8],
    is_data: bool,
    now: Time,
    share: &mut Share,
) -> Result<(usize, usize), Refusal> {
    let items = write::items(body, "a", is_data, now, share)?;
    Ok((items.taken.len(), items.results.len()))
}

/// An answer that is ready: its status, and its fields but for `status` and `debug`.
struct Ready {
    status: StatusCode,
    fields: Map<String, Value>,
    /// Of writes: `results`, as JSON with commas between, and the memory that it is counted in until it is sent.
    results: Option<(Vec<u8>, Share)>,
}

/// Answers whatever no other route takes.
pub(crate) async fn answer(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    request: Request<Body>,
) -> Response {
    let now = Time::now();
    let uri = request.uri().clone();
    if uri.path().starts_with("/v2/") {
        use axum::response::IntoResponse;
        return Refusal::no_route().into_response();
    }
    let params = match Params::of(&uri, now) {
        Ok(params) => params,
        Err(refusal) => return refused(&refusal, &uri),
    };
    match route(&app, &peer, request, &params).await {
        Ok(response) => response,
        Err(refusal) => error(&refusal, &params),
    }
}

async fn route(
    app: &Arc<App>,
    peer: &Peer,
    request: Request<Body>,
    params: &Params,
) -> Result<Response, Refusal> {
    let (parts, body) = request.into_parts();
    let Some(target) = Target::of(parts.uri.path()) else {
        return Err(if CATCH_ALL.contains(&parts.method) {
            Refusal::no_route()
        } else {
            Refusal::method("GET, POST, HEAD, DELETE")
        });
    };
    let methods = target.methods();
    if !methods.split(", ").any(|method| method == parts.method.as_str()) {
        return Err(Refusal::method(methods));
    }
    let Target::Series { is_data, asked, key } = target else { return Ok(version(params)) };
    let name = unescaped(key)?;
    let key = common::key::parse(name.as_bytes()).map_err(|error| {
        // What cannot be stored was never there, for whoever reads.
        match parts.method {
            Method::GET => Refusal::new(StatusCode::NOT_FOUND, "not_found", format!("no key: {error}")),
            _ => Refusal::wrong("bad_key", format!("no key: {error}")),
        }
    })?;
    if parts.method == Method::GET {
        let span = asked.span(params)?;
        return read::read(app, params, is_data, &name, key.into_owned(), span).await;
    }
    let content = crate::body::read(app, &parts.headers, body).await?;
    let done = write::write(app, peer, params, is_data, name.into_owned(), content).await?;
    Ok(finish(done, params, NO_STORE))
}

fn version(params: &Params) -> Response {
    let version = env!("CARGO_PKG_VERSION");
    let mut parts = version.split('.');
    let mut part = || Value::from(parts.next().unwrap_or("0"));
    let (major, minor, build) = (part(), part(), part());
    let fields = [("version", version.into()), ("major", major), ("minor", minor), ("build", build)];
    let mut object: Map<String, Value> =
        fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect();
    object.extend(params.debug(None));
    respond(StatusCode::OK, params.wrapped(&python(&Value::Object(object))), params, "public, max-age=300")
}

const NO_STORE: &str = "no-store";

/// An error before the parameters are known to be right.
pub(crate) fn refused(refusal: &Refusal, uri: &Uri) -> Response {
    error(refusal, &Params::lenient(uri, Time::now()))
}

/// `{"detail": ..., "reason": "Not Found", "status": 404}`.
fn error(refusal: &Refusal, params: &Params) -> Response {
    let mut fields = Map::new();
    fields.insert("reason".into(), refusal.reason().into());
    fields.insert("code".into(), refusal.code.into());
    fields.insert("detail".into(), refusal.detail.clone().into());
    fields.extend(refusal.more.clone());
    fields.extend(params.debug(Some(&refusal.detail)));
    let mut response =
        finish(Ready { status: refusal.status, fields, results: None }, params, "public, max-age=0");
    response.headers_mut().extend(refusal.headers.clone());
    response
}

fn finish(ready: Ready, params: &Params, cache: &'static str) -> Response {
    let Ready { status, mut fields, results } = ready;
    fields.insert("status".into(), status.as_u16().into());
    if status.is_success() {
        fields.extend(params.debug(None));
    }
    let Some((results, share)) = results else {
        return respond(status, params.wrapped(&python(&Value::Object(fields))), params, cache);
    };
    // The names stand in order.
    let (mut json, mut is_first) = (params.before().into_bytes(), true);
    json.reserve(results.len() + 64);
    json.push(b'{');
    let mut results = Some(results);
    let mut put_results = |json: &mut Vec<u8>, is_first: &mut bool| {
        if let Some(results) = results.take() {
            json.extend_from_slice(match std::mem::take(is_first) {
                true => &b"\"results\": ["[..],
                false => b", \"results\": [",
            });
            json.extend_from_slice(&results);
            json.push(b']');
        }
    };
    for (name, value) in fields {
        if name.as_str() > "results" {
            put_results(&mut json, &mut is_first);
        }
        put_field(&mut json, &mut is_first, &name, &value);
    }
    put_results(&mut json, &mut is_first);
    json.push(b'}');
    json.extend_from_slice(params.behind().as_bytes());
    respond(status, Body::new(Held::new(json, share)), params, cache)
}

fn put_field(out: &mut Vec<u8>, is_first: &mut bool, name: &str, value: &Value) {
    if !std::mem::take(is_first) {
        out.extend_from_slice(b", ");
    }
    crate::json::text(out, name.as_bytes());
    out.extend_from_slice(b": ");
    write_python(value, out);
}

/// A response; with `callback` its status is 200, and the real one stands inside.
fn respond(status: StatusCode, body: impl Into<Body>, params: &Params, cache: &'static str) -> Response {
    let mut response = Response::new(body.into());
    let is_script = params.callback.is_some();
    *response.status_mut() = if is_script { StatusCode::OK } else { status };
    let kind = if is_script { "text/javascript; charset=utf-8" } else { "application/json; charset=utf-8" };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

/// JSON as the original spaced it, `{"a": 1, "b": [2, 3]}`; names are in order.
fn python(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    write_python(value, &mut out);
    out
}

fn write_python(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Array(items) => {
            out.push(b'[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.extend_from_slice(b", ");
                }
                write_python(item, out);
            }
            out.push(b']');
        }
        Value::Object(fields) => {
            out.push(b'{');
            let mut is_first = true;
            for (name, value) in fields {
                put_field(out, &mut is_first, name, value);
            }
            out.push(b'}');
        }
        Value::String(text) => crate::json::text(out, text.as_bytes()),
        other => out.extend_from_slice(other.to_string().as_bytes()),
    }
}
