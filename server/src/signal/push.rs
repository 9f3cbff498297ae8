//! Push-based delivery (RFC 8935): one token in one POST. Taken is what is answered 2xx; nothing else of an answer is believed but the word of an error.

use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use super::run::{Trouble, later};
use crate::web::{Answer, Web};

/// For a whole exchange.
const PATIENCE: Duration = Duration::from_secs(15);
/// What of an answer is read.
pub(super) const LONGEST_ANSWER: u64 = 64 * 1024;

/// RFC 8935 §2.3.
#[derive(Deserialize)]
struct Refusal {
    err: String,
}

/// Posts to one receiver.
#[derive(Clone)]
pub(super) struct Push {
    url: String,
    authorization: Option<Zeroizing<String>>,
    web: Web,
}

impl Push {
    pub(super) fn new(url: &str, authorization: Option<&Zeroizing<String>>) -> Self {
        Self {
            url: url.to_owned(),
            authorization: authorization.cloned(),
            web: Web::new(PATIENCE, "sceau-server"),
        }
    }

    pub(super) async fn deliver(&self, token: String) -> Result<(), Trouble> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.post(&token))
            .await
            .map_err(|_| Trouble::Later("stopped".to_owned()))?
    }

    fn post(&self, token: &str) -> Result<(), Trouble> {
        let mut headers = vec![
            ("content-type", "application/secevent+jwt"),
            ("accept", "application/json"),
        ];
        if let Some(line) = &self.authorization {
            headers.push(("authorization", line));
        }
        let answer = self.web.ask(
            "POST",
            &self.url,
            &headers,
            token.as_bytes(),
            LONGEST_ANSWER,
        );
        let answer = answer.map_err(|error| {
            tracing::debug!(error, url = self.url, "a receiver of signals");
            Trouble::Later("unreachable".to_owned())
        })?;
        judge(&answer)
    }
}

/// RFC 8935 §2.2, §2.3.
fn judge(answer: &Answer) -> Result<(), Trouble> {
    match answer.status {
        200..=299 => Ok(()),
        400 => {
            let refusal = serde_json::from_slice::<Refusal>(&answer.body);
            Err(Trouble::Refused(super::run::word(
                refusal.ok().map(|it| it.err).as_deref(),
                "status-400",
            )))
        }
        // Our own right to post, or the receiver's load: not about this token.
        401 | 403 | 404 | 408 | 425 | 429 => Err(later(answer)),
        status @ 400..=499 => Err(Trouble::Refused(format!("status-{status}"))),
        _ => Err(later(answer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_receiver_answers_is_sorted_by_what_can_be_done() {
        let judge = |status, body: &str| {
            judge(&Answer {
                status,
                body: body.as_bytes().to_vec(),
                pause: None,
            })
        };
        let later = |word: &str| Err(Trouble::Later(word.to_owned()));
        let refused = |word: &str| Err(Trouble::Refused(word.to_owned()));
        assert_eq!(judge(202, "<html>"), Ok(()));
        assert_eq!(judge(302, ""), later("status-302"));
        assert_eq!(judge(401, ""), later("status-401"));
        assert_eq!(judge(503, ""), later("status-503"));
        assert_eq!(
            judge(400, r#"{"err":"invalid_audience","description":"x"}"#),
            refused("invalid-audience")
        );
        // A word that could not stand in the log is none.
        for odd in ["", "{", r#"{"err":"<script>"}"#, r#"{"err":7}"#] {
            assert_eq!(judge(400, odd), refused("status-400"), "{odd}");
        }
        assert_eq!(judge(413, ""), refused("status-413"));
    }
}
