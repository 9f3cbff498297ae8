//! TCP and TLS to the configured server, and to nobody else (attack 24).
//!
//! The server is known by a certificate authority (the configured file, or else the system's store), by the SHA-256 of its public key, or by both.
//! Plain HTTP goes to loopback addresses only, by number: not even the hosts file is asked what `localhost` is. Dead peers are found by TCP
//! keep-alive in the kernel, which does not wake this process.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::ServerError;
use crate::config::{Config, ServerUrl};

/// Silence after which the kernel asks whether the server is still there.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(120);
/// Between two such questions.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// Unanswered questions after which the connection is dead.
const KEEPALIVE_TRIES: u32 = 4;

/// Opens connections to one server.
pub struct Connector {
    server: ServerUrl,
    authority: String,
    tls: Option<(TlsConnector, ServerName<'static>)>,
}

impl Connector {
    /// Reads certificate authorities as configured.
    ///
    /// # Errors
    /// [`ServerError::Untrusted`]: no authority and no pin to know the server by.
    pub fn new(config: &Config) -> Result<Self, ServerError> {
        let server = config.server.clone();
        let tls = if server.tls {
            let name = ServerName::try_from(server.host.clone())
                .map_err(|_| ServerError::Untrusted("its name is not a host name".into()))?;
            Some((TlsConnector::from(Arc::new(client_config(config)?)), name))
        } else {
            None
        };
        Ok(Self {
            authority: server.authority(),
            server,
            tls,
        })
    }

    /// The `Host` header.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Connects, and checks who answers.
    ///
    /// # Errors
    /// [`ServerError::Unavailable`]: nobody answers. [`ServerError::Untrusted`]: somebody else does; nothing was sent.
    pub async fn connect(&self) -> Result<Stream, ServerError> {
        let unavailable = |e: io::Error| ServerError::Unavailable(e.to_string());
        let tcp = self.tcp().await.map_err(unavailable)?;
        tcp.set_nodelay(true).map_err(unavailable)?;
        keep_alive(&tcp).map_err(|e| unavailable(e.into()))?;
        let Some((connector, name)) = &self.tls else {
            return Ok(Stream::Plain(tcp));
        };
        match connector.connect(name.clone(), tcp).await {
            Ok(stream) => Ok(Stream::Tls(Box::new(stream))),
            Err(e) => match e
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>())
            {
                Some(rustls::Error::InvalidCertificate(reason)) => {
                    Err(ServerError::Untrusted(reason.to_string()))
                }
                Some(other) => Err(ServerError::Unavailable(other.to_string())),
                None => Err(unavailable(e)),
            },
        }
    }

    async fn tcp(&self) -> io::Result<TcpStream> {
        let port = self.server.port;
        if self.tls.is_none() && self.server.host == "localhost" {
            let loopback = [
                SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
                SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
            ];
            return TcpStream::connect(&loopback[..]).await;
        }
        TcpStream::connect((self.server.host.as_str(), port)).await
    }
}

fn keep_alive(tcp: &TcpStream) -> rustix::io::Result<()> {
    use rustix::net::sockopt;
    sockopt::set_socket_keepalive(tcp, true)?;
    sockopt::set_tcp_keepidle(tcp, KEEPALIVE_IDLE)?;
    sockopt::set_tcp_keepintvl(tcp, KEEPALIVE_INTERVAL)?;
    sockopt::set_tcp_keepcnt(tcp, KEEPALIVE_TRIES)
}

fn client_config(config: &Config) -> Result<ClientConfig, ServerError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let authorities = match &config.ca_file {
        Some(path) => Some(roots_of_file(path)?),
        None if config.spki_sha256.is_empty() => Some(roots_of_system()?),
        None => None,
    };
    let chain = authorities
        .map(|roots| {
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
                .build()
        })
        .transpose()
        .map_err(|e| ServerError::Untrusted(e.to_string()))?;
    let verifier = Arc::new(ConfiguredServer {
        chain,
        pins: config.spki_sha256.clone(),
        provider: Arc::clone(&provider),
    });
    let mut tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| ServerError::Untrusted(e.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(tls)
}

fn roots_of_file(path: &std::path::Path) -> Result<RootCertStore, ServerError> {
    let unreadable =
        |reason: String| ServerError::Untrusted(format!("ca_file {}: {reason}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| unreadable(e.to_string()))? {
        roots
            .add(certificate.map_err(|e| unreadable(e.to_string()))?)
            .map_err(|e| unreadable(e.to_string()))?;
    }
    if roots.is_empty() {
        Err(unreadable("no certificate in it".into()))
    } else {
        Ok(roots)
    }
}

fn roots_of_system() -> Result<RootCertStore, ServerError> {
    let mut roots = RootCertStore::empty();
    let (added, ignored) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    tracing::debug!(added, ignored, "certificate authorities of the system");
    if roots.is_empty() {
        Err(ServerError::Untrusted(
            "the system has no certificate authorities: set ca_file or spki_sha256".into(),
        ))
    } else {
        Ok(roots)
    }
}

/// Accepts the configured server's certificate: by its chain, by its key, or by both.
#[derive(Debug)]
struct ConfiguredServer {
    chain: Option<Arc<WebPkiServerVerifier>>,
    pins: Vec<[u8; 32]>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ConfiguredServer {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let refused = |reason| rustls::Error::InvalidCertificate(reason);
        if !self.pins.is_empty() {
            let leaf = webpki::EndEntityCert::try_from(end_entity)
                .map_err(|_| refused(CertificateError::BadEncoding))?;
            let digest = aws_lc_rs_digest(leaf.subject_public_key_info().as_ref());
            if !self.pins.contains(&digest) {
                return Err(refused(CertificateError::ApplicationVerificationFailure));
            }
        }
        match &self.chain {
            Some(chain) => {
                chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
            }
            // The pin alone: whoever holds that key is the server, whatever its certificate says.
            None if !self.pins.is_empty() => Ok(ServerCertVerified::assertion()),
            None => Err(refused(CertificateError::UnknownIssuer)),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(
            message,
            cert,
            dss,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn aws_lc_rs_digest(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(::aws_lc_rs::digest::digest(&::aws_lc_rs::digest::SHA256, bytes).as_ref());
    out
}

/// A connection to the server.
pub enum Stream {
    /// Inside this machine.
    Plain(TcpStream),
    /// To the server that the configuration describes.
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream.as_mut()).poll_shutdown(cx),
        }
    }
}
