//! The one spelling of a request: what a path, a query and a method mean, or a refusal.
//!
//! A gate that guesses differs somewhere from the application behind it, and that difference is the bypass. So a
//! target that servers are known to read in several ways (dot segments, `\`, encoded slashes, double encoding, …) is
//! refused with 400, and nothing is ever normalised: what is forwarded is what was judged, byte for byte.
//! RFC 3986 §3.3 and §6.2.2 say what canonical is.
//!
//! Pure. Everything here is hostile input. Which route a target meets is `route`; bodies are read in `body`.

use http::{HeaderMap, Method, Uri};

/// The longest accepted path and query, in bytes.
pub const MAX_TARGET: usize = 8 * 1024;
/// Headers by which frameworks replace the method, lower case.
pub const OVERRIDE_HEADERS: [&str; 4] = [
    "x-http-method-override",
    "x-http-method",
    "x-method-override",
    "x-original-method",
];
/// The field by which forms replace the method.
pub const OVERRIDE_FIELD: &str = "_method";

/// Why a request has no single meaning. All of them are answered with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotCanonical {
    /// Not an origin-form target, or over [`MAX_TARGET`].
    #[error("the target must be a path")]
    Form,
    /// A byte that RFC 3986 does not allow in a path, such as `\`, a control character or raw UTF-8.
    #[error("the path has a byte that must not be there")]
    Byte,
    /// `.` or `..` as a segment.
    #[error("the path has a dot segment")]
    DotSegment,
    /// `//` inside the path.
    #[error("the path has an empty segment")]
    EmptySegment,
    /// `;`, which some servers cut off.
    #[error("the path has a parameter")]
    PathParameter,
    /// `%` without two hexadecimal digits, or bytes that are no UTF-8.
    #[error("the path has a broken escape")]
    Escape,
    /// An escape for a character that needs none.
    #[error("the path escapes a character that needs no escape")]
    NeedlessEscape,
    /// An escaped `/`, `\`, `%`, `;` or control character.
    #[error("the path escapes a delimiter")]
    EscapedDelimiter,
    /// It differs from a known path by case, trailing dots or an identifier's shape.
    #[error("the path resembles a known one and is not it")]
    NearMiss,
    /// The query does not parse.
    #[error("the query does not parse")]
    Query,
    /// A field, member or header is there twice.
    #[error("a field is there twice")]
    Duplicate,
    /// The method is no upper-case standard method.
    #[error("unknown method")]
    Method,
    /// The method is replaced in a way that this application does not have, or in two ways.
    #[error("the method is replaced in a way that this application does not use")]
    MethodOverride,
    /// GET, HEAD or OPTIONS with a body.
    #[error("this method has no body")]
    SafeWithBody,
    /// Host, `:authority`, Content-Length or Content-Type are missing, repeated or contradictory.
    #[error("contradictory headers")]
    Headers,
}

impl NotCanonical {
    /// The code in the problem document.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::Form => "target-form",
            Self::Byte => "path-byte",
            Self::DotSegment => "path-dot-segment",
            Self::EmptySegment => "path-empty-segment",
            Self::PathParameter => "path-parameter",
            Self::Escape => "path-escape",
            Self::NeedlessEscape => "path-needless-escape",
            Self::EscapedDelimiter => "path-escaped-delimiter",
            Self::NearMiss => "path-near-miss",
            Self::Query => "query",
            Self::Duplicate => "duplicate",
            Self::Method => "method",
            Self::MethodOverride => "method-override",
            Self::SafeWithBody => "body-on-safe-method",
            Self::Headers => "headers",
        }
    }
}

/// A canonical target. Built by [`Target::parse`] alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    path: String,
    query: Option<String>,
    segments: Vec<String>,
}

impl Target {
    /// Judges path and query as they are on the wire.
    ///
    /// # Errors
    /// Which rule the path breaks; the query is judged by [`Target::pairs`], when somebody reads it.
    pub fn parse(uri: &Uri) -> Result<Self, NotCanonical> {
        let path = uri.path();
        if !path.starts_with('/')
            || path.len() + uri.query().map_or(0, |query| query.len() + 1) > MAX_TARGET
        {
            return Err(NotCanonical::Form);
        }
        let inner = path.get(1..).unwrap_or_default();
        // One trailing slash is the same resource in most routers: it does not make another path.
        let inner = inner.strip_suffix('/').unwrap_or(inner);
        let segments = if inner.is_empty() && path.len() < 2 {
            Vec::new()
        } else {
            inner.split('/').map(segment).collect::<Result<_, _>>()?
        };
        Ok(Self {
            path: path.to_owned(),
            query: uri.query().map(str::to_owned),
            segments,
        })
    }

    /// The path, verbatim.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The query without `?`, verbatim; not judged.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }

    /// The decoded segments, without a trailing empty one.
    #[must_use]
    pub fn segments(&self) -> &[String] {
        &self.segments
    }

    /// Path and query, verbatim: what the signed action names.
    #[must_use]
    pub fn path_and_query(&self) -> String {
        match &self.query {
            Some(query) => format!("{}?{query}", self.path),
            None => self.path.clone(),
        }
    }

    /// The decoded query fields, in order.
    ///
    /// # Errors
    /// `Query` when an escape is broken or a name is empty.
    pub fn pairs(&self) -> Result<Vec<(String, String)>, NotCanonical> {
        self.query.as_deref().map_or(Ok(Vec::new()), form_pairs)
    }
}

fn segment(raw: &str) -> Result<String, NotCanonical> {
    if raw.is_empty() {
        return Err(NotCanonical::EmptySegment);
    }
    if raw == "." || raw == ".." {
        return Err(NotCanonical::DotSegment);
    }
    let mut decoded = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let value = hex_pair(bytes.next(), bytes.next()).ok_or(NotCanonical::Escape)?;
                match value {
                    b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                        return Err(NotCanonical::NeedlessEscape);
                    }
                    b'/' | b'\\' | b'%' | b';' | 0..=0x1f | 0x7f => {
                        return Err(NotCanonical::EscapedDelimiter);
                    }
                    _ => decoded.push(value),
                }
            }
            b';' => return Err(NotCanonical::PathParameter),
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => decoded.push(byte),
            b'-' | b'.' | b'_' | b'~' | b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+'
            | b',' | b'=' | b':' | b'@' => decoded.push(byte),
            _ => return Err(NotCanonical::Byte),
        }
    }
    String::from_utf8(decoded).map_err(|_| NotCanonical::Escape)
}

fn hex_pair(high: Option<u8>, low: Option<u8>) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = digit(high?)? * 16 + digit(low?)?;
    u8::try_from(value).ok()
}

/// Decodes `application/x-www-form-urlencoded` text, strictly: broken escapes, bytes that are no UTF-8, controls in
/// names and `;` (an old separator) in names are refused.
///
/// # Errors
/// `Query`.
pub fn form_pairs(text: &str) -> Result<Vec<(String, String)>, NotCanonical> {
    let mut pairs = Vec::new();
    for piece in text.split('&').filter(|piece| !piece.is_empty()) {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        let (name, value) = (form_text(name)?, form_text(value)?);
        if name.is_empty() || name.chars().any(|c| c.is_control() || c == ';') {
            return Err(NotCanonical::Query);
        }
        pairs.push((name, value));
    }
    Ok(pairs)
}

fn form_text(text: &str) -> Result<String, NotCanonical> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex_pair(bytes.next(), bytes.next()).ok_or(NotCanonical::Query)?,
            b'+' => b' ',
            _ => byte,
        });
    }
    String::from_utf8(decoded).map_err(|_| NotCanonical::Query)
}

/// Whether a field's name would be read as the method's replacement: `_method`, `_METHOD`, `_method[]`.
#[must_use]
pub fn is_override_field(name: &str) -> bool {
    let trimmed = name.trim();
    trimmed
        .get(..OVERRIDE_FIELD.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(OVERRIDE_FIELD))
        && !trimmed
            .get(OVERRIDE_FIELD.len()..)
            .unwrap_or_default()
            .starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Which ways of replacing the method an application really has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Overrides {
    /// `_method` in the query.
    pub query: bool,
    /// `_method` in an urlencoded, multipart or JSON body.
    pub body: bool,
    /// The headers of [`OVERRIDE_HEADERS`].
    pub header: bool,
}

/// The method that the application will execute: the one on the wire, unless `query`, `headers` or `body` replace it.
///
/// `query` is searched even when it does not parse. `body` holds the body's top-level field names and values.
///
/// # Errors
/// `Method` for methods outside RFC 9110's and PATCH; `MethodOverride` when a replacement is of a way that the
/// application does not have, is not on a POST, contradicts another, or names a safe method.
pub fn effective_method(
    method: &Method,
    headers: &HeaderMap,
    query: Option<&str>,
    body: &[(String, String)],
    known: Overrides,
) -> Result<Method, NotCanonical> {
    standard(method.as_str()).ok_or(NotCanonical::Method)?;
    let mut found: Vec<String> = Vec::new();
    for (name, value) in headers {
        if OVERRIDE_HEADERS.contains(&name.as_str().replace('_', "-").as_str()) {
            if !known.header {
                return Err(NotCanonical::MethodOverride);
            }
            found.push(
                value
                    .to_str()
                    .map_err(|_| NotCanonical::MethodOverride)?
                    .to_owned(),
            );
        }
    }
    for piece in query.unwrap_or_default().split(['&', ';']) {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        if form_text(name).is_ok_and(|name| is_override_field(&name)) {
            if !known.query {
                return Err(NotCanonical::MethodOverride);
            }
            found.push(form_text(value)?);
        }
    }
    for (_, value) in body.iter().filter(|(name, _)| is_override_field(name)) {
        if !known.body {
            return Err(NotCanonical::MethodOverride);
        }
        found.push(value.clone());
    }
    let Some(first) = found.first() else {
        return Ok(method.clone());
    };
    let replaced = standard(&first.to_ascii_uppercase()).ok_or(NotCanonical::MethodOverride)?;
    let agree = found
        .iter()
        .all(|value| value.eq_ignore_ascii_case(replaced.as_str()));
    if !agree || is_safe(&replaced) || (*method != Method::POST && replaced != *method) {
        return Err(NotCanonical::MethodOverride);
    }
    Ok(replaced)
}

/// Whether a method promises to change nothing (RFC 9110 §9.2.1).
#[must_use]
pub fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

fn standard(name: &str) -> Option<Method> {
    [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::POST,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
    ]
    .into_iter()
    .find(|method| method.as_str() == name)
}

/// Headers that frame or identify a message must be there at most once, and agree.
/// Returns the host (without a trailing dot, lower case, with its port).
///
/// # Errors
/// `Headers`.
pub fn host(uri: &Uri, headers: &HeaderMap) -> Result<String, NotCanonical> {
    for name in [
        "host",
        "content-length",
        "content-type",
        "origin",
        "transfer-encoding",
    ] {
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(NotCanonical::Headers);
        }
    }
    if headers.contains_key("content-length") && headers.contains_key("transfer-encoding") {
        return Err(NotCanonical::Headers);
    }
    let header = match headers.get("host") {
        Some(value) => Some(value.to_str().map_err(|_| NotCanonical::Headers)?),
        None => None,
    };
    let authority = uri.authority().map(http::uri::Authority::as_str);
    let host = match (authority, header) {
        (Some(authority), Some(header)) if !authority.eq_ignore_ascii_case(header) => {
            return Err(NotCanonical::Headers);
        }
        (Some(host), _) | (None, Some(host)) => host,
        (None, None) => return Err(NotCanonical::Headers),
    };
    let plain = host
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b));
    if host.is_empty() || !plain {
        return Err(NotCanonical::Headers);
    }
    Ok(host.to_ascii_lowercase())
}

/// Text as lenient servers compare it: without case, without trailing dots and spaces.
#[must_use]
pub fn folded(text: &str) -> String {
    let upper = text.trim_end_matches(['.', ' ']).to_uppercase();
    upper.to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<Target, NotCanonical> {
        Target::parse(&text.parse().unwrap())
    }

    #[test]
    fn canonical_paths_keep_their_bytes() {
        for (path, segments) in [
            ("/", vec![]),
            ("/accounts", vec!["accounts"]),
            ("/accounts/", vec!["accounts"]),
            ("/users/42/reset/mfa", vec!["users", "42", "reset", "mfa"]),
            ("/p/Jos%C3%A9%20X", vec!["p", "José X"]),
            ("/d/a@b.example:1+2", vec!["d", "a@b.example:1+2"]),
            ("/a/...", vec!["a", "..."]),
        ] {
            let target = parse(path).unwrap();
            assert_eq!(target.path(), path);
            assert_eq!(target.segments(), segments, "{path}");
        }
        assert_eq!(parse("/a?b=c&b=d").unwrap().path_and_query(), "/a?b=c&b=d");
    }

    #[test]
    fn each_other_spelling_is_refused_by_its_own_name() {
        use NotCanonical as N;
        for (path, reason) in [
            ("/a/../accounts", N::DotSegment),
            ("/./accounts", N::DotSegment),
            ("/accounts/..", N::DotSegment),
            ("/accounts/../", N::DotSegment),
            ("//accounts", N::EmptySegment),
            ("/accounts//1", N::EmptySegment),
            ("/accounts//", N::EmptySegment),
            ("//", N::EmptySegment),
            ("/%61ccounts", N::NeedlessEscape),
            ("/a/%2e%2e/accounts", N::NeedlessEscape),
            ("/a/%2E/accounts", N::NeedlessEscape),
            ("/accounts%2F1", N::EscapedDelimiter),
            ("/accounts%2f1", N::EscapedDelimiter),
            ("/accounts%5C1", N::EscapedDelimiter),
            ("/%2561ccounts", N::EscapedDelimiter),
            ("/accounts%252F1", N::EscapedDelimiter),
            ("/accounts%3Bx", N::EscapedDelimiter),
            ("/accounts%00", N::EscapedDelimiter),
            ("/accounts%0d%0aX", N::EscapedDelimiter),
            ("/accounts%7f", N::EscapedDelimiter),
            ("/accounts;v=1", N::PathParameter),
            ("/accounts;/1", N::PathParameter),
            ("/accounts%", N::Escape),
            ("/accounts%4", N::Escape),
            ("/accounts%zz", N::Escape),
            ("/accounts%C3", N::Escape),
            ("/accounts%c0%af", N::Escape),
            ("/acc%u0061", N::Escape),
            ("/a\"b", N::Byte),
            ("/a{b}", N::Byte),
            ("/accounts|x", N::Byte),
            ("/a\\..\\accounts", N::Byte),
            ("/a^b", N::Byte),
        ] {
            assert_eq!(parse(path), Err(reason), "{path}");
        }
        assert_eq!(parse("*"), Err(N::Form));
        let long = format!("/{}", "a".repeat(MAX_TARGET));
        assert_eq!(parse(&long), Err(N::Form));
        let raw = Uri::from_maybe_shared(bytes::Bytes::from_static("/comptés".as_bytes())).unwrap();
        assert_eq!(Target::parse(&raw), Err(N::Byte));
    }

    proptest! {
        #[test]
        fn an_accepted_path_has_one_decoding(path in "/[a-zA-Z0-9._~%/;\\\\+ -]{0,24}") {
            if let Ok(uri) = path.parse::<Uri>() && let Ok(target) = Target::parse(&uri) {
                for segment in target.segments() {
                    prop_assert!(!segment.contains(['/', '\\', '%', ';']) && segment != "." && segment != "..");
                }
            }
        }
    }

    #[test]
    fn queries_decode_strictly() {
        assert_eq!(
            parse("/a?x=1&y=a+b%20c&z").unwrap().pairs().unwrap(),
            [("x", "1"), ("y", "a b c"), ("z", "")].map(|(n, v)| (n.to_owned(), v.to_owned()))
        );
        for bad in [
            "/a?x=%",
            "/a?x=%f",
            "/a?x=%ff",
            "/a?=1",
            "/a?x;y=1",
            "/a?x%00=1",
        ] {
            assert_eq!(
                parse(bad).unwrap().pairs(),
                Err(NotCanonical::Query),
                "{bad}"
            );
        }
    }

    fn effective(
        method: &str,
        headers: &[(&'static str, &'static str)],
        query: Option<&str>,
        body: &[(&str, &str)],
        known: Overrides,
    ) -> Result<Method, NotCanonical> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_static(value));
        }
        let body: Vec<_> = body
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        effective_method(
            &Method::from_bytes(method.as_bytes()).unwrap(),
            &map,
            query,
            &body,
            known,
        )
    }

    const ALL: Overrides = Overrides {
        query: true,
        body: true,
        header: true,
    };

    #[test]
    fn the_method_is_the_one_that_the_application_executes() {
        assert_eq!(effective("POST", &[], None, &[], ALL), Ok(Method::POST));
        for (headers, query, body) in [
            (&[("x-http-method-override", "delete")][..], None, &[][..]),
            (&[("x-http-method", "DELETE")], None, &[]),
            (&[("x_http_method_override", "DELETE")], None, &[]),
            (&[], Some("a=1&_method=DELETE"), &[]),
            (&[], Some("%5Fmethod=delete"), &[]),
            (&[], None, &[("_method", "DELETE")]),
            (&[], None, &[("_METHOD", "delete")]),
            (
                &[("x-method-override", "DELETE")],
                Some("_method=DELETE"),
                &[("_method", "delete")],
            ),
        ] {
            assert_eq!(
                effective("POST", headers, query, body, ALL),
                Ok(Method::DELETE),
                "{headers:?} {query:?} {body:?}"
            );
            let none = Overrides::default();
            assert_eq!(
                effective("POST", headers, query, body, none),
                Err(NotCanonical::MethodOverride)
            );
        }
    }

    #[test]
    fn a_replacement_never_makes_a_request_safe_or_ambiguous() {
        let refused = Err(NotCanonical::MethodOverride);
        assert_eq!(
            effective("POST", &[], Some("_method=GET"), &[], ALL),
            refused
        );
        assert_eq!(
            effective("POST", &[], Some("_method=PURGE"), &[], ALL),
            refused
        );
        assert_eq!(
            effective("POST", &[], Some("_method=PUT&_method=DELETE"), &[], ALL),
            refused
        );
        assert_eq!(
            effective(
                "POST",
                &[("x-http-method", "PUT")],
                None,
                &[("_method", "PATCH")],
                ALL
            ),
            refused
        );
        assert_eq!(
            effective("GET", &[], Some("_method=DELETE"), &[], ALL),
            refused
        );
        assert_eq!(
            effective("PUT", &[("x-http-method", "DELETE")], None, &[], ALL),
            refused
        );
        for odd in ["delete", "PURGE", "TRACE", "CONNECT", "Post"] {
            assert_eq!(
                effective(odd, &[], None, &[], ALL),
                Err(NotCanonical::Method),
                "{odd}"
            );
        }
        assert!(!is_override_field("_methodology") && is_override_field("_method[]"));
    }

    #[test]
    fn contradictory_hosts_and_lengths_are_refused() {
        let headers = |list: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            for (name, value) in list {
                map.append(*name, HeaderValue::from_static(value));
            }
            map
        };
        let relative: Uri = "/a".parse().unwrap();
        let absolute: Uri = "http://portal.example/a".parse().unwrap();
        let ok = headers(&[("host", "Portal.example:8443")]);
        assert_eq!(host(&relative, &ok), Ok("portal.example:8443".to_owned()));
        assert_eq!(
            host(&absolute, &headers(&[])),
            Ok("portal.example".to_owned())
        );
        for (uri, list) in [
            (&relative, &[][..]),
            (&relative, &[("host", "a"), ("host", "b")]),
            (&absolute, &[("host", "other.example")]),
            (
                &relative,
                &[
                    ("host", "a"),
                    ("content-length", "1"),
                    ("transfer-encoding", "chunked"),
                ],
            ),
            (
                &relative,
                &[
                    ("host", "a"),
                    ("content-type", "a/b"),
                    ("content-type", "c/d"),
                ],
            ),
            (&relative, &[("host", "a b")]),
            (&relative, &[("host", "user@a")]),
        ] {
            assert_eq!(
                host(uri, &headers(list)),
                Err(NotCanonical::Headers),
                "{list:?}"
            );
        }
    }

    #[test]
    fn folding_sees_what_lenient_servers_see() {
        for (a, b) in [
            ("ACCOUNTS", "accounts"),
            ("accounts.", "accounts"),
            ("accountſ", "accounts"),
        ] {
            assert_eq!(folded(a), folded(b));
        }
        assert_ne!(folded("account"), folded("accounts"));
    }
}
