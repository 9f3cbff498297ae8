//! Signing in by key: `POST /v1/sessions`, sealing the `session.open` action that it returns, and keeping the session once it is active.

use std::time::Duration;

use sceau_proof::base64url;

use crate::agent::{Agent, Failure};
use crate::approval;
use crate::ceremony::Proposal;
use crate::device;
use crate::locale::Language;
use crate::presence;
use crate::prompt::{Answer, Progress, Prompt, Question};
use crate::server::{OpenedSession, SessionState};
use crate::session::{Session, Token};
use crate::text;

/// What was asked for, and came to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedIn {
    /// Whose session it is.
    pub person: String,
    /// The session's name.
    pub session_id: String,
}

/// Signs `person` in on this workstation, or whoever is configured.
///
/// # Errors
/// [`Failure`]; the session that was there, if any, still holds then.
pub async fn sign_in(
    agent: &Agent,
    prompt: &mut impl Prompt,
    language: Language,
    person: Option<String>,
) -> Result<SignedIn, Failure> {
    let _turn = agent.turn(prompt).await;
    let _signing = presence::signing(agent);
    let person = person
        .or_else(|| agent.person_id())
        .ok_or(Failure::Misuse("fault-request-whose"))?;
    let opened: OpenedSession = agent
        .server
        .post(
            "/v1/sessions",
            None,
            &serde_json::json!({ "person": person, "kind": "agent", "device": device::of_this_machine() }),
        )
        .await?;
    let token = sound(opened.token)?;
    let session_id = path_segment(&opened.session_id)?;
    let proposal = Proposal::read_own(
        opened.action.get().as_bytes(),
        opened.keys,
        "session.open",
        &person,
        agent.now(),
    )?;
    let left = Duration::try_from(proposal.expires_at() - agent.now()).unwrap_or_default();
    let sealing = async {
        match prompt
            .ask(Question::Action {
                action: text::shown(proposal.action(), language, 0)?,
            })
            .await
        {
            Answer::GoOn => {}
            _ => return Err(Failure::Declined { reported: false }),
        }
        let consented = proposal.consented(&agent.config.rp_id, agent.now())?;
        // The new token is dead until the seal arrives; an older session, if any, tells of a blocked key.
        let older = agent.token().ok();
        let sealed = approval::seal(agent, prompt, consented, older.as_ref()).await?;
        prompt.tell(Progress::Reporting);
        approval::report(agent, &sealed, &token).await
    };
    tokio::time::timeout(left, sealing)
        .await
        .map_err(|_| Failure::Withdrawn("expired".into()))??;
    let state: SessionState = agent
        .server
        .get(
            &format!("/v1/sessions/{session_id}?wait=10"),
            Some(&token),
            Duration::from_secs(10),
        )
        .await?;
    if state.state != "active" {
        return Err(Failure::Withdrawn(state.state));
    }
    agent.sign_in(Session {
        server: agent.config.server.text(),
        person: person.clone(),
        session_id: session_id.clone(),
        token,
    })?;
    Ok(SignedIn { person, session_id })
}

/// Signs out: the server ends the session, and it is forgotten here in any case.
///
/// # Errors
/// [`Failure::SignedOut`]; [`Failure::Server`] when the server could not be told.
pub async fn sign_out(agent: &Agent) -> Result<(), Failure> {
    presence::goodbyes(agent, presence::Goodbye::Ending).await;
    let session = agent.sign_out()?.ok_or(Failure::SignedOut)?;
    if session.session_id.is_empty() {
        return Ok(());
    }
    Ok(agent
        .server
        .delete(
            &format!("/v1/sessions/{}", session.session_id),
            Some(&session.token),
        )
        .await?)
}

/// A token that can be a header and a file.
pub(crate) fn sound(token: Token) -> Result<Token, Failure> {
    Token::new(token.expose().to_owned()).ok_or(Failure::Server(
        crate::server::ServerError::Malformed("session token"),
    ))
}

/// A name of the server's that goes into a path: letters, digits and dashes only.
pub(crate) fn path_segment(text: &str) -> Result<String, Failure> {
    let fits = (1..=128).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if fits {
        Ok(text.to_owned())
    } else {
        Err(Failure::Server(crate::server::ServerError::Malformed(
            "identifier",
        )))
    }
}

/// Binary values of the API.
pub(crate) fn decoded(text: &str) -> Result<Vec<u8>, Failure> {
    base64url::decode(text)
        .map_err(|_| Failure::Server(crate::server::ServerError::Malformed("base64url")))
}
