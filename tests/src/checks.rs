//! The promises of every parser: one function each, which takes any bytes and panics where a promise is broken.
//!
//! The fuzz target (`tests/fuzz/fuzz_targets/check.rs`) calls one of them; `tests/replay` runs the committed corpus and every
//! past crash through the checks again, under plain `cargo test`.

use std::fs;
use std::path::Path;

mod ask;
mod collectd;
mod config;
mod files;
mod frame;
mod http;
mod lines;
mod query;
mod sketch;
mod statsd;
mod storage;
mod text;
mod timeline;
mod wire;
mod xmpp;

pub use ask::ask;
pub use collectd::{collectd, types_db, users};
pub use config::config;
pub use files::{books, growth, queries, ring};
pub use frame::{frame, registration, wants};
pub use http::{items, packed, points, request};
pub use lines::lines;
pub use query::{answer, pipeline, proc, statement};
pub use sketch::sketch;
pub use statsd::{statsd, stream};
pub use storage::{block, kept, log, sealed};
pub use text::{key, legacy, number, span, text};
pub use timeline::{state, timeline};
pub use wire::wire;
pub use xmpp::{chat, directory};

/// Takes any bytes, and panics where a promise is broken.
pub type Check = fn(&[u8]);

/// Every check with its name, which is also its corpus's.
pub const ALL: [(&str, Check); 38] = [
    ("answer", answer),
    ("ask", ask),
    ("block", block),
    ("books", books),
    ("chat", chat),
    ("collectd", collectd),
    ("config", config),
    ("directory", directory),
    ("frame", frame),
    ("growth", growth),
    ("items", items),
    ("kept", kept),
    ("key", key),
    ("legacy", legacy),
    ("lines", lines),
    ("log", log),
    ("number", number),
    ("packed", packed),
    ("pipeline", pipeline),
    ("points", points),
    ("proc", proc),
    ("queries", queries),
    ("registration", registration),
    ("request", request),
    ("ring", ring),
    ("sealed", sealed),
    ("sketch", sketch),
    ("span", span),
    ("state", state),
    ("statement", statement),
    ("statsd", statsd),
    ("stream", stream),
    ("text", text),
    ("timeline", timeline),
    ("types_db", types_db),
    ("users", users),
    ("wants", wants),
    ("wire", wire),
];

/// Calls `with` with a directory in memory, where the system has such a one. One serves a whole thread: it is emptied before.
fn in_directory<T>(with: impl FnOnce(&Path) -> T) -> T {
    thread_local! {
        static DIRECTORY: tempfile::TempDir = {
            let memory = Path::new("/dev/shm");
            let made = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
            made.expect("a temporary directory can be made")
        };
    }
    DIRECTORY.with(|directory| {
        for entry in fs::read_dir(directory).expect("it is there") {
            let path = entry.expect("it can be listed").path();
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.expect("what a check made can be removed");
        }
        with(directory.path())
    })
}

/// Calls `with` with the path of a file that holds `bytes`.
fn in_file<T>(bytes: &[u8], with: impl FnOnce(&Path) -> T) -> T {
    in_directory(|directory| {
        let path = directory.join("file");
        fs::write(&path, bytes).expect("a temporary file can be written");
        with(&path)
    })
}
