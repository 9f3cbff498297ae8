//! `GET /gate/verify`: the forward-auth form, for applications whose own proxy asks before each request (nginx
//! `auth_request`, Caddy `forward_auth`, Traefik).
//!
//! It sees method, target and headers of the original request, and never its body: what needs the body is refused with
//! a reason that says to use the proxy. What it lets through is counted as used at that moment, since nobody reports.
//! The application must be reachable through that proxy alone, and the proxy must pass these headers on itself.

use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};

use crate::action::{Caller, NewAction, Outcome, RequestDigest};
use crate::gate::body::Fields;
use crate::gate::canon::{self, Target};
use crate::gate::client::{self, Notice, empty};
use crate::gate::forward::Body;
use crate::gate::meaning::Reading;
use crate::gate::notice::{absent, approval_needed, desk_notice, refused, suspended};
use crate::gate::passage::{Asked, Refusal, digest, repeated};
use crate::gate::route::{Hold, Met, Purpose};
use crate::gate::session::{Visitor, is_cross_site};
use crate::session::Session;

/// Where proxies ask.
pub(super) const PATH: &str = "/gate/verify";

pub(super) async fn answer(asked: &Asked<'_>, parts: &Parts) -> Response<Body> {
    match decide(asked, parts).await {
        Ok(response) => response,
        Err(Refusal::Answered(response)) => *response,
        // nginx knows 2xx, 401 and 403 only.
        Err(Refusal::NotCanonical(error)) => {
            let mut response = refused(error, &asked.client);
            *response.status_mut() = StatusCode::FORBIDDEN;
            response
        }
    }
}

async fn decide(asked: &Asked<'_>, parts: &Parts) -> Result<Response<Body>, Refusal> {
    let headers = &parts.headers;
    let (method, uri) =
        original(headers).ok_or_else(|| forbidden(asked, "no-original", "gate-no-original"))?;
    let target = Target::parse(&uri)?;
    let mut claimed = headers.clone();
    claimed.remove("x-original-method");
    let app = &asked.site.app;
    let method = canon::effective_method(&method, &claimed, target.query(), &[], app.overrides)?;
    if let Visitor::Absent(_) = asked.visitor {
        return Err(absent().answer(&asked.client).into());
    }
    if let Visitor::Suspended(_) = asked.visitor {
        return Err(suspended().answer(&asked.client).into());
    }
    let met = app.find(&method, &target)?;
    let free = met
        .as_ref()
        .is_some_and(|met| matches!(met.route.purpose, Purpose::Free { .. }));
    // The body that is not seen may replace the method: then nothing unsafe is free.
    let free = free && (canon::is_safe(&method) || !app.overrides.body);
    let read = met.is_none() && canon::is_safe(&method);
    if free || read {
        if read && app.session_always && asked.visitor.active().is_none() {
            return Err(challenged(asked));
        }
        return Ok(passed(asked, None));
    }
    if is_cross_site(headers, &asked.base) {
        return Err(forbidden(asked, "cross-site", "gate-cross-site"));
    }
    let Some(session) = asked.visitor.active() else {
        return Err(challenged(asked));
    };
    match met {
        Some(Met { route, path }) => match &route.purpose {
            Purpose::Hold(hold) if hold.bodyless => {
                sealed(asked, headers, session, hold, &path, &method, &target).await
            }
            _ => Err(needs_body(asked)),
        },
        None => Err(needs_body(asked)),
    }
}

/// The original request: `X-Original-Method`/`X-Original-URI` (nginx) or `X-Forwarded-Method`/`X-Forwarded-Uri`.
fn original(headers: &HeaderMap) -> Option<(Method, Uri)> {
    let one = |names: [&str; 2]| {
        let mut found = names.iter().flat_map(|name| headers.get_all(*name));
        match (found.next(), found.next()) {
            (Some(value), None) => value.to_str().ok(),
            _ => None,
        }
    };
    let method = one(["x-original-method", "x-forwarded-method"])?;
    let target = one(["x-original-uri", "x-forwarded-uri"])?;
    Some((
        Method::from_bytes(method.as_bytes()).ok()?,
        target.parse().ok()?,
    ))
}

async fn sealed(
    asked: &Asked<'_>,
    headers: &HeaderMap,
    session: &Session,
    hold: &Hold,
    path: &std::collections::BTreeMap<String, String>,
    method: &Method,
    target: &Target,
) -> Result<Response<Body>, Refusal> {
    let request = RequestDigest {
        method: method.as_str().to_owned(),
        path: target.path_and_query(),
        body_sha256: hex::encode(digest(b"")),
    };
    let desk = &asked.gate.desk;
    let Some(record) = repeated(asked, headers, session, &request).await? else {
        let reading = Reading::new(Some(hold), path, target, headers, &Fields::Empty)
            .map_err(|_| needs_body(asked))?;
        let meaning = reading.describe(
            Some(hold),
            method.as_str(),
            target,
            &std::collections::BTreeMap::new(),
        );
        let action = NewAction {
            kind: meaning.kind,
            service: asked.site.app.service.clone(),
            requester: session.person.clone(),
            target: meaning.target,
            params: meaning.params,
            request: Some(request),
            words: Some(meaning.words),
        };
        let caller = Caller::Gate {
            service: asked.site.app.service.clone(),
            session: session.id,
        };
        return match desk.open_action(action, caller).await {
            Ok(record) => {
                let mut response = approval_needed(asked, record.id);
                *response.status_mut() = StatusCode::UNAUTHORIZED;
                if let Ok(value) = HeaderValue::from_str(&record.id.to_string()) {
                    response.headers_mut().insert("sceau-action", value);
                }
                Err(response.into())
            }
            Err(error) => Err(desk_notice(&error).answer(&asked.client).into()),
        };
    };
    match desk.consume(record.id).await {
        Ok(consumed) => {
            let unreported = Outcome::Unknown {
                failure: "forward-auth",
            };
            if let Err(error) = desk.record_execution(record.id, unreported).await {
                tracing::error!(action = %record.id, %error, "the use of an action could not be closed");
            }
            Ok(passed(asked, Some(consumed.permit())))
        }
        Err(crate::desk::DeskError::StillPending) => {
            let mut response = approval_needed(asked, record.id);
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            Err(response.into())
        }
        Err(_) => Err(forbidden(
            asked,
            "already-used",
            "gate-already-used-or-ended",
        )),
    }
}

fn passed(asked: &Asked<'_>, permit: Option<&str>) -> Response<Body> {
    let mut response = empty(StatusCode::NO_CONTENT);
    let person = asked
        .visitor
        .active()
        .map(|session| session.person.as_str());
    for (name, value) in [("sceau-person", person), ("sceau-permit", permit)] {
        if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn challenged(asked: &Asked<'_>) -> Refusal {
    let mut response = Notice::new(StatusCode::UNAUTHORIZED, "sign-in-needed", "gate-sign-in")
        .with("sign_in_url", format!("{}/.sceau/sign-in", asked.base))
        .answer(&asked.client);
    response
        .headers_mut()
        .insert("www-authenticate", client::challenge());
    response.into()
}

pub(super) fn needs_body(asked: &Asked<'_>) -> Refusal {
    forbidden(asked, "use-the-proxy", "gate-use-the-proxy")
}

fn forbidden(asked: &Asked<'_>, code: &str, name: &'static str) -> Refusal {
    Notice::new(StatusCode::FORBIDDEN, code, name)
        .answer(&asked.client)
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_original_request_is_said_once() {
        let headers = |list: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in list {
                map.append(*name, HeaderValue::from_static(value));
            }
            map
        };
        let nginx = headers(&[
            ("x-original-method", "DELETE"),
            ("x-original-uri", "/users/7?x=1"),
        ]);
        assert_eq!(
            original(&nginx),
            Some((Method::DELETE, "/users/7?x=1".parse().unwrap()))
        );
        let caddy = headers(&[("x-forwarded-method", "GET"), ("x-forwarded-uri", "/")]);
        assert_eq!(original(&caddy), Some((Method::GET, "/".parse().unwrap())));
        for odd in [
            &[("x-original-uri", "/")][..],
            &[
                ("x-original-method", "GET"),
                ("x-forwarded-method", "DELETE"),
                ("x-original-uri", "/"),
            ],
            &[
                ("x-original-method", "GET"),
                ("x-original-uri", "/a"),
                ("x-original-uri", "/b"),
            ],
        ] {
            assert_eq!(original(&headers(odd)), None, "{odd:?}");
        }
    }
}
