//! Sealing one action: show → consent → PIN → touch → sign → report. The states are [`crate::ceremony`]'s; here they meet people, authenticators
//! and the server.
//!
//! What goes wrong before the report leaves the action pending. Wrong PINs are never repeated by themselves.

use std::time::Duration;

use sceau_ctap::{Keepalive, Pin};
use uuid::Uuid;

use crate::agent::{Agent, Failure};
use crate::ceremony::{Consented, Proposal, Sealed, Unfit};
use crate::enrolment;
use crate::life::message;
use crate::locale::Language;
use crate::log;
use crate::piv::{self, ReadyCard};
use crate::presence;
use crate::prompt::{Again, Answer, Progress, Prompt, Question, Refusal, Secret};
use crate::queue::Arrival;
use crate::reader::{AuthenticatorError, Ready};
use crate::server::{ActionState, FoundAction, Requirement, ServerError};
use crate::session::Token;
use crate::text;

/// How long another program is left alone with an authenticator before it is asked again.
const PAUSE_OF_A_BUSY_KEY: Duration = Duration::from_secs(1);
/// How long the server's greeting, which names the person's keys, is waited for by whoever asks for an action before it came.
const GREETING: Duration = Duration::from_secs(10);
/// How often, in one ceremony, an authenticator that gave no answer is asked again.
const MAX_FAILURES: u32 = 5;

/// How a prompt about an action ended, when nothing failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Sealed, and the server says that the action is in this state.
    Sealed(String),
    /// Refused, and the server says that the action is in this state.
    Refused(String),
    /// Put off.
    Later,
}

/// Prompts for the action `id`, or else for the oldest that waits and is not in `except`. Returns which one it was.
///
/// # Errors
/// [`Failure`]; except for a report that was not answered, nothing changed at the server.
pub async fn approve(
    agent: &Agent,
    prompt: &mut impl Prompt,
    language: Language,
    id: Option<Uuid>,
    except: &[Uuid],
) -> Result<(Uuid, Result<Outcome, Failure>), Failure> {
    agent.token()?;
    if let Some(breach) = agent.log.breach() {
        return Err(Failure::LogBreach(breach.kind));
    }
    let _turn = agent.turn(prompt).await;
    let _signing = presence::signing(agent);
    let next = |agent: &Agent| agent.with_queue(|queue| queue.next(id, except, agent.now()));
    let proposal = match (next(agent), id) {
        (Some(proposal), _) => proposal,
        (None, Some(id)) => {
            fetch(agent, id).await?;
            next(agent).ok_or(Failure::NothingPending)?
        }
        (None, None) => return Err(Failure::NothingPending),
    };
    let id = proposal.id();
    let _prompting = agent.prompting(id);
    let action_sha256 = proposal.action().sha256();
    let token = agent.token()?;
    let chosen = while_pending(agent, &proposal, prompt, async |prompt: &mut _| {
        choose(agent, prompt, language, proposal.clone(), &token).await
    })
    .await;
    let outcome = match chosen {
        // From here on the answer is the server's own, though the inbox may tell of it first.
        Ok(chosen) => carry_out(agent, prompt, (id, action_sha256), chosen, &token).await,
        Err(failure) => Err(failure),
    };
    Ok((id, outcome))
}

/// Puts an action forward that the person asked to see: it is fetched if the inbox has not told of it.
///
/// # Errors
/// [`Failure`]: it does not await this person.
pub async fn summon(agent: &Agent, id: Uuid) -> Result<(), Failure> {
    agent.token()?;
    let waits = agent.with_queue(|queue| queue.next(Some(id), &[], agent.now()).is_some());
    if !waits {
        fetch(agent, id).await?;
    }
    agent.summon(id);
    Ok(())
}

/// What a person chose, and the key sealed.
enum Chosen {
    Sealed(Box<Sealed>),
    Refused(Refusal),
    Later,
}

async fn carry_out(
    agent: &Agent,
    prompt: &mut impl Prompt,
    (id, action_sha256): (Uuid, [u8; 32]),
    chosen: Chosen,
    token: &Token,
) -> Result<Outcome, Failure> {
    match chosen {
        Chosen::Later => Ok(Outcome::Later),
        Chosen::Refused(refusal) => refuse(agent, id, &refusal).await.map(Outcome::Refused),
        Chosen::Sealed(sealed) => {
            prompt.tell(Progress::Reporting);
            let state = report(agent, &sealed, token).await?;
            tracing::info!(message_id = message::SEALED, action_id = %id, state, "sealed");
            agent.settle(id, &state);
            if let Some(response_sha256) = log::response_sha256(&sealed.report()) {
                let expected = log::Sealed {
                    action: id,
                    action_sha256,
                    response_sha256,
                };
                agent.log.expect(expected, token.clone());
            }
            Ok(Outcome::Sealed(state))
        }
    }
}

/// Asks the server for an action that the inbox has not told of (yet).
async fn fetch(agent: &Agent, id: Uuid) -> Result<(), Failure> {
    if let Some(state) = agent.with_queue(|queue| queue.settled(id).map(str::to_owned)) {
        return Err(Failure::Withdrawn(state));
    }
    let found: FoundAction = agent
        .server
        .get(
            &format!("/v1/actions/{id}"),
            Some(&agent.token()?),
            Duration::ZERO,
        )
        .await?;
    if found.state != "pending" {
        return Err(Failure::Withdrawn(found.state));
    }
    greeted(agent).await?;
    let document = found.action.get().as_bytes();
    let by_touch = |requirement: Requirement| requirement.verification == "touch";
    let touch_suffices = found.requirement.is_some_and(by_touch);
    let mut keys = agent.keys();
    keys.retain(|key| touch_suffices || key.kind != "fido2" || !key.is_touch_only());
    match agent.with_queue(|queue| queue.arrive(document, keys, agent.now())) {
        Arrival::Waits(found) | Arrival::Known(found) if found == id => Ok(()),
        Arrival::Unfit(unfit) => Err(unfit.into()),
        _ => Err(Unfit::NotWhatWasAsked.into()),
    }
}

/// A daemon that has just started, or signed in, knows of no keys before the inbox's greeting: an action fetched earlier would seem to have none.
async fn greeted(agent: &Agent) -> Result<(), Failure> {
    let greeting = agent.until(|agent| agent.person().map(drop));
    tokio::time::timeout(GREETING, greeting)
        .await
        .map_err(|_| ServerError::Unavailable("its inbox does not greet".to_owned()).into())
}

async fn choose(
    agent: &Agent,
    prompt: &mut impl Prompt,
    language: Language,
    proposal: Proposal,
    token: &Token,
) -> Result<Chosen, Failure> {
    let waiting = agent
        .with_queue(|queue| queue.waiting(agent.now()).len())
        .saturating_sub(1);
    let question = Question::Action {
        action: text::shown(proposal.action(), language, waiting)?,
    };
    match prompt.ask(question).await {
        Answer::GoOn => {}
        Answer::Refuse(refusal) => return Ok(Chosen::Refused(refusal)),
        Answer::Later => return Ok(Chosen::Later),
        Answer::Pin(_) | Answer::Cancel => return Err(Failure::Declined { reported: false }),
    }
    let consented = proposal.consented(&agent.config.rp_id, agent.now())?;
    seal(agent, prompt, consented, Some(token))
        .await
        .map(|sealed| Chosen::Sealed(Box::new(sealed)))
}

/// Refuses an action at the server.
///
/// # Errors
/// [`Failure::SignedOut`], [`Failure::Server`].
pub async fn refuse(agent: &Agent, id: Uuid, refusal: &Refusal) -> Result<String, Failure> {
    let mut body = serde_json::json!({ "reason": refusal.reason });
    if let (Some(text), Some(body)) = (&refusal.text, body.as_object_mut()) {
        body.insert(
            "text".into(),
            text.chars().take(500).collect::<String>().into(),
        );
    }
    let answer: ActionState = agent
        .server
        .post(
            &format!("/v1/actions/{id}/refusals"),
            Some(&agent.token()?),
            &body,
        )
        .await?;
    tracing::info!(message_id = message::REFUSED, action_id = %id, state = answer.state, "refused");
    agent.settle(id, &answer.state);
    Ok(answer.state)
}

/// Runs `work` until the action is settled elsewhere or expires; then the prompt is withdrawn and whatever the authenticator does is cancelled.
async fn while_pending<P: Prompt>(
    agent: &Agent,
    proposal: &Proposal,
    prompt: &mut P,
    work: impl AsyncFnOnce(&mut P) -> Result<Chosen, Failure>,
) -> Result<Chosen, Failure> {
    let id = proposal.id();
    let left = Duration::try_from(proposal.expires_at() - agent.now()).unwrap_or_default();
    let settled =
        agent.until(|agent| agent.with_queue(|queue| queue.settled(id).map(str::to_owned)));
    let state = tokio::select! {
        biased;
        chosen = work(prompt) => return chosen,
        state = settled => state,
        () = tokio::time::sleep(left) => "expired".to_owned(),
    };
    prompt.tell(Progress::Withdrawn {
        state: state.clone(),
    });
    Err(Failure::Withdrawn(state))
}

/// Gets a signature from whichever authenticator holds one of the keys. `token` is whose session hears of a blocked key, if any.
///
/// # Errors
/// [`Failure`]: nothing was signed, or what was signed is not used.
pub async fn seal(
    agent: &Agent,
    prompt: &mut impl Prompt,
    consented: Consented,
    token: Option<&Token>,
) -> Result<Sealed, Failure> {
    let (authenticator, index, typed) = match holder(agent, prompt, &consented).await? {
        Holder::Key(authenticator, index, typed) => (authenticator, index, typed),
        Holder::Card(card, index) => {
            let armed = consented.with_card(index)?;
            let (key, digest) = (armed.public_key(), armed.digest());
            let signing = piv::seal::sign(prompt, agent.language, &card, key, digest).await;
            if let Err(Failure::Authenticator(AuthenticatorError::CardPinBlocked)) = signing {
                tell_of_blocked_key(agent, &armed.key().key_id, token).await;
            }
            return Ok(armed.signed(signing?)?);
        }
    };
    let armed = consented.with_key(index)?;
    if authenticator.is_u2f() && !armed.key().is_touch_only() {
        return Err(AuthenticatorError::NoUserVerification.into());
    }
    let key_id = armed.key().key_id.clone();
    let action = armed.id();
    agent.presence.lives_in(authenticator.id, &key_id);
    let signing = with_pin(
        prompt,
        &authenticator,
        typed,
        async |pin: Option<Pin>, told: &mut dyn FnMut(Keepalive)| {
            presence::signs(agent, &key_id, action).await;
            let credential = armed.credential().to_vec();
            authenticator
                .assert(
                    armed.rp_id().as_str(),
                    armed.client_data_hash(),
                    credential,
                    pin,
                    told,
                )
                .await
        },
    );
    let assertion = match signing.await {
        Ok(assertion) => assertion,
        Err(failure) => {
            if let Failure::Authenticator(
                AuthenticatorError::PinLocked | AuthenticatorError::PinBlocked,
            ) = failure
            {
                tell_of_blocked_key(agent, &key_id, token).await;
            }
            return Err(failure);
        }
    };
    Ok(armed.signed(
        Some(&assertion.credential_id),
        assertion.authenticator_data,
        assertion.signature,
    )?)
}

/// What holds one of the keys, and which.
enum Holder {
    /// A FIDO2 key; its place among [`Consented::credentials`]; its PIN, where the person has just chosen it.
    Key(Ready, usize, Option<Secret>),
    /// A PIV card; its place among [`Consented::card_keys`].
    Card(ReadyCard, usize),
}

/// The first authenticator that holds one of the keys, and which; waits for one to be put in. One that insists on another PIN says nothing of what it
/// holds before that is chosen.
///
/// # Errors
/// [`Failure`], when such a PIN was not chosen.
async fn holder(
    agent: &Agent,
    prompt: &mut impl Prompt,
    consented: &Consented,
) -> Result<Holder, Failure> {
    let credentials = consented.credentials();
    let card_keys = consented.card_keys();
    let mut asked: Vec<u64> = Vec::new();
    let mut unclear: Vec<String> = Vec::new();
    let mut failures = 0;
    let mut told = false;
    loop {
        let fresh = |agent: &Agent| {
            if credentials.is_empty() {
                return None;
            }
            let ready = agent.authenticators.borrow().ready();
            ready
                .into_iter()
                .find(|authenticator| !asked.contains(&authenticator.id))
        };
        let card = |agent: &Agent| agent.cards.borrow().holder(&card_keys);
        // While one is still being asked what it is, nobody is told to put one in.
        let none_left = |agent: &Agent| {
            let (keys, cards) = (agent.authenticators.borrow(), agent.cards.borrow());
            !told && !keys.is_reading() && !cards.is_reading()
        };
        let found = agent
            .until(|agent| {
                if let Some((card, index)) = card(agent) {
                    return Some(Err((card, index)));
                }
                fresh(agent)
                    .map(Some)
                    .or_else(|| none_left(agent).then_some(None))
                    .map(Ok)
            })
            .await;
        let found = match found {
            Ok(found) => found,
            Err((card, index)) => return Ok(Holder::Card(card, index)),
        };
        let Some(authenticator) = found else {
            told = true;
            prompt.tell(Progress::InsertKey {
                keys: consented
                    .keys()
                    .map(|key| text::one_line(key.name(), 60))
                    .collect(),
                unclear: std::mem::take(&mut unclear),
            });
            continue;
        };
        asked.push(authenticator.id);
        let (authenticator, typed) = enrolment::with_own_pin(agent, prompt, authenticator).await?;
        match authenticator
            .locate(agent.config.rp_id.as_str(), credentials.clone())
            .await
        {
            Ok(Some(found)) => {
                if let Some(index) = credentials
                    .iter()
                    .position(|credential| *credential == found)
                {
                    return Ok(Holder::Key(authenticator, index, typed));
                }
            }
            Ok(None) => {}
            Err(AuthenticatorError::Busy) => {
                tokio::time::sleep(PAUSE_OF_A_BUSY_KEY).await;
                asked.pop();
            }
            // Just put in, or reset by another program: one that is still there in a moment is asked again.
            Err(e) if e.may_pass() && failures < MAX_FAILURES => {
                failures += 1;
                tracing::debug!(authenticator = %authenticator.name, error = %e, "asked again for its keys");
                tokio::time::sleep(PAUSE_OF_A_BUSY_KEY).await;
                asked.pop();
            }
            Err(e) => {
                tracing::info!(authenticator = %authenticator.name, error = %e, "could not be asked for its keys");
                let there = agent.authenticators.borrow().ready();
                if there.iter().any(|one| one.id == authenticator.id) {
                    unclear.push(text::one_line(&authenticator.name, 60));
                    told = false;
                }
            }
        }
    }
}

/// Asks for the PIN, if one is needed, as often as the person wants to try, and runs `work` with it. Each PIN is used once; `typed` is one that
/// the person has given already.
///
/// # Errors
/// The authenticator's; [`Failure::Declined`] when the person stops.
pub async fn with_pin<A>(
    prompt: &mut impl Prompt,
    authenticator: &Ready,
    mut typed: Option<Secret>,
    work: impl AsyncFn(Option<Pin>, &mut dyn FnMut(Keepalive)) -> Result<A, AuthenticatorError>,
) -> Result<A, Failure> {
    let mut again = None;
    loop {
        let built_in = authenticator.info.options.uv == Some(true) && again.is_none();
        let pin = if built_in || authenticator.is_u2f() {
            None
        } else {
            match authenticator.info.options.client_pin {
                Some(true) => {}
                Some(false) => return Err(AuthenticatorError::PinNotSet.into()),
                None => return Err(AuthenticatorError::NoUserVerification.into()),
            }
            let retries = authenticator.pin_retries().await?;
            if retries.left == 0 {
                return Err(AuthenticatorError::PinBlocked.into());
            }
            if retries.power_cycle_needed {
                return Err(AuthenticatorError::PinLocked.into());
            }
            let question = Question::Pin {
                authenticator: authenticator.name.clone(),
                tries_left: Some(retries.left),
                again,
            };
            let typed = match typed.take() {
                Some(typed) => typed,
                None => match prompt.ask(question).await {
                    Answer::Pin(typed) => typed,
                    _ => return Err(Failure::Declined { reported: false }),
                },
            };
            match Pin::new(typed.expose()) {
                Ok(pin) => Some(pin),
                Err(_) => {
                    again = Some(Again::Unfit);
                    continue;
                }
            }
        };
        let name = authenticator.name.clone();
        let mut told = |keepalive| match keepalive {
            Keepalive::UpNeeded => prompt.tell(Progress::Touch {
                authenticator: name.clone(),
            }),
            _ => prompt.tell(Progress::Processing),
        };
        match work(pin, &mut told).await {
            Err(AuthenticatorError::WrongPin) => again = Some(Again::Wrong),
            other => return Ok(other?),
        }
    }
}

/// Reports a seal.
///
/// # Errors
/// [`Failure::Server`]; after [`crate::server::ServerError::Unavailable`] it is not known whether it arrived, and the server's inbox will tell.
pub async fn report(agent: &Agent, sealed: &Sealed, token: &Token) -> Result<String, Failure> {
    let answer: ActionState = agent
        .server
        .post(&sealed.path(), Some(token), &sealed.report())
        .await?;
    if let Some(invitation) = answer.result.and_then(|result| result.invitation) {
        agent.keep_invitation(sealed.id(), Secret::new(invitation));
    }
    Ok(answer.state)
}

/// The key's PIN is locked or blocked: whoever has it does not know the PIN (attack 9). The server is told; the person sees it anyway.
async fn tell_of_blocked_key(agent: &Agent, key_id: &str, token: Option<&Token>) {
    tracing::warn!(
        message_id = message::BLOCKED_PIN,
        key = key_id,
        "PIN locked or blocked"
    );
    let Some(token) = token else { return };
    let body = serde_json::json!({ "kind": "pin-blocked", "key_id": key_id });
    if let Err(e) = agent
        .server
        .post::<serde_json::Value>("/v1/agent/reports", Some(token), &body)
        .await
    {
        tracing::warn!(error = %e, "the server could not be told of the blocked key");
    }
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use serde_json::json;

    use super::*;
    use crate::config::{Config, Places};
    use crate::prompt::scripted::Scripted;
    use crate::session::{self, Session};
    use crate::specimen::{NOW, document, key};

    /// Signed in; the server is at a port where nobody listens.
    fn agent(place: &std::path::Path) -> Rc<Agent> {
        let config =
            Config::parse("server = \"http://127.0.0.1:9\"\nrp_id = \"sceau.example\"").unwrap();
        let places = Places {
            config: place.join("agent.toml"),
            session: place.join("session"),
            log: place.join("log.json"),
            socket: place.join("agent.sock"),
        };
        let token = Token::new("dG9rZW4tdG9rZW4tdG9rZW4".to_owned()).unwrap();
        let session = Session {
            server: config.server.text(),
            person: "alice".into(),
            session_id: "s".into(),
            token,
        };
        session::save(&places.session, &session).unwrap();
        Agent::new(config, places, Language::En, || NOW).unwrap_or_else(|_| panic!("an agent"))
    }

    fn run<A>(work: impl Future<Output = A>) -> A {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(work)
    }

    #[test]
    fn oldest_action_is_shown_with_how_many_wait_and_put_off_it_stays() {
        let place = tempfile::tempdir().unwrap();
        let agent = agent(place.path());
        for number in 1..=3 {
            agent.with_queue(|queue| queue.arrive(&document(number, json!({})), vec![key()], NOW));
        }
        let mut prompt = Scripted {
            answers: [Answer::Later].into(),
            ..Scripted::default()
        };
        let (id, outcome) = run(approve(&agent, &mut prompt, Language::En, None, &[])).unwrap();
        assert_eq!((id, outcome), (Uuid::from_u128(1), Ok(Outcome::Later)));
        assert!(
            matches!(&prompt.asked[..], [Question::Action { action }] if action.waiting == 2 && action.lines.iter().any(|line| line.value.contains("Jean Dupont")))
        );
        assert_eq!(agent.with_queue(|queue| queue.waiting(NOW).len()), 3);
    }

    #[test]
    fn person_who_stops_or_goes_away_leaves_the_action_pending() {
        let place = tempfile::tempdir().unwrap();
        let agent = agent(place.path());
        agent.with_queue(|queue| queue.arrive(&document(1, json!({})), vec![key()], NOW));
        let mut prompt = Scripted::default();
        let (_, outcome) = run(approve(&agent, &mut prompt, Language::Fr, None, &[])).unwrap();
        assert_eq!(outcome, Err(Failure::Declined { reported: false }));
        assert_eq!(agent.with_queue(|queue| queue.waiting(NOW).len()), 1);
        assert!(prompt.told.is_empty());
    }

    #[test]
    fn action_that_cannot_be_shown_whole_is_not_asked_about() {
        let place = tempfile::tempdir().unwrap();
        let agent = agent(place.path());
        let long = document(1, json!({ "params": { "note": "x".repeat(10_000) } }));
        agent.with_queue(|queue| queue.arrive(&long, vec![key()], NOW));
        let mut prompt = Scripted {
            answers: [Answer::GoOn].into(),
            ..Scripted::default()
        };
        let (_, outcome) = run(approve(&agent, &mut prompt, Language::En, None, &[])).unwrap();
        assert_eq!(outcome, Err(Failure::Unfit(Unfit::NotShowable)));
        assert!(prompt.asked.is_empty());
    }

    #[test]
    fn refusal_that_does_not_reach_the_server_leaves_the_action_pending() {
        let place = tempfile::tempdir().unwrap();
        let agent = agent(place.path());
        agent.with_queue(|queue| queue.arrive(&document(1, json!({})), vec![key()], NOW));
        let refusal = Refusal {
            reason: crate::prompt::Reason::NotMe,
            text: None,
        };
        let mut prompt = Scripted {
            answers: [Answer::Refuse(refusal)].into(),
            ..Scripted::default()
        };
        let (_, outcome) = run(approve(&agent, &mut prompt, Language::En, None, &[])).unwrap();
        assert!(matches!(
            outcome,
            Err(Failure::Server(crate::server::ServerError::Unavailable(_)))
        ));
        assert_eq!(agent.with_queue(|queue| queue.waiting(NOW).len()), 1);
    }

    #[test]
    fn without_a_session_nothing_is_asked() {
        let place = tempfile::tempdir().unwrap();
        let agent = agent(place.path());
        agent.sign_out().unwrap();
        let answer = run(approve(
            &agent,
            &mut Scripted::default(),
            Language::En,
            None,
            &[],
        ));
        assert_eq!(answer.err(), Some(Failure::SignedOut));
    }
}
