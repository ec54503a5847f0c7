//! Why a request is not answered as asked: one form inside, rendered as each part of the API has it.

use std::borrow::Cow;

use axum::http::StatusCode;
use axum::http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};

/// Seconds after which a request that found something full may come again.
pub(crate) const RETRY_SECONDS: u32 = 5;

/// What is answered in place of what was asked for.
#[derive(Clone, Debug)]
pub(crate) struct Refusal {
    /// 4xx or 5xx.
    pub(crate) status: StatusCode,
    /// A word for programs: it never changes.
    pub(crate) code: &'static str,
    /// What is wrong and the way out.
    pub(crate) detail: Cow<'static, str>,
    /// What there is to say besides.
    pub(crate) more: Map<String, Value>,
    /// Headers that belong to the status.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
}

/// The first characters of what somebody sent, as they can be shown on a line.
pub(crate) fn shown(text: &str, max: usize) -> String {
    text.chars().take(max).flat_map(char::escape_debug).collect()
}

impl Refusal {
    /// A refusal.
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        detail: impl Into<Cow<'static, str>>,
    ) -> Refusal {
        Refusal { status, code, detail: detail.into(), more: Map::new(), headers: Vec::new() }
    }

    /// 400: a parameter or a body is wrong.
    pub(crate) fn wrong(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// 503, to be tried again.
    pub(crate) fn busy(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Refusal {
        let refusal = Refusal::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        refusal.with(RETRY_AFTER, HeaderValue::from(RETRY_SECONDS))
    }

    /// 405 with the methods that there are.
    pub(crate) fn method(allowed: &'static str) -> Refusal {
        let detail = format!("this route takes {allowed}");
        let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "method", detail);
        refusal.with(ALLOW, HeaderValue::from_static(allowed))
    }

    /// 404: there is no such route.
    pub(crate) fn no_route() -> Refusal {
        Refusal::new(StatusCode::NOT_FOUND, "no_route", "there is no such route; /openapi.json has them all")
    }

    /// With a header.
    #[must_use]
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Refusal {
        self.headers.push((name, value));
        self
    }

    /// With a field.
    #[must_use]
    pub(crate) fn and(mut self, field: &str, value: impl Into<Value>) -> Refusal {
        self.more.insert(field.to_owned(), value.into());
        self
    }

    /// The words of the status: `Bad Request`.
    pub(crate) fn reason(&self) -> &'static str {
        self.status.canonical_reason().unwrap_or("Error")
    }
}

/// As application/problem+json. Source: RFC 9457.
impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Refusal { status, code, ref detail, ref more, ref headers } = self;
        let mut object = Map::new();
        object.insert("type".into(), "about:blank".into());
        object.insert("title".into(), self.reason().into());
        object.insert("status".into(), status.as_u16().into());
        object.insert("code".into(), code.into());
        object.insert("detail".into(), detail.clone().into());
        object.extend(more.clone());
        let mut response = Response::new(Value::Object(object).to_string().into());
        *response.status_mut() = status;
        response.headers_mut().extend(headers.clone());
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}
