//! What Leela promises, through the real binaries: one module a promise.

mod registration;
mod timeline_rules_live;
mod udp_to_events;
