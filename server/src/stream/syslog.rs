//! Syslog: RFC 5424 messages over a Unix socket or UDP (RFC 5426) one by one, over TCP (RFC 6587) or TLS (RFC 5425) after their length.
//!
//! Syslog has no answer: over a stream an entry counts as taken when the kernel has it, so that a receiver that dies at that moment may miss some.
//! Who must miss nothing uses the webhook.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use time::UtcOffset;
use time::format_description::well_known::Rfc3339;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram};

use super::Message;

const PATIENCE: Duration = Duration::from_secs(10);

trait Channel: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Channel for T {}

enum Connection {
    Unix(UnixDatagram),
    Udp(UdpSocket),
    Stream(Box<dyn Channel>),
}

pub(super) struct Syslog {
    address: String,
    ca: Option<PathBuf>,
    host: String,
    connection: Option<Connection>,
}

impl Syslog {
    pub(super) fn new(address: &str, ca: Option<PathBuf>) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            address: address.to_owned(),
            ca,
            host: printable(host.trim(), 255),
            connection: None,
        }
    }

    pub(super) async fn deliver(&mut self, messages: &[Message]) -> Result<(), String> {
        let deliver = tokio::time::timeout(PATIENCE, self.hand_over(messages));
        let result = match deliver.await {
            Ok(result) => result,
            Err(_) => Err("no progress in time".to_owned()),
        };
        if result.is_err() {
            self.connection = None;
        }
        result.map_err(|reason| format!("{}: {reason}", self.address))
    }

    async fn hand_over(&mut self, messages: &[Message]) -> Result<(), String> {
        let said = |error: std::io::Error| error.to_string();
        if let Some(Connection::Stream(stream)) = &mut self.connection
            && has_ended(stream).await
        {
            self.connection = None;
        }
        if self.connection.is_none() {
            self.connection = Some(self.connect().await?);
        }
        let lines: Vec<String> = messages
            .iter()
            .map(|message| line(message, &self.host))
            .collect();
        match &mut self.connection {
            Some(Connection::Unix(socket)) => {
                for line in &lines {
                    socket.send(line.as_bytes()).await.map_err(said)?;
                }
            }
            Some(Connection::Udp(socket)) => {
                for line in &lines {
                    socket.send(line.as_bytes()).await.map_err(said)?;
                }
            }
            Some(Connection::Stream(stream)) => {
                for line in &lines {
                    let framed = format!("{} {line}", line.len());
                    stream.write_all(framed.as_bytes()).await.map_err(said)?;
                }
                stream.flush().await.map_err(said)?;
            }
            None => {}
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Connection, String> {
        let said = |error: std::io::Error| error.to_string();
        let (way, place) = self.address.split_once(':').ok_or("no such way")?;
        match way {
            "unix" => {
                let socket = UnixDatagram::unbound().map_err(said)?;
                socket.connect(place).map_err(said)?;
                Ok(Connection::Unix(socket))
            }
            "udp" => {
                let socket = UdpSocket::bind("[::]:0").await;
                let socket = match socket {
                    Ok(socket) => socket,
                    Err(_) => UdpSocket::bind("0.0.0.0:0").await.map_err(said)?,
                };
                if socket.connect(place).await.is_ok() {
                    return Ok(Connection::Udp(socket));
                }
                let socket = UdpSocket::bind("0.0.0.0:0").await.map_err(said)?;
                socket.connect(place).await.map_err(said)?;
                Ok(Connection::Udp(socket))
            }
            "tcp" => Ok(Connection::Stream(Box::new(
                TcpStream::connect(place).await.map_err(said)?,
            ))),
            "tls" => {
                let stream = TcpStream::connect(place).await.map_err(said)?;
                let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
                let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
                    .map_err(|error| error.to_string())?;
                let tls = tokio_rustls::TlsConnector::from(Arc::new(self.tls()?));
                let stream = tls.connect(name, stream).await.map_err(said)?;
                Ok(Connection::Stream(Box::new(stream)))
            }
            _ => Err("no such way".to_owned()),
        }
    }

    fn tls(&self) -> Result<rustls::ClientConfig, String> {
        let mut roots = rustls::RootCertStore::empty();
        match &self.ca {
            Some(path) => {
                let found = CertificateDer::pem_file_iter(path)
                    .and_then(Iterator::collect::<Result<Vec<_>, _>>)
                    .map_err(|error| format!("{}: {error}", path.display()))?;
                roots.add_parsable_certificates(found);
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?;
        Ok(config.with_root_certificates(roots).with_no_client_auth())
    }
}

/// Whether the receiver has closed: it never sends, so that anything to read is the end.
async fn has_ended(stream: &mut Box<dyn Channel>) -> bool {
    let mut byte = [0];
    let read = tokio::time::timeout(Duration::from_millis(1), stream.read(&mut byte));
    matches!(read.await, Ok(Ok(0) | Err(_)))
}

/// RFC 5424 §6: PRINTUSASCII, bounded, `-` when empty.
fn printable(text: &str, longest: usize) -> String {
    let text: String = text
        .chars()
        .filter(|c| ('!'..='~').contains(c))
        .take(longest)
        .collect();
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}

fn line(message: &Message, host: &str) -> String {
    // Facility 10: security and authorisation.
    let priority = 10 * 8 + message.severity.number();
    let at = message
        .at
        .to_offset(UtcOffset::UTC)
        .format(&Rfc3339)
        .unwrap_or_else(|_| "-".to_owned());
    let escape = |text: &str| {
        text.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace(']', "\\]")
    };
    format!(
        "<{priority}>1 {at} {host} sceau-server {} {} [sceau@32473 index=\"{}\" type=\"{}\"] {}",
        std::process::id(),
        printable(&message.kind, 32),
        message.index,
        escape(&message.kind),
        message.body
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use time::macros::datetime;

    use super::*;
    use crate::stream::Severity;

    #[test]
    fn a_line_is_rfc_5424() {
        let message = Message {
            index: 7,
            at: datetime!(2026-11-22 1:02:03.5 UTC),
            kind: "alert.cloned-key".to_owned(),
            severity: Severity::Alert,
            body: json!({"a": "é]\""}),
        };
        let line = line(&message, "host");
        let wanted = format!(
            "<81>1 2026-11-22T01:02:03.5Z host sceau-server {} alert.cloned-key [sceau@32473 index=\"7\" type=\"alert.cloned-key\"] {{\"a\":\"é]\\\"\"}}",
            std::process::id()
        );
        assert_eq!(line, wanted);
        assert_eq!(printable("a b\u{e9}", 255), "ab");
        assert_eq!(printable("", 255), "-");
    }
}
