//! What Leela promises is tested through the real binaries: this is what such a test stands on.
//!
//! - [`Sandbox`]: a directory and its processes, of one test alone; all of it goes when the test ends.
//! - [`Process`]: one of Leela's programs, ready when [`Sandbox::start`] returns.
//! - [`Recorder`]: a consumer that is registered with the timeline, and counts what it gets.
//! - [`Reader`]: the test in a process's place, at its socket.
//! - [`Proc`]: a client of dmproc, and [`Packet`]: a packet of collectd's.
//! - [`Browser`]: a real Chromium, at a page.
//! - [`Store`]: a client of leela-storage.
//! - [`Leela`]: the operator's command, and [`service`]: the real programs of others.
//! - [`Bridge`]: leela-xmpp and all that it stands between. [`ChatServer`]: a real Prosody or ejabberd; [`ChatClient`] and [`Slixmpp`]: people at it; [`Redis`]: a real one.
//! - [`Web`]: a client of HTTP, and [`schema`]: whether an answer is what the API's description says.
//! - [`Load`] and [`Databus`]: numbered metrics at a stated rate, as text or in the binary form.
//! - [`machine`]: what a figure was taken on.
//! - [`Booted`]: a real systemd in a container, with the real units.
//! - [`Traffic`]: everything that comes in at once there, and the account of what came out.
//! - [`Screen`]: `leela` at a terminal, of which an emulator says what is to be seen.
//! - [`wait_until`]: the one way to wait: on a condition, with a deadline.

pub mod checks;
pub mod dependencies;
pub mod schema;

mod binary;
mod booted;
mod bridge;
mod browser;
mod chat_client;
mod chat_server;
mod chat_stream;
mod collectd;
mod ejabberd;
mod frames;
mod leela;
mod load;
mod machine;
mod outage;
mod proc;
mod process;
mod prosody;
mod reader;
mod recorder;
mod redis;
mod sandbox;
mod screen;
mod service;
mod slixmpp;
mod statsd_client;
mod store;
mod traffic;
mod wait;
mod web;

pub use binary::{binary, built_with, workspace};
pub use booted::Booted;
pub use bridge::{BOT, Bridge};
pub use browser::{Browser, DESK, Look, PHONE};
pub use chat_client::{ChatClient, Said};
pub use chat_server::{Brand, ChatServer, DOMAIN, PASSWORD, ROOMS, STANZA_BYTES, STRANGE};
pub use collectd::Packet;
pub use frames::ByFrames;
pub use leela::Leela;
pub use load::{Databus, Load, Running, numbered};
pub use machine::{load_average, machine};
pub use outage::{Fault, Flood};
pub use proc::{Heard, Proc};
pub use process::Process;
pub use reader::{Reader, Record};
pub use recorder::{Kept, Recorder, Tally};
pub use redis::{DIRECTORY, Redis};
pub use sandbox::Sandbox;
pub use screen::Screen;
pub use service::service;
pub use slixmpp::Slixmpp;
pub use store::{Answered, Store};
pub use traffic::{Account, Rates, SERVICES, Traffic};
pub use wait::{DEADLINE, alone, wait_for, wait_until};
pub use web::{Reply, Web};
