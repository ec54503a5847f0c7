//! A client that speaks TLS, and the certificates of a test.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use tests::Sandbox;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// `ca`, what it has signed (`server`, `client`), and `stranger`, which nobody knows.
pub(super) struct Certificates(PathBuf);

impl Certificates {
    pub(super) fn new(sandbox: &Sandbox) -> Certificates {
        let dir = sandbox.path().to_owned();
        make(&dir, "ca", None);
        make(&dir, "other-ca", None);
        make(&dir, "server", Some("ca"));
        make(&dir, "client", Some("ca"));
        make(&dir, "stranger", Some("other-ca"));
        Certificates(dir)
    }

    fn certificates(&self, name: &str) -> Vec<CertificateDer<'static>> {
        let file = self.0.join(format!("{name}.pem"));
        let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect);
        read.expect("openssl wrote it")
    }
}

fn make(dir: &Path, name: &str, signed_by: Option<&str>) {
    let mut openssl = Command::new("openssl");
    openssl.current_dir(dir).args([
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
    ]);
    openssl.args(["-nodes", "-days", "2", "-subj", &format!("/CN={name}")]);
    openssl.args(["-keyout", &format!("{name}.key"), "-out", &format!("{name}.pem")]);
    match signed_by {
        None => openssl.args(["-addext", "basicConstraints=critical,CA:TRUE"]),
        Some(ca) => openssl.args(["-CA", &format!("{ca}.pem"), "-CAkey", &format!("{ca}.key")]).args([
            "-addext",
            "basicConstraints=critical,CA:FALSE",
            "-addext",
            "subjectAltName=DNS:localhost",
        ]),
    };
    let output = openssl.output().expect("openssl is installed");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(fs::exists(dir.join(format!("{name}.pem"))).unwrap_or_default());
}

/// A connection by TLS.
pub(super) struct Client(StreamOwned<ClientConnection, TcpStream>);

impl Client {
    /// Connects with the certificate of this name, or with none.
    pub(super) fn connect(address: SocketAddr, certificates: &Certificates, name: Option<&str>) -> Client {
        let mut roots = RootCertStore::empty();
        for certificate in certificates.certificates("ca") {
            roots.add(certificate).expect("it is one");
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("there are some")
            .with_root_certificates(roots);
        let config = match name {
            None => config.with_no_client_auth(),
            Some(name) => {
                let key = PrivateKeyDer::from_pem_file(certificates.0.join(format!("{name}.key")));
                let chain = certificates.certificates(name);
                config.with_client_auth_cert(chain, key.expect("openssl wrote it")).expect("they fit")
            }
        };
        let host = ServerName::try_from("localhost").expect("it is a name");
        let connection = ClientConnection::new(Arc::new(config), host).expect("it is configured");
        let stream = TcpStream::connect(address).expect("it listens");
        Client(StreamOwned::new(connection, stream))
    }

    /// Says that it has no more, and waits for the end; true when the server had nothing against it.
    pub(super) fn ends_well(mut self) -> bool {
        self.0.conn.send_close_notify();
        self.0.flush().is_ok() && matches!(self.0.sock.read(&mut [0; 64]), Ok(0))
    }
}

impl Write for Client {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.0.write(bytes)?;
        self.0.flush()?;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
