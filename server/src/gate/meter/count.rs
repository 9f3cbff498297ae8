//! How many records an answer holds, and which: JSON by pointer, HTML by selector, or a fixed cost. Pure.
//!
//! An answer that is not what the route says is [`Unreadable`], and is withheld: what cannot be counted cannot be paid for. Bounded: the answer
//! was read whole before, at most [`super::MAX_ANSWER`] of it.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lol_html::{HtmlRewriter, MemorySettings, Settings, element, text};
use serde_json::Value;

use crate::desk::Found;
use crate::gate::route::{Counting, Distinct, Metered};

/// The most memory for reading a page.
const MAX_MEMORY: usize = 4 << 20;

/// No counting of the route fits the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unreadable;

/// What an answer holds. `id` is the identifier that a fixed cost is for; `kind` the answer's content type.
pub(super) fn found(
    metered: &Metered,
    id: &str,
    kind: &str,
    body: &[u8],
) -> Result<Vec<Found>, Unreadable> {
    let json = kind.contains("json");
    let html = kind.starts_with("text/html") || kind.starts_with("application/xhtml");
    let counting = metered
        .countings
        .iter()
        .find(|counting| match counting {
            Counting::Number(_) | Counting::Length { .. } => json,
            Counting::Css { .. } => html,
            Counting::Cost { .. } => true,
        })
        .ok_or(Unreadable)?;
    let record = &metered.record;
    let named = |text: &str| format!("{record}\0{text}");
    match counting {
        Counting::Cost { records, .. } => Ok(vec![Found {
            identity: named(id),
            records: *records,
        }]),
        Counting::Number(pointer) => {
            let value: Value = serde_json::from_slice(body).map_err(|_| Unreadable)?;
            let records = value
                .pointer(pointer)
                .and_then(Value::as_u64)
                .ok_or(Unreadable)?;
            // Which records these are is not said: the same answer again is the same records.
            let identity = named(&hex::encode(sceau_proof::log::entry::sha256(body)));
            Ok(vec![Found { identity, records }])
        }
        Counting::Length { pointer, distinct } => {
            let value: Value = serde_json::from_slice(body).map_err(|_| Unreadable)?;
            let items = value
                .pointer(pointer)
                .and_then(Value::as_array)
                .ok_or(Unreadable)?;
            let identity = |item: &Value| match distinct.as_ref().map(|at| item.pointer(at)) {
                Some(Some(Value::String(id))) => named(id),
                Some(Some(Value::Number(id))) => named(&id.to_string()),
                // Whatever it is called, it is a record.
                _ => named(&format!("whole\0{item}")),
            };
            Ok(items.iter().map(|item| one(identity(item))).collect())
        }
        Counting::Css { selector, distinct } => {
            let elements = elements(selector, distinct, body)?;
            let whole = hex::encode(sceau_proof::log::entry::sha256(body));
            let mut alike = BTreeMap::new();
            let identity = |(at, element): (usize, Element)| match element.name() {
                Some(name) => named(&name),
                // A page that polls is another page each time, if only by a nonce: what has no name is known by what it says.
                None if !element.text.trim().is_empty() => {
                    let said =
                        hex::encode(sceau_proof::log::entry::sha256(element.text.as_bytes()));
                    let nth: &mut usize = alike.entry(said.clone()).or_default();
                    *nth += 1;
                    named(&format!("text\0{said}\0{nth}"))
                }
                None => named(&format!("{whole}\0{at}")),
            };
            Ok(elements
                .into_iter()
                .enumerate()
                .map(identity)
                .map(one)
                .collect())
        }
    }
}

fn one(identity: String) -> Found {
    Found {
        identity,
        records: 1,
    }
}

/// An element that a selector met.
struct Element {
    /// The names found, one place for each way of telling.
    names: Vec<Option<String>>,
    /// What it says, with all that is in it.
    text: String,
}

impl Element {
    /// By the first way that gave a name.
    fn name(&self) -> Option<String> {
        self.names.iter().flatten().next().cloned()
    }
}

/// The elements that a selector meets, in order.
fn elements(
    selector: &str,
    distinct: &[Distinct],
    body: &[u8],
) -> Result<Vec<Element>, Unreadable> {
    let found: RefCell<Vec<Element>> = RefCell::default();
    let memory = MemorySettings::new().with_max_allowed_memory_usage(MAX_MEMORY);
    let mut settings = Settings::new()
        .append_element_content_handler(element!(selector, |element| {
            let own = |way: &Distinct| match way.within {
                None => element.get_attribute(&way.attribute),
                Some(_) => None,
            };
            found.borrow_mut().push(Element {
                names: distinct.iter().map(own).collect(),
                text: String::new(),
            });
            Ok(())
        }))
        .append_element_content_handler(text!(selector, |chunk| {
            if let Some(element) = found.borrow_mut().last_mut() {
                element.text.push_str(chunk.as_str());
            }
            Ok(())
        }))
        .with_memory_settings(memory);
    for (at, way) in distinct.iter().enumerate() {
        let (Some(within), attribute, found) = (&way.within, &way.attribute, &found) else {
            continue;
        };
        settings = settings.append_element_content_handler(element!(within, move |inner| {
            let mut found = found.borrow_mut();
            let place = found
                .last_mut()
                .and_then(|element| element.names.get_mut(at));
            if let Some(place @ None) = place {
                *place = inner.get_attribute(attribute);
            }
            Ok(())
        }));
    }
    let mut rewriter = HtmlRewriter::new(settings, |_: &[u8]| {});
    rewriter.write(body).map_err(|_| Unreadable)?;
    rewriter.end().map_err(|_| Unreadable)?;
    Ok(found.into_inner())
}

/// Whether a text is a selector that can be counted by.
pub(crate) fn is_selector(text: &str) -> bool {
    text.parse::<lol_html::Selector>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metered(counting: Counting) -> Metered {
        Metered {
            record: "file".to_owned(),
            countings: vec![counting],
        }
    }

    fn ids(counting: Counting, kind: &str, body: &str) -> Result<Vec<(String, u64)>, Unreadable> {
        let found = found(&metered(counting), "17", kind, body.as_bytes())?;
        Ok(found
            .into_iter()
            .map(|found| (found.identity.replace("file\0", ""), found.records))
            .collect())
    }

    fn is(ids: &[&str]) -> Result<Vec<(String, u64)>, Unreadable> {
        Ok(ids.iter().map(|id| ((*id).to_owned(), 1)).collect())
    }

    #[test]
    fn records_are_counted_where_the_route_says() {
        let length = || Counting::Length {
            pointer: "/files".to_owned(),
            distinct: Some("/id".to_owned()),
        };
        let json = "application/json; charset=utf-8";
        assert_eq!(
            ids(length(), json, r#"{"files":[{"id":1},{"id":"b"}]}"#),
            is(&["1", "b"])
        );
        assert_eq!(ids(length(), json, r#"{"files":[]}"#), is(&[]));
        let unnamed = ids(length(), json, r#"{"files":[{"x":1},{"x":1},7]}"#).unwrap();
        assert_eq!(
            unnamed.len(),
            3,
            "what has no name is a record all the same"
        );
        for odd in ["{}", "", "[", r#"{"files":3}"#] {
            assert_eq!(ids(length(), json, odd), Err(Unreadable), "{odd}");
        }
        assert_eq!(ids(length(), "text/html", "<p>"), Err(Unreadable));
        let number = ids(Counting::Number("/n".to_owned()), json, r#"{"n":1600000}"#).unwrap();
        assert_eq!(number[0].1, 1_600_000);
        assert_eq!(
            ids(Counting::Number("/n".to_owned()), json, r#"{"n":-1}"#),
            Err(Unreadable)
        );
        let cost = Counting::Cost {
            records: 1,
            id: None,
        };
        assert_eq!(ids(cost, "application/pdf", "%PDF"), is(&["17"]));
    }

    #[test]
    fn elements_are_counted_however_the_page_is_written() {
        let css = |distinct: Option<&str>| Counting::Css {
            selector: "tr[data-file]".to_owned(),
            distinct: distinct
                .map(|name| Distinct {
                    within: None,
                    attribute: name.to_owned(),
                })
                .into_iter()
                .collect(),
        };
        let page = "<table><TR data-file=1><td>a<tr class=x DATA-FILE='2'><td>b</table><script>'<tr data-file=3>'</script><!-- <tr data-file=4> -->";
        assert_eq!(
            ids(css(Some("data-file")), "text/html", page),
            is(&["1", "2"])
        );
        assert_eq!(ids(css(None), "text/html", page).unwrap().len(), 2);
        assert_eq!(ids(css(None), "text/html", "").unwrap(), []);
        // As back offices write their lists: a link in the row, else a label on it, else only what the row says.
        let row = Counting::Css {
            selector: "tbody tr".to_owned(),
            distinct: vec![
                Distinct {
                    within: Some("tbody tr a[href^='/users/']".to_owned()),
                    attribute: "href".to_owned(),
                },
                Distinct {
                    within: None,
                    attribute: "aria-label".to_owned(),
                },
            ],
        };
        let list = |nonce: &str| {
            format!(
                "<script nonce={nonce}></script><table><thead><tr><th>Nom</thead><tbody>\
                 <tr aria-label='Jean'><td>Jean<td><a href=/users/7>7</a> <a href=/users/8>autre</a></tr>\
                 <tr aria-label='Domaine x'><td>x</tr><tr><td>seul</td></tr><tr><td>seul</td></tr></tbody>\
                 <tfoot><tr><td>4</tfoot></table>"
            )
        };
        let first = ids(row.clone(), "text/html", &list("a")).unwrap();
        assert_eq!(first.len(), 4);
        assert_eq!(first[0].0, "/users/7");
        assert_eq!(first[1].0, "Domaine x");
        assert_ne!(first[2].0, first[3].0);
        assert_eq!(
            first,
            ids(row, "text/html", &list("b")).unwrap(),
            "a page that polls shows the same records"
        );
        assert!(is_selector("tr[data-file]") && !is_selector("tr[") && !is_selector(""));
    }
}
