//! What an execution begot, read from the application's answer: the identifier of the account that it made, from a JSON answer or from where
//! the answer leads. An answer that does not say it leaves an unnamed account in the lineage, never none.
//!
//! Trusts the application with what it says of its own accounts.

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use http_body_util::BodyExt;

use crate::gate::client::full;
use crate::gate::forward::Body;
use crate::lineage::{Begotten, Relation};

/// The most of an answer that is read for identifiers.
const MAX_ANSWER: usize = 1 << 20;

/// Where the identifier of what was made is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Whence {
    /// At this RFC 6901 pointer of a JSON answer: a text, a number, or a list of these.
    Json(String),
    /// In the path that the answer leads to (`Location`, `HX-Location`, `HX-Redirect`), between these two texts.
    Location(String, String),
}

impl Whence {
    /// Reads `json:/id` or `location:/accounts/{id}`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if let Some(pointer) = text.strip_prefix("json:") {
            let sound = pointer.is_empty() || pointer.starts_with('/');
            return sound.then(|| Self::Json(pointer.to_owned()));
        }
        let (before, after) = text.strip_prefix("location:")?.split_once("{id}")?;
        let sound = before.starts_with('/')
            && !before.contains(['{', '}'])
            && !after.contains(['{', '}', '?']);
        sound.then(|| Self::Location(before.to_owned(), after.to_owned()))
    }
}

/// What a held request begets when it is executed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Begets {
    /// It makes an account, whose identifier is there.
    pub creates: Option<Whence>,
    /// It gives this account something.
    pub grants: Option<String>,
    /// How people call what it is about.
    pub display: String,
}

impl Begets {
    /// Nothing.
    #[must_use]
    pub fn nothing(&self) -> bool {
        self.creates.is_none() && self.grants.is_none()
    }

    /// Whether the answer's body must be readable: then the application is not asked to compress it.
    #[must_use]
    pub fn reads_body(&self) -> bool {
        matches!(self.creates, Some(Whence::Json(_)))
    }

    /// Reads an answer, which is given back whole. An answer that is no success begot nothing.
    pub async fn read(
        &self,
        response: Response<Body>,
        leads_to: Option<&str>,
    ) -> (Vec<Begotten>, Response<Body>) {
        let status = response.status();
        if self.nothing() || !(status.is_success() || status.is_redirection()) {
            return (Vec::new(), response);
        }
        let mut begotten = Vec::new();
        if let Some(id) = &self.grants {
            begotten.push(self.one(Relation::Granted, Some(id.clone())));
        }
        let (ids, response) = match &self.creates {
            None => return (begotten, response),
            Some(Whence::Location(before, after)) => (
                leads_to
                    .and_then(|path| between(path, before, after))
                    .into_iter()
                    .collect(),
                response,
            ),
            Some(Whence::Json(pointer)) => {
                let (parts, body) = response.into_parts();
                let (bytes, body) = head(body, &parts.headers).await;
                let ids = bytes
                    .map(|bytes| identifiers(&bytes, pointer))
                    .unwrap_or_default();
                (ids, Response::from_parts(parts, body))
            }
        };
        // A redirection without an identifier is how forms tell of a fault; a success made something, whatever it is called.
        if ids.is_empty() && (status.is_success() || status == StatusCode::SEE_OTHER) {
            begotten.push(self.one(Relation::Created, None));
        }
        begotten.extend(
            ids.into_iter()
                .map(|id| self.one(Relation::Created, Some(id))),
        );
        (begotten, response)
    }

    fn one(&self, relation: Relation, id: Option<String>) -> Begotten {
        Begotten {
            relation,
            id,
            display: self.display.chars().take(200).collect(),
        }
    }
}

/// The identifier between two texts of a path; one segment, without query.
fn between(path: &str, before: &str, after: &str) -> Option<String> {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let path = match path.split_once("://") {
        Some((_, rest)) => rest.get(rest.find('/')?..)?,
        None => path,
    };
    let id = path.strip_prefix(before)?.strip_suffix(after)?;
    (!id.is_empty() && !id.contains('/')).then(|| id.to_owned())
}

fn identifiers(bytes: &[u8], pointer: &str) -> Vec<String> {
    let Ok(value) = serde_json::from_slice::<serde_json::Value>(bytes) else {
        return Vec::new();
    };
    let one = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => Some(text.clone()),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    };
    match value.pointer(pointer) {
        Some(serde_json::Value::Array(items)) => items.iter().filter_map(one).collect(),
        Some(value) => one(value).into_iter().collect(),
        None => Vec::new(),
    }
}

/// The whole body when it is small, and a body that says the same again.
async fn head(mut body: Body, headers: &HeaderMap) -> (Option<Bytes>, Body) {
    let encoded = headers.contains_key(http::header::CONTENT_ENCODING);
    let mut bytes = Vec::new();
    while bytes.len() <= MAX_ANSWER && !encoded {
        match body.frame().await {
            None => {
                let bytes = Bytes::from(bytes);
                return (Some(bytes.clone()), full(bytes));
            }
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    bytes.extend_from_slice(&data);
                }
            }
            Some(Err(error)) => return (None, broken(bytes.into(), error)),
        }
    }
    (None, prefixed(bytes.into(), body))
}

/// What was read already, then the rest.
pub(super) fn prefixed(start: Bytes, rest: Body) -> Body {
    use futures_util::StreamExt as _;
    let first = futures_util::stream::once(async { Ok(hyper::body::Frame::data(start)) });
    let rest = http_body_util::BodyStream::new(rest);
    http_body_util::StreamBody::new(first.chain(rest)).boxed_unsync()
}

/// What was read, and then the same fault.
fn broken(start: Bytes, error: Box<dyn std::error::Error + Send + Sync>) -> Body {
    let frames = [Ok(hyper::body::Frame::data(start)), Err(error)];
    http_body_util::StreamBody::new(futures_util::stream::iter(frames)).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn creates(whence: &str) -> Begets {
        Begets {
            creates: Whence::parse(whence),
            grants: None,
            display: "Jean".to_owned(),
        }
    }

    async fn ids(
        begets: &Begets,
        status: u16,
        body: &str,
        leads_to: Option<&str>,
    ) -> Vec<Option<String>> {
        let mut response = Response::new(full(Bytes::copy_from_slice(body.as_bytes())));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        let (begotten, response) = begets.read(response, leads_to).await;
        let after = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(after, body.as_bytes(), "the client gets the whole answer");
        begotten.into_iter().map(|one| one.id).collect()
    }

    #[tokio::test]
    async fn an_identifier_is_read_where_the_route_says() {
        let json = creates("json:/account/id");
        let some = |id: &str| vec![Some(id.to_owned())];
        assert_eq!(
            ids(&json, 201, r#"{"account":{"id":17}}"#, None).await,
            some("17")
        );
        assert_eq!(
            ids(&json, 200, r#"{"account":{"id":["a","b"]}}"#, None).await,
            [some("a"), some("b")].concat()
        );
        assert_eq!(
            ids(&json, 200, r#"{"account":{}}"#, None).await,
            [None],
            "someone unnamed"
        );
        assert_eq!(ids(&json, 200, "<html>", None).await, [None]);
        assert_eq!(ids(&json, 422, r#"{"account":{"id":17}}"#, None).await, []);
        let large = format!(
            r#"{{"account":{{"id":17}},"x":"{}"}}"#,
            "x".repeat(MAX_ANSWER)
        );
        assert_eq!(ids(&json, 200, &large, None).await, [None], "bounded");
        let location = creates("location:/accounts/{id}");
        for path in [
            "/accounts/17",
            "https://portal.example/accounts/17?new=1#top",
        ] {
            assert_eq!(
                ids(&location, 303, "", Some(path)).await,
                some("17"),
                "{path}"
            );
        }
        for path in ["/accounts/", "/accounts/17/rights", "/other/17"] {
            assert_eq!(ids(&location, 201, "", Some(path)).await, [None], "{path}");
        }
        assert_eq!(
            ids(&location, 302, "", Some("/login")).await,
            [],
            "a redirection elsewhere made nothing"
        );
        let grants = Begets {
            grants: Some("9".to_owned()),
            ..Begets::default()
        };
        assert_eq!(ids(&grants, 204, "", None).await, some("9"));
    }

    #[test]
    fn odd_places_are_no_places() {
        for odd in [
            "",
            "id",
            "json:id",
            "location:/a",
            "location:a/{id}",
            "location:/{x}/{id}",
            "header:x",
        ] {
            assert_eq!(Whence::parse(odd), None, "{odd}");
        }
    }
}
