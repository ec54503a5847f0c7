//! leela-timeline(8): metrics in, events out.

pub mod service;

pub mod booked;
pub mod config;
pub mod peers;

pub mod timeline;

pub mod counters;
pub mod emitted;
pub mod limits;
pub mod rules;
pub mod snapshot;
pub mod uptime;

mod absolute;
mod entered;
mod gauge;
mod growth;
mod moment;
mod number;
mod rate;
mod series;
mod tally;
mod windows;

mod flush;
mod table;

mod wheel;

use common::table::{arena, index, slab};
