//! The parameters that every original route has: `nan`, `callback`, `debug`.

use std::time::Instant;

use axum::http::Uri;
use common::time::Time;
use serde_json::{Map, Value, json};

use crate::query::Query;
use crate::refusal::{Refusal, shown};
use crate::when;

/// What every route is told.
#[derive(Clone, Debug)]
pub(super) struct Params {
    /// The clock when the request came.
    pub(super) now: Time,
    /// `nan=allow`: what is not finite is null; else it is left out.
    pub(super) keeps_nan: bool,
    /// `callback=f`: JSON-P.
    pub(super) callback: Option<String>,
    /// `start` and `finish`.
    pub(super) start: Option<String>,
    pub(super) finish: Option<String>,
    is_debug: bool,
    uri: String,
    begun: Instant,
}

impl Params {
    /// Reads them. Unknown ones are passed over, as clients add their own against caches.
    pub(super) fn of(uri: &Uri, now: Time) -> Result<Params, Refusal> {
        let params = Params::lenient(uri, now);
        let query = Query::of(uri);
        if let Some(callback) = query.get("callback")
            && params.callback.is_none()
        {
            let detail = format!("callback: `{}` is no name of a function", shown(callback, 40));
            return Err(Refusal::wrong("parameter", detail));
        }
        match query.get("nan") {
            None | Some("purge" | "allow") => Ok(params),
            Some(other) => {
                let other = shown(other, 40);
                Err(Refusal::wrong("parameter", format!("nan: `{other}` is neither purge nor allow")))
            }
        }
    }

    /// Reads what can be read: for an error that has to be told in any case.
    pub(super) fn lenient(uri: &Uri, now: Time) -> Params {
        let query = Query::of(uri);
        let owned = |name: &str| query.get(name).map(str::to_owned);
        Params {
            now,
            keeps_nan: query.get("nan") == Some("allow"),
            callback: owned("callback").filter(|callback| is_identifier(callback)),
            start: owned("start"),
            finish: owned("finish"),
            is_debug: query.get("debug").is_some(),
            uri: uri.to_string(),
            begun: Instant::now(),
        }
    }

    /// The field `debug`, where it was asked for. An error says what went wrong; there is no trace of the program.
    pub(super) fn debug(&self, error: Option<&str>) -> Option<(String, Value)> {
        if !self.is_debug {
            return None;
        }
        let mut debug = Map::new();
        debug.insert("uri".into(), self.uri.as_str().into());
        debug.insert("now".into(), when::compact(self.now).into());
        debug.insert("walltime".into(), json!(self.begun.elapsed().as_secs_f64()));
        if let Some(error) = error {
            debug.insert("exception".into(), error.into());
            debug.insert("stacktrace".into(), Value::Array(Vec::new()));
        }
        Some(("debug".to_owned(), Value::Object(debug)))
    }

    /// What stands before the JSON.
    pub(super) fn before(&self) -> String {
        self.callback.as_ref().map_or_else(String::new, |callback| format!("{callback}("))
    }

    /// What stands behind it.
    pub(super) fn behind(&self) -> &'static str {
        if self.callback.is_some() { ");" } else { "" }
    }

    /// The JSON, as a call of the callback where there is one.
    pub(super) fn wrapped(&self, json: &[u8]) -> Vec<u8> {
        [self.before().as_bytes(), json, self.behind().as_bytes()].concat()
    }
}

/// `^[a-zA-Z_][a-zA-Z0-9_]*$`, of a length that no script needs.
fn is_identifier(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let bytes = text.as_bytes();
    bytes.len() <= 255
        && bytes.first().is_some_and(|first| is_letter(*first))
        && bytes.iter().all(|byte| is_letter(*byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read() {
        let of = |uri: &str| Params::of(&uri.parse().unwrap(), Time::from_secs(0));
        for (uri, want) in [
            ("/v1/a", Ok((false, None))),
            ("/v1/a?nan=allow&callback=jQuery17_x&_=123", Ok((true, Some("jQuery17_x")))),
            ("/v1/a?nan=purge", Ok((false, None))),
            ("/v1/a?nan=yes", Err("nan")),
            ("/v1/a?callback=", Err("callback")),
            ("/v1/a?callback=1a", Err("callback")),
            ("/v1/a?callback=a.b", Err("callback")),
            ("/v1/a?callback=alert(1)//", Err("callback")),
        ] {
            match (of(uri), want) {
                (Ok(params), Ok(want)) => {
                    assert_eq!((params.keeps_nan, params.callback.as_deref()), want, "{uri}");
                }
                (Err(refusal), Err(want)) => {
                    assert!(refusal.detail.contains(want), "{uri}: {}", refusal.detail);
                }
                (got, _) => panic!("{uri}: {got:?}"),
            }
        }
        let debug = of("/v1/a?debug").unwrap().debug(Some("no")).unwrap().1;
        assert_eq!(debug["uri"], "/v1/a?debug");
        assert_eq!((&debug["now"], &debug["exception"]), (&"19700101T000000+0000".into(), &"no".into()));
    }
}
