//! What every request passes: who asks, from which page, and what is counted when its answer is over.
//!
//! - Where a token or client certificates are configured, one of the two has to be shown, but for the page itself and
//!   `/health` and `/ready`, which say nothing about metrics.
//! - Where neither is, who is on this host may ask. A browser on this host also runs the pages of strangers: so a
//!   request has to call this server by an address or a name that is its own (a name of a stranger's may lead here as
//!   well), and what is written must not come from another origin.
//! - The original let pages of any origin read (`Access-Control-Allow-Origin: *`), and dashboards rest on that. It holds
//!   for reads of `/v1` alone: they tell a value to who knows its key, and have no list of keys.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONNECTION, HOST, HeaderMap,
    HeaderValue, ORIGIN, TRANSFER_ENCODING, VARY, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use common::config::Secret;
use http_body::{Frame, SizeHint};
use subtle::ConstantTimeEq;
use tower_service::Service;

use crate::app::App;
use crate::counters::{Outcome, Route};
use crate::refusal::Refusal;
use crate::server::guard::Phase;
use crate::tally::Tally;
use crate::v1;

/// Who may ask.
#[derive(Debug)]
pub struct Guests {
    /// What clients have to show; none where nobody is asked for it.
    token: Option<Secret>,
    /// A certificate is enough.
    certificates: bool,
    /// Names that are this server's; empty where any will do.
    hosts: Vec<String>,
    /// Origins that may read /v1.
    origins: Vec<String>,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its address.
    pub address: std::net::SocketAddr,
    /// It has shown a certificate that was signed by one of `tls_client_ca`.
    pub has_certificate: bool,
    /// What the connection is about.
    pub phase: Phase,
}

impl Guests {
    /// By what was configured. `name` is this host's own.
    pub fn new(
        token: Option<Secret>,
        certificates: bool,
        hosts: &[String],
        origins: &[String],
        name: &str,
    ) -> Guests {
        let mut names: Vec<String> = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        let any = names.iter().any(|name| name == "*") || token.is_some() || certificates;
        names.extend(["localhost".to_owned(), name.to_ascii_lowercase()]);
        let hosts = if any { Vec::new() } else { names };
        let origins =
            origins.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect();
        Guests { token, certificates, hosts, origins }
    }

    /// Whether clients have to show who they are.
    pub fn is_asking(&self) -> bool {
        self.token.is_some() || self.certificates
    }

    fn check(&self, request: &Request<Body>, peer: &Peer, route: Route) -> Result<(), Refusal> {
        let headers = request.headers();
        if !self.hosts.is_empty() && !self.is_own_name(request) {
            return Err(Refusal::new(
                StatusCode::MISDIRECTED_REQUEST,
                "host",
                "this server has another name: call it by its address, or add the name to `hosts` in http.toml",
            ));
        }
        let is_open = matches!(route, Route::Page | Route::Health);
        if self.is_asking() && !is_open && !self.is_known(headers, peer) {
            let detail = match &self.token {
                Some(_) => "a token is asked for: send the header `Authorization: Bearer TOKEN`",
                None => "a client certificate is asked for",
            };
            let refusal = Refusal::new(StatusCode::UNAUTHORIZED, "unauthorized", detail);
            return Err(refusal.with(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"leela\"")));
        }
        let writes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if writes && !is_same_origin(request) {
            return Err(Refusal::new(
                StatusCode::FORBIDDEN,
                "origin",
                "a page of another origin may not write; send it from this server's own page, or not from a browser",
            ));
        }
        Ok(())
    }

    fn is_known(&self, headers: &HeaderMap, peer: &Peer) -> bool {
        if self.certificates && peer.has_certificate {
            return true;
        }
        let Some(token) = &self.token else { return false };
        let shown = headers.get(AUTHORIZATION).map_or(&b""[..], HeaderValue::as_bytes);
        let shown = match shown.split_at_checked(7) {
            Some((scheme, shown)) if scheme.eq_ignore_ascii_case(b"bearer ") => shown.trim_ascii(),
            _ => b"",
        };
        // How long it took tells nothing but the token's length.
        shown.ct_eq(token.expose().as_bytes()).into()
    }

    fn is_own_name(&self, request: &Request<Body>) -> bool {
        let Some(host) = host_of(request) else {
            // HTTP/1.0 has none; no browser is so old.
            return true;
        };
        let name = name_of(&host);
        name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok()
            || self.hosts.iter().any(|own| *own == name.trim_end_matches('.'))
    }

    /// What a page of another origin is told of who may read; none when it may not.
    fn reader(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if self.origins.iter().any(|origin| origin == "*") {
            return Some(HeaderValue::from_static("*"));
        }
        let origin = headers.get(ORIGIN)?;
        let text = origin.to_str().ok()?.to_ascii_lowercase();
        self.origins.contains(&text).then(|| origin.clone())
    }
}

/// The host a request calls, in lower case.
fn host_of(request: &Request<Body>) -> Option<String> {
    let of_target = request.uri().authority().map(|authority| authority.as_str());
    let host = of_target.or_else(|| request.headers().get(HOST)?.to_str().ok());
    host.map(str::to_ascii_lowercase)
}

/// A host without its port.
fn name_of(host: &str) -> &str {
    match host.rfind(':') {
        Some(colon) if !host[colon..].contains(']') => &host[..colon],
        _ => host,
    }
}

fn is_same_origin(request: &Request<Body>) -> bool {
    let Some(origin) = request.headers().get(ORIGIN) else { return true };
    let origin = origin.to_str().unwrap_or_default().to_ascii_lowercase();
    let of_origin = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    of_origin.is_some() && of_origin == host_of(request).as_deref()
}

/// Which route a request is of, for the counters.
pub fn route_of(method: &Method, path: &str) -> Route {
    if path.starts_with("/v1/") {
        return v1::Target::of(path).map_or(Route::Other, |target| target.route(method));
    }
    match path {
        "/v2/write" => Route::Write,
        "/v2/range" => Route::Range,
        "/v2/series" => Route::Series,
        "/v2/live" => Route::Live,
        "/v2/status" => Route::Status,
        "/health" | "/ready" => Route::Health,
        "/metrics" => Route::Metrics,
        "/openapi.json" => Route::OpenApi,
        "/" => Route::Page,
        _ if path == "/v2/tags" || path.starts_with("/v2/tags/") => Route::Tags,
        _ if path.starts_with("/page/") => Route::Page,
        _ => Route::Other,
    }
}

/// Answers a request, and counts it when its answer is over.
pub async fn answer(app: Arc<App>, mut routes: axum::Router, peer: Peer, request: Request<Body>) -> Response {
    peer.phase.request();
    let route = route_of(request.method(), request.uri().path());
    let is_v1 = request.uri().path().starts_with("/v1/");
    let is_chunked = request.headers().contains_key(TRANSFER_ENCODING);
    let reads_v1 = is_v1 && matches!(*request.method(), Method::GET | Method::OPTIONS);
    let reader = if reads_v1 { app.guests.reader(request.headers()) } else { None };
    let phase = peer.phase.clone();
    let mut response = match preflight(&request, &reader) {
        Some(response) => response,
        None => match app.guests.check(&request, &peer, route) {
            Ok(()) => {
                let mut request = request;
                request.extensions_mut().insert(peer);
                match routes.call(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            }
            Err(refusal) if is_v1 => v1::refused(&refusal, request.uri()),
            Err(refusal) => refusal.into_response(),
        },
    };
    let headers = response.headers_mut();
    if is_chunked {
        // Whoever stands before this server may have gone by a Content-Length beside it: what it takes for the rest of the
        // body must not be the next request here. Source: RFC 9112, 6.3.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(reader) = reader {
        if reader != "*" {
            headers.append(VARY, HeaderValue::from_static("origin"));
        }
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, reader);
    }
    headers.entry(X_CONTENT_TYPE_OPTIONS).or_insert(HeaderValue::from_static("nosniff"));
    let outcome = match response.status().as_u16() {
        400..500 => Outcome::Wrong,
        500.. => Outcome::Failed,
        _ => Outcome::Ok,
    };
    response.map(|body| {
        Body::new(Counted { body, tally: app.tally.clone(), route, outcome: Some(outcome), phase })
    })
}

/// The answer to a browser that asks whether a page may read with a token.
fn preflight(request: &Request<Body>, reader: &Option<HeaderValue>) -> Option<Response> {
    let asked = request.headers().get(ACCESS_CONTROL_REQUEST_METHOD)?;
    if *request.method() != Method::OPTIONS || asked != "GET" {
        return None;
    }
    reader.as_ref()?;
    let mut response = StatusCode::NO_CONTENT.into_response();
    for (name, value) in [
        (ACCESS_CONTROL_ALLOW_METHODS, "GET"),
        (ACCESS_CONTROL_ALLOW_HEADERS, "authorization"),
        (ACCESS_CONTROL_MAX_AGE, "600"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    Some(response)
}

/// A body that is counted when it is over.
struct Counted {
    body: Body,
    tally: Arc<Tally>,
    route: Route,
    /// Taken when it was counted.
    outcome: Option<Outcome>,
    phase: Phase,
}

impl http_body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        match &frame {
            Poll::Ready(None) => self.over(),
            Poll::Ready(Some(Err(_))) => {
                self.outcome = self.outcome.map(|_| Outcome::Cut);
                self.over();
            }
            _ => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Counted {
    fn over(&mut self) {
        if let Some(outcome) = self.outcome.take() {
            self.tally.request(self.route, outcome);
            self.phase.idle();
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // An answer to HEAD is not read.
        if !http_body::Body::is_end_stream(&self.body) && self.body.size_hint_is_unknown() {
            self.outcome = self.outcome.map(|_| Outcome::Cut);
        }
        self.over();
    }
}

trait Unknown {
    fn size_hint_is_unknown(&self) -> bool;
}

impl Unknown for Body {
    fn size_hint_is_unknown(&self) -> bool {
        http_body::Body::size_hint(self).exact().is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Request<Body> {
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(Body::empty()).unwrap()
    }

    fn peer(has_certificate: bool) -> Peer {
        Peer { address: ([127, 0, 0, 1], 1).into(), has_certificate, phase: Phase::default() }
    }

    fn guests(token: Option<&str>, certificates: bool, hosts: &[&str], origins: &[&str]) -> Guests {
        let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Guests::new(token.map(Secret::new), certificates, &owned(hosts), &owned(origins), "web01")
    }

    #[test]
    fn who_is_asked_has_to_show_token_or_certificate() {
        for (guests, header, certificate, path, want) in [
            (guests(None, false, &[], &[]), "", false, "/v2/series", true),
            (guests(Some("s3cret"), false, &[], &[]), "Bearer s3cret", false, "/v2/series", true),
            (guests(Some("s3cret"), false, &[], &[]), "bearer  s3cret", false, "/metrics", true),
            (guests(Some("s3cret"), false, &[], &[]), "Bearer s3cre", false, "/v2/series", false),
            (guests(Some("s3cret"), false, &[], &[]), "Bearer s3cret2", false, "/v1/foo", false),
            (guests(Some("s3cret"), false, &[], &[]), "Basic s3cret", false, "/v1/foo", false),
            (guests(Some("s3cret"), false, &[], &[]), "", true, "/v1/foo", false),
            (guests(Some("s3cret"), true, &[], &[]), "", true, "/v1/foo", true),
            (guests(Some("s3cret"), true, &[], &[]), "Bearer s3cret", false, "/v1/foo", true),
            (guests(None, true, &[], &[]), "", false, "/v2/status", false),
            (guests(Some("s3cret"), true, &[], &[]), "", false, "/", true),
            (guests(Some("s3cret"), true, &[], &[]), "", false, "/page/page.js", true),
            (guests(Some("s3cret"), true, &[], &[]), "", false, "/ready", true),
        ] {
            let headers = [("host", "127.0.0.1"), ("authorization", header)];
            let request = request("GET", path, &headers[..if header.is_empty() { 1 } else { 2 }]);
            let got = guests.check(&request, &peer(certificate), route_of(request.method(), path));
            assert_eq!(got.is_ok(), want, "{header} {path}");
        }
    }

    #[test]
    fn a_strangers_name_does_not_lead_here() {
        let open = guests(None, false, &["leela.example"], &[]);
        for (host, want) in [
            ("localhost:4080", true),
            ("LOCALHOST", true),
            ("127.0.0.1:4080", true),
            ("[::1]:4080", true),
            ("[::1]", true),
            ("web01", true),
            ("leela.example:4080", true),
            ("leela.example.", true),
            ("evil.example:4080", false),
            ("127.0.0.1.evil.example", false),
            ("", false),
        ] {
            let got = open.check(&request("GET", "/v1/a", &[("host", host)]), &peer(false), Route::V1Read);
            assert_eq!(got.is_ok(), want, "{host}");
        }
        assert!(open.check(&request("GET", "/v1/a", &[]), &peer(false), Route::V1Read).is_ok());
        let any = guests(None, false, &["*"], &[]);
        assert!(any.check(&request("GET", "/v1/a", &[("host", "x.y")]), &peer(false), Route::V1Read).is_ok());
    }

    #[test]
    fn a_page_of_another_origin_reads_what_it_may_and_never_writes() {
        let open = guests(None, false, &[], &["*"]);
        for (origin, want) in [
            ("http://127.0.0.1:4080", true),
            ("http://127.0.0.1:80", false),
            ("http://evil.example", false),
            ("null", false),
        ] {
            let headers = [("host", "127.0.0.1:4080"), ("origin", origin)];
            let got = open.check(&request("POST", "/v1/a", &headers), &peer(false), Route::V1Write);
            assert_eq!(got.is_ok(), want, "{origin}");
        }
        for (origins, origin, want) in [
            (&["*"][..], "http://a", Some("*")),
            (&["https://a/"], "https://A", Some("https://A")),
            (&["https://a"], "http://a", None),
            (&[], "http://a", None),
        ] {
            let headers = request("GET", "/v1/a", &[("origin", origin)]).headers().clone();
            let got = guests(None, false, &[], origins).reader(&headers);
            assert_eq!(got.as_ref().and_then(|value| value.to_str().ok()), want, "{origins:?} {origin}");
        }
    }
}
