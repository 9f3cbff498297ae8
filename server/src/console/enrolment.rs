//! Enrolments: who was invited by whom, and what became of it. Asking for another, and handing the key out, is the help desk's page (`/desk`).

use sceau_locale::Language;

use super::Visit;
use super::markup::{Field, Html, Mood, Section, Sheet, word};
use super::paging::{self, List};
use super::person::{named, path};
use crate::desk::DeskError;
use crate::store::console::InvitationRow;

/// `GET /console/enrolments`
pub(super) async fn list(visit: &Visit, list: List) -> Result<Sheet, DeskError> {
    let (viewer, desk) = (&visit.viewer, visit.desk());
    let language = viewer.language;
    let say = |name: &str| language.text(name).into_owned();
    let wanted = list.wanted(viewer);
    let rows = desk.list_invitations(&wanted, paging::FETCHED).await?;
    let (rows, next) = paging::page(rows, |row| row.id.to_string());
    let states = [
        (String::new(), say("console-any")),
        ("open".to_owned(), say("console-enrolment-open")),
    ];
    let fields = [
        Html::input(&Field::text(
            "q",
            say("console-search-person"),
            &wanted.words,
        )),
        Html::select(
            &Field::text("state", say("console-state"), &wanted.state),
            states,
        ),
    ];
    let body = [
        Html::search(
            Section::Enrolments.path(),
            fields.into_iter().collect(),
            say("console-search"),
        ),
        Html::link("/desk", Html::text(say("console-enrol"))).paragraph(),
        table(language, &rows),
        paging::onward(language, Section::Enrolments, &list, next.as_deref()),
        paging::export(viewer, Section::Enrolments, &list),
    ];
    Ok(Sheet {
        title: Html::text(Section::Enrolments.name(language)),
        body: body.into_iter().collect(),
    })
}

fn table(language: Language, rows: &[InvitationRow]) -> Html {
    let say = |name: &str| language.text(name).into_owned();
    if rows.is_empty() {
        return Html::text(say("console-nothing-found")).paragraph();
    }
    let heads = [
        "console-person",
        "console-state",
        "console-requested-by",
        "console-since",
        "console-until-when",
    ]
    .map(say);
    let rows = rows.iter().map(|row| {
        let mood = match row.state {
            "used" => Mood::Good,
            "over" => Mood::Bad,
            _ => Mood::Plain,
        };
        let code = row.state;
        let state = Html::badge(
            mood,
            word(language, &format!("console-enrolment-state-{code}"), code),
        );
        vec![
            named(&row.person, &row.display),
            state,
            match &row.asked {
                Some((_, requester)) => {
                    Html::link(&path(requester), Html::code(requester.as_str()))
                }
                None => Html::text(say("console-first-administrators")),
            },
            Html::instant(language, row.created_at),
            Html::instant(language, row.expires_at),
        ]
    });
    Html::table(&Section::Enrolments.name(language), &heads, rows.collect())
}
