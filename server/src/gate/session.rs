//! The gate's own session: who asks, whatever the application's cookies say.
//!
//! The cookie holds the session's token; `__Host-sceau` (Secure, no Domain, Path=/) except on plain loopback, where it
//! is `sceau`. It is dead until the person's key has sealed the sign-in, never travels to the application, and is never
//! logged. A suspended session is refused at the next request. Paths: docs/api.md, "Gate's own paths".

use http::header::COOKIE;
use http::{HeaderMap, HeaderValue};
use zeroize::Zeroizing;

use crate::desk::{Desk, DeskError};
use crate::session::{Session, SessionKind, SessionState};

/// The cookie names that are ours on any application.
pub const OWN_COOKIES: [&str; 4] = [
    SESSION_COOKIES[0],
    SESSION_COOKIES[1],
    super::login::COOKIES[0],
    super::login::COOKIES[1],
];
/// Those of sessions.
const SESSION_COOKIES: [&str; 2] = ["__Host-sceau", "sceau"];

/// Who stands behind a request, as far as the gate knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Visitor {
    /// No session, or one that is over.
    Nobody,
    /// The sign-in waits for the key.
    Pending(Session),
    /// A session that a key sealed.
    Active(Session),
    /// A session whose key does not show itself.
    Absent(Session),
    /// A session that someone has suspended.
    Suspended(Session),
}

impl Visitor {
    /// The active session.
    #[must_use]
    pub fn active(&self) -> Option<&Session> {
        match self {
            Self::Active(session) => Some(session),
            _ => None,
        }
    }
}

/// How a cookie that holds one of our tokens is called and written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CookieRule {
    secure: bool,
    names: [&'static str; 2],
}

impl CookieRule {
    /// `secure` unless the gate serves plain HTTP on loopback.
    #[must_use]
    pub fn new(secure: bool) -> Self {
        Self::named(secure, SESSION_COOKIES)
    }

    /// The same rule for another cookie; the first name (`__Host-…`) is the secure one's.
    #[must_use]
    pub fn named(secure: bool, names: [&'static str; 2]) -> Self {
        Self { secure, names }
    }

    fn name(self) -> &'static str {
        let [host, plain] = self.names;
        if self.secure { host } else { plain }
    }

    /// The token in a request; `None` when there is none, or more than one.
    #[must_use]
    pub fn token(self, headers: &HeaderMap) -> Option<Zeroizing<String>> {
        let mut found = headers
            .get_all(COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .filter(|(name, _)| *name == self.name());
        match (found.next(), found.next()) {
            // 32 bytes in base64url; anything else is not worth a look-up.
            (Some((_, token)), None) if token.len() == 43 && token.bytes().all(is_base64url) => {
                Some(Zeroizing::new(token.to_owned()))
            }
            _ => None,
        }
    }

    /// `Set-Cookie` for a new session.
    #[must_use]
    pub fn set(self, token: &str) -> Option<HeaderValue> {
        self.write(token, "")
    }

    /// `Set-Cookie` that removes it.
    #[must_use]
    pub fn clear(self) -> Option<HeaderValue> {
        self.write("", "; Max-Age=0")
    }

    fn write(self, token: &str, end: &str) -> Option<HeaderValue> {
        let secure = if self.secure { "; Secure" } else { "" };
        let text = format!(
            "{}={token}; Path=/; HttpOnly; SameSite=Lax{secure}{end}",
            self.name()
        );
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

fn is_base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// Who stands behind a request's cookie.
///
/// # Errors
/// `Unavailable`: then nobody is let through.
pub async fn visitor(
    desk: &Desk,
    rule: CookieRule,
    headers: &HeaderMap,
) -> Result<Visitor, DeskError> {
    let Some(token) = rule.token(headers) else {
        return Ok(Visitor::Nobody);
    };
    Ok(match desk.session_again(&token).await? {
        Some(session) if session.kind == SessionKind::Gate => match session.state {
            SessionState::Active => Visitor::Active(session),
            SessionState::Pending => Visitor::Pending(session),
            SessionState::Absent => Visitor::Absent(session),
            SessionState::Suspended => Visitor::Suspended(session),
            SessionState::Refused | SessionState::Ended => Visitor::Nobody,
        },
        _ => Visitor::Nobody,
    })
}

/// Whether a request that changes something was sent by another site's page. Programs send neither header.
#[must_use]
pub fn is_cross_site(headers: &HeaderMap, base: &str) -> bool {
    // Browsers write `Origin: null` for the forms of pages with `Referrer-Policy: no-referrer`; where they come from says the other
    // header, which no page can write (a sandboxed frame is `cross-site` there).
    let vouched = headers
        .get("sec-fetch-site")
        .is_some_and(|site| site == "same-origin");
    let foreign_origin = headers.get("origin").is_some_and(|origin| {
        let hidden = vouched && origin == "null";
        !hidden && !origin.as_bytes().eq_ignore_ascii_case(base.as_bytes())
    });
    let foreign_fetch = headers
        .get_all("sec-fetch-site")
        .iter()
        .any(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"));
    foreign_origin || foreign_fetch
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(list: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in list {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn the_cookie_is_bound_to_its_host_unless_on_plain_loopback() {
        let token = "A".repeat(43);
        let set = CookieRule::new(true).set(&token).unwrap();
        assert_eq!(
            set.to_str().unwrap(),
            format!("__Host-sceau={token}; Path=/; HttpOnly; SameSite=Lax; Secure")
        );
        let plain = CookieRule::new(false);
        assert_eq!(
            plain.set(&token).unwrap().to_str().unwrap(),
            format!("sceau={token}; Path=/; HttpOnly; SameSite=Lax")
        );
        assert!(
            plain
                .clear()
                .unwrap()
                .to_str()
                .unwrap()
                .ends_with("Max-Age=0")
        );
        assert!(format!("{set:?}").contains("Sensitive"));
    }

    #[test]
    fn a_cookie_that_is_there_twice_is_nobodys() {
        let (a, b) = ("a".repeat(43), "b".repeat(43));
        let rule = CookieRule::new(false);
        let one = map(&[("cookie", &format!("x=1; sceau={a}"))]);
        assert_eq!(rule.token(&one).as_deref(), Some(&a));
        assert!(
            rule.token(&map(&[("cookie", &format!("sceau={a}; sceau={b}"))]))
                .is_none()
        );
        assert!(
            rule.token(&map(&[
                ("cookie", &format!("sceau={a}")),
                ("cookie", &format!("sceau={b}"))
            ]))
            .is_none()
        );
        assert!(rule.token(&map(&[("cookie", "sceau=short")])).is_none());
        assert!(CookieRule::new(true).token(&one).is_none());
    }

    #[test]
    fn other_sites_pages_are_told_by_either_header() {
        let base = "https://portal.example";
        for own in [
            &[][..],
            &[("origin", base)],
            &[("origin", base), ("sec-fetch-site", "same-origin")],
            &[("sec-fetch-site", "none")],
            &[("origin", "null"), ("sec-fetch-site", "same-origin")],
        ] {
            assert!(!is_cross_site(&map(own), base), "{own:?}");
        }
        for foreign in [
            &[("origin", "https://evil.example")][..],
            &[("origin", "null")],
            &[("origin", "null"), ("sec-fetch-site", "none")],
            &[("origin", "null"), ("sec-fetch-site", "cross-site")],
            &[("origin", "http://portal.example")],
            &[("origin", "https://portal.example:8443")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site")],
            &[("origin", base), ("sec-fetch-site", "cross-site")],
        ] {
            assert!(is_cross_site(&map(foreign), base), "{foreign:?}");
        }
    }
}
