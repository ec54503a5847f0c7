//! The real `leela`, one module a promise.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod check;
mod page;
mod planted;
mod program;
mod query;
mod refused;
mod sandbox;
mod send;
mod status;
mod tail;
mod terminal;
