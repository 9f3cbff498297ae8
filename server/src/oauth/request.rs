//! What a service asks for: a form with the action in `authorization_details` (RFC 9396 §2), pushed for a browser (RFC 9126) or for polling (CIBA Core §7.1).
//!
//! One action at a time: persons seal one thing that they have read. Its members and checks are those of `POST /v1/actions`; only the name of the action's
//! type is another, since `type` is taken.

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::Response;
use http_body_util::{BodyExt as _, Limited};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use time::Duration;

use super::{Client, DETAIL, HANDLE, OAuth, Refusal, SCOPE, answer, called};
use crate::action::{NewAction, RequestDigest, Target, Words};
use crate::api::Peer;
use crate::desk::{AskedByService, DeskError, PACE, Pushed};
use crate::id::{PersonId, ServiceId};
use crate::provider::level::Level;
use crate::provider::pairs;
use crate::store::oauth::Way;

/// Longest form: what a URI's query may be, which is how it is read.
const MAX_FORM: usize = 60 * 1024;
/// Longest `state` and `binding_message`.
const MAX_STATE: usize = 1024;
const MAX_MESSAGE: usize = 64;

/// A form in which nothing stands twice.
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads a body.
    pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<Self, Refusal> {
        let malformed = |why: &'static str| Refusal::of("invalid_request").because(why);
        let kind = headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let essence = kind.split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(malformed("a form is expected"));
        }
        let bytes = Limited::new(body, MAX_FORM)
            .collect()
            .await
            .map_err(|_| malformed("the form is too long, or was cut off"))?
            .to_bytes();
        std::str::from_utf8(&bytes)
            .ok()
            .and_then(Self::parse)
            .ok_or(malformed("not a form, or a parameter stands twice"))
    }

    /// Reads form-encoded text.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let pairs = pairs(text)?;
        // RFC 6749 §3.1, §3.2.
        let twice = pairs
            .iter()
            .enumerate()
            .any(|(n, (name, _))| pairs.iter().skip(n + 1).any(|(other, _)| other == name));
        (!twice).then_some(Self(pairs))
    }

    /// A parameter; one without a value is none.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, value)| value.as_str())
            .filter(|value| !value.is_empty())
    }
}

/// An element of `authorization_details`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Detail {
    /// Looked at before the rest.
    #[serde(rename = "type")]
    _type: String,
    action: String,
    requester: PersonId,
    target: Target,
    #[serde(default)]
    params: Map<String, Value>,
    #[serde(default)]
    request: Option<RequestDigest>,
    #[serde(default)]
    words: Option<Words>,
}

/// The action that a form asks for.
fn action(form: &Form, service: &ServiceId) -> Result<NewAction, Refusal> {
    let refuse = |why: &str| Refusal::of("invalid_authorization_details").because(why);
    let text = form
        .one("authorization_details")
        .ok_or(Refusal::of("invalid_request").because("authorization_details"))?;
    let rules = sceau_proof::json::Rules {
        length: MAX_FORM,
        depth: 24,
        integers: false,
        nfc: false,
    };
    let value = sceau_proof::json::parse(text.as_bytes(), rules)
        .map_err(|error| refuse(&error.to_string()))?;
    let Value::Array(mut list) = value else {
        return Err(refuse("an array is expected"));
    };
    let (Some(one), true) = (list.pop(), list.is_empty()) else {
        return Err(refuse("one action at a time"));
    };
    if one.get("type").and_then(Value::as_str) != Some(DETAIL) {
        return Err(refuse("the only type is sceau_action"));
    }
    let detail: Detail = serde_json::from_value(one).map_err(|error| refuse(&error.to_string()))?;
    Ok(NewAction {
        kind: detail.action,
        service: service.clone(),
        requester: detail.requester,
        target: detail.target,
        params: detail.params,
        request: detail.request,
        words: detail.words,
    })
}

/// Levels of which one has to be reached (RFC 9470 §4). Each action takes a gesture of its own, so that any `max_age` holds.
fn levels(form: &Form) -> Result<Vec<Level>, Refusal> {
    if let Some(age) = form.one("max_age")
        && age.parse::<u32>().is_err()
    {
        return Err(Refusal::of("invalid_request").because("max_age"));
    }
    let Some(words) = form.one("acr_values") else {
        return Ok(Vec::new());
    };
    let known: Vec<Level> = words.split(' ').filter_map(Level::from_word).collect();
    if known.is_empty() {
        return Err(DeskError::LevelUnreachable.into());
    }
    Ok(known)
}

fn scope(form: &Form) -> Result<(), Refusal> {
    let known = |word: &str| matches!(word, SCOPE | "openid" | "");
    match form.one("scope") {
        Some(scope) if !scope.split(' ').all(known) => Err(Refusal::of("invalid_scope")),
        _ => Ok(()),
    }
}

/// `shown`: the key that came with the request.
fn redirect(form: &Form, client: &Client, shown: Option<String>) -> Result<Way, Refusal> {
    let refuse = |why: &'static str| Refusal::of("invalid_request").because(why);
    if form.one("request").is_some() || form.one("request_uri").is_some() {
        return Err(Refusal::of("request_not_supported"));
    }
    match form.one("response_type") {
        Some("code") => {}
        Some(_) => return Err(Refusal::of("unsupported_response_type")),
        None => return Err(refuse("response_type")),
    }
    if form
        .one("response_mode")
        .is_some_and(|mode| mode != "query")
    {
        return Err(refuse("response_mode is query"));
    }
    let uri = form
        .one("redirect_uri")
        .filter(|uri| client.returns_to(uri))
        .ok_or(refuse("redirect_uri is not one of this service's"))?;
    let challenge = form
        .one("code_challenge")
        .filter(|_| form.one("code_challenge_method") == Some("S256"))
        .filter(|it| sceau_proof::base64url::decode(it).is_ok_and(|it| it.len() == 32))
        .ok_or(refuse("PKCE by S256 is needed"))?;
    // RFC 9449 §10.1: by either way, and where both are there they are one.
    let bound = match (form.one("dpop_jkt"), shown) {
        (Some(named), Some(shown)) if named != shown => {
            return Err(Refusal::of("invalid_dpop_proof"));
        }
        (Some(named), _) => {
            let is_digest = sceau_proof::base64url::decode(named).is_ok_and(|it| it.len() == 32);
            if !is_digest {
                return Err(refuse("dpop_jkt is no thumbprint"));
            }
            Some(named.to_owned())
        }
        (None, shown) => shown,
    };
    let state = form.one("state");
    if state.is_some_and(|state| state.len() > MAX_STATE) {
        return Err(refuse("state is too long"));
    }
    Ok(Way::Redirect {
        redirect_uri: uri.to_owned(),
        state: state.map(str::to_owned),
        code_challenge: challenge.to_owned(),
        bound,
    })
}

fn denied(record: &crate::action::ActionRecord) -> Refusal {
    let reason = record.denial.as_ref().map(|denial| denial.reason.as_str());
    Refusal::of("access_denied").because(reason.unwrap_or("denied"))
}

/// `POST /oauth/par`.
pub(super) async fn push(
    State(oauth): State<OAuth>,
    peer: Peer,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let (client, form) = called(&oauth, &peer, &headers, body).await?;
    scope(&form)?;
    let shown = oauth.bound(client, &headers, "/par").await?;
    let asked = AskedByService {
        way: redirect(&form, client, shown)?,
        levels: levels(&form)?,
        action: action(&form, client.id())?,
        patience: None,
    };
    let pushed = oauth
        .desk()
        .push(asked)
        .await
        .map_err(|error| match error {
            DeskError::UnknownPerson => {
                Refusal::of("invalid_authorization_details").because("unknown-person")
            }
            other => other.into(),
        })?;
    match pushed {
        Pushed::Open {
            handle, expires_in, ..
        } => {
            let body = json!({ "request_uri": format!("{HANDLE}{}", *handle), "expires_in": expires_in.whole_seconds() });
            Ok(answer(StatusCode::CREATED, &body))
        }
        Pushed::Denied(record) => Err(denied(&record)),
    }
}

/// `POST /oauth/backchannel` (CIBA Core §7.1).
pub(super) async fn backchannel(
    State(oauth): State<OAuth>,
    peer: Peer,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Refusal> {
    let refuse = |why: &'static str| Refusal::of("invalid_request").because(why);
    let (client, form) = called(&oauth, &peer, &headers, body).await?;
    scope(&form)?;
    let levels = levels(&form)?;
    let mut action = action(&form, client.id())?;
    if form.one("id_token_hint").is_some() || form.one("login_hint_token").is_some() {
        return Err(refuse("the hint is login_hint"));
    }
    // Whom the service means, said twice, must be one person.
    if form
        .one("login_hint")
        .is_some_and(|hint| hint != action.requester.as_str())
    {
        return Err(refuse("login_hint is not the requester"));
    }
    if let Some(message) = form.one("binding_message") {
        let plain = message.chars().count() <= MAX_MESSAGE && !message.contains(char::is_control);
        if !plain {
            return Err(Refusal::of("invalid_binding_message"));
        }
        action.words = Some(with_message(action.words, message));
    }
    let patience = match form.one("requested_expiry").map(str::parse::<u32>) {
        None => None,
        Some(Ok(seconds)) if seconds > 0 => Some(Duration::seconds(i64::from(seconds))),
        Some(_) => return Err(refuse("requested_expiry")),
    };
    let asked = AskedByService {
        action,
        way: Way::Backchannel,
        levels,
        patience,
    };
    let pushed = oauth
        .desk()
        .push(asked)
        .await
        .map_err(|error| match error {
            DeskError::UnknownPerson => Refusal::of("unknown_user_id"),
            other => other.into(),
        })?;
    match pushed {
        Pushed::Open {
            handle, expires_in, ..
        } => {
            let body = json!({ "auth_req_id": *handle, "expires_in": expires_in.whole_seconds(), "interval": PACE.whole_seconds() });
            Ok(answer(StatusCode::OK, &body))
        }
        Pushed::Denied(record) => Err(denied(&record).status(StatusCode::FORBIDDEN)),
    }
}

/// What the service shows is shown, and sealed, with the action (CIBA's `binding_message`).
fn with_message(words: Option<Words>, message: &str) -> Words {
    let words = words.unwrap_or(Words { fr: None, en: None });
    let after = |text: Option<String>, said: String| {
        Some(text.map_or(said.clone(), |text| format!("{text} {said}")))
    };
    Words {
        fr: after(
            words.fr,
            format!(
                "Le service affiche {}{} s’il affiche autre chose, refusez.",
                sceau_locale::Language::Fr.quoted(message),
                sceau_locale::Language::Fr.colon()
            ),
        ),
        en: after(
            words.en,
            format!("The service shows “{message}”: if it shows something else, refuse."),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(pairs: &[(&str, &str)]) -> Form {
        Form(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        )
    }

    fn asked(details: &str) -> Result<NewAction, Refusal> {
        let portal = "portal".parse().unwrap();
        action(&form(&[("authorization_details", details)]), &portal)
    }

    const GOOD: &str = r#"{"type":"sceau_action","action":"account.create","requester":"alice",
        "target":{"kind":"account","id":"jd","display":"Jean Dupont"},"params":{"email":"jd@ml.example"}}"#;

    #[test]
    fn an_action_is_read_as_at_the_api() {
        let asked = asked(&format!("[{GOOD}]")).unwrap();
        assert_eq!(
            (asked.kind.as_str(), asked.service.as_str()),
            ("account.create", "portal")
        );
        assert_eq!(asked.params["email"], "jd@ml.example");
    }

    #[test]
    fn what_is_not_one_action_is_refused() {
        let twice = format!("[{GOOD},{GOOD}]");
        let other = format!("[{}]", GOOD.replace("sceau_action", "payment"));
        let more = format!(
            "[{}]",
            GOOD.replace("\"params\"", "\"admin\":true,\"params\"")
        );
        let double = format!(
            "[{}]",
            GOOD.replace("\"params\"", "\"action\":\"x\",\"params\"")
        );
        for details in ["", "{}", "[]", "[1]", GOOD, &twice, &other, &more, &double] {
            let error = asked(details).unwrap_err().error;
            assert!(error.starts_with("invalid_"), "{details}: {error}");
        }
    }

    #[test]
    fn a_parameter_twice_is_no_form() {
        assert!(Form::parse("a=1&b=2").is_some());
        assert!(Form::parse("a=1&b=2&a=3").is_none());
        let form = Form::parse("a=&b=%7B%22x%22%3A1%7D+y").unwrap();
        assert_eq!((form.one("a"), form.one("b")), (None, Some("{\"x\":1} y")));
    }

    #[test]
    fn levels_that_nobody_knows_are_not_reached() {
        let of = |words| levels(&form(&[("acr_values", words)]));
        assert_eq!(of("eidas3 eidas2").unwrap(), [Level::Eidas3, Level::Eidas2]);
        assert_eq!(
            of("phr").unwrap_err().error,
            "unmet_authentication_requirements"
        );
        assert!(levels(&form(&[("max_age", "-1")])).is_err());
    }

    #[test]
    fn the_message_is_part_of_what_is_sealed() {
        let words = with_message(None, "4711");
        assert!(
            words
                .fr
                .unwrap()
                .contains(&sceau_locale::Language::Fr.quoted("4711"))
                && words.en.unwrap().contains("4711")
        );
    }
}
