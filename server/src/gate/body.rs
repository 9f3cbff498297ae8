//! The fields of a held body: JSON, urlencoded and multipart, read strictly.
//!
//! What the person is shown must be what the application will read, so every construct that parsers are known to read
//! differently is refused: members or fields that are there twice (also when they differ only by case), content
//! codings, other charsets, multipart preambles, `filename*`, transfer encodings.
//! RFC 8259, RFC 7578, RFC 2046 §5.1, WHATWG URL (urlencoded).
//!
//! Pure. Everything here is hostile input; the body's size is bounded by the caller.

use std::fmt;

use http::HeaderMap;
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor,
};
use serde_json::{Map, Number, Value, json};

use crate::gate::canon::{NotCanonical, folded, form_pairs};

/// The most parts of a multipart body, and fields of a form.
const MAX_FIELDS: usize = 512;
/// The most bytes of one part's headers.
const MAX_PART_HEAD: usize = 2048;

/// Why a body's fields cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It does not parse as what its content type says.
    #[error("the body does not parse as what its content type says")]
    Malformed,
    /// A field or member is there twice.
    #[error("a field is there twice")]
    Duplicate,
    /// A charset, content coding or part encoding that is not read here.
    #[error("only plain UTF-8 bodies are accepted for this request")]
    Encoding,
}

/// A field with a file in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct File {
    /// The name that the client gave.
    pub name: String,
    /// Its length in bytes.
    pub size: usize,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
}

/// One field's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldValue {
    /// Text.
    Text(String),
    /// A file.
    File(File),
}

/// A body's fields. `Opaque` bodies are known by their digest alone.
#[derive(Debug, Clone, PartialEq)]
pub enum Fields {
    /// No body.
    Empty,
    /// A content type that is not read here.
    Opaque,
    /// A JSON value.
    Json(Value),
    /// `application/x-www-form-urlencoded`.
    Form(Vec<(String, FieldValue)>),
    /// `multipart/form-data`.
    Multipart(Vec<(String, FieldValue)>),
}

impl Fields {
    /// Reads a body by its headers.
    ///
    /// # Errors
    /// See [`BodyError`].
    pub fn read(headers: &HeaderMap, body: &[u8]) -> Result<Self, BodyError> {
        if body.is_empty() {
            return Ok(Self::Empty);
        }
        let coded = headers
            .get("content-encoding")
            .is_some_and(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
        if coded {
            return Err(BodyError::Encoding);
        }
        let Some(kind) = headers.get("content-type") else {
            return Ok(Self::Opaque);
        };
        let kind = kind.to_str().map_err(|_| BodyError::Malformed)?;
        let (essence, parameters) = kind.split_once(';').unwrap_or((kind, ""));
        let essence = essence.trim().to_ascii_lowercase();
        let json = essence == "application/json" || essence.ends_with("+json");
        let known = json
            || essence == "application/x-www-form-urlencoded"
            || essence == "multipart/form-data";
        if !known {
            return Ok(Self::Opaque);
        }
        let boundary = parameters_of(parameters)?;
        if json {
            return json_value(body).map(Self::Json);
        }
        if essence == "multipart/form-data" {
            let boundary = boundary.ok_or(BodyError::Malformed)?;
            return multipart(body, &boundary).map(Self::Multipart);
        }
        let text = std::str::from_utf8(body).map_err(|_| BodyError::Encoding)?;
        let pairs = form_pairs(text).map_err(|error| match error {
            NotCanonical::Duplicate => BodyError::Duplicate,
            _ => BodyError::Malformed,
        })?;
        if pairs.len() > MAX_FIELDS {
            return Err(BodyError::Malformed);
        }
        Ok(Self::Form(
            pairs
                .into_iter()
                .map(|(name, value)| (name, FieldValue::Text(value)))
                .collect(),
        ))
    }

    /// SHA-256 of what a body says: of its bytes, but of the parts alone where it is multipart, since browsers draw a new boundary each
    /// time that a person sends the same form.
    #[must_use]
    pub fn content_sha256(headers: &HeaderMap, body: &[u8]) -> [u8; 32] {
        use aws_lc_rs::digest::{Context, SHA256};
        let boundary = headers
            .get("content-type")
            .and_then(|kind| kind.to_str().ok())
            .filter(|kind| kind.to_ascii_lowercase().starts_with("multipart/form-data"))
            .and_then(|kind| parameters_of(kind.split_once(';')?.1).ok().flatten());
        let parts = boundary.and_then(|boundary| raw_parts(body, &boundary).ok());
        let mut context = Context::new(&SHA256);
        match parts {
            None => context.update(body),
            Some(parts) => {
                context.update(b"multipart\0");
                for piece in parts.iter().flat_map(|(head, value)| [*head, *value]) {
                    context.update(&(piece.len() as u64).to_be_bytes());
                    context.update(piece);
                }
            }
        }
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(context.finish().as_ref());
        sha256
    }

    /// The top-level texts, for the method's replacement.
    #[must_use]
    pub fn texts(&self) -> Vec<(String, String)> {
        match self {
            Self::Empty | Self::Opaque => Vec::new(),
            Self::Json(Value::Object(members)) => members
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().unwrap_or("?").to_owned()))
                .collect(),
            Self::Json(_) => Vec::new(),
            Self::Form(fields) | Self::Multipart(fields) => fields
                .iter()
                .map(|(name, value)| match value {
                    FieldValue::Text(text) => (name.clone(), text.clone()),
                    FieldValue::File(_) => (name.clone(), "?".to_owned()),
                })
                .collect(),
        }
    }
}

impl FieldValue {
    /// As a parameter of the action.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            Self::Text(text) => Value::String(text.clone()),
            Self::File(file) => {
                json!({"filename": file.name, "size": file.size, "sha256": file.sha256})
            }
        }
    }
}

/// The boundary among a content type's parameters; refuses charsets other than UTF-8 and repeated parameters.
fn parameters_of(text: &str) -> Result<Option<String>, BodyError> {
    let mut boundary = None;
    let mut charset = false;
    for parameter in text.split(';').map(str::trim).filter(|p| !p.is_empty()) {
        let (name, value) = parameter.split_once('=').ok_or(BodyError::Malformed)?;
        let value = match value.strip_prefix('"') {
            Some(quoted) => quoted.strip_suffix('"').ok_or(BodyError::Malformed)?,
            None => value,
        };
        match name.to_ascii_lowercase().as_str() {
            "charset" if charset => return Err(BodyError::Duplicate),
            "charset" if value.eq_ignore_ascii_case("utf-8") => charset = true,
            "charset" => return Err(BodyError::Encoding),
            "boundary" if boundary.is_some() => return Err(BodyError::Duplicate),
            "boundary" => {
                // RFC 2046 §5.1.1, without the space and the characters that need quoting in a header.
                let plain = value
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"'()+_-./:=?,".contains(&b));
                if value.is_empty() || value.len() > 70 || !plain {
                    return Err(BodyError::Malformed);
                }
                boundary = Some(value.to_owned());
            }
            _ => {}
        }
    }
    Ok(boundary)
}

fn multipart(body: &[u8], boundary: &str) -> Result<Vec<(String, FieldValue)>, BodyError> {
    let parts = raw_parts(body, boundary)?.into_iter();
    parts.map(|(head, value)| part_field(head, value)).collect()
}

/// Head and value of a part, verbatim.
type RawPart<'b> = (&'b [u8], &'b [u8]);

/// The parts of a multipart body.
fn raw_parts<'b>(body: &'b [u8], boundary: &str) -> Result<Vec<RawPart<'b>>, BodyError> {
    let open = format!("--{boundary}");
    let close = format!("\r\n--{boundary}");
    let mut rest = body
        .strip_prefix(open.as_bytes())
        .ok_or(BodyError::Malformed)?;
    let mut parts = Vec::new();
    loop {
        if let Some(end) = rest.strip_prefix(b"--") {
            return if end.is_empty() || end == b"\r\n" {
                Ok(parts)
            } else {
                Err(BodyError::Malformed)
            };
        }
        let part = rest.strip_prefix(b"\r\n").ok_or(BodyError::Malformed)?;
        let head_end = find(part.get(..MAX_PART_HEAD).unwrap_or(part), b"\r\n\r\n")
            .ok_or(BodyError::Malformed)?;
        let (head, content) = (
            part.get(..head_end).unwrap_or_default(),
            part.get(head_end + 4..).unwrap_or_default(),
        );
        let end = find(content, close.as_bytes()).ok_or(BodyError::Malformed)?;
        let value = content.get(..end).unwrap_or_default();
        rest = content.get(end + close.len()..).unwrap_or_default();
        parts.push((head, value));
        if parts.len() > MAX_FIELDS {
            return Err(BodyError::Malformed);
        }
    }
}

fn part_field(head: &[u8], value: &[u8]) -> Result<(String, FieldValue), BodyError> {
    let head = std::str::from_utf8(head).map_err(|_| BodyError::Encoding)?;
    let (mut name, mut filename, mut seen_type) = (None, None, false);
    for line in head.split("\r\n") {
        if line.contains(['\r', '\n', '\0']) {
            return Err(BodyError::Malformed);
        }
        let (header, content) = line.split_once(':').ok_or(BodyError::Malformed)?;
        match header.to_ascii_lowercase().as_str() {
            "content-disposition" if name.is_none() => {
                (name, filename) = disposition(content.trim())?;
            }
            "content-type" if !seen_type => {
                seen_type = true;
                let lower = content.to_ascii_lowercase();
                if filename.is_none() && lower.contains("charset") && !lower.contains("utf-8") {
                    return Err(BodyError::Encoding);
                }
            }
            "content-transfer-encoding" => return Err(BodyError::Encoding),
            _ => return Err(BodyError::Malformed),
        }
    }
    let name = name.ok_or(BodyError::Malformed)?;
    let value = match filename {
        Some(filename) => FieldValue::File(File {
            name: filename,
            size: value.len(),
            sha256: hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, value)),
        }),
        None => {
            FieldValue::Text(String::from_utf8(value.to_vec()).map_err(|_| BodyError::Encoding)?)
        }
    };
    Ok((name, value))
}

/// `form-data; name="…"[; filename="…"]`, nothing else. Escapes stay as they are (browsers write `%22` for a quote).
fn disposition(text: &str) -> Result<(Option<String>, Option<String>), BodyError> {
    let mut rest = text.strip_prefix("form-data").ok_or(BodyError::Malformed)?;
    let (mut name, mut filename) = (None, None);
    while !rest.is_empty() {
        let parameter = rest
            .strip_prefix(';')
            .ok_or(BodyError::Malformed)?
            .trim_start_matches(' ');
        let (key, value) = parameter.split_once("=\"").ok_or(BodyError::Malformed)?;
        let (value, tail) = value.split_once('"').ok_or(BodyError::Malformed)?;
        if value.contains('\\') {
            return Err(BodyError::Malformed);
        }
        let slot = match key {
            "name" => &mut name,
            "filename" => &mut filename,
            _ => return Err(BodyError::Malformed),
        };
        if slot.replace(value.to_owned()).is_some() {
            return Err(BodyError::Duplicate);
        }
        rest = tail;
    }
    if name.as_ref().is_none_or(String::is_empty) {
        return Err(BodyError::Malformed);
    }
    Ok((name, filename))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len())
        .position(|window| window == needle)
}

/// Strict JSON: UTF-8, no byte-order mark, no member twice (also when only case differs).
fn json_value(body: &[u8]) -> Result<Value, BodyError> {
    std::str::from_utf8(body).map_err(|_| BodyError::Encoding)?;
    serde_json::from_slice::<Strict>(body)
        .map(|strict| strict.0)
        .map_err(|error| {
            if error.to_string().starts_with(TWICE) {
                BodyError::Duplicate
            } else {
                BodyError::Malformed
            }
        })
}

const TWICE: &str = "member twice";

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        StrictSeed.deserialize(deserializer).map(Self)
    }
}

struct StrictSeed;

impl<'de> DeserializeSeed<'de> for StrictSeed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for StrictSeed {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(StrictSeed)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        let mut names = std::collections::HashSet::new();
        while let Some(name) = members.next_key::<String>()? {
            if !names.insert(folded(&name)) {
                return Err(A::Error::custom(TWICE));
            }
            let value = members.next_value_seed(StrictSeed)?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

/// A JSON value as the signed action can hold it: numbers that are no integers within ±2^53 become their text.
#[must_use]
pub fn signable(value: &Value) -> Value {
    match value {
        Value::Number(number) => {
            let exact = number.as_i64().is_some_and(|n| n.unsigned_abs() <= 1 << 53);
            if exact {
                value.clone()
            } else {
                Value::String(number.to_string())
            }
        }
        Value::Array(items) => Value::Array(items.iter().map(signable).collect()),
        Value::Object(members) => Value::Object(
            members
                .iter()
                .map(|(name, value)| (name.clone(), signable(value)))
                .collect(),
        ),
        _ => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_form_sent_again_says_the_same() {
        let sent = |boundary: &str, name: &str, value: &str| {
            let kind = format!("multipart/form-data; boundary={boundary}");
            let headers =
                HeaderMap::from_iter([(http::header::CONTENT_TYPE, kind.parse().unwrap())]);
            let body = format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n--{boundary}--\r\n"
            );
            Fields::content_sha256(&headers, body.as_bytes())
        };
        assert_eq!(sent("----A1", "a", "x"), sent("----B2", "a", "x"));
        assert_ne!(sent("----A1", "a", "x"), sent("----A1", "a", "y"));
        assert_ne!(sent("----A1", "ab", "x"), sent("----A1", "a", "bx"));
        let plain = HeaderMap::new();
        assert_ne!(
            Fields::content_sha256(&plain, b"a"),
            Fields::content_sha256(&plain, b"b")
        );
    }
    use http::HeaderValue;
    use proptest::prelude::*;

    fn read(kind: &str, body: &[u8]) -> Result<Fields, BodyError> {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_str(kind).unwrap());
        Fields::read(&headers, body)
    }

    fn text(value: &str) -> FieldValue {
        FieldValue::Text(value.to_owned())
    }

    #[test]
    fn json_members_are_unique_at_every_depth() {
        let good = read(
            "application/json; charset=UTF-8",
            br#"{"a":1,"b":{"a":[1.5,null]}}"#,
        );
        assert_eq!(good, Ok(Fields::Json(json!({"a":1,"b":{"a":[1.5,null]}}))));
        for twice in [
            &br#"{"a":1,"a":2}"#[..],
            br#"{"x":[{"a":1,"a":1}]}"#,
            br#"{"email":1,"Email":2}"#,
            br#"{"a":1,"\u0061":2}"#,
        ] {
            assert_eq!(read("application/json", twice), Err(BodyError::Duplicate));
        }
        for bad in [
            &b"{\"a\":1}x"[..],
            b"{'a':1}",
            b"\xef\xbb\xbf{}",
            b"{\"a\":NaN}",
            b"{\"a\":1,}",
            b"//\n{}",
        ] {
            assert_eq!(
                read("application/json", bad),
                Err(BodyError::Malformed),
                "{bad:?}"
            );
        }
        let deep = "[".repeat(100_000);
        assert_eq!(
            read("application/json", deep.as_bytes()),
            Err(BodyError::Malformed)
        );
        assert_eq!(
            read("application/json", b"{\"a\":\"\xff\"}"),
            Err(BodyError::Encoding)
        );
        assert_eq!(
            read("application/json; charset=utf-7", b"{}"),
            Err(BodyError::Encoding)
        );
    }

    #[test]
    fn forms_and_multipart_give_the_same_fields() {
        let expected = vec![
            ("name".to_owned(), text("Jean D")),
            ("x".to_owned(), text("1")),
        ];
        let form = read("application/x-www-form-urlencoded", b"name=Jean+D&x=1").unwrap();
        assert_eq!(form, Fields::Form(expected.clone()));
        let body =
            b"--B1\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\nJean D\r\n--B1\r\n\
            Content-Disposition: form-data; name=\"x\"\r\n\r\n1\r\n--B1--\r\n";
        assert_eq!(
            read("multipart/form-data; boundary=B1", body),
            Ok(Fields::Multipart(expected))
        );
        assert_eq!(
            read("multipart/form-data; boundary=B1", b"--B1--\r\n"),
            Ok(Fields::Multipart(vec![]))
        );
    }

    #[test]
    fn a_file_is_its_name_size_and_digest() {
        let body = b"--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.bin\"\r\n\
            Content-Type: application/octet-stream\r\n\r\n\xff\x00\r\n--B--";
        let Ok(Fields::Multipart(fields)) = read("multipart/form-data; boundary=\"B\"", body)
        else {
            panic!("not read");
        };
        let FieldValue::File(file) = &fields[0].1 else {
            panic!("no file")
        };
        assert_eq!((file.name.as_str(), file.size), ("a.bin", 2));
        assert_eq!(
            file.sha256,
            "ea5dbf9596d187e9500f23e9a680109475341cf4e81f7e043f7d97152c10772f"
        );
    }

    #[test]
    fn multipart_that_parsers_read_differently_is_refused() {
        let wrap = |head: &str| format!("--B\r\n{head}\r\n\r\nv\r\n--B--\r\n");
        for (body, error) in [
            (
                format!(
                    "preamble\r\n{}",
                    wrap("Content-Disposition: form-data; name=\"a\"")
                ),
                BodyError::Malformed,
            ),
            (
                format!(
                    "{}epilogue",
                    wrap("Content-Disposition: form-data; name=\"a\"")
                ),
                BodyError::Malformed,
            ),
            (
                wrap("Content-Disposition: form-data; name=a"),
                BodyError::Malformed,
            ),
            (
                wrap("Content-Disposition: form-data; name=\"a\"; name=\"b\""),
                BodyError::Duplicate,
            ),
            (
                wrap("Content-Disposition: form-data; name=\"a\"; filename*=UTF-8''x"),
                BodyError::Malformed,
            ),
            (
                wrap("Content-Disposition: form-data; name=\"a\\\"b\""),
                BodyError::Malformed,
            ),
            (
                wrap(
                    "Content-Disposition: form-data; name=\"a\"\r\nContent-Transfer-Encoding: base64",
                ),
                BodyError::Encoding,
            ),
            (
                wrap(
                    "Content-Disposition: form-data; name=\"a\"\r\nContent-Disposition: form-data; name=\"b\"",
                ),
                BodyError::Malformed,
            ),
            (
                wrap("Content-Disposition: form-data; name=\"a\"\nX: y"),
                BodyError::Malformed,
            ),
            (wrap("X: y"), BodyError::Malformed),
            (
                "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nv".to_owned(),
                BodyError::Malformed,
            ),
        ] {
            assert_eq!(
                read("multipart/form-data; boundary=B", body.as_bytes()),
                Err(error),
                "{body}"
            );
        }
        let fine = wrap("Content-Disposition: form-data; name=\"a\"");
        for kind in [
            "multipart/form-data",
            "multipart/form-data; boundary=B; boundary=C",
            "multipart/form-data; boundary=",
        ] {
            assert!(read(kind, fine.as_bytes()).is_err(), "{kind}");
        }
    }

    #[test]
    fn coded_bodies_are_refused_and_unknown_kinds_are_opaque() {
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        headers.insert("content-encoding", HeaderValue::from_static("gzip"));
        assert_eq!(Fields::read(&headers, b"x"), Err(BodyError::Encoding));
        assert_eq!(Fields::read(&headers, b""), Ok(Fields::Empty));
        assert_eq!(read("text/plain", b"{\"_method\":1}"), Ok(Fields::Opaque));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(kind in "(application/json|multipart/form-data; boundary=B|application/x-www-form-urlencoded)",
                          body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&kind, &body);
            let framed = [b"--B\r\n".as_slice(), &body, b"\r\n--B--"].concat();
            let _ = read(&kind, &framed);
        }
    }

    #[test]
    fn numbers_that_cannot_be_signed_become_text() {
        let value = json!({"a": 1.5, "b": [9_007_199_254_740_993_i64, 7]});
        assert_eq!(
            signable(&value),
            json!({"a": "1.5", "b": ["9007199254740993", 7]})
        );
    }
}
