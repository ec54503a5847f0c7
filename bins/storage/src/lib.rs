//! leela-storage(8): every event, state and note is kept, and read back by name, pattern and tag.

pub mod service;

pub mod config;
pub mod counters;

mod asks;

pub mod block;
pub mod files;
pub mod log;
pub mod sealed;
pub mod store;
mod sync;
#[doc(hidden)]
pub mod testing;
mod varint;
