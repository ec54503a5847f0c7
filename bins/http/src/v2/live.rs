//! `GET /v2/live`: events as they happen, as server-sent events.
//!
//! ```text
//! data: {"key": K, "time": T, "value": V}          one event
//! event: lost      data: {"lost": N}               so many were lost, for this client was slow
//! event: ended     data: {"detail": "..."}         leela-dmproc went away, or this server stops
//! : ...                                            every 15 s, so that a dead connection is seen
//! ```
//! Each stream is a query of its own at leela-dmproc: a client that does not read loses its own events.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::Uri;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use axum::response::Response;
use bytes::Bytes;
use common::query::answer::{Answer, Answers};
use common::query::proc::{Ask, With};
use serde_json::json;
use sockets::frame::{self, Frames};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::select::{key_of, selector};
use crate::app::App;
use crate::json;
use crate::query::Query;
use crate::refusal::Refusal;
use crate::stream::Pieces;
use crate::tally::{Held, Tally};

/// How often something is said when nothing happens.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// How long leela-dmproc may take to accept.
const ACCEPTED_WITHIN: Duration = Duration::from_secs(10);
/// Pieces that wait for a client, before its events wait at leela-dmproc.
const PIECES_WAITING: usize = 4;
const READ_BYTES: usize = 32 * 1024;

pub(super) async fn live(State(app): State<Arc<App>>, uri: Uri) -> Result<Response, Refusal> {
    let query = Query::of(&uri);
    query.only(&["key", "match", "pipeline"])?;
    let regex = match (query.get("key"), query.get("match")) {
        (Some(key), None) => exactly(&key_of(key)?),
        (None, Some(regex)) => regex.to_owned(),
        _ => {
            return Err(Refusal::wrong(
                "parameter",
                "name series by key=, or by match= with a regular expression",
            ));
        }
    };
    // Said here, where it is known which parameter it is about.
    selector(&regex)?;
    let place = app.live.clone().try_acquire_owned().map_err(|_| {
        Refusal::busy("streams", "there are too many live streams (live_max): come again later")
    })?;
    let pipeline = query.get("pipeline").unwrap_or("id");
    let begun = tokio::time::timeout(ACCEPTED_WITHIN, Session::open(&app, &regex, pipeline)).await;
    let session = begun.map_err(|_| Refusal::busy("live", "leela-dmproc does not answer"))??;
    let (to, from) = mpsc::channel(PIECES_WAITING);
    let held = Held::new(app.tally.clone(), |tally| &tally.streams);
    tokio::spawn(async move {
        session.stream(&app, &to).await;
        drop((place, held));
    });
    let mut response = Response::new(axum::body::Body::new(Pieces(from)));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that gather answers would keep events back.
    response.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// A regular expression that selects one key: a `;` in it lets it see tags.
fn exactly(key: &str) -> String {
    let mut regex = String::from("^");
    for char in key.chars() {
        if char.is_ascii_punctuation() && !"-_;:,/@=<>\"'`!%&~#".contains(char) {
            regex.push('\\');
        }
        regex.push(char);
    }
    regex + "$"
}

/// A query at leela-dmproc.
struct Session {
    stream: UnixStream,
    frames: Frames,
    buffer: Box<[u8]>,
}

impl Session {
    async fn open(app: &App, regex: &str, pipeline: &str) -> Result<Session, Refusal> {
        let away = |error: io::Error| Refusal::busy("live", format!("leela-dmproc is not reached: {error}"));
        let mut stream = UnixStream::connect(&app.proc).await.map_err(away)?;
        let ask = Ask { with: With { reason: true, lost: true, rate: false }, only: None, regex, pipeline };
        let mut question = Vec::new();
        let is_written = frame::write_with(&mut question, |out| {
            ask.write(out);
        });
        if !is_written {
            return Err(Refusal::wrong("parameter", "match and pipeline are longer than a question may be"));
        }
        stream.write_all(&question).await.map_err(away)?;
        let buffer = vec![0; READ_BYTES].into_boxed_slice();
        let mut session = Session { stream, frames: Frames::default(), buffer };
        session.accepted().await?;
        Ok(session)
    }

    /// Reads until `status` has come; a refusal with its reason.
    async fn accepted(&mut self) -> Result<(), Refusal> {
        let mut is_refused = false;
        loop {
            while self.frames.has_frame() {
                let payload = self.frames.next_frame().unwrap_or_default();
                // The frame with the status has nothing else in it.
                match Answers::of(payload).next() {
                    Some(Ok(Answer::Status(true))) => return Ok(()),
                    Some(Ok(Answer::Status(false))) => is_refused = true,
                    Some(Ok(Answer::Reason { text, .. })) => {
                        return Err(Refusal::wrong("query", text.to_owned()));
                    }
                    _ => {}
                }
            }
            match self.stream.read(&mut self.buffer).await {
                Ok(length) if length > 0 => self.frames.push(&self.buffer[..length]),
                _ if is_refused => {
                    return Err(Refusal::wrong("query", "leela-dmproc refuses it, without a reason"));
                }
                _ => return Err(Refusal::busy("live", "leela-dmproc went away")),
            }
        }
    }

    /// Passes events on until one of the two goes away.
    async fn stream(mut self, app: &App, to: &mpsc::Sender<io::Result<Bytes>>) {
        let mut stop = app.stop.clone();
        let mut out = b": live\n\n".to_vec();
        let why = loop {
            let (mut events, mut lost) = (0, 0);
            let mut is_readable = true;
            while self.frames.has_frame() {
                let payload = self.frames.next_frame().unwrap_or_default();
                for answer in Answers::of(payload) {
                    match answer {
                        Ok(Answer::Event(event)) => {
                            events += 1;
                            write_event(&mut out, &event);
                        }
                        Ok(Answer::Lost(count)) => {
                            lost += count;
                            write_named(&mut out, "lost", &json!({ "lost": count }).to_string());
                        }
                        Ok(_) => {}
                        Err(_) => is_readable = false,
                    }
                }
            }
            Tally::add(&app.tally.events_live, events);
            Tally::add(&app.tally.events_lost, lost);
            if !is_readable {
                break Some("leela-dmproc is of another version");
            }
            if !out.is_empty() && to.send(Ok(Bytes::from(std::mem::take(&mut out)))).await.is_err() {
                break None;
            }
            let read = tokio::select! {
                read = tokio::time::timeout(SILENCE_MAX, self.stream.read(&mut self.buffer)) => read,
                () = to.closed() => break None,
                _ = stop.wait_for(|stop| *stop) => break Some("this server stops: come again"),
            };
            match read {
                Err(_) => out.extend_from_slice(b": nothing happened\n\n"),
                Ok(Ok(length)) if length > 0 => self.frames.push(&self.buffer[..length]),
                Ok(_) => break Some("leela-dmproc went away: come again"),
            }
        };
        if let Some(why) = why {
            write_named(&mut out, "ended", &json!({ "detail": why }).to_string());
            // Who went away as well does not need to know.
            let _ = to.send(Ok(Bytes::from(out))).await;
        }
    }
}

fn write_event(out: &mut Vec<u8>, event: &common::metric::Event<'_>) {
    out.extend_from_slice(b"data: {\"key\":");
    json::text(out, event.key);
    out.extend_from_slice(b",\"time\":");
    json::time(out, event.time);
    out.extend_from_slice(b",\"value\":");
    json::float(out, event.value);
    out.extend_from_slice(b"}\n\n");
}

fn write_named(out: &mut Vec<u8>, name: &str, data: &str) {
    out.extend_from_slice(format!("event: {name}\ndata: {data}\n\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use common::query::selector::Selector;

    #[test]
    fn a_key_is_selected_and_no_other() {
        for (key, other) in [
            ("web.hits", "web-hits"),
            ("a;x=1", "a;x=12"),
            ("a", "a;x=1"),
            ("a+(b)[c]{d}|^$*?\\", "a"),
            ("größe/é #&~-", "große"),
        ] {
            let selector = Selector::parse(&exactly(key)).unwrap();
            assert!(selector.matches(key.as_bytes()), "{key}");
            // A key without tags is selected by its name, which others may share.
            let by_name = !key.contains(';') && common::key::name(other) == key;
            assert_eq!(selector.matches(other.as_bytes()), by_name, "{key} {other}");
        }
    }
}
