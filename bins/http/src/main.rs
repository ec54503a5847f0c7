//! leela-http(8): the REST API, metrics in, history and live values out.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use common::books::Books;
use common::config::Secret;
use common::exit::{Exit, OrExit};
use common::process::{self, Process};
use hop::{Output, Turns, without_sockets};
use leela_http::Config;
use leela_http::app::App;
use leela_http::gate::Guests;
use leela_http::server::{self, Server};
use leela_http::service::{OUTPUT, Service, WAKE};
use leela_http::tally::Tally;
use leela_http::writer::Writer;
use mio::Waker;
use sockets::inherited::Inherited;
use tokio::sync::watch;

fn main() -> ExitCode {
    process::main(|mut config: Config, places| {
        let (name, run) = (Config::NAME, &places.runtime_dir);
        let guests = guests(&config)?;
        let tls = server::acceptor(&config)?;
        let mut inherited = Inherited::take().map_err(without_sockets)?;
        let listeners = inherited.tcp(name, &config.listen).map_err(without_sockets)?;
        inherited.finish().map_err(without_sockets)?;
        let mut turns = Turns::new(process::stop_signal()?)?;
        let books = Books::open(&run.books(name), name, 0)?;
        let output = Output::to_timeline(run, name, config.ring, &books, turns.registry(), OUTPUT)?;
        config.connections_max = hop::allow_descriptors(config.connections_max)?;
        let waker = || Waker::new(turns.registry(), WAKE).context("preparing to be woken");
        let waker = Arc::new(waker()?);
        let (writer, inbox) = Writer::new(waker.clone(), &config);
        let (stop, stopped) = watch::channel(false);
        let tally = Arc::<Tally>::default();
        let timeout = config.drain_timeout.duration();
        let service = Service::new(books, output, inbox, tally.clone(), writer.level(), timeout);
        let app = App::new(config, guests, writer, run, tally, stopped);
        let server = Server::start(app, listeners, tls, stop, waker)?;
        process::ready();
        service.serve(&mut turns, server)
    })
}

/// Who may ask. A token that cannot be read, or is none, exits 78.
fn guests(config: &Config) -> anyhow::Result<Guests> {
    let token = if config.token_file.as_os_str().is_empty() {
        None
    } else {
        let token = Secret::from_file(&config.token_file);
        let token = token.with_context(|| format!("token_file: reading {}", config.token_file.display()));
        let token = token.exit(Exit::Config)?;
        if token.expose().trim().is_empty() {
            return Err(
                Exit::Config.error(format_args!("token_file: {} is empty", config.token_file.display()))
            );
        }
        Some(token)
    };
    let certificates = !config.tls_client_ca.as_os_str().is_empty();
    let host = nix::unistd::gethostname().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Guests::new(token, certificates, &config.hosts, &config.origins, &host))
}
