//! Enrolling a key by invitation: open it, show what the registration says, make sure that the authenticator has a PIN, make the credential
//! over the action's challenge, report it, keep the session that comes with it.

use std::time::Duration;

use sceau_ctap::{Keepalive, Pin, config};
use serde::{Deserialize, Serialize};

use crate::agent::{Agent, Failure};
use crate::approval::with_pin;
use crate::ceremony::Proposal;
use crate::device;
use crate::locale::Language;
use crate::piv;
use crate::prompt::{Again, Answer, Progress, Prompt, Question, Secret};
use crate::reader::{AuthenticatorError, Condition, NewKey, Ready, Transport};
use crate::server::{OpenedEnrolment, Registered, ServerError};
use crate::session::Session;
use crate::sign_in::{decoded, path_segment, sound};
use crate::text;

/// Most algorithms, and most excluded credentials, that an enrolment may name.
const MAX_LIST: usize = 64;

/// The enrolled key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Enrolled {
    /// The server's name for it.
    pub key_id: String,
    /// Whose it is.
    pub person: String,
    /// The model's identifier.
    pub aaguid: Option<String>,
    /// The model's name, when the server knows it.
    pub model: Option<String>,
    /// The authenticator's serial number, as it tells it over USB.
    pub serial: Option<String>,
    /// Its firmware, as it tells it.
    pub firmware: Option<u64>,
    /// It has the PIN for the way, and insists on another one.
    pub transport_pin: bool,
    /// Whether a session came with it and was kept.
    pub signed_in: bool,
}

/// How a key is enrolled.
#[derive(Default)]
pub struct Wanted {
    /// A name for it.
    pub label: Option<String>,
    /// A PIV card, though FIDO2 keys may be there.
    pub card: bool,
    /// It is somebody else's: whoever is signed in here stays so.
    pub handover: bool,
    /// A PIN for the way, where the key can be made to insist on another one before it signs anything; elsewhere the person types one.
    pub transport_pin: Option<Secret>,
}

/// Enrols the authenticator that is there; waits for one to be put in.
///
/// # Errors
/// [`Failure`]. [`ServerError::Refused`] with code `registration-refused` says why the server does not want that key.
pub async fn enroll(
    agent: &Agent,
    prompt: &mut impl Prompt,
    language: Language,
    invitation: &Secret,
    wanted: Wanted,
) -> Result<Enrolled, Failure> {
    let Wanted {
        label,
        card,
        handover,
        transport_pin,
    } = wanted;
    let mut about = (None, None);
    let mut forced = false;
    let _turn = agent.turn(prompt).await;
    let opened: OpenedEnrolment = agent
        .server
        .post(
            "/v1/enrolments/open",
            None,
            &serde_json::json!({ "invitation": invitation.expose() }),
        )
        .await?;
    let enrolment = path_segment(&opened.enrolment_id)?;
    let proposal = Proposal::read(opened.action.get().as_bytes(), Vec::new(), agent.now())?;
    let person = proposal.action().target().id.clone();
    let proposal = Proposal::read_own(
        opened.action.get().as_bytes(),
        Vec::new(),
        "key.register",
        &person,
        agent.now(),
    )?;
    if opened.algorithms.is_empty()
        || opened.algorithms.len() > MAX_LIST
        || opened.exclude.len() > MAX_LIST
    {
        return Err(ServerError::Malformed("enrolment").into());
    }
    let exclude = opened
        .exclude
        .iter()
        .map(|id| decoded(id))
        .collect::<Result<Vec<_>, _>>()?;
    let user = (
        decoded(&opened.user.id)?,
        opened.user.name.clone(),
        opened.user.display.clone(),
    );
    let left = Duration::try_from(proposal.expires_at() - agent.now()).unwrap_or_default();
    let registering = async {
        match prompt
            .ask(Question::Action {
                action: text::shown(proposal.action(), language, 0)?,
            })
            .await
        {
            Answer::GoOn => {}
            _ => return Err(Failure::Declined { reported: false }),
        }
        let enrolling = proposal.enrolling(&opened.rp.id, &agent.config.rp_id, agent.now())?;
        let path = format!("/v1/enrolments/{enrolment}/registration");
        let offer = opened.piv.as_ref();
        if let Some(card) = piv::seal::card_to_enrol(agent, prompt, offer, card).await? {
            let attested = offer.is_some_and(|offer| offer.attested);
            let response =
                piv::seal::register(prompt, agent.language, &card, enrolling, attested).await?;
            prompt.tell(Progress::Reporting);
            let body = serde_json::json!({
                "invitation": invitation.expose(),
                "kind": "piv",
                "response": response,
                "transports": ["smart-card"],
                "label": label.unwrap_or_else(|| card.name.clone()),
                "device": device::of_this_machine(),
            });
            return Ok(agent.server.post::<Registered>(&path, None, &body).await?);
        }
        let authenticator = one_authenticator(agent, prompt).await;
        if authenticator.is_u2f() && opened.verifies_user() {
            return Err(AuthenticatorError::NoUserVerification.into());
        }
        about = (
            serial(agent, authenticator.id),
            authenticator.info.firmware_version,
        );
        let for_the_way = for_the_way(&authenticator, transport_pin)?;
        let (authenticator, typed) = match &for_the_way {
            Some(pin) => with_this_pin(agent, authenticator, pin).await?,
            None => {
                let (authenticator, set) = with_a_pin(agent, prompt, authenticator).await?;
                match set {
                    Some(set) => (authenticator, Some(set)),
                    None => with_own_pin(agent, prompt, authenticator).await?,
                }
            }
        };
        let rp = (
            enrolling.rp_id().as_str().to_owned(),
            opened.rp.name.clone(),
        );
        let client_data_hash = enrolling.client_data_hash();
        let made = with_pin(
            prompt,
            &authenticator,
            typed,
            async |pin: Option<Pin>, told: &mut dyn FnMut(Keepalive)| {
                let key = NewKey {
                    client_data_hash,
                    rp: rp.clone(),
                    user: user.clone(),
                    algorithms: opened.algorithms.clone(),
                    exclude: exclude.clone(),
                };
                authenticator.register(key, pin, told).await
            },
        )
        .await?;
        let registered = enrolling.registered(
            &made.authenticator_data,
            made.attestation_object(),
            !authenticator.is_u2f(),
        )?;
        if let Some(pin) = &for_the_way {
            // Before the server hears of it: a key that could not be made to insist is not enrolled.
            let pin = Pin::new(pin.expose()).map_err(|_| AuthenticatorError::PinUnfit)?;
            let info = authenticator.force_pin_change(pin).await?;
            if !info.force_pin_change {
                return Err(AuthenticatorError::PinChangeRequired.into());
            }
            agent
                .authenticators
                .borrow_mut()
                .describe(authenticator.id, Condition::Ready(info));
            forced = true;
        }
        prompt.tell(Progress::Reporting);
        let transports = if authenticator.info.transports.is_empty() {
            vec![match authenticator.transport {
                Transport::SmartCard => "nfc".to_owned(),
                Transport::Usb => "usb".to_owned(),
            }]
        } else {
            authenticator.info.transports.clone()
        };
        let body = serde_json::json!({
            "invitation": invitation.expose(),
            "response": registered.response(),
            "transports": transports,
            "label": label.unwrap_or_else(|| authenticator.name.clone()),
            "device": device::of_this_machine(),
        });
        Ok(agent.server.post::<Registered>(&path, None, &body).await?)
    };
    let registered = tokio::time::timeout(left, registering)
        .await
        .map_err(|_| Failure::Withdrawn("expired".into()))??;
    let signed_in = registered.session.is_some() && !handover;
    let session = match registered.session {
        // Another person's session is none of this workstation's.
        Some(session) if handover => {
            let path = format!("/v1/sessions/{}", path_segment(&session.session_id)?);
            let token = sound(session.token)?;
            agent.server.delete(&path, Some(&token)).await?;
            None
        }
        session => session,
    };
    if let Some(session) = session {
        agent.sign_in(Session {
            server: agent.config.server.text(),
            person: registered.person.clone(),
            session_id: path_segment(&session.session_id)?,
            token: sound(session.token)?,
        })?;
    }
    Ok(Enrolled {
        key_id: registered.key_id,
        person: registered.person,
        aaguid: registered.aaguid,
        model: registered.model,
        serial: about.0,
        firmware: about.1,
        transport_pin: forced,
        signed_in,
    })
}

fn serial(agent: &Agent, id: u64) -> Option<String> {
    let authenticators = agent.authenticators.borrow();
    let found = authenticators.iter().find(|(other, _)| *other == id);
    found.and_then(|(_, authenticator)| authenticator.serial.clone())
}

/// The authenticator to enrol: the only one that is there. With several, the person touches it (CTAP 2.1 §6.9) where all of them know how to be
/// chosen so, or else takes out the others.
async fn one_authenticator(agent: &Agent, prompt: &mut impl Prompt) -> Ready {
    let mut told = None;
    loop {
        let settled = |agent: &Agent| {
            let authenticators = agent.authenticators.borrow();
            let ready = authenticators.ready();
            let told = told.as_ref() == Some(&ids(&ready));
            (!authenticators.is_reading() && (ready.len() == 1 || !told)).then_some(ready)
        };
        let mut ready = agent.until(settled).await;
        told = Some(ids(&ready));
        match ready.len() {
            0 => prompt.tell(Progress::InsertKey {
                keys: Vec::new(),
                unclear: Vec::new(),
            }),
            1 => {
                if let Some(only) = ready.pop() {
                    return only;
                }
            }
            _ if ready.iter().all(Ready::can_be_selected) => {
                prompt.tell(Progress::TouchToChoose);
                if let Some(chosen) = touched(agent, ready).await {
                    return chosen;
                }
                prompt.tell(Progress::OnlyOneKey);
            }
            _ => prompt.tell(Progress::OnlyOneKey),
        }
    }
}

fn ids(ready: &[Ready]) -> Vec<u64> {
    ready.iter().map(|authenticator| authenticator.id).collect()
}

/// The one of these that is touched; the others stop blinking. `None`: none was, or others are there now.
async fn touched(agent: &Agent, ready: Vec<Ready>) -> Option<Ready> {
    let there = ids(&ready);
    let mut asked: Vec<_> = ready
        .into_iter()
        .map(|authenticator| {
            Box::pin(async move {
                let touched = authenticator.select().await;
                touched.map(|()| authenticator)
            })
        })
        .collect();
    let others = agent.until(|agent| {
        let authenticators = agent.authenticators.borrow();
        (ids(&authenticators.ready()) != there).then_some(())
    });
    let chosen = async {
        while !asked.is_empty() {
            let (answer, _, left) = futures_util::future::select_all(asked).await;
            match answer {
                Ok(authenticator) => return Some(authenticator),
                Err(e) => tracing::debug!(error = %e, "an authenticator could not be chosen"),
            }
            asked = left;
        }
        None
    };
    tokio::select! {
        chosen = chosen => chosen,
        () = others => None,
    }
}

/// The PIN for the way, where this authenticator can be made to insist on another one.
fn for_the_way(
    authenticator: &Ready,
    transport_pin: Option<Secret>,
) -> Result<Option<Secret>, Failure> {
    let Some(pin) = transport_pin.filter(|_| config::can_force_pin_change(&authenticator.info))
    else {
        return Ok(None);
    };
    match authenticator.info.options.client_pin {
        Some(false) => Ok(Some(pin)),
        // Somebody knows its PIN, or did: it is not new.
        _ => Err(Failure::Misuse("fault-request-has-pin")),
    }
}

async fn with_this_pin(
    agent: &Agent,
    mut authenticator: Ready,
    pin: &Secret,
) -> Result<(Ready, Option<Secret>), Failure> {
    let set = Pin::new(pin.expose()).map_err(|_| AuthenticatorError::PinUnfit)?;
    let info = authenticator.set_pin(set).await?;
    agent
        .authenticators
        .borrow_mut()
        .describe(authenticator.id, Condition::Ready(info.clone()));
    authenticator.info = info;
    Ok((authenticator, Some(Secret::new(pin.expose().to_owned()))))
}

/// An authenticator whose PIN was for the way insists on another one: its person types the first, and chooses the second, which is returned.
pub(crate) async fn with_own_pin(
    agent: &Agent,
    prompt: &mut impl Prompt,
    mut authenticator: Ready,
) -> Result<(Ready, Option<Secret>), Failure> {
    let (mut wrong, mut unfit) = (None, None);
    let mut set = None;
    if authenticator.info.force_pin_change {
        prompt.tell(Progress::OwnPin);
    }
    while authenticator.info.force_pin_change {
        let question = Question::Pin {
            authenticator: authenticator.name.clone(),
            tries_left: Some(authenticator.pin_retries().await?.left),
            again: wrong,
        };
        let Answer::Pin(current) = prompt.ask(question).await else {
            return Err(Failure::Declined { reported: false });
        };
        let question = Question::NewPin {
            authenticator: authenticator.name.clone(),
            min_length: authenticator.info.min_pin_length,
            again: unfit,
        };
        let Answer::Pin(typed) = prompt.ask(question).await else {
            return Err(Failure::Declined { reported: false });
        };
        (wrong, unfit) = (None, None);
        let changed = match (Pin::new(current.expose()), Pin::new(typed.expose())) {
            (Err(_), _) => Err(AuthenticatorError::WrongPin),
            (_, Err(_)) => Err(AuthenticatorError::PinUnfit),
            (Ok(current), Ok(new)) => authenticator.change_pin(current, new).await,
        };
        match changed {
            Ok(info) => {
                agent
                    .authenticators
                    .borrow_mut()
                    .describe(authenticator.id, Condition::Ready(info.clone()));
                authenticator.info = info;
                set = Some(typed);
            }
            Err(AuthenticatorError::WrongPin) => wrong = Some(Again::Wrong),
            Err(AuthenticatorError::PinUnfit) => unfit = Some(Again::Unfit),
            Err(e) => return Err(e.into()),
        }
    }
    Ok((authenticator, set))
}

/// An authenticator that a help desk has in hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Looked {
    /// What it is called: its serial number, or its name where it tells none.
    pub name: String,
    /// Somebody has set its PIN: it is not new.
    pub pin_set: bool,
    /// It holds a key that is somebody's, and not revoked.
    pub somebodys: bool,
    /// That is whoever is signed in here.
    pub own: bool,
}

/// Looks at the authenticator that is there; waits for one to be put in. Nobody is asked for anything.
///
/// # Errors
/// [`Failure`].
pub async fn look(agent: &Agent, prompt: &mut impl Prompt) -> Result<Looked, Failure> {
    let _turn = agent.turn(prompt).await;
    let authenticator = one_authenticator(agent, prompt).await;
    let held = match is_somebodys(agent, &authenticator).await {
        // Whoever only enrols it is told by the authenticator, should it hold one of those that the server names then.
        Err(Failure::TooManyToTell) => None,
        other => other?,
    };
    let own = |held: &Vec<u8>| {
        let keys = agent.keys();
        keys.iter()
            .any(|key| key.credential().as_ref() == Some(held))
    };
    Ok(Looked {
        name: serial(agent, authenticator.id).unwrap_or_else(|| authenticator.name.clone()),
        pin_set: authenticator.info.options.client_pin == Some(true),
        own: held.as_ref().is_some_and(own),
        somebodys: held.is_some(),
    })
}

/// Credentials of one model that are somebody's, as the server names them.
#[derive(Deserialize)]
struct Named {
    credentials: Vec<String>,
    whole: bool,
}

/// The credential of the server's, not revoked, that an authenticator holds, whoever's: it is asked for each of its model, in silence.
///
/// # Errors
/// [`Failure::TooManyToTell`]; [`Failure::Authenticator`]; [`Failure::Server`], as for whoever is neither operator nor administrator.
async fn is_somebodys(agent: &Agent, authenticator: &Ready) -> Result<Option<Vec<u8>>, Failure> {
    let path = format!("/v1/keys?aaguid={}", authenticator.info.aaguid);
    let token = agent.token()?;
    let named: Named = agent
        .server
        .get(&path, Some(&token), Duration::ZERO)
        .await?;
    let credentials = named
        .credentials
        .iter()
        .map(|id| decoded(id))
        .collect::<Result<Vec<_>, _>>()?;
    if !credentials.is_empty() {
        let rp_id = agent.config.rp_id.as_str();
        if let Some(held) = authenticator.locate(rp_id, credentials).await? {
            return Ok(Some(held));
        }
    }
    match named.whole {
        true => Ok(None),
        false => Err(Failure::TooManyToTell),
    }
}

/// Erases an authenticator for good: every credential on it, for every service, and its PIN. `named` is what the person typed: the authenticator's
/// serial number, or its name where it tells none. One that holds a key which is somebody's, and not revoked, is not erased.
///
/// # Errors
/// [`Failure::Misuse`] when something else is of that name; [`Failure::Somebodys`], [`Failure::TooManyToTell`]; [`Failure::Authenticator`], as when it
/// was not put in just before.
pub async fn danger_reset(
    agent: &Agent,
    prompt: &mut impl Prompt,
    named: &str,
) -> Result<(), Failure> {
    let _turn = agent.turn(prompt).await;
    let authenticator = one_authenticator(agent, prompt).await;
    let own = serial(agent, authenticator.id).unwrap_or_else(|| authenticator.name.clone());
    if own != named {
        return Err(Failure::Misuse("fault-request-other-key"));
    }
    // Looked at after it was put back: nothing says that it is the one which was there before.
    if is_somebodys(agent, &authenticator).await?.is_some() {
        return Err(Failure::Somebodys);
    }
    let name = authenticator.name.clone();
    let mut told = |keepalive| {
        if keepalive == Keepalive::UpNeeded {
            prompt.tell(Progress::Touch {
                authenticator: name.clone(),
            });
        }
    };
    let info = authenticator.danger_reset(&mut told).await?;
    agent
        .authenticators
        .borrow_mut()
        .describe(authenticator.id, Condition::Ready(info));
    Ok(())
}

/// Makes sure that the authenticator has a PIN: offers to set one when it has none, and returns it.
async fn with_a_pin(
    agent: &Agent,
    prompt: &mut impl Prompt,
    mut authenticator: Ready,
) -> Result<(Ready, Option<Secret>), Failure> {
    let mut again = None;
    let mut set = None;
    while authenticator.info.options.client_pin == Some(false) {
        let question = Question::NewPin {
            authenticator: authenticator.name.clone(),
            min_length: authenticator.info.min_pin_length,
            again,
        };
        let Answer::Pin(typed) = prompt.ask(question).await else {
            return Err(Failure::Declined { reported: false });
        };
        let pin = Pin::new(typed.expose());
        again = Some(Again::Unfit);
        match pin {
            Ok(pin) => match authenticator.set_pin(pin).await {
                Ok(info) => {
                    agent
                        .authenticators
                        .borrow_mut()
                        .describe(authenticator.id, Condition::Ready(info.clone()));
                    authenticator.info = info;
                    set = Some(typed);
                }
                Err(AuthenticatorError::PinUnfit) => {}
                Err(e) => return Err(e.into()),
            },
            Err(_) => continue,
        }
    }
    Ok((authenticator, set))
}
