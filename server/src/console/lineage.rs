//! Whom a person begot, and what would fall with them: the preview of a cascade, and the button that asks for it.
//!
//! What is sealed is what is shown here: the form carries the digest of the set, and a lineage that has grown since is not opened.

use sceau_locale::{Language, Value};
use sceau_proof::action::Action;

use super::action;
use super::key::{key_heads, key_row};
use super::markup::{Button, Html, Mood, Sheet, word};
use super::person::{more, path, session_heads, session_row};
use super::{Viewer, Visit};
use crate::desk::DeskError;
use crate::lineage::{Branch, Lineage, Node, Relation, Totals};
use crate::person::{Person, PersonState};
use crate::store::console::Falling;

/// Lines of the tree that a page shows.
const LINES: usize = 120;
/// Sessions, actions and keys that a page shows, of each.
const FALLING: i64 = 20;

/// `GET /console/persons/{id}/lineage`
pub(super) async fn show(visit: &Visit, id: &str) -> Result<Sheet, DeskError> {
    let (viewer, desk) = (&visit.viewer, visit.desk());
    let language = viewer.language;
    let person = visit.person(id).await?;
    let lineage = desk
        .lineage(&person.id, LINES)
        .await?
        .ok_or(DeskError::NotFound)?;
    let falling = desk.falling(&person.id, FALLING).await?;
    let title = Html::text(language.text("console-lineage")).then(Html::shown(&person.display));
    let body = [
        Html::link(
            &path(&person.id),
            Html::text(language.text("console-back-to-person")),
        )
        .paragraph(),
        Html::heading(language.text("console-lineage-tree")),
        tree(language, &lineage),
        Html::heading(language.text("console-would-fall")),
        totals(language, lineage.totals),
        cascade(viewer, &person, &lineage),
        what_falls(visit, lineage.totals, &falling).await?,
    ];
    Ok(Sheet {
        title,
        body: body.into_iter().collect(),
    })
}

fn tree(language: Language, lineage: &Lineage) -> Html {
    let label = language.text("console-lineage-tree");
    let lines = lineage
        .nodes
        .iter()
        .map(|branch| (branch.depth, line(language, branch)));
    let tree = Html::tree(&label, lines);
    if lineage.left_out == 0 {
        return tree;
    }
    let left_out = i64::try_from(lineage.left_out).unwrap_or(i64::MAX);
    let words = language.text_with("console-and-more", &[("count", Value::from(left_out))]);
    tree.then(Html::text(words).paragraph())
}

fn line(language: Language, branch: &Branch) -> Html {
    let name = match branch.node.parse() {
        Ok(Node::Person(id)) => Html::link(&path(&id), Html::shown(&branch.display)),
        _ => Html::shown(&branch.display).then(Html::text(language.text("console-an-account"))),
    };
    let code = branch.state.as_str();
    let mood = match code {
        "active" => Mood::Good,
        "suspended" => Mood::Bad,
        _ => Mood::Plain,
    };
    let state = Html::badge(
        mood,
        word(language, &format!("console-person-state-{code}"), code),
    );
    let how = branch.relation.map(|relation| match relation {
        Relation::Created => "console-relation-created",
        Relation::Enrolled => "console-relation-enrolled",
        Relation::Granted => "console-relation-granted",
        Relation::Is => "console-relation-is",
    });
    let how = how.map_or_else(Html::default, |how| Html::text(language.text(how)));
    let when = branch
        .at
        .map_or_else(Html::default, |at| Html::instant(language, at));
    name.then(Html::code(&branch.node))
        .then(state)
        .then(how)
        .then(when)
}

fn totals(language: Language, totals: Totals) -> Html {
    let rows = [
        ("console-persons", totals.persons),
        ("console-accounts", totals.accounts),
        ("console-sessions", totals.sessions),
        ("console-open-actions", totals.actions),
        ("console-live-keys", totals.keys),
    ];
    Html::list(rows.map(|(name, count)| {
        (
            language.text(name).into_owned(),
            Html::text(count.to_string()),
        )
    }))
}

/// The button that asks for all of it.
fn cascade(viewer: &Viewer, person: &Person, lineage: &Lineage) -> Html {
    let language = viewer.language;
    if person.state == PersonState::Suspended {
        return Html::text(language.text("console-suspended-already")).warning();
    }
    let fields = [
        Html::hidden("whole", "yes"),
        Html::hidden("sha256", &lineage.sha256),
    ];
    let deed = Html::deed(
        viewer,
        &format!("{}/suspend", path(&person.id)),
        fields.into_iter().collect(),
        &Button::stop(language.text("console-suspend-all")),
    );
    Html::text(language.text("console-suspend-all-about"))
        .paragraph()
        .then(deed)
}

async fn what_falls(visit: &Visit, totals: Totals, falling: &Falling) -> Result<Html, DeskError> {
    let language = visit.viewer.language;
    let say = |name: &str| language.text(name).into_owned();
    let mut pieces = Vec::new();
    if !falling.sessions.is_empty() {
        let heads: Vec<String> = std::iter::once(say("console-person"))
            .chain(session_heads(language))
            .collect();
        let rows = falling.sessions.iter().map(|session| {
            let owner = Html::link(&path(&session.person), Html::code(session.person.as_str()));
            std::iter::once(owner)
                .chain(session_row(language, session))
                .collect()
        });
        pieces.push(Html::subheading(say("console-sessions")));
        pieces.push(Html::table(
            &say("console-sessions"),
            &heads,
            rows.collect(),
        ));
        pieces.push(more(language, totals.sessions, falling.sessions.len()));
    }
    if !falling.actions.is_empty() {
        let mut rows = Vec::new();
        for id in &falling.actions {
            let Some(record) = visit.desk().action(*id).await? else {
                continue;
            };
            let sentence = Action::parse(record.document.as_bytes())
                .map(|action| action::sentence(language, &action))
                .unwrap_or_default();
            rows.push(vec![
                Html::text(sentence),
                Html::link(
                    &path(&record.requester),
                    Html::code(record.requester.as_str()),
                ),
                action::badge(language, record.state.as_str()),
                Html::instant(language, record.expires_at),
            ]);
        }
        let heads = [
            "console-what",
            "console-requested-by",
            "console-state",
            "console-until-when",
        ]
        .map(say);
        pieces.push(Html::subheading(say("console-open-actions")));
        pieces.push(Html::table(&say("console-open-actions"), &heads, rows));
        pieces.push(more(language, totals.actions, falling.actions.len()));
    }
    if !falling.keys.is_empty() {
        let rows = falling.keys.iter().map(|row| key_row(visit, row, true));
        pieces.push(Html::subheading(say("console-live-keys")));
        pieces.push(Html::table(
            &say("console-live-keys"),
            &key_heads(language, true),
            rows.collect(),
        ));
        pieces.push(more(language, totals.keys, falling.keys.len()));
    }
    Ok(pieces.into_iter().collect())
}
