//! Logging in, again after each cut; a password that is wrong is told, not tried for ever.

use std::borrow::Cow;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::Context as _;
use common::config::Secret;
use common::exit::{Exit, OrExit as _};
use sasl::common::Credentials;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_xmpp::connect::ServerConnector as _;
use tokio_xmpp::error::AuthError;
use tokio_xmpp::stanzastream::Connection;
use tokio_xmpp::xmlstream::{StreamHeader, Timeouts};
use tokio_xmpp::{Error, client_login};
use xmpp_parsers::jid::Jid;
use xmpp_parsers::ns::JABBER_CLIENT;
use xmpp_parsers::sasl::DefinedCondition;

use super::Event;
use super::connector::Connector;
use crate::config::{Config, host_and_port};

/// From one attempt to the next, at first and at most: a server that is back is found within this.
pub(super) const AGAIN: Duration = Duration::from_millis(500);
pub(super) const AGAIN_MAX: Duration = Duration::from_secs(5);
/// A connection that is lost so soon is not made anew at once.
const SOON: Duration = Duration::from_secs(10);
/// The most a login may take.
const LOGIN_MAX: Duration = Duration::from_secs(10);
/// A connection that is silent for so long is asked, and one that does not answer for so long is cut.
const TIMEOUTS: Timeouts =
    Timeouts { read_timeout: Duration::from_secs(5), response_timeout: Duration::from_secs(5) };
/// Ways to log in that tell who the account is; over TLS, to a server whose certificate is right.
const MECHANISMS: [&str; 3] = ["SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN"];

/// An account, and the way to it.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// With the resource to ask for.
    pub(crate) jid: Jid,
    password: Secret,
    connector: Connector,
}

/// Why a login is refused for good.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{jid} cannot log in: the server says {why}; is the password in `password_file` right?")]
pub(crate) struct Refusal {
    jid: Jid,
    why: String,
}

/// What a login tells.
#[derive(Debug)]
pub(super) enum Trouble {
    Refused(Refusal),
    Unreachable(String),
    /// The login went well, and nothing came of it: see [`reconnector`].
    Stuck,
}

impl From<Trouble> for Event {
    fn from(trouble: Trouble) -> Event {
        match trouble {
            Trouble::Refused(refusal) => Event::Refused(refusal),
            Trouble::Unreachable(why) => Event::Unreachable(why),
            Trouble::Stuck => {
                Event::Unreachable("the session that was cut is not known there any more".to_owned())
            }
        }
    }
}

impl Account {
    /// The account of the configuration, with the resource `resource` where it names none.
    ///
    /// # Errors
    /// Where there is none, or its password or certificates cannot be read: with exit 78.
    pub(crate) fn of(config: &Config, resource: &str) -> anyhow::Result<Account> {
        is_configured(config)?;
        let password = secret("password_file", &config.password_file)?;
        let jid = Jid::new(&config.jid).context("jid").exit(Exit::Config)?;
        let jid = match jid.resource() {
            Some(_) => jid,
            None => jid.to_bare().with_resource_str(resource).context("a resource")?.into(),
        };
        let server = host_and_port(&config.server).map(|(host, port)| (host.to_owned(), port));
        let tls = Arc::new(tls(&config.tls_ca)?);
        Ok(Account { jid, password, connector: Connector { server, tls } })
    }
}

/// Whether there is an account at all.
///
/// # Errors
/// Where there is none: with exit 78.
pub(crate) fn is_configured(config: &Config) -> anyhow::Result<()> {
    if config.jid.is_empty() {
        return Err(Exit::Config.error(
            "jid is not set: write jid = \"leela@example.org\" into xmpp.toml, and the account's password into the \
             file `password_file`",
        ));
    }
    Ok(())
}

/// A secret of a file that has to be there, and not empty.
pub(crate) fn secret(key: &str, path: &Path) -> anyhow::Result<Secret> {
    let secret = Secret::from_file(path).with_context(|| format!("{key}: reading {}", path.display()));
    let secret = secret.exit(Exit::Config)?;
    if secret.is_empty() {
        return Err(Exit::Config.error(format_args!("{key}: {} is empty", path.display())));
    }
    Ok(secret)
}

fn tls(anchors: &Path) -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if anchors.as_os_str().is_empty() {
        let found = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(found.certs);
        if roots.is_empty() {
            return Err(Exit::Config.error(
                "the system has no certificates of authorities: install ca-certificates, or set tls_ca",
            ));
        }
    } else {
        let what = || format!("tls_ca: reading {}", anchors.display());
        for certificate in CertificateDer::pem_file_iter(anchors).with_context(what).exit(Exit::Config)? {
            let certificate = certificate.with_context(what).exit(Exit::Config)?;
            roots.add(certificate).with_context(what).exit(Exit::Config)?;
        }
        if roots.is_empty() {
            return Err(Exit::Config.error(format_args!("tls_ca: {} has no certificate", anchors.display())));
        }
    }
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .context("choosing versions of TLS")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

/// What the library calls for each connection; the first one is made after `wait`.
///
/// A server that was started anew refuses to take up a session in a form that the library does not understand: it would
/// log in and ask for the same again, without end. So a second connection is not made before the first has come to
/// something (`begun` is false again): [`Trouble::Stuck`] is told, and all is to be begun anew.
pub(super) fn reconnector(
    account: Account,
    told: mpsc::Sender<Trouble>,
    begun: Arc<AtomicBool>,
    wait: Duration,
) -> Box<dyn FnMut(Option<String>, oneshot::Sender<Connection>) + Send + 'static> {
    let (mut pause, mut last) = (wait, None::<Instant>);
    Box::new(move |_, mut slot| {
        let (account, told, begun, wait) = (account.clone(), told.clone(), begun.clone(), pause);
        // A server that lets in and closes at once is not besieged.
        let is_soon = last.replace(Instant::now()).is_some_and(|last| last.elapsed() < SOON);
        pause = if is_soon { (pause * 2).clamp(AGAIN, AGAIN_MAX) } else { Duration::ZERO };
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            if begun.load(Relaxed) {
                // Where nobody listens the process ends.
                let _ = told.send(Trouble::Stuck).await;
                return slot.closed().await;
            }
            connect(account, slot, told, begun).await;
        });
    })
}

async fn connect(
    account: Account,
    mut slot: oneshot::Sender<Connection>,
    told: mpsc::Sender<Trouble>,
    begun: Arc<AtomicBool>,
) {
    let mut again = AGAIN;
    while !slot.is_closed() {
        let result = match tokio::time::timeout(LOGIN_MAX, login(&account)).await {
            Ok(result) => result,
            Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "no login within 10 s").into()),
        };
        let trouble = match result {
            Ok(connection) => {
                begun.store(true, Relaxed);
                // Who closed the slot wants no connection any more; dropping it closes it.
                let _ = slot.send(connection);
                return;
            }
            Err(error) => trouble(&account.jid, &error),
        };
        let is_refused = matches!(trouble, Trouble::Refused(_));
        let _ = told.send(trouble).await;
        if is_refused {
            // The slot has to stay open, or the library takes its end for a fault.
            return slot.closed().await;
        }
        tokio::time::sleep(again).await;
        again = (again * 2).min(AGAIN_MAX);
    }
}

fn trouble(jid: &Jid, error: &Error) -> Trouble {
    let why = match error {
        Error::Auth(AuthError::Fail(condition)) => match condition {
            DefinedCondition::TemporaryAuthFailure | DefinedCondition::Aborted => None,
            DefinedCondition::NotAuthorized => Some("not-authorized".to_owned()),
            other => Some(format!("{other:?}")),
        },
        Error::Auth(AuthError::NoMechanism) => Some("it has no way to log in that is known here".to_owned()),
        Error::Auth(AuthError::Sasl(error)) => Some(format!("what does not fit the password: {error}")),
        _ => None,
    };
    match why {
        Some(why) => Trouble::Refused(Refusal { jid: jid.to_bare().into(), why }),
        None => Trouble::Unreachable(error.to_string()),
    }
}

async fn login(account: &Account) -> Result<Connection, Error> {
    let jid = &account.jid;
    let (stream, binding) = account.connector.connect(jid, JABBER_CLIENT, TIMEOUTS).await?;
    let (features, stream) = stream.recv_features().await?;
    let mut mechanisms = features.sasl_mechanisms;
    mechanisms.retain(|mechanism| MECHANISMS.contains(&mechanism.as_str()));
    let credentials = Credentials::default()
        .with_username(jid.node().map_or("", |node| node.as_str()))
        .with_password(account.password.expose())
        .with_channel_binding(binding);
    let stream = client_login(stream, mechanisms, credentials).await?;
    let domain = Cow::Borrowed(jid.domain().as_str());
    let stream = stream.send_header(StreamHeader { to: Some(domain), from: None, id: None }).await?;
    let (features, stream) = stream.recv_features().await?;
    // The library takes a server that cannot do this for a fault of its own.
    if !features.can_bind() {
        return Err(io::Error::other("the server lets nobody bind a resource").into());
    }
    Ok(Connection { stream: stream.box_stream(), features, identity: jid.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An account at a server that nobody can connect to: an attempt ends at once, by the system call itself.
    fn account() -> Account {
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap();
        let tls = Arc::new(config.with_root_certificates(RootCertStore::empty()).with_no_client_auth());
        let connector = Connector { server: Some(("255.255.255.255".to_owned(), 5222)), tls };
        Account { jid: Jid::new("leela@example.org/x").unwrap(), password: Secret::default(), connector }
    }

    /// When the next troubles are told, in seconds since `begun`.
    async fn times(troubles: &mut mpsc::Receiver<Trouble>, count: usize, begun: Instant) -> Vec<f64> {
        let mut times = Vec::new();
        for _ in 0..count {
            troubles.recv().await.unwrap();
            times.push(begun.elapsed().as_secs_f64());
        }
        times
    }

    /// With what the clock of a test, which goes by milliseconds, adds.
    #[track_caller]
    fn are(times: &[f64], want: &[f64]) {
        let is_near = |(time, want): (&f64, &f64)| (0.0..0.1).contains(&(time - want));
        assert!(times.len() == want.len() && times.iter().zip(want).all(is_near), "{times:?}, not {want:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_is_away_is_tried_at_least_every_5_s() {
        let (told, mut troubles) = mpsc::channel(8);
        let (begun, (slot, wanted)) = (Instant::now(), oneshot::channel());
        let mut connect = reconnector(account(), told, Arc::default(), Duration::ZERO);
        connect(None, slot);
        are(&times(&mut troubles, 7, begun).await, &[0.0, 0.5, 1.5, 3.5, 7.5, 12.5, 17.5]);
        // Nobody wants it any more.
        drop((wanted, connect));
        assert!(troubles.recv().await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_closes_at_once_is_not_besieged() {
        let (told, mut troubles) = mpsc::channel(8);
        // Each login went well, and nothing came of it.
        let mut connect = reconnector(account(), told, Arc::new(AtomicBool::new(true)), Duration::ZERO);
        for want in [0.0, 0.0, 0.5, 1.0, 2.0, 4.0, 5.0, 5.0] {
            let (begun, (slot, _wanted)) = (Instant::now(), oneshot::channel());
            connect(None, slot);
            are(&times(&mut troubles, 1, begun).await, &[want]);
        }
        // One that lasted is made anew at once, but for the wait that was due before.
        tokio::time::sleep(SOON).await;
        for want in [5.0, 0.0] {
            let (begun, (slot, _wanted)) = (Instant::now(), oneshot::channel());
            connect(None, slot);
            are(&times(&mut troubles, 1, begun).await, &[want]);
        }
    }
}
