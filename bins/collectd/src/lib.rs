//! leela-collectd(8): packets of collectd's binary network protocol in, metrics and notes out.

pub mod packet;
pub mod part;
pub mod reason;

pub mod names;
pub mod note;
pub mod types_db;

pub mod security;
pub mod users;

pub mod file;
