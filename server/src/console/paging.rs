//! Pages of lists: what is asked for in the query, one page of it, and where it goes on.

use std::fmt::Write as _;

use sceau_locale::Language;
use serde::Deserialize;

use super::Viewer;
use super::markup::{Button, Html, Section};
use crate::store::console::Wanted;

/// Rows of a page.
pub(super) const SHOWN: usize = 50;
/// Rows that are read for a page: one more says that it goes on.
pub(super) const FETCHED: i64 = 51;
/// What `keys` says where those are wanted who have fewer than their roles ask for.
pub(super) const LACKING: &str = "lacking";
/// Longest text of a query that is looked at, in bytes.
const LONGEST: usize = 256;

/// A list's query. A claim: bounded by [`List::wanted`].
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct List {
    #[serde(default)]
    q: String,
    #[serde(default)]
    state: String,
    #[serde(default)]
    role: String,
    #[serde(default)]
    keys: String,
    #[serde(default)]
    person: String,
    #[serde(default)]
    after: String,
}

fn plain(text: &str) -> String {
    let fits = text.len() <= LONGEST && !text.chars().any(char::is_control);
    if fits { text.to_owned() } else { String::new() }
}

impl List {
    /// What is wanted, for whom.
    pub(super) fn wanted(&self, viewer: &Viewer) -> Wanted {
        Wanted {
            words: plain(&self.q),
            state: plain(&self.state),
            role: plain(&self.role),
            lacking: self.keys == LACKING,
            person: plain(&self.person),
            after: plain(&self.after),
            hidden: viewer.hidden.clone(),
        }
    }

    /// Where the list goes on, if it does: a number.
    pub(super) fn before(&self) -> Option<u64> {
        self.after.parse().ok()
    }

    fn parts(&self) -> [(&'static str, String); 5] {
        [
            ("q", plain(&self.q)),
            ("state", plain(&self.state)),
            ("role", plain(&self.role)),
            ("keys", plain(&self.keys)),
            ("person", plain(&self.person)),
        ]
    }

    /// The same list, of persons who lack a key alone.
    pub(super) fn lacking(&self) -> String {
        let list = Self {
            keys: LACKING.to_owned(),
            ..self.clone()
        };
        list.path(Section::Persons, "")
    }

    /// The same list from after `after`.
    fn path(&self, section: Section, after: &str) -> String {
        let mut path = format!("{}?after={}", section.path(), encoded(after));
        for (name, value) in self.parts() {
            if !value.is_empty() {
                let _ = write!(path, "&{name}={}", encoded(&value));
            }
        }
        path
    }

    /// The list's own questions, for a form.
    fn fields(&self) -> Html {
        self.parts()
            .iter()
            .map(|(name, value)| Html::hidden(name, value))
            .collect()
    }
}

/// Percent-encoding of a query's value.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte) {
            out.push(char::from(byte));
        } else {
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

/// A page of what was read, and the name of its last row when there is more.
pub(super) fn page<T>(mut rows: Vec<T>, name: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
    let more = rows.len() > SHOWN;
    rows.truncate(SHOWN);
    let last = rows.last().filter(|_| more).map(name);
    (rows, last)
}

/// The links to the next page and back to the first.
pub(super) fn onward(
    language: Language,
    section: Section,
    list: &List,
    next: Option<&str>,
) -> Html {
    let mut links = Html::default();
    if !list.after.is_empty() {
        let path = list.path(section, "");
        links = links.then(Html::link(
            &path,
            Html::text(language.text("console-first-page")),
        ));
    }
    if let Some(next) = next {
        let path = list.path(section, next);
        links = links.then(Html::link(
            &path,
            Html::text(language.text("console-next-page")),
        ));
    }
    links.paragraph()
}

/// The button that gives the whole list as a file.
pub(super) fn export(viewer: &Viewer, section: Section, list: &List) -> Html {
    let language = viewer.language;
    let button = Button::plain(language.text("console-export"));
    Html::deed(
        viewer,
        &format!("{}/export", section.path()),
        list.fields(),
        &button,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_knows_whether_there_is_another() {
        let (rows, next) = page((0..51).collect(), i32::to_string);
        assert_eq!((rows.len(), next.as_deref()), (50, Some("49")));
        let (rows, next) = page((0..50).collect(), i32::to_string);
        assert_eq!((rows.len(), next), (50, None));
    }

    #[test]
    fn what_is_asked_for_comes_back_encoded_and_bounded() {
        let list = List {
            q: "é&role=x <b>".to_owned(),
            state: "a\0b".to_owned(),
            role: "x".repeat(300),
            ..List::default()
        };
        assert_eq!(
            list.path(Section::Persons, "b@c"),
            "/console/persons?after=b@c&q=%C3%A9%26role%3Dx%20%3Cb%3E"
        );
        assert_eq!(
            list.lacking(),
            "/console/persons?after=&q=%C3%A9%26role%3Dx%20%3Cb%3E&keys=lacking"
        );
    }
}
