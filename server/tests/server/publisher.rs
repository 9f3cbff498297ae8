//! Who publishes metadata: a root, a signer, and a web server that gives the newest list and answers conditional requests. It shares no
//! code with what verifies.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::authenticator::Manufacturer;

/// The model that `authenticator` makes.
pub(crate) const MODEL: &str = "73636561-752d-7465-7374-2d6d6f64656c";

/// Signs lists.
pub(crate) struct Publisher {
    pub(crate) root_pem: String,
    signer: Vec<u8>,
    pkcs8: Vec<u8>,
}

impl Publisher {
    pub(crate) fn new(leaf_name: &str) -> Self {
        let root_key = rcgen::KeyPair::generate().unwrap();
        let mut root = rcgen::CertificateParams::default();
        root.distinguished_name
            .push(rcgen::DnType::CommonName, "Test Metadata Root");
        root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let root_pem = root.self_signed(&root_key).unwrap().pem();
        let issuer = rcgen::Issuer::new(root, root_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let mut leaf = rcgen::CertificateParams::new(vec![leaf_name.to_owned()]).unwrap();
        leaf.distinguished_name
            .push(rcgen::DnType::CommonName, leaf_name);
        Self {
            root_pem,
            signer: leaf.signed_by(&key, &issuer).unwrap().der().to_vec(),
            pkcs8: key.serialize_der(),
        }
    }

    /// A signed list.
    pub(crate) fn sign(&self, payload: &Value) -> String {
        let header = json!({"alg": "ES256", "typ": "JWT", "x5c": [STANDARD.encode(&self.signer)]});
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(payload));
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.pkcs8).unwrap();
        let signature = pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

/// A list with one entry of the manufacturer's model, with that history.
pub(crate) fn list(no: u64, manufacturer: &Manufacturer, reports: &Value) -> Value {
    let root: String = manufacturer
        .root_pem
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    json!({
        "legalHeader": "none", "no": no, "nextUpdate": "2026-12-01",
        "entries": [{
            "aaguid": MODEL,
            "timeOfLastStatusChange": "2026-01-01",
            "statusReports": reports,
            "metadataStatement": {
                "description": "Test Keys Model 1", "attestationTypes": ["basic_full"],
                "keyProtection": ["hardware", "secure_element"], "attestationRootCertificates": [root],
            },
        }],
    })
}

/// Certified at level 1 since January.
pub(crate) fn certified() -> Value {
    json!([{"status": "FIDO_CERTIFIED_L1", "effectiveDate": "2026-01-01"}])
}

/// Certified, and revoked from that day on.
pub(crate) fn revoked(from: &str) -> Value {
    json!([{"status": "FIDO_CERTIFIED_L1", "effectiveDate": "2026-01-01"}, {"status": "REVOKED", "effectiveDate": from}])
}

#[derive(Default)]
struct Page {
    status: u16,
    body: String,
    etag: String,
    asked: u32,
    unchanged: u32,
}

/// A web server with one page.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) address: SocketAddr,
    page: Arc<Mutex<Page>>,
}

impl Site {
    pub(crate) async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let site = Self {
            address: listener.local_addr().unwrap(),
            page: Arc::default(),
        };
        let page = Arc::clone(&site.page);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = Vec::new();
                while !asked.ends_with(b"\r\n\r\n") {
                    match stream.read_u8().await {
                        Ok(byte) => asked.push(byte),
                        Err(_) => break,
                    }
                }
                let asked = String::from_utf8_lossy(&asked).to_ascii_lowercase();
                let answer = {
                    let mut page = page.lock().unwrap();
                    page.asked += 1;
                    let known = format!("if-none-match: {}", page.etag);
                    if asked.contains(&known) && page.status == 200 {
                        page.unchanged += 1;
                        "HTTP/1.1 304 Not Modified\r\nconnection: close\r\n\r\n".to_owned()
                    } else {
                        format!(
                            "HTTP/1.1 {} Some\r\netag: {}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{}",
                            page.status,
                            page.etag,
                            page.body.len(),
                            page.body
                        )
                    }
                };
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        });
        site
    }

    /// From now on it gives this.
    pub(crate) fn give(&self, status: u16, body: &str) {
        let mut page = self.page.lock().unwrap();
        page.status = status;
        page.body = body.to_owned();
        page.etag = format!("\"{:016x}\"", {
            use std::hash::{DefaultHasher, Hash as _, Hasher as _};
            let mut hasher = DefaultHasher::new();
            body.hash(&mut hasher);
            hasher.finish()
        });
    }

    /// How often it was asked, and how often that was for nothing.
    pub(crate) fn asked(&self) -> (u32, u32) {
        let page = self.page.lock().unwrap();
        (page.asked, page.unchanged)
    }
}
