//! Live queries by chat, at a real Prosody and at a real ejabberd.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod directory;
mod faults;
mod presence;
mod servers;
mod statements;
mod strangers;

/// Values come one by one, however many there are.
const PLENTY: &str = "messages_per_minute = 1000000\n";
