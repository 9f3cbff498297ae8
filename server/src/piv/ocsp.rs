//! OCSP responders: asked about a certificate when an answer is due, and their answers kept as long as they count.
//!
//! Not trusted: every answer is signed, and `sceau_proof::piv::issuer` checks that where it is used, and that it is of this time. A responder
//! that cannot be reached leaves the answer that was there, until its age ends it: then nothing is accepted.

use std::collections::HashMap;

use sceau_proof::piv::ocsp::{Answer, MAX_RESPONSE, NONCE, Question};
use time::{Duration, OffsetDateTime};
use tokio::sync::Mutex;

use crate::web;

/// How often a responder is asked about one certificate.
const ASK: Duration = Duration::minutes(1);
/// The most certificates of which answers are kept.
const MOST: usize = 10_000;

/// What is known of one certificate.
#[derive(Debug)]
struct Kept {
    answer: Option<Answer>,
    asked: OffsetDateTime,
}

/// One issuer's responders.
#[derive(Debug)]
pub(crate) struct Responders {
    addresses: Vec<String>,
    demand_nonce: bool,
    web: ureq::Agent,
    kept: Mutex<HashMap<Question, Kept>>,
}

impl Responders {
    /// Nothing is asked yet.
    pub(crate) fn new(addresses: &[String], demand_nonce: bool, web: ureq::Agent) -> Self {
        Self {
            addresses: addresses.to_vec(),
            demand_nonce,
            web,
            kept: Mutex::default(),
        }
    }

    /// The newest answers to these questions that could be had. Waits some seconds for each responder; each certificate is asked about once in a
    /// minute. `nonce`: fresh random bytes; without them none is sent.
    pub(crate) async fn answers(
        &self,
        questions: Vec<Question>,
        nonce: Option<[u8; NONCE]>,
        now: OffsetDateTime,
    ) -> Vec<Answer> {
        let mut answers = Vec::new();
        for question in questions {
            if self.is_due(&question, now).await {
                let fetched = self.ask(question.clone(), nonce).await;
                self.keep(&question, fetched, now).await;
            }
            let kept = self.kept.lock().await;
            answers.extend(kept.get(&question).and_then(|kept| kept.answer.clone()));
        }
        answers
    }

    async fn is_due(&self, question: &Question, now: OffsetDateTime) -> bool {
        let kept = self.kept.lock().await;
        kept.get(question)
            .is_none_or(|kept| now - kept.asked >= ASK)
    }

    /// What could not be fetched leaves what was there.
    async fn keep(&self, question: &Question, fetched: Option<Answer>, now: OffsetDateTime) {
        let mut kept = self.kept.lock().await;
        if kept.len() >= MOST {
            kept.retain(|_, kept| now - kept.asked < ASK);
        }
        let before = kept.remove(question).and_then(|kept| kept.answer);
        if kept.len() < MOST {
            let answer = fetched.or(before);
            kept.insert(question.clone(), Kept { answer, asked: now });
        }
    }

    /// The first responder that gives an answer to this question.
    async fn ask(&self, question: Question, nonce: Option<[u8; NONCE]>) -> Option<Answer> {
        for address in &self.addresses {
            let (web, demanded, to) = (self.web.clone(), self.demand_nonce, address.clone());
            let request = question.request(nonce.as_ref());
            let asking =
                tokio::task::spawn_blocking(move || ask(&web, &to, &request, nonce, demanded));
            match asking.await {
                Ok(Ok(answer)) => return Some(answer),
                Ok(Err(error)) => tracing::warn!(address, error, "OCSP responder"),
                Err(error) => tracing::warn!(address, %error, "OCSP responder"),
            }
        }
        None
    }
}

fn ask(
    web: &ureq::Agent,
    address: &str,
    request: &[u8],
    nonce: Option<[u8; NONCE]>,
    demanded: bool,
) -> Result<Answer, String> {
    let answer = web
        .post(address)
        .header("content-type", "application/ocsp-request")
        .send(request);
    let answer = Answer::read(&web::body(answer, MAX_RESPONSE)?).map_err(|it| it.to_string())?;
    match nonce {
        Some(nonce) => answer.fits(&nonce, demanded).map_err(|it| it.to_string())?,
        None if demanded => return Err("no nonce could be made".to_owned()),
        None => {}
    }
    Ok(answer)
}
