//! How a client of a test reaches its server: STARTTLS, trusting the authority of the test alone.
//!
//! Source: RFC 6120, section 5.

use std::borrow::Cow;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use futures::{SinkExt, StreamExt};
use sasl::common::ChannelBinding;
use tokio::io::BufStream;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_xmpp::Error;
use tokio_xmpp::connect::ServerConnector;
use tokio_xmpp::xmlstream::{
    PendingFeaturesRecv, StreamHeader, Timeouts, XmppStream, XmppStreamElement, initiate_stream,
};
use xmpp_parsers::jid::Jid;
use xmpp_parsers::starttls;
use xmpp_parsers::stream_features::StreamFeatures;

/// An address, and whom to trust there.
#[derive(Clone, Debug)]
pub(crate) struct Reach {
    address: SocketAddr,
    tls: Arc<ClientConfig>,
}

impl Reach {
    pub(crate) fn new(address: SocketAddr, authority: &Path) -> Reach {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(authority).expect("the server made it");
        roots.add(certificate).expect("it is an authority");
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().expect("ring has them");
        Reach { address, tls: Arc::new(config.with_root_certificates(roots).with_no_client_auth()) }
    }
}

fn header(jid: &Jid) -> StreamHeader<'_> {
    StreamHeader { to: Some(Cow::Borrowed(jid.domain().as_str())), from: None, id: None }
}

impl ServerConnector for Reach {
    type Stream = BufStream<TlsStream<TcpStream>>;

    async fn connect(
        &self,
        jid: &Jid,
        ns: &'static str,
        timeouts: Timeouts,
    ) -> Result<(PendingFeaturesRecv<Self::Stream>, ChannelBinding), Error> {
        let tcp = TcpStream::connect(self.address).await?;
        tcp.set_nodelay(true)?;
        let pending = initiate_stream(BufStream::new(tcp), ns, header(jid), timeouts).await?;
        let (features, mut stream): (StreamFeatures, XmppStream<BufStream<TcpStream>>) =
            pending.recv_features().await?;
        if !features.can_starttls() {
            return Err(io::Error::other("no STARTTLS").into());
        }
        stream.send(&XmppStreamElement::Starttls(starttls::Nonza::Request(starttls::Request))).await?;
        match stream.next().await.map(|element| element.and_then(|element| element.into_read_error())) {
            Some(Ok(XmppStreamElement::Starttls(starttls::Nonza::Proceed(_)))) => {}
            other => return Err(io::Error::other(format!("STARTTLS: {other:?}")).into()),
        }
        let name = ServerName::try_from(jid.domain().as_str().to_owned()).map_err(io::Error::other)?;
        let tcp = stream.into_inner().into_inner();
        let tls = TlsConnector::from(self.tls.clone()).connect(name, tcp).await?;
        let pending = initiate_stream(BufStream::new(tls), ns, header(jid), timeouts).await?;
        // Bound to the channel, ejabberd 23.01 refuses the password.
        Ok((pending, ChannelBinding::None))
    }
}
