//! TLS: the certificate it is served with, and the ones that clients have to show.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use common::config::credential;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};

use crate::config::Config;

/// What a handshake needs; none where TLS is not served.
///
/// # Errors
/// Where a file cannot be used.
pub fn server(config: &Config) -> anyhow::Result<Option<Arc<ServerConfig>>> {
    if config.tls.is_empty() {
        return Ok(None);
    }
    let chain = certificates("tls_certificate", &config.tls_certificate)?;
    let key = PrivateKeyDer::from_pem_file(credential(&config.tls_key))
        .with_context(|| format!("tls_key: reading {}", config.tls_key.display()))?;
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .context("choosing versions of TLS")?;
    let builder = if config.tls_client_ca.as_os_str().is_empty() {
        builder.with_no_client_auth()
    } else {
        let mut roots = RootCertStore::empty();
        for certificate in certificates("tls_client_ca", &config.tls_client_ca)? {
            roots.add(certificate).context("tls_client_ca: a certificate cannot be used")?;
        }
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        builder.with_client_cert_verifier(verifier.build().context("tls_client_ca")?)
    };
    let mut server =
        builder.with_single_cert(chain, key).context("tls_certificate and tls_key do not fit")?;
    // Nothing is sent but handshakes, and a connection lasts: what would make the next one quicker is not worth a byte.
    server.send_tls13_tickets = 0;
    Ok(Some(Arc::new(server)))
}

fn certificates(key: &str, path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let certificates: Vec<_> = CertificateDer::pem_file_iter(credential(path))
        .and_then(Iterator::collect)
        .with_context(|| format!("{key}: reading {}", path.display()))?;
    anyhow::ensure!(!certificates.is_empty(), "{key}: there is no certificate in {}", path.display());
    Ok(certificates)
}
