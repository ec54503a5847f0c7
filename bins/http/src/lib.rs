//! leela-http(8): the REST API. Metrics go in by it; history comes out, from storage, and live values, from dmproc. It
//! knows HTTP and no database: it asks.
//!
//! A request comes in by `server`, passes the `gate`, and is answered by `v1` (the original's routes), `v2`, `health` or
//! `page`. What it writes is read by `points` and goes by `writer` to `service`, the one thread that owns ring and books;
//! what it reads comes from `storage`, piece by piece, through `stream`.

pub mod service;

pub mod app;
pub mod config;
pub mod counters;

pub mod gate;
pub mod server;

pub mod points;
pub mod writer;

mod body;
mod health;
mod json;
mod metrics;
pub mod openapi;
mod page;
mod query;
mod refusal;
mod status;
mod storage;
mod stream;
pub mod tally;
#[doc(hidden)]
pub mod testing;
mod v1;
mod v2;
mod when;
mod write;

pub use config::Config;
