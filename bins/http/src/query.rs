//! The parameters of a request: each read once, unknown ones named.

use std::borrow::Cow;

use axum::http::Uri;

use crate::refusal::{Refusal, shown};

/// The parameters, in the order they stand.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Of an address.
    pub(crate) fn of(uri: &Uri) -> Query {
        let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
        Query(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    /// The last value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.all(name).last()
    }

    /// All values of a parameter.
    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(have, _)| have == name).map(|(_, value)| value.as_str())
    }

    /// An error where there is a parameter that the route does not have: a typing error would else change an answer
    /// silently.
    pub(crate) fn only(&self, known: &[&str]) -> Result<(), Refusal> {
        match self.0.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some((name, _)) => {
                let (name, known) = (shown(name, 40), known.join(", "));
                Err(Refusal::wrong(
                    "parameter",
                    format!("there is no parameter `{name}` here; there are {known}"),
                ))
            }
        }
    }
}

/// A part of a path, unescaped; what is not UTF-8 then is an error.
pub(crate) fn unescaped(part: &str) -> Result<Cow<'_, str>, Refusal> {
    percent_encoding::percent_decode_str(part)
        .decode_utf8()
        .map_err(|_| Refusal::wrong("bad_key", "a path is UTF-8 behind its escapes"))
}
