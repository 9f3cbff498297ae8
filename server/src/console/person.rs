//! Persons: the list with its search, and one person with roles, facts, keys and sessions; each with what may be asked for.

use sceau_locale::Language;
use time::OffsetDateTime;

use super::key::{key_heads, key_row};
use super::markup::{Button, Field, Html, Mood, Section, Sheet, counted, word};
use super::paging::{self, List};
use super::{Viewer, Visit};
use crate::desk::DeskError;
use crate::id::{PersonId, Role};
use crate::key::KeyState;
use crate::person::{Person, PersonState};
use crate::store::console::{KeyRow, PersonRow, SessionRow, Wanted};

/// The most keys and sessions that a person's page shows.
const SHOWN: i64 = 50;

/// How a person stands, in words.
pub(super) fn state(language: Language, state: PersonState) -> Html {
    let code = state.as_str();
    let mood = match state {
        PersonState::Active => Mood::Good,
        PersonState::Inert => Mood::Plain,
        PersonState::Suspended => Mood::Bad,
    };
    Html::badge(
        mood,
        word(language, &format!("console-person-state-{code}"), code),
    )
}

/// A person's name, leading to their page, above their identifier.
pub(super) fn named(id: &PersonId, display: &str) -> Html {
    Html::link(&path(id), Html::shown(display)).below(Html::code(id.as_str()))
}

/// Where a person's page is.
pub(super) fn path(id: &PersonId) -> String {
    format!("/console/persons/{id}")
}

fn role(language: Language, role: &Role, until: Option<OffsetDateTime>) -> Html {
    let held = Html::shown(role.as_str());
    match until {
        Some(until) => held
            .then(Html::text(language.text("console-until")))
            .then(Html::instant(language, until)),
        None => held,
    }
}

fn roles(language: Language, held: &[(Role, Option<OffsetDateTime>)]) -> Html {
    let mut lines = held
        .iter()
        .map(|(name, until)| role(language, name, *until));
    let first = lines.next().unwrap_or_default();
    lines.fold(first, Html::below)
}

/// `GET /console/persons`
pub(super) async fn list(visit: &Visit, list: List) -> Result<Sheet, DeskError> {
    let (viewer, desk) = (&visit.viewer, visit.desk());
    let language = viewer.language;
    let wanted = list.wanted(viewer);
    let rows = desk.list_persons(&wanted, paging::FETCHED).await?;
    let (rows, next) = paging::page(rows, |row| row.id.to_string());
    let held = desk.list_roles().await?;
    let lack = desk.count_lacking(&wanted).await?;
    let body = [
        search(language, &wanted, held),
        lackers(language, &list, &wanted, lack),
        Html::text(language.text("console-persons-about")).paragraph(),
        table(visit, &rows),
        paging::onward(language, Section::Persons, &list, next.as_deref()),
        paging::export(viewer, Section::Persons, &list),
    ];
    Ok(Sheet {
        title: Html::text(Section::Persons.name(language)),
        body: body.into_iter().collect(),
    })
}

/// How many of those who are looked for lack a key; a link to them, where others are listed, too.
fn lackers(language: Language, list: &List, wanted: &Wanted, many: u64) -> Html {
    let words = Html::text(counted(language, "console-lacking", many));
    match (wanted.lacking, many) {
        (false, 0) => Html::default(),
        (false, _) => Html::link(&list.lacking(), words).paragraph(),
        (true, _) => words.paragraph(),
    }
}

fn search(language: Language, wanted: &Wanted, held: Vec<(Role, u64)>) -> Html {
    let say = |name: &str| language.text(name).into_owned();
    let any = (String::new(), say("console-any"));
    let states = [
        PersonState::Active,
        PersonState::Inert,
        PersonState::Suspended,
    ]
    .map(PersonState::as_str)
    .map(|code| {
        let words = word(language, &format!("console-person-state-{code}"), code);
        (code.to_owned(), words)
    });
    let roles = held
        .into_iter()
        .map(|(role, _)| (role.to_string(), role.to_string()));
    let fields = [
        Html::input(&Field::text(
            "q",
            say("console-search-person"),
            &wanted.words,
        )),
        Html::select(
            &Field::text("role", say("console-role"), &wanted.role),
            std::iter::once(any.clone()).chain(roles),
        ),
        Html::select(
            &Field::text("state", say("console-state"), &wanted.state),
            std::iter::once(any.clone()).chain(states),
        ),
        Html::select(
            &Field::text(
                "keys",
                say("console-live-keys"),
                if wanted.lacking { paging::LACKING } else { "" },
            ),
            [any, (paging::LACKING.to_owned(), say("console-too-few"))],
        ),
    ];
    Html::search(
        Section::Persons.path(),
        fields.into_iter().collect(),
        say("console-search"),
    )
}

/// How many keys of somebody's count; marked where the roles that they hold now want more.
fn keys_of(visit: &Visit, row: &PersonRow) -> Html {
    let now = visit.desk().now();
    let held = row
        .roles
        .iter()
        .filter(|(_, until)| until.is_none_or(|until| now < until))
        .map(|(role, _)| role.clone())
        .collect();
    let wanted = visit.desk().keys_wanted(&held);
    if row.keys >= u64::from(wanted) || row.state == PersonState::Suspended {
        return Html::text(row.keys.to_string());
    }
    let values = [("have", row.keys.into()), ("wanted", wanted.into())];
    let language = visit.viewer.language;
    Html::badge(Mood::Bad, language.text_with("console-keys-of", &values))
}

/// Whether a person has fewer keys than their roles want, and what to do.
fn lacking(visit: &Visit, person: &Person, keys: &[KeyRow]) -> Html {
    let wanted = usize::from(visit.desk().keys_wanted(&person.roles));
    let counted = |state| keys.iter().filter(|key| key.state == state).count();
    let (live, waiting) = (counted(KeyState::Live), counted(KeyState::Waiting));
    let language = visit.viewer.language;
    if person.state == PersonState::Suspended || live >= wanted {
        return Html::default();
    }
    let name = match live + waiting >= wanted {
        true => "console-keys-wait",
        false => "console-keys-lacking",
    };
    let values = [("have", live.into()), ("wanted", wanted.into())];
    Html::text(language.text_with(name, &values)).warning()
}

fn table(visit: &Visit, rows: &[PersonRow]) -> Html {
    let language = visit.viewer.language;
    if rows.is_empty() {
        return Html::text(language.text("console-nothing-found")).paragraph();
    }
    let heads = [
        "console-person",
        "console-roles",
        "console-state",
        "console-live-keys",
        "console-since",
    ]
    .map(|name| language.text(name).into_owned());
    let rows = rows.iter().map(|row| {
        vec![
            named(&row.id, &row.display),
            roles(language, &row.roles),
            state(language, row.state),
            keys_of(visit, row),
            Html::instant(language, row.created_at),
        ]
    });
    Html::table(&Section::Persons.name(language), &heads, rows.collect())
}

/// `GET /console/persons/{id}`
pub(super) async fn show(visit: &Visit, id: &str) -> Result<Sheet, DeskError> {
    let (viewer, desk) = (&visit.viewer, visit.desk());
    let language = viewer.language;
    let person = visit.person(id).await?;
    let organisation = desk.organisation(&person.id).await?;
    let keys = Wanted {
        person: person.id.to_string(),
        ..Wanted::default()
    };
    let keys = desk.list_keys(&keys, SHOWN).await?;
    let key_rows = keys.iter().map(|row| key_row(visit, row, false)).collect();
    let sessions = desk.list_sessions(&person.id, SHOWN).await?;
    let say = |name: &str| language.text(name).into_owned();
    let title = Html::shown(&person.display);
    let pieces = [
        about(language, &person, organisation),
        stopping(viewer, &person),
        Html::heading(say("console-roles-and-rights")),
        rights(visit, &person).await?,
        Html::heading(say("console-keys")),
        lacking(visit, &person, &keys),
        match keys.is_empty() {
            true => Html::text(say("console-no-keys")).paragraph(),
            false => Html::table(&say("console-keys"), &key_heads(language, false), key_rows),
        },
        Html::heading(say("console-sessions")),
        live_sessions(viewer, &person, &sessions),
        onward(viewer, &person),
    ];
    Ok(Sheet {
        title,
        body: pieces.into_iter().collect(),
    })
}

fn about(language: Language, person: &Person, organisation: Option<String>) -> Html {
    let say = |name: &str| language.text(name).into_owned();
    let mut rows = vec![
        (say("console-identifier"), Html::code(person.id.as_str())),
        (say("console-state"), state(language, person.state)),
    ];
    if let Some(siret) = organisation {
        rows.push((say("console-organisation"), Html::code(siret)));
    }
    rows.push((
        say("console-enrolled-by"),
        match &person.parent {
            Some(parent) => Html::link(&path(parent), Html::code(parent.as_str())),
            None => Html::text(say("console-first-administrators")),
        },
    ));
    Html::list(rows)
}

/// What stops a person, or brings them back.
fn stopping(viewer: &Viewer, person: &Person) -> Html {
    let language = viewer.language;
    let say = |name: &str| language.text(name).into_owned();
    let lineage = Html::link(
        &format!("{}/lineage", path(&person.id)),
        Html::text(say("console-lineage-link")),
    );
    if person.state == PersonState::Suspended {
        let deed = format!("{}/restore", path(&person.id));
        let alone = Html::deed(
            viewer,
            &deed,
            Html::default(),
            &Button::plain(say("console-restore")),
        );
        let whole = Html::deed(
            viewer,
            &deed,
            Html::hidden("whole", "yes"),
            &Button::plain(say("console-restore-subtree")),
        );
        return [
            Html::text(say("console-restore-about")).paragraph(),
            alone,
            whole,
            lineage.paragraph(),
        ]
        .into_iter()
        .collect();
    }
    let suspend = Html::deed(
        viewer,
        &format!("{}/suspend", path(&person.id)),
        Html::default(),
        &Button::stop(say("console-suspend")),
    );
    [
        lineage.paragraph(),
        Html::fold(
            say("console-suspend-alone"),
            [
                Html::text(say("console-suspend-alone-about")).paragraph(),
                suspend,
            ]
            .into_iter()
            .collect(),
        ),
    ]
    .into_iter()
    .collect()
}

/// Roles and facts, each with its end, and how to change them.
async fn rights(visit: &Visit, person: &Person) -> Result<Html, DeskError> {
    let (viewer, desk) = (&visit.viewer, visit.desk());
    let language = viewer.language;
    let say = |name: &str| language.text(name).into_owned();
    let now = desk.now();
    let (ends, facts) = (
        desk.role_ends(&person.id).await?,
        desk.facts(&person.id).await?,
    );
    let deed = format!("{}/facts", path(&person.id));
    let until = |until: Option<OffsetDateTime>| match until {
        Some(until) => Html::instant(language, until),
        None => Html::text(say("console-no-end")),
    };
    let withdraw = |what: &str| {
        let fields = [Html::hidden("fact", what), Html::hidden("withdraw", "yes")];
        Html::deed(
            viewer,
            &deed,
            fields.into_iter().collect(),
            &Button::plain(say("console-withdraw")).about(what),
        )
    };
    let roles = ends.iter().map(|(role, end)| {
        vec![
            Html::shown(role.as_str()),
            Html::text(say("console-a-role")),
            until(*end),
            withdraw(&format!("role:{role}")),
        ]
    });
    let held = facts.iter().map(|(name, end)| {
        let holds = facts.holds(name, now);
        vec![
            Html::shown(name),
            Html::text(say("console-a-fact")),
            if holds {
                until(end)
            } else {
                Html::badge(Mood::Bad, say("console-over")).then(until(end))
            },
            if holds {
                withdraw(name)
            } else {
                Html::default()
            },
        ]
    });
    let heads = [
        "console-right",
        "console-kind",
        "console-until-when",
        "console-change",
    ]
    .map(say);
    let rows: Vec<Vec<Html>> = roles.chain(held).collect();
    let table = if rows.is_empty() {
        Html::text(say("console-no-rights")).paragraph()
    } else {
        Html::table(&say("console-roles-and-rights"), &heads, rows)
    };
    let day = Field {
        kind: "date",
        ..Field::text("until", say("console-until-day"), "")
    };
    let fact = Field {
        required: true,
        ..Field::text("fact", say("console-fact-name"), "")
    };
    let record = Html::deed(
        viewer,
        &deed,
        [Html::input(&fact), Html::input(&day)]
            .into_iter()
            .collect(),
        &Button::main(say("console-record")),
    );
    let about = Html::text(say("console-record-about")).paragraph();
    let fold = Html::fold(
        say("console-record-title"),
        [about, record].into_iter().collect(),
    );
    Ok([table, fold].into_iter().collect())
}

fn live_sessions(viewer: &Viewer, person: &Person, sessions: &[SessionRow]) -> Html {
    let language = viewer.language;
    let say = |name: &str| language.text(name).into_owned();
    if sessions.is_empty() {
        return Html::text(say("console-no-sessions")).paragraph();
    }
    let heads = session_heads(language)
        .into_iter()
        .chain([say("console-change")])
        .collect::<Vec<_>>();
    let rows = sessions.iter().map(|session| {
        let id = session.id.to_string();
        let end = Html::deed(
            viewer,
            &format!("{}/sessions", path(&person.id)),
            Html::hidden("id", &id),
            &Button::plain(say("console-end-session")),
        );
        session_row(language, session)
            .into_iter()
            .chain([end])
            .collect()
    });
    Html::table(&say("console-sessions"), &heads, rows.collect())
}

/// The columns of [`session_row`].
pub(super) fn session_heads(language: Language) -> [String; 4] {
    [
        "console-kind",
        "console-where",
        "console-since",
        "console-until-when",
    ]
    .map(|name| language.text(name).into_owned())
}

/// A session: what uses it, where, since when, until when.
pub(super) fn session_row(language: Language, session: &SessionRow) -> Vec<Html> {
    let code = session.kind.as_str();
    let place = match &session.workstation {
        Some(at) => {
            let address = Html::code(at.address.to_string());
            match &at.device {
                Some(device) => address.below(Html::shown(device)),
                None => address,
            }
        }
        None => Html::text(language.text("console-unknown")),
    };
    vec![
        Html::text(word(
            language,
            &format!("console-session-kind-{code}"),
            code,
        )),
        place,
        Html::instant(language, session.created_at),
        Html::instant(language, session.expires_at),
    ]
}

/// Where to go on from a person.
fn onward(viewer: &Viewer, person: &Person) -> Html {
    if !viewer.administers {
        return Html::default();
    }
    let language = viewer.language;
    let path = format!("{}?person={}", Section::Actions.path(), person.id);
    Html::link(&path, Html::text(language.text("console-their-actions"))).paragraph()
}

/// How many more there are than are shown, if any.
pub(super) fn more(language: Language, total: u64, shown: usize) -> Html {
    let more = total.saturating_sub(u64::try_from(shown).unwrap_or(u64::MAX));
    if more == 0 {
        return Html::default();
    }
    Html::text(counted(language, "console-and-more", more)).paragraph()
}
