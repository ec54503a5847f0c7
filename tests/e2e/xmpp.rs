//! Live queries by chat, at a real Prosody and at a real ejabberd.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod servers;
