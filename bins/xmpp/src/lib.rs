//! leela-xmpp(8): live queries by chat. It knows XMPP and who asked for what; of metrics it knows that leela-dmproc
//! does. There is no query language here: a statement is split by `common`, and run by leela-dmproc.
//!
//! What a user says comes by `stream` to the `bridge`, which reads it as a `statement`, enters it into the `directory`, and
//! follows it at leela-dmproc (`proc`). What that gives goes back, one by one or in a `digest`.

mod bridge;

pub mod config;
pub mod counters;

mod answer;
mod chat;
mod people;
pub mod statement;
mod stream;

mod directory;
mod field;
mod keeper;

mod digest;
mod proc;
mod rate;
mod subscription;

mod json;
#[doc(hidden)]
pub mod testing;
mod utc;

use anyhow::Context as _;
use common::books::Books;
use common::process::{self, Places, Process as _};
use hop::without_sockets;
use sockets::inherited::Inherited;

use bridge::{Bridge, Ends};
use keeper::Keeper;
use stream::{Account, Stream};

pub use config::Config;

/// Opens all there is, says ready, and serves.
///
/// # Errors
/// Where there is no account, or its password is wrong; where books or directory cannot be opened.
pub fn run(mut config: Config, places: &Places) -> anyhow::Result<()> {
    // It listens nowhere: a socket that is handed over is a mistake of the unit.
    Inherited::take().and_then(Inherited::finish).map_err(without_sockets)?;
    let (run, state) = (&places.runtime_dir, places.state_dir.path());
    // Before the books: who is not configured leaves nothing behind.
    stream::is_configured(&config)?;
    let stop = process::stop_signal()?;
    // A connection to leela-dmproc for each.
    config.subscriptions_max = hop::allow_descriptors(config.subscriptions_max)?;
    let books = Books::open(&run.books(Config::NAME), Config::NAME, 0)?;
    places.state_dir.prepare()?;
    let name = keeper::name(state)?;
    let account = Account::of(&config, &format!("leela-{}", name.rsplit('.').next().unwrap_or_default()))?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting")?;
    runtime.block_on(async {
        let me = account.jid.clone();
        let keeper = Keeper::open(&config, state, &name)?;
        let ends = Ends { stream: Stream::open(account), keeper, proc: run.dmproc_proc(), me };
        let bridge = Bridge::new(config, books, ends);
        tracing::info!("ready");
        process::ready();
        bridge.serve(stop).await
    })
}
