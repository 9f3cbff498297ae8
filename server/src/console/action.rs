//! Actions: what waits and for whom, and what became of the others; and enrolments, which actions open.

use sceau_locale::Language;
use sceau_proof::action::{Action, Language as Tongue};
use sceau_proof::words;

use super::markup::{Field, Html, Mood, Section, Sheet, word};
use super::paging::{self, List};
use super::person::{named, path};
use super::reason::reason;
use super::{Visit, markup};
use crate::action::{ActionRecord, State};
use crate::desk::{AwaitedGroup, DeskError};

const STATES: [State; 7] = [
    State::Pending,
    State::Approved,
    State::Executed,
    State::Consumed,
    State::Refused,
    State::Denied,
    State::Expired,
];

/// What an action is, in one sentence: the one that its approvers read.
pub(super) fn sentence(language: Language, action: &Action) -> String {
    let tongue = language.pick(Tongue::French, Tongue::English);
    words::describe(action, tongue).sentence
}

/// Where an action stands, by its state's word.
pub(super) fn badge(language: Language, code: &str) -> Html {
    let mood = match code {
        "approved" | "executed" | "consumed" => Mood::Good,
        "refused" | "denied" | "expired" => Mood::Bad,
        _ => Mood::Plain,
    };
    Html::badge(
        mood,
        word(language, &format!("console-action-state-{code}"), code),
    )
}

/// `GET /console/actions`: those that wait, unless another state is asked for.
pub(super) async fn list(visit: &Visit, list: List) -> Result<Sheet, DeskError> {
    let (viewer, desk) = (&visit.viewer, visit.desk());
    let language = viewer.language;
    let say = |name: &str| language.text(name).into_owned();
    let mut wanted = list.wanted(viewer);
    if wanted.state.is_empty() && wanted.person.is_empty() {
        wanted.state = State::Pending.as_str().to_owned();
    }
    if wanted.state == "any" {
        wanted.state = String::new();
    }
    let rows = desk.list_actions(&wanted, paging::FETCHED).await?;
    let (rows, next) = paging::page(rows, |row| row.id.to_string());
    let states = STATES.map(State::as_str).map(|code| {
        let words = word(language, &format!("console-action-state-{code}"), code);
        (code.to_owned(), words)
    });
    let shown_state = match wanted.state.as_str() {
        "" => "any",
        state => state,
    };
    let fields = [
        Html::select(
            &Field::text("state", say("console-state"), shown_state),
            states
                .into_iter()
                .chain([("any".to_owned(), say("console-any"))]),
        ),
        Html::input(&Field::text(
            "person",
            say("console-requester-identifier"),
            &wanted.person,
        )),
    ];
    let mut cells = Vec::with_capacity(rows.len());
    for record in &rows {
        cells.push(row(visit, record).await?);
    }
    let heads = [
        "console-what",
        "console-requested-by",
        "console-state",
        "console-awaited",
        "console-since",
        "console-until-when",
    ]
    .map(say);
    let table = if cells.is_empty() {
        Html::text(say("console-nothing-found")).paragraph()
    } else {
        Html::table(&Section::Actions.name(language), &heads, cells)
    };
    let body = [
        Html::search(
            Section::Actions.path(),
            fields.into_iter().collect(),
            say("console-show"),
        ),
        table,
        paging::onward(language, Section::Actions, &list, next.as_deref()),
        paging::export(viewer, Section::Actions, &list),
    ];
    Ok(Sheet {
        title: Html::text(Section::Actions.name(language)),
        body: body.into_iter().collect(),
    })
}

async fn row(visit: &Visit, record: &ActionRecord) -> Result<Vec<Html>, DeskError> {
    let (viewer, desk) = (&visit.viewer, visit.desk());
    let language = viewer.language;
    let document = Action::parse(record.document.as_bytes())
        .map_err(|_| DeskError::Misuse("stored action does not parse"))?;
    let sentence = Html::text(sentence(language, &document));
    let person = &viewer.person.id;
    let readable = record.requester == *person || desk.may_approve(record, person).await?;
    let what = if readable {
        Html::link(&format!("/actions/{}", record.id), sentence)
    } else {
        sentence
    };
    let ended = record.refusal.as_ref().or(record.denial.as_ref());
    let state = badge(language, record.state.as_str());
    let state = match ended {
        Some(ended) => state.below(reason(desk, language, "action.refused", &ended.reason)),
        None => state,
    };
    Ok(vec![
        what.below(Html::code(&record.kind))
            .then(Html::shown(record.service.as_str())),
        named(&record.requester, &document.requester().display),
        state,
        awaited(language, &desk.awaited(record).await?),
        Html::instant(language, record.created_at),
        Html::instant(language, record.expires_at),
    ])
}

/// Whom it waits for: each group with how many are missing, and who they could be.
fn awaited(language: Language, groups: &[AwaitedGroup]) -> Html {
    let mut lines = groups.iter().map(|group| {
        let roles: Vec<&str> = group
            .awaited
            .roles
            .iter()
            .map(crate::id::Role::as_str)
            .collect();
        let whom = if roles.is_empty() {
            Html::text(language.text("console-the-requester"))
        } else {
            let missing = u64::from(group.awaited.missing);
            let missing = markup::counted(language, "console-missing", missing);
            Html::text(missing).then(Html::shown(&roles.join(", ")))
        };
        group.persons.iter().take(5).fold(whom, |line, person| {
            line.below(Html::link(&path(&person.id), Html::shown(&person.display)))
        })
    });
    let first = lines.next().unwrap_or_default();
    lines.fold(first, Html::below)
}
