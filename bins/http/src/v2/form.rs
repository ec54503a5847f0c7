//! The form of an answer: JSON, lines of JSON, or CSV.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

use crate::query::Query;
use crate::refusal::{Refusal, shown};

/// What an answer is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Form {
    Json,
    Lines,
    Csv,
}

impl Form {
    /// `format=`, else what `Accept` names first of what there is, else JSON.
    pub(super) fn of(query: &Query, headers: &HeaderMap) -> Result<Form, Refusal> {
        if let Some(word) = query.get("format") {
            return match word {
                "json" => Ok(Form::Json),
                "ndjson" => Ok(Form::Lines),
                "csv" => Ok(Form::Csv),
                _ => {
                    let detail = format!("format: `{}` is none of json, ndjson, csv", shown(word, 20));
                    Err(Refusal::wrong("parameter", detail))
                }
            };
        }
        let accepted =
            headers.get_all(ACCEPT).iter().flat_map(|value| value.to_str().unwrap_or_default().split(','));
        let known = accepted.filter_map(|media| match media.split(';').next().unwrap_or_default().trim() {
            "application/json" => Some(Form::Json),
            "application/x-ndjson" | "application/ndjson" | "application/jsonl" => Some(Form::Lines),
            "text/csv" => Some(Form::Csv),
            _ => None,
        });
        Ok(known.into_iter().next().unwrap_or(Form::Json))
    }

    /// Its `Content-Type`.
    pub(super) const fn content_type(self) -> &'static str {
        match self {
            Form::Json => "application/json",
            Form::Lines => "application/x-ndjson",
            Form::Csv => "text/csv; charset=utf-8; header=present",
        }
    }
}

/// A field of a CSV line, quoted where it has to be.
pub(super) fn csv(out: &mut Vec<u8>, field: &[u8]) {
    if !field.iter().any(|byte| b",\"\n\r".contains(byte)) {
        out.extend_from_slice(field);
        return;
    }
    out.push(b'"');
    for byte in field {
        if *byte == b'"' {
            out.push(b'"');
        }
        out.push(*byte);
    }
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_asked_for_by_parameter_or_header() {
        for (query, accept, want) in [
            ("", "", Form::Json),
            ("", "*/*", Form::Json),
            ("", "text/html, text/csv;q=0.9", Form::Csv),
            ("", "application/x-ndjson", Form::Lines),
            ("format=csv", "application/json", Form::Csv),
            ("format=json", "text/csv", Form::Json),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, accept.parse().unwrap());
            let got = Form::of(&Query::of(&format!("/?{query}").parse().unwrap()), &headers);
            assert_eq!(got.ok(), Some(want), "{query} {accept}");
        }
        assert!(Form::of(&Query::of(&"/?format=xml".parse().unwrap()), &HeaderMap::new()).is_err());
    }

    #[test]
    fn a_field_is_quoted_where_it_has_to_be() {
        for (field, want) in [("a;x=1", "a;x=1"), ("a,b", "\"a,b\""), ("say \"x\"", "\"say \"\"x\"\"\"")] {
            let mut out = Vec::new();
            csv(&mut out, field.as_bytes());
            assert_eq!(String::from_utf8(out).unwrap(), want);
        }
    }
}
