//! What a held request means: parameters, target and words of the action that its person will seal.
//!
//! Every field that the route neither names nor ignores becomes a parameter too (`extra.…`) and is told in the words,
//! so that no effect travels unseen. Values are shown bounded, with control characters and direction overrides written out
//! (attack 23); the pages and terminals that show them escape for their own medium.
//!
//! Pure. The request is hostile; the route is the operator's.

use std::collections::{BTreeMap, BTreeSet};

use http::HeaderMap;
use serde_json::{Map, Value};

use crate::action::{Target as ActionTarget, Words};
use crate::gate::body::{FieldValue, Fields, signable};
use crate::gate::canon::{NotCanonical, Target};
use crate::gate::route::{Hold, Param, Source, When};

/// The action type of a held request that no route describes.
pub const UNDESCRIBED: &str = "http.request";
/// The most characters of one value in words.
const MAX_SHOWN: usize = 200;
/// The most characters of words.
const MAX_WORDS: usize = 2_000;

/// Why a held request cannot be described.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MeaningError {
    /// A field is there twice, and the route does not expect a list.
    #[error("the field {0:?} is there twice")]
    Duplicate(String),
    /// A parameter is missing.
    #[error("the parameter {0:?} is missing")]
    Missing(String),
    /// The query or a header does not parse.
    #[error("{0}")]
    NotCanonical(#[from] NotCanonical),
}

/// The description of a held request.
#[derive(Debug, Clone, PartialEq)]
pub struct Meaning {
    /// The action type.
    pub kind: String,
    /// What it is done to.
    pub target: ActionTarget,
    /// Exactly what will be executed.
    pub params: Map<String, Value>,
    /// In French and English.
    pub words: Words,
}

/// What a held request says, before look-ups.
#[derive(Debug, Clone)]
pub struct Reading {
    params: BTreeMap<String, Value>,
    extra: BTreeMap<String, Value>,
}

impl Reading {
    /// Reads the parameters that `hold` names, and everything else as extra.
    ///
    /// # Errors
    /// See [`MeaningError`].
    pub fn new(
        hold: Option<&Hold>,
        path: &BTreeMap<String, String>,
        target: &Target,
        headers: &HeaderMap,
        fields: &Fields,
    ) -> Result<Self, MeaningError> {
        let query = target.pairs()?;
        let mut taken_query = BTreeSet::new();
        let mut taken_body = BTreeSet::new();
        let mut many = BTreeSet::new();
        let mut params = BTreeMap::new();
        for (name, param) in hold.iter().flat_map(|hold| &hold.params) {
            let values = match &param.source {
                Source::Path(place) => path
                    .get(place)
                    .map(|text| Value::String(text.clone()))
                    .into_iter()
                    .collect(),
                Source::Query(field) => {
                    taken_query.insert(field.clone());
                    all(&query, field, |text| Value::String(text.clone()))
                }
                Source::Header(header) => header_values(headers, header)?,
                Source::Json(pointer) => {
                    taken_body.insert(top_level(pointer));
                    json_at(fields, pointer)
                }
                Source::Form(field) | Source::Multipart(field) | Source::Field(field) => {
                    taken_body.insert(field.clone());
                    body_values(fields, field, &param.source)
                }
            };
            if param.many {
                many.extend(match &param.source {
                    Source::Query(field)
                    | Source::Form(field)
                    | Source::Multipart(field)
                    | Source::Field(field) => Some(field.clone()),
                    _ => None,
                });
            }
            if let Some(value) = one(name, param, values)? {
                params.insert(name.clone(), value);
            }
        }
        let ignored = |name: &String| hold.is_some_and(|hold| hold.ignore.contains(name));
        let mut extra = BTreeMap::new();
        let mut seen: BTreeSet<(bool, String)> = BTreeSet::new();
        for (in_body, name, value) in every(&query, fields) {
            if ignored(&name) {
                continue;
            }
            if !seen.insert((in_body, name.clone())) && !many.contains(&name) {
                return Err(MeaningError::Duplicate(name));
            }
            let taken = if in_body { &taken_body } else { &taken_query };
            if !taken.contains(&name) {
                let key = if in_body { name } else { format!("?{name}") };
                extra.insert(key, value);
            }
        }
        if let (Some(hold), Fields::Json(Value::Object(members))) = (hold, fields) {
            nested_extras(hold, members, &mut extra);
        }
        Ok(Self { params, extra })
    }

    /// A parameter's text, for look-up paths.
    #[must_use]
    pub fn text(&self, name: &str) -> String {
        self.params.get(name).map(plain).unwrap_or_default()
    }

    /// The description; `displays` holds what look-ups found, by name.
    #[must_use]
    pub fn describe(
        self,
        hold: Option<&Hold>,
        method: &str,
        target: &Target,
        displays: &BTreeMap<String, String>,
    ) -> Meaning {
        let raw = |name: &str| {
            displays
                .get(name)
                .cloned()
                .unwrap_or_else(|| self.text(name))
        };
        let display = |name: &str| shown(&raw(name));
        let request = format!("{method} {}", target.path_and_query());
        let (kind, action_target, base) = match hold {
            Some(hold) => {
                let id = bounded(&hold.target_id.fill(raw), MAX_SHOWN);
                let mut title = hold.target_display.fill(display);
                if title.trim().is_empty() {
                    // A look-up found nothing: the identifier still says what it is.
                    title = shown(&id);
                }
                let words = hold
                    .words
                    .clone()
                    .map(|template| template.map(|template| template.fill(display)));
                (
                    hold.action.clone(),
                    (hold.target_kind.clone(), id, title),
                    words,
                )
            }
            None => {
                let path = (
                    "path".to_owned(),
                    bounded(target.path(), MAX_SHOWN),
                    shown(&request),
                );
                (UNDESCRIBED.to_owned(), path, [None, None])
            }
        };
        let words = |index: usize, unnamed: &str, more: &str| {
            let mut text = match base.get(index).cloned().flatten() {
                Some(text) => text,
                None => format!("{unnamed} {}", shown(&request)),
            };
            for also in hold.iter().flat_map(|hold| &hold.also) {
                let holds = match &also.when {
                    When::Always => true,
                    When::Equals(name, text) => self.text(name) == *text,
                    When::Unless(name, texts) => {
                        self.params.contains_key(name) && !texts.contains(&self.text(name))
                    }
                };
                if let (true, Some(Some(template))) = (holds, also.words.get(index)) {
                    text.push_str(" · ");
                    text.push_str(&template.fill(display));
                }
            }
            if !self.extra.is_empty() {
                let list = self
                    .extra
                    .iter()
                    .map(|(name, value)| format!("{}={}", shown(name), shown(&plain(value))));
                text.push_str(&format!(
                    " · {more} {}",
                    list.collect::<Vec<_>>().join(", ")
                ));
            }
            Some(bounded(&text, MAX_WORDS))
        };
        let words = Words {
            fr: words(0, "Requête", "et aussi\u{a0}:"),
            en: words(1, "Request", "and also:"),
        };
        let (target_kind, id, display) = action_target;
        let mut params: Map<String, Value> = self.params.into_iter().collect();
        if !self.extra.is_empty() {
            params.insert(
                "extra".to_owned(),
                Value::Object(self.extra.into_iter().collect()),
            );
        }
        Meaning {
            kind,
            target: ActionTarget {
                kind: target_kind,
                id,
                display,
            },
            params,
            words,
        }
    }
}

fn all<T>(pairs: &[(String, T)], field: &str, value: impl Fn(&T) -> Value) -> Vec<Value> {
    pairs
        .iter()
        .filter(|(name, _)| name == field)
        .map(|(_, given)| value(given))
        .collect()
}

fn header_values(headers: &HeaderMap, name: &str) -> Result<Vec<Value>, NotCanonical> {
    headers
        .get_all(name)
        .iter()
        .map(|value| {
            value
                .to_str()
                .map(|text| Value::String(text.to_owned()))
                .map_err(|_| NotCanonical::Headers)
        })
        .collect()
}

fn body_values(fields: &Fields, name: &str, source: &Source) -> Vec<Value> {
    match (fields, source) {
        (Fields::Form(list), Source::Form(_) | Source::Field(_))
        | (Fields::Multipart(list), Source::Multipart(_) | Source::Field(_)) => {
            all(list, name, FieldValue::to_json)
        }
        _ => Vec::new(),
    }
}

fn json_at(fields: &Fields, pointer: &str) -> Vec<Value> {
    match fields {
        Fields::Json(value) => value.pointer(pointer).map(signable).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn top_level(pointer: &str) -> String {
    let first = pointer.split('/').nth(1).unwrap_or_default();
    first.replace("~1", "/").replace("~0", "~")
}

fn one(name: &str, param: &Param, mut values: Vec<Value>) -> Result<Option<Value>, MeaningError> {
    match (values.len(), param.many) {
        (0, _) if param.optional => Ok(None),
        (0, _) => Err(MeaningError::Missing(name.to_owned())),
        (_, true) if matches!(values.first(), Some(Value::Array(_))) => Ok(values.pop()),
        (_, true) => Ok(Some(Value::Array(values))),
        (1, false) => Ok(values.pop()),
        _ => Err(MeaningError::Duplicate(name.to_owned())),
    }
}

/// Every query field and top-level body field.
fn every(query: &[(String, String)], fields: &Fields) -> Vec<(bool, String, Value)> {
    let mut list: Vec<_> = query
        .iter()
        .map(|(name, text)| (false, name.clone(), Value::String(text.clone())))
        .collect();
    match fields {
        Fields::Empty | Fields::Opaque => {}
        Fields::Json(Value::Object(members)) => {
            list.extend(
                members
                    .iter()
                    .map(|(name, value)| (true, name.clone(), signable(value))),
            );
        }
        Fields::Json(value) => list.push((true, String::new(), signable(value))),
        Fields::Form(pairs) | Fields::Multipart(pairs) => {
            list.extend(
                pairs
                    .iter()
                    .map(|(name, value)| (true, name.clone(), value.to_json())),
            );
        }
    }
    list
}

/// A route that names `/a/b` has not named its sibling `/a/c`: the whole of `/a` is then told as extra, unless every
/// leaf of it is named.
fn nested_extras(hold: &Hold, members: &Map<String, Value>, extra: &mut BTreeMap<String, Value>) {
    let named: BTreeSet<&str> = hold
        .params
        .values()
        .filter_map(|param| match &param.source {
            Source::Json(pointer) => Some(pointer.as_str()),
            _ => None,
        })
        .collect();
    for (name, value) in members {
        let pointer = format!("/{}", name.replace('~', "~0").replace('/', "~1"));
        if !hold.ignore.contains(name) && !covered(&pointer, value, &named) {
            extra.insert(name.clone(), signable(value));
        }
    }
}

fn covered(pointer: &str, value: &Value, named: &BTreeSet<&str>) -> bool {
    if named.contains(pointer) || named.contains("") {
        return true;
    }
    match value {
        Value::Object(members) if !members.is_empty() => members.iter().all(|(name, value)| {
            let below = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
            covered(&below, value, named)
        }),
        Value::Array(items) if !items.is_empty() => items
            .iter()
            .enumerate()
            .all(|(index, value)| covered(&format!("{pointer}/{index}"), value, named)),
        _ => false,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// A received text for people: bounded, with everything that does not show, or that changes direction, written out.
#[must_use]
pub fn shown(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_SHOWN));
    for (index, c) in text.chars().enumerate() {
        if index == MAX_SHOWN {
            out.push('…');
            break;
        }
        let hidden = c.is_control()
            || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}');
        if hidden {
            out.push_str(&format!("\\u{{{:04x}}}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

fn bounded(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::route::{Application, Purpose};
    use http::{HeaderValue, Method};
    use serde_json::json;

    const FILE: &str = r#"
[application]
host = "portal.example"
service = "portal"
upstream = "http://127.0.0.1:1"
[[route]]
method = "POST"
path = "/accounts"
action = "account.create"
target = { kind = "account", id = "{email}", display = "{name} <{email}>" }
param.email = { json = "/email" }
param.name = { json = "/name" }
param.city = { json = "/home/city", optional = true }
words.fr = "Créer le compte « {name} » ({email})"
words.en = "Create the account “{name}” ({email})"
[[route]]
method = "PATCH"
path = "/moderations/{id:int}/validate"
action = "moderation.validate"
target = { kind = "moderation", id = "{id}" }
param.add_domain = { field = "add_domain", optional = true }
param.roles = { field = "roles", optional = true, many = true }
ignore = ["page"]
words.en = "Validate {id}"
[[route.also]]
param = "add_domain"
unless = ["false"]
en = "and verify the whole e-mail domain"
"#;

    fn describe(
        method: &str,
        path: &str,
        kind: &'static str,
        body: &str,
    ) -> Result<Meaning, MeaningError> {
        let app = Application::parse("f", FILE).unwrap();
        let target = Target::parse(&path.parse().unwrap()).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static(kind));
        let fields = Fields::read(&headers, body.as_bytes()).unwrap();
        let met = app
            .find(&Method::from_bytes(method.as_bytes()).unwrap(), &target)
            .unwrap();
        let (hold, path) = match &met {
            Some(met) => match &met.route.purpose {
                Purpose::Hold(hold) => (Some(hold.as_ref()), met.path.clone()),
                Purpose::Free { .. } | Purpose::Meter(_) => panic!("free"),
            },
            None => (None, BTreeMap::new()),
        };
        let reading = Reading::new(hold, &path, &target, &headers, &fields)?;
        Ok(reading.describe(hold, method, &target, &BTreeMap::new()))
    }

    const JSON: &str = "application/json";
    const FORM: &str = "application/x-www-form-urlencoded";

    #[test]
    fn words_say_who_is_created() {
        let meaning = describe(
            "POST",
            "/accounts",
            JSON,
            r#"{"email":"j@ml.example","name":"Jean Dupont"}"#,
        )
        .unwrap();
        assert_eq!(meaning.kind, "account.create");
        assert_eq!(meaning.target.display, "Jean Dupont <j@ml.example>");
        assert_eq!(
            meaning.words.fr.as_deref(),
            Some("Créer le compte « Jean Dupont » (j@ml.example)")
        );
        assert_eq!(
            Value::Object(meaning.params),
            json!({"email":"j@ml.example","name":"Jean Dupont"})
        );
    }

    #[test]
    fn no_field_travels_unseen() {
        let body = r#"{"email":"a@b","name":"N","admin":true,"home":{"city":"Lyon","key":1}}"#;
        let meaning = describe("POST", "/accounts?force=1", JSON, body).unwrap();
        assert_eq!(
            meaning.params["extra"],
            json!({"admin":true,"?force":"1","home":{"city":"Lyon","key":1}})
        );
        let words = meaning.words.en.unwrap();
        assert!(words.contains("and also: ?force=1, admin=true"), "{words}");
        let covered = describe(
            "POST",
            "/accounts",
            JSON,
            r#"{"email":"a@b","name":"N","home":{"city":"L"}}"#,
        )
        .unwrap();
        assert!(!covered.params.contains_key("extra"));
        let list = describe("POST", "/other", JSON, "[1,2]").unwrap();
        assert_eq!(
            (list.kind.as_str(), &list.params["extra"]),
            (UNDESCRIBED, &json!({"":[1,2]}))
        );
        assert_eq!(list.target.display, "POST /other");
    }

    #[test]
    fn noise_is_ignored_and_effects_are_told() {
        let meaning = describe(
            "PATCH",
            "/moderations/3/validate?page=2",
            FORM,
            "add_domain=true&page=1&roles=a&roles=b",
        )
        .unwrap();
        assert_eq!(
            meaning.words.en.as_deref(),
            Some("Validate 3 · and verify the whole e-mail domain")
        );
        assert_eq!(
            Value::Object(meaning.params),
            json!({"id":"3","add_domain":"true","roles":["a","b"]})
        );
        for (value, told) in [("1", true), ("ON", true), ("", true), ("false", false)] {
            let body = format!("add_domain={value}");
            let words = describe("PATCH", "/moderations/3/validate", FORM, &body)
                .unwrap()
                .words
                .en
                .unwrap();
            assert_eq!(words.contains("whole e-mail domain"), told, "{value}");
        }
        let without = describe("PATCH", "/moderations/3/validate", FORM, "").unwrap();
        assert_eq!(without.words.en.as_deref(), Some("Validate 3"));
        assert_eq!(
            without.words.fr.as_deref(),
            Some("Requête PATCH /moderations/3/validate")
        );
    }

    #[test]
    fn repeated_and_missing_fields_are_refused() {
        let twice = |name: &str| Err(MeaningError::Duplicate(name.to_owned()));
        assert_eq!(
            describe(
                "PATCH",
                "/moderations/3/validate",
                FORM,
                "add_domain=true&add_domain=false"
            ),
            twice("add_domain")
        );
        assert_eq!(
            describe("PATCH", "/moderations/3/validate", FORM, "x=1&x=2"),
            twice("x")
        );
        assert_eq!(
            describe(
                "POST",
                "/accounts?a=1&a=2",
                JSON,
                r#"{"email":"a","name":"b"}"#
            ),
            twice("a")
        );
        assert_eq!(
            describe("POST", "/accounts", JSON, r#"{"email":"a"}"#),
            Err(MeaningError::Missing("name".to_owned()))
        );
        assert_eq!(
            describe("POST", "/accounts", FORM, "email=a&name=b"),
            Err(MeaningError::Missing("email".to_owned()))
        );
    }

    #[test]
    fn deceptive_values_are_written_out_and_bounded() {
        let body = format!(
            r#"{{"email":"a@b\u202e\nto: evil","name":"{}"}}"#,
            "x".repeat(9_000)
        );
        let meaning = describe("POST", "/accounts", JSON, &body).unwrap();
        let words = meaning.words.en.unwrap();
        assert!(words.contains("a@b\\u{202e}\\u{000a}to: evil"), "{words}");
        assert!(words.chars().count() < 600 && !words.contains('\n'));
        assert_eq!(meaning.params["name"].as_str().map(str::len), Some(9_000));
    }
}
