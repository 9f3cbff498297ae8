//! Keys: the list with its search, and one key with what the metadata list says of its model and what it approved of late.

use sceau_locale::Language;
use sceau_proof::metadata::Standing;

use super::markup::{Button, Field, Html, Mood, Section, Sheet, word};
use super::paging::{self, List};
use super::person::named;
use super::reason::of_key;
use super::{Visit, action};
use crate::desk::DeskError;
use crate::id::KeyId;
use crate::key::{KeyState, KeyType};
use crate::store::console::{KeyRow, Wanted};

const STATES: [KeyState; 4] = [
    KeyState::Live,
    KeyState::Waiting,
    KeyState::Suspended,
    KeyState::Revoked,
];

/// Whether a key counts, and why not.
pub(super) fn state(language: Language, row: &KeyRow) -> Html {
    let code = row.state.as_str();
    let mood = match row.state {
        KeyState::Live => Mood::Good,
        KeyState::Waiting => Mood::Plain,
        KeyState::Suspended | KeyState::Revoked => Mood::Bad,
    };
    let badge = Html::badge(
        mood,
        word(language, &format!("console-key-state-{code}"), code),
    );
    match row.reason.as_deref().filter(|reason| *reason != code) {
        Some(reason) => {
            let words = of_key(language, reason).unwrap_or_else(|| reason.into());
            badge.below(Html::text(words))
        }
        None => badge,
    }
}

/// The model with its certification, as the metadata list in force has them.
fn model(visit: &Visit, row: &KeyRow) -> Html {
    let language = visit.viewer.language;
    let say = |name: &str| Html::text(language.text(name));
    if row.kind == KeyType::Piv {
        return if row.attested {
            say("console-card-attested")
        } else {
            say("console-card-issued")
        };
    }
    let Some(known) = visit.desk().model(&row.aaguid) else {
        return say("console-model-unlisted").below(Html::code(&row.aaguid));
    };
    let code = known.standing.reason();
    let mood = match known.standing {
        Standing::Acceptable { retired: false, .. } => Mood::Plain,
        _ => Mood::Bad,
    };
    Html::shown(&known.name).below(Html::badge(
        mood,
        word(language, &format!("console-model-{code}"), code),
    ))
}

/// The columns of [`key_row`]; `whose` among them.
pub(super) fn key_heads(language: Language, whose: bool) -> Vec<String> {
    let whose = whose.then_some("console-person");
    whose
        .into_iter()
        .chain([
            "console-key",
            "console-model",
            "console-state",
            "console-enrolled",
            "console-last-use",
        ])
        .map(|name| language.text(name).into_owned())
        .collect()
}

/// A key in a table.
pub(super) fn key_row(visit: &Visit, row: &KeyRow, whose: bool) -> Vec<Html> {
    let language = visit.viewer.language;
    let label = if row.label.is_empty() {
        Html::text(language.text("console-unnamed"))
    } else {
        Html::shown(&row.label)
    };
    let owner = whose.then(|| named(&row.person, &row.display));
    let used = match row.used_at {
        Some(at) => Html::instant(language, at),
        None => Html::text(language.text("console-never")),
    };
    owner
        .into_iter()
        .chain([
            Html::link(&format!("/console/keys/{}", row.id), label),
            model(visit, row),
            state(language, row),
            Html::instant(language, row.created_at),
            used,
        ])
        .collect()
}

/// `GET /console/keys`
pub(super) async fn list(visit: &Visit, list: List) -> Result<Sheet, DeskError> {
    let (viewer, desk) = (&visit.viewer, visit.desk());
    let language = viewer.language;
    let say = |name: &str| language.text(name).into_owned();
    let wanted = list.wanted(viewer);
    let rows = desk.list_keys(&wanted, paging::FETCHED).await?;
    let (rows, next) = paging::page(rows, |row| row.id.to_string());
    let states = STATES.map(KeyState::as_str).map(|code| {
        let words = word(language, &format!("console-key-state-{code}"), code);
        (code.to_owned(), words)
    });
    let any = (String::new(), say("console-any"));
    let fields = [
        Html::input(&Field::text("q", say("console-search-key"), &wanted.words)),
        Html::select(
            &Field::text("state", say("console-state"), &wanted.state),
            std::iter::once(any).chain(states),
        ),
    ];
    let table = if rows.is_empty() {
        Html::text(say("console-nothing-found")).paragraph()
    } else {
        Html::table(
            &Section::Keys.name(language),
            &key_heads(language, true),
            rows.iter().map(|row| key_row(visit, row, true)).collect(),
        )
    };
    let body = [
        Html::search(
            Section::Keys.path(),
            fields.into_iter().collect(),
            say("console-search"),
        ),
        Html::text(say("console-keys-about")).paragraph(),
        table,
        paging::onward(language, Section::Keys, &list, next.as_deref()),
        paging::export(viewer, Section::Keys, &list),
    ];
    Ok(Sheet {
        title: Html::text(Section::Keys.name(language)),
        body: body.into_iter().collect(),
    })
}

/// `GET /console/keys/{id}`
pub(super) async fn show(visit: &Visit, id: &str) -> Result<Sheet, DeskError> {
    let (viewer, desk) = (&visit.viewer, visit.desk());
    let language = viewer.language;
    let say = |name: &str| language.text(name).into_owned();
    let id: KeyId = id.parse().map_err(|_| DeskError::NotFound)?;
    let review = desk.review(id).await?.ok_or(DeskError::NotFound)?;
    let owner = visit.person(review.key.person.as_str()).await?;
    let wanted = Wanted {
        words: id.to_string(),
        person: owner.id.to_string(),
        ..Wanted::default()
    };
    let rows = desk.list_keys(&wanted, 1).await?;
    let row = rows.first().ok_or(DeskError::NotFound)?;
    let about = [
        (say("console-person"), named(&owner.id, &owner.display)),
        (say("console-model"), model(visit, row)),
        (say("console-state"), state(language, row)),
        (say("console-identifier"), Html::code(id.to_string())),
        (
            say("console-enrolled"),
            Html::instant(language, row.created_at),
        ),
        (
            say("console-last-use"),
            match row.used_at {
                Some(at) => Html::instant(language, at),
                None => Html::text(say("console-never")),
            },
        ),
        (
            say("console-key-record"),
            Html::code(hex::encode(review.key.record_sha256)),
        ),
    ];
    let revoke = if row.state == KeyState::Revoked {
        Html::default()
    } else {
        let deed = Html::deed(
            viewer,
            &format!("/console/keys/{id}/revoke"),
            Html::default(),
            &Button::stop(say("console-revoke")),
        );
        Html::text(say("console-revoke-about"))
            .paragraph()
            .then(deed)
    };
    let approvals = review.approvals.iter().map(|given| {
        vec![
            Html::instant(language, given.at),
            Html::code(&given.kind),
            Html::shown(&given.service),
            Html::code(given.requester.as_str()),
            action::badge(language, &given.state),
        ]
    });
    let heads = [
        "console-when",
        "console-what",
        "console-service",
        "console-requested-by",
        "console-state",
    ]
    .map(say);
    let approvals: Vec<Vec<Html>> = approvals.collect();
    let approvals = if approvals.is_empty() {
        Html::text(say("console-no-approvals")).paragraph()
    } else {
        Html::table(&say("console-approvals"), &heads, approvals)
    };
    // As at the API: what a key approved is for administrators, and for its owner.
    let approvals = if viewer.administers || owner.id == viewer.person.id {
        [Html::heading(say("console-approvals")), approvals]
            .into_iter()
            .collect()
    } else {
        Html::default()
    };
    let label = match row.label.as_str() {
        "" => Html::text(say("console-key")),
        label => Html::shown(label),
    };
    let body = [Html::list(about), revoke, approvals];
    Ok(Sheet {
        title: label,
        body: body.into_iter().collect(),
    })
}
