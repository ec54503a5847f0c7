//! What Leela promises, through the real binaries: one module a promise.

mod aggregates;
mod collectd;
mod config_errors;
mod core;
mod doctor;
mod history;
mod hostile;
mod http;
mod http_bounds;
mod kill9;
mod leela_up;
mod live_queries;
mod man_pages;
mod page;
mod queries;
mod registration;
mod restart_keeps_queued;
mod statsd;
mod stopped_consumer;
mod storage;
mod systemd;
mod timeline_rules_live;
mod top;
mod udp_to_events;
mod xmpp;
