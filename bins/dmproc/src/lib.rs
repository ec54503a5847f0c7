//! leela-dmproc(8): events in, and to each client the values its proc makes of them. It knows the query language,
//! no database and no chat protocol.

pub mod service;

pub mod config;
pub mod counters;

mod clients;
mod outbox;

mod engine;
mod queries;
mod scan;
mod series;
