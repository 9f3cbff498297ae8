//! Signed requests (RFC 9421, `hmac-sha256`, over method, address, type and RFC 9530 digest of the body): whoever shares the secret knows that they are
//! ours and whole. Taken is what was answered 2xx; everything else is sent again, the same entries in the same order.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sceau_proof::log::entry::sha256;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::Message;
use crate::web::Web;

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(15);
/// What the receiver answers is thrown away.
const LONGEST_ANSWER: u64 = 64 * 1024;
const COVERED: &str = r#"("@method" "@target-uri" "content-type" "content-digest")"#;

pub(super) struct Webhook {
    url: String,
    key: hmac::Key,
    web: Web,
}

impl Webhook {
    pub(super) fn new(url: String, secret: &[u8]) -> Self {
        Self {
            url,
            key: hmac::Key::new(hmac::HMAC_SHA256, secret),
            web: Web::new(PATIENCE, "sceau-server"),
        }
    }

    pub(super) async fn deliver(
        &self,
        messages: &[Message],
        now: OffsetDateTime,
    ) -> Result<(), String> {
        let entries: Vec<&Value> = messages.iter().map(|message| &message.body).collect();
        let body = json!({ "entries": entries }).to_string();
        let (digest, input, signature) = self.sign(body.as_bytes(), now);
        let (web, url) = (self.web.clone(), self.url.clone());
        let posted = tokio::task::spawn_blocking(move || {
            let headers = [
                ("content-type", "application/json"),
                ("content-digest", digest.as_str()),
                ("signature-input", input.as_str()),
                ("signature", signature.as_str()),
            ];
            web.post(&url, &headers, body.as_bytes(), LONGEST_ANSWER)
        });
        let answer = posted.await.map_err(|error| error.to_string())??;
        match answer.status {
            200..=299 => Ok(()),
            status => Err(format!("{}: status {status}", self.url)),
        }
    }

    /// `Content-Digest`, `Signature-Input`, `Signature`.
    fn sign(&self, body: &[u8], now: OffsetDateTime) -> (String, String, String) {
        let digest = format!("sha-256=:{}:", STANDARD.encode(sha256(body)));
        let parameters = format!(
            "{COVERED};created={};keyid=\"sceau\";alg=\"hmac-sha256\"",
            now.unix_timestamp()
        );
        let base = format!(
            "\"@method\": POST\n\"@target-uri\": {}\n\"content-type\": application/json\n\"content-digest\": {digest}\n\"@signature-params\": {parameters}",
            self.url
        );
        let tag = hmac::sign(&self.key, base.as_bytes());
        (
            digest,
            format!("sceau={parameters}"),
            format!("sceau=:{}:", STANDARD.encode(tag.as_ref())),
        )
    }
}
