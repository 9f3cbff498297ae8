//! The console's HTML: pieces that are safe by how they are made, and the frame around them.
//!
//! [`Html`] is built here alone. What comes from outside goes through `sceau_proof::display` (control and bidirectional characters written out,
//! length bounded) and is escaped; our own words are escaped. Nothing is inline: no style, no script, no handler.

use std::fmt::{self, Write as _};

use sceau_locale::{Language, Value};
use sceau_proof::display;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Viewer;
use crate::gate::page::escape;

/// A piece of a page.
#[derive(Debug, Clone, Default)]
pub(super) struct Html(String);

impl fmt::Display for Html {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromIterator<Html> for Html {
    fn from_iter<T: IntoIterator<Item = Html>>(pieces: T) -> Self {
        Self(pieces.into_iter().map(|piece| piece.0).collect())
    }
}

impl Html {
    /// Our own words.
    pub(super) fn text(text: impl AsRef<str>) -> Self {
        Self(escape(text.as_ref()))
    }

    /// Text from outside.
    pub(super) fn shown(text: &str) -> Self {
        let safe = escape(&display::show(text, display::LIMIT).text);
        Self(format!("<bdi>{safe}</bdi>"))
    }

    /// An identifier, a digest, an exact word.
    pub(super) fn code(text: impl AsRef<str>) -> Self {
        let safe = escape(&display::show(text.as_ref(), 4_096).text);
        Self(format!("<code>{safe}</code>"))
    }

    /// Lines as they are, such as a policy or a signed note. Their line feeds stay; other control characters are written out.
    pub(super) fn verbatim(text: &str) -> Self {
        let lines: Vec<String> = text
            .lines()
            .map(|line| escape(&display::show(line, 4_096).text))
            .collect();
        Self(format!("<pre tabindex=\"0\">{}</pre>\n", lines.join("\n")))
    }

    /// A link to a page of ours.
    pub(super) fn link(path: &str, label: Self) -> Self {
        Self(format!("<a href=\"{}\">{label}</a>", escape(path)))
    }

    /// An instant: machine-readable, which the script puts into the reader's own time.
    pub(super) fn instant(language: Language, at: OffsetDateTime) -> Self {
        let machine = at.format(&Rfc3339).unwrap_or_default();
        let words = escape(&sceau_locale::instant(language, at));
        Self(format!("<time datetime=\"{machine}\">{words}</time>"))
    }

    /// A word that says how something stands; `mood` colours it, and is never all that says it.
    pub(super) fn badge(mood: Mood, word: impl AsRef<str>) -> Self {
        let class = match mood {
            Mood::Good => "badge good",
            Mood::Bad => "badge bad",
            Mood::Plain => "badge",
        };
        Self(format!(
            "<span class=\"{class}\">{}</span>",
            escape(word.as_ref())
        ))
    }

    /// What is beside the point for most, and for some the point.
    pub(super) fn small(self) -> Self {
        Self(format!("<small>{self}</small>"))
    }

    /// One after the other, with a space between.
    pub(super) fn then(self, next: Self) -> Self {
        Self(format!("{self} {next}"))
    }

    /// One line below the other.
    pub(super) fn below(self, next: Self) -> Self {
        Self(format!("{self}<br>{next}"))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn paragraph(self) -> Self {
        Self(format!("<p>{self}</p>\n"))
    }

    /// Something that should be seen first.
    pub(super) fn warning(self) -> Self {
        Self(format!("<p class=\"warnings\">{self}</p>\n"))
    }

    pub(super) fn heading(text: impl AsRef<str>) -> Self {
        Self(format!("<h2>{}</h2>\n", escape(text.as_ref())))
    }

    /// The name of a table among several.
    pub(super) fn subheading(text: impl AsRef<str>) -> Self {
        Self(format!("<h3>{}</h3>\n", escape(text.as_ref())))
    }

    /// What is one fold away.
    pub(super) fn fold(summary: impl AsRef<str>, content: Self) -> Self {
        Self(format!(
            "<details>\n<summary>{}</summary>\n{content}</details>\n",
            escape(summary.as_ref())
        ))
    }

    /// Names and what they are.
    pub(super) fn list(rows: impl IntoIterator<Item = (String, Self)>) -> Self {
        let rows: String = rows
            .into_iter()
            .map(|(name, value)| format!("<dt>{}</dt><dd>{value}</dd>\n", escape(&name)))
            .collect();
        Self(format!("<dl>\n{rows}</dl>\n"))
    }

    /// A table. The names of its columns are repeated in each cell for narrow screens.
    pub(super) fn table(caption: &str, heads: &[String], rows: Vec<Vec<Self>>) -> Self {
        let mut out = format!(
            "<table>\n<caption>{}</caption>\n<thead><tr>",
            escape(caption)
        );
        for head in heads {
            let _ = write!(out, "<th scope=\"col\">{}</th>", escape(head));
        }
        out.push_str("</tr></thead>\n<tbody>\n");
        for row in rows {
            out.push_str("<tr>");
            for (head, cell) in heads.iter().zip(row) {
                let _ = write!(out, "<td data-head=\"{}\">{cell}</td>", escape(head));
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody>\n</table>\n");
        Self(out)
    }

    /// A tree, drawn depth first: each line with its depth, the root's being 0.
    pub(super) fn tree(label: &str, lines: impl IntoIterator<Item = (u32, Self)>) -> Self {
        let mut out = format!("<ul class=\"tree\" aria-label=\"{}\">\n", escape(label));
        let mut open = 0_u32;
        let mut first = true;
        for (depth, line) in lines {
            if first {
                first = false;
            } else if depth > open {
                out.push_str("<ul>\n");
                open += 1;
            } else {
                out.push_str("</li>\n");
                while open > depth {
                    out.push_str("</ul></li>\n");
                    open -= 1;
                }
            }
            let _ = write!(out, "<li>{line}");
        }
        if !first {
            out.push_str("</li>\n");
        }
        for _ in 0..open {
            out.push_str("</ul></li>\n");
        }
        out.push_str("</ul>\n");
        Self(out)
    }

    /// A form that changes something, or asks for a file: it carries the token of this session.
    pub(super) fn deed(viewer: &Viewer, path: &str, fields: Self, button: &Button) -> Self {
        Self(format!(
            "<form method=\"post\" action=\"{}\" class=\"deed\">\n<input type=\"hidden\" name=\"token\" value=\"{}\">{fields}{}</form>\n",
            escape(path),
            escape(&viewer.token),
            button.html(),
        ))
    }

    /// A form that looks something up.
    pub(super) fn search(path: &str, fields: Self, button: impl AsRef<str>) -> Self {
        Self(format!(
            "<form method=\"get\" action=\"{}\" class=\"search\" role=\"search\">\n{fields}<button>{}</button>\n</form>\n",
            escape(path),
            escape(button.as_ref())
        ))
    }

    /// A value that a form carries along.
    pub(super) fn hidden(name: &'static str, value: &str) -> Self {
        Self(format!(
            "<input type=\"hidden\" name=\"{name}\" value=\"{}\">",
            escape(value)
        ))
    }

    /// A line of text to be typed. `id` is unique on its page.
    pub(super) fn input(field: &Field<'_>) -> Self {
        let required = if field.required { " required" } else { "" };
        Self(format!(
            "<p class=\"field\"><label for=\"{id}\">{}</label>\n<input id=\"{id}\" name=\"{}\" type=\"{}\" value=\"{}\" autocomplete=\"off\" \
             autocapitalize=\"none\" spellcheck=\"false\" maxlength=\"100\"{required}></p>\n",
            escape(&field.label),
            field.name,
            field.kind,
            escape(field.value),
            id = escape(field.id),
        ))
    }

    /// A choice of one: each value with its words.
    pub(super) fn select(
        field: &Field<'_>,
        options: impl IntoIterator<Item = (String, String)>,
    ) -> Self {
        let options: String = options
            .into_iter()
            .map(|(value, words)| {
                let selected = if value == field.value {
                    " selected"
                } else {
                    ""
                };
                format!(
                    "<option value=\"{}\"{selected}>{}</option>\n",
                    escape(&value),
                    escape(&words)
                )
            })
            .collect();
        Self(format!(
            "<p class=\"field\"><label for=\"{id}\">{}</label>\n<select id=\"{id}\" name=\"{}\">\n{options}</select></p>\n",
            escape(&field.label),
            field.name,
            id = escape(field.id),
        ))
    }
}

/// How a badge is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Good,
    Bad,
    Plain,
}

/// A button that sends its form.
pub(super) struct Button {
    words: String,
    class: &'static str,
    /// What it is about, for who hears it out of its row.
    about: Option<String>,
}

impl Button {
    /// The one that a page is for.
    pub(super) fn main(words: impl Into<String>) -> Self {
        Self {
            words: words.into(),
            class: "main",
            about: None,
        }
    }

    /// One among others.
    pub(super) fn plain(words: impl Into<String>) -> Self {
        Self {
            words: words.into(),
            class: "small",
            about: None,
        }
    }

    /// One that stops something.
    pub(super) fn stop(words: impl Into<String>) -> Self {
        Self {
            words: words.into(),
            class: "refuse",
            about: None,
        }
    }

    pub(super) fn about(self, about: &str) -> Self {
        Self {
            about: Some(display::show(about, display::LIMIT).text),
            ..self
        }
    }

    fn html(&self) -> String {
        let about = self
            .about
            .as_ref()
            .map(|about| {
                format!(
                    " aria-label=\"{}\"",
                    escape(&format!("{} – {about}", self.words))
                )
            })
            .unwrap_or_default();
        format!(
            "<button class=\"{}\"{about}>{}</button>\n",
            self.class,
            escape(&self.words)
        )
    }
}

/// An input of a form.
pub(super) struct Field<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'static str,
    pub(super) kind: &'static str,
    pub(super) label: String,
    pub(super) value: &'a str,
    pub(super) required: bool,
}

impl<'a> Field<'a> {
    /// A line of text whose identifier is its name.
    pub(super) fn text(name: &'static str, label: impl Into<String>, value: &'a str) -> Field<'a> {
        Field {
            id: name,
            name,
            kind: "text",
            label: label.into(),
            value,
            required: false,
        }
    }
}

/// The parts of the console, in the order in which they are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    Persons,
    Keys,
    Enrolments,
    Actions,
    Campaigns,
    Budgets,
    Alerts,
    Log,
    Policy,
    Metadata,
}

impl Section {
    const ALL: [Self; 10] = [
        Self::Persons,
        Self::Keys,
        Self::Enrolments,
        Self::Actions,
        Self::Campaigns,
        Self::Budgets,
        Self::Alerts,
        Self::Log,
        Self::Policy,
        Self::Metadata,
    ];

    /// Where it is.
    pub(super) fn path(self) -> &'static str {
        match self {
            Self::Persons => "/console/persons",
            Self::Keys => "/console/keys",
            Self::Enrolments => "/console/enrolments",
            Self::Actions => "/console/actions",
            Self::Campaigns => "/console/campaigns",
            Self::Budgets => "/console/budgets",
            Self::Alerts => "/console/alerts",
            Self::Log => "/console/log",
            Self::Policy => "/console/policy",
            Self::Metadata => "/console/metadata",
        }
    }

    /// Its name, and the heading of its first page.
    pub(super) fn name(self, language: Language) -> String {
        let name = match self {
            Self::Persons => "console-persons",
            Self::Keys => "console-keys",
            Self::Enrolments => "console-enrolments",
            Self::Actions => "console-actions",
            Self::Campaigns => "console-campaigns",
            Self::Budgets => "console-budgets",
            Self::Alerts => "console-alerts",
            Self::Log => "console-log",
            Self::Policy => "console-policy",
            Self::Metadata => "console-metadata",
        };
        language.text(name).into_owned()
    }

    /// Whether operators come here, too.
    pub(super) fn for_operators(self) -> bool {
        matches!(self, Self::Persons | Self::Keys | Self::Enrolments)
    }
}

/// A page's own part.
#[derive(Debug)]
pub(super) struct Sheet {
    pub(super) title: Html,
    pub(super) body: Html,
}

/// A whole page.
pub(super) fn document(viewer: &Viewer, here: Option<Section>, sheet: &Sheet) -> String {
    let language = viewer.language;
    let say = |name: &str| escape(&language.text(name));
    let sections = Section::ALL
        .into_iter()
        .filter(|section| viewer.administers || section.for_operators());
    let links: String = sections
        .map(|section| {
            let current = if here == Some(section) {
                " aria-current=\"page\""
            } else {
                ""
            };
            format!(
                "<li><a href=\"{}\"{current}>{}</a></li>\n",
                section.path(),
                escape(&section.name(language))
            )
        })
        .collect();
    let leave = Html::deed(
        viewer,
        "/console/leave",
        Html::default(),
        &Button::plain(language.text("console-leave")),
    );
    format!(
        "<!doctype html>\n<html lang=\"{lang}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{plain} – Sceau</title>\n\
         <link rel=\"stylesheet\" href=\"/pages/page.css\">\n<link rel=\"stylesheet\" href=\"/pages/console.css\">\n\
         <script src=\"/pages/console.js\" type=\"module\"></script>\n</head>\n<body class=\"console\">\n\
         <a class=\"skip\" href=\"#content\">{skip}</a>\n<header>\n<p><strong>Sceau</strong> {console}</p>\n\
         <div class=\"who\"><p>{signed} {person}</p>{leave}</div>\n</header>\n\
         <nav aria-label=\"{nav}\">\n<ul>\n{links}</ul>\n</nav>\n\
         <main id=\"content\" tabindex=\"-1\">\n<h1>{title}</h1>\n{body}</main>\n</body>\n</html>\n",
        lang = language.code(),
        plain = tagless(&sheet.title.0),
        skip = say("console-skip"),
        console = say("console-name"),
        signed = say("console-signed-in"),
        person = Html::shown(&viewer.person.display),
        nav = say("console-sections"),
        title = sheet.title,
        body = sheet.body,
    )
}

/// A title without the marks around what came from outside. (Escaped text has no `<` of its own.)
fn tagless(html: &str) -> String {
    let mut out = String::with_capacity(html.len());
    let mut inside = false;
    for c in html.chars() {
        match c {
            '<' => inside = true,
            '>' => inside = false,
            c if !inside => out.push(c),
            _ => {}
        }
    }
    out
}

/// A count, in words: `name` takes `count`.
pub(super) fn counted(language: Language, name: &str, count: u64) -> String {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    language.text_with(name, &[("count", Value::from(count))])
}

/// The words for a code that the store or the log uses; the code itself when there are none.
pub(super) fn word(language: Language, name: &str, code: &str) -> String {
    language
        .known(name)
        .map_or_else(|| code.to_owned(), std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_outside_is_never_a_tag() {
        let evil = "<script>alert(1)</script>\u{202e}\"'&";
        for piece in [Html::shown(evil), Html::code(evil), Html::verbatim(evil)] {
            let text = piece.to_string();
            assert!(text.contains("&lt;script&gt;"), "{text}");
            assert!(!text.contains("<script") && !text.contains('\u{202e}'));
        }
        let field = Html::input(&Field::text("q", "Label", "\" autofocus onfocus=\"x"));
        assert!(
            field
                .to_string()
                .contains("value=\"&quot; autofocus onfocus=&quot;x\"")
        );
        let link = Html::link("/console/persons/\"><b>", Html::text("<i>"));
        assert_eq!(
            link.to_string(),
            "<a href=\"/console/persons/&quot;&gt;&lt;b&gt;\">&lt;i&gt;</a>"
        );
    }

    #[test]
    fn a_tree_is_well_nested_however_its_depths_fall() {
        let lines = [0, 1, 2, 1, 2, 3, 1].map(|depth| (depth, Html::text(depth.to_string())));
        let tree = Html::tree("t", lines).to_string().replace('\n', "");
        assert_eq!(tree.matches("<ul").count(), tree.matches("</ul>").count());
        assert_eq!(tree.matches("<li>").count(), 7);
        assert_eq!(tree.matches("</li>").count(), 7);
        assert!(tree.starts_with(
            "<ul class=\"tree\" aria-label=\"t\"><li>0<ul><li>1<ul><li>2</li></ul></li><li>1"
        ));
        let one = Html::tree("t", [(0, Html::text("a"))]).to_string();
        assert_eq!(one.matches("</li>").count(), 1);
    }

    #[test]
    fn a_title_loses_its_marks_and_stays_escaped() {
        let title = Html::text("Person").then(Html::shown("<b>&"));
        assert_eq!(tagless(&title.0), "Person &lt;b&gt;&amp;");
    }
}
