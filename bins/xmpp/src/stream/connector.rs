//! The way to the server: TCP without delay, STARTTLS, a certificate that has to be right.
//!
//! Source: RFC 6120, sections 4 and 5. The library's own connector asks for channel binding, by which a login fails on some
//! servers; and it leaves TCP's delay on, by which each message waits for the acknowledgement of the one before.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use futures::{SinkExt as _, StreamExt as _};
use sasl::common::ChannelBinding;
use tokio::io::BufStream;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_xmpp::Error;
use tokio_xmpp::connect::{DnsConfig, ServerConnector};
use tokio_xmpp::xmlstream::{
    PendingFeaturesRecv, StreamHeader, Timeouts, XmppStream, XmppStreamElement, initiate_stream,
};
use xmpp_parsers::jid::Jid;
use xmpp_parsers::starttls;
use xmpp_parsers::stream_features::StreamFeatures;

/// A server, and whom it has to be.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    /// Where it is; none asks DNS.
    pub(crate) server: Option<(String, u16)>,
    pub(crate) tls: Arc<ClientConfig>,
}

impl Connector {
    async fn tcp(&self, jid: &Jid) -> Result<TcpStream, Error> {
        let tcp = match &self.server {
            Some((host, port)) => TcpStream::connect((host.as_str(), *port)).await?,
            None => DnsConfig::srv_default_client(jid.domain().as_str()).resolve().await?,
        };
        tcp.set_nodelay(true)?;
        Ok(tcp)
    }
}

fn header(jid: &Jid) -> StreamHeader<'_> {
    StreamHeader { to: Some(Cow::Borrowed(jid.domain().as_str())), from: None, id: None }
}

impl ServerConnector for Connector {
    type Stream = BufStream<TlsStream<TcpStream>>;

    async fn connect(
        &self,
        jid: &Jid,
        namespace: &'static str,
        timeouts: Timeouts,
    ) -> Result<(PendingFeaturesRecv<Self::Stream>, ChannelBinding), Error> {
        let tcp = BufStream::new(self.tcp(jid).await?);
        let stream = initiate_stream(tcp, namespace, header(jid), timeouts).await?;
        let (features, mut stream): (StreamFeatures, XmppStream<BufStream<TcpStream>>) =
            stream.recv_features().await?;
        if !features.can_starttls() {
            return Err(io::Error::other("the server offers no STARTTLS").into());
        }
        stream.send(&XmppStreamElement::Starttls(starttls::Nonza::Request(starttls::Request))).await?;
        match stream.next().await.map(|element| element.and_then(|element| element.into_read_error())) {
            Some(Ok(XmppStreamElement::Starttls(starttls::Nonza::Proceed(_)))) => {}
            other => {
                let error = format!("the server does not go on with STARTTLS: {other:?}");
                return Err(io::Error::other(error).into());
            }
        }
        let tcp = stream.into_inner().into_inner();
        let name = ServerName::try_from(jid.domain().as_str().to_owned()).map_err(io::Error::other)?;
        let tls = TlsConnector::from(self.tls.clone()).connect(name, tcp).await?;
        let stream = initiate_stream(BufStream::new(tls), namespace, header(jid), timeouts).await?;
        Ok((stream, ChannelBinding::None))
    }
}
