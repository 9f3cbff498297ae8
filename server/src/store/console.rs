//! What the console lists: read-only pages of rows, each after the last one of the page before (keyset), never by offset.
//!
//! Searched text is folded in ASCII alone, as SQLite does; any other letter of a search stands for one letter, whichever it is, so that both
//! stores find the same: `éloïse` finds `Éloïse`. Roles that are hidden from who looks hide whoever holds one, in the query itself.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use time::OffsetDateTime;

use super::lineage::with_descent;
use super::{StoreError, from_ms, json, parse, to_ms};
use crate::action::State;
use crate::id::{ActionId, EnrolmentId, KeyId, PersonId, Role, ServiceId, SessionId};
use crate::key::{KeyState, KeyType};
use crate::lineage::Node;
use crate::person::PersonState;
use crate::session::SessionKind;
use crate::workstation::Workstation;

/// What is wanted of a list. Empty texts want nothing in particular.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Text that a name, an identifier or a label contains.
    pub words: String,
    /// State, as the list has it.
    pub state: String,
    /// Role, of persons.
    pub role: String,
    /// Of persons: those alone of whom fewer keys are live than their roles want, and who are not suspended.
    pub lacking: bool,
    /// Person, of keys and actions.
    pub person: String,
    /// The last name of the page before; empty for the first page.
    pub after: String,
    /// Whoever holds one of these roles is left out.
    pub hidden: Vec<Role>,
}

/// A pattern for `LIKE … ESCAPE '\'` on ASCII-lowered text.
fn pattern(words: &str) -> String {
    let mut pattern = String::from("%");
    for c in words.trim().chars().take(100) {
        match c.to_ascii_lowercase() {
            c @ ('%' | '_' | '\\') => pattern.extend(['\\', c]),
            c if c.is_ascii() && !c.is_ascii_control() => pattern.push(c),
            _ => pattern.push('_'),
        }
    }
    pattern.push('%');
    pattern
}

impl Wanted {
    /// `,administrator,security,`: what a role between commas is looked for in.
    fn hidden(&self) -> String {
        between_commas(&self.hidden)
    }
}

fn between_commas(roles: &[Role]) -> String {
    let mut list = String::from(",");
    for role in roles {
        list.push_str(role.as_str());
        list.push(',');
    }
    list
}

fn at(row: &AnyRow, column: &str) -> Result<OffsetDateTime, StoreError> {
    from_ms(row.try_get(column)?)
}

fn at_most(row: &AnyRow, column: &str) -> Result<Option<OffsetDateTime>, StoreError> {
    row.try_get::<Option<i64>, _>(column)?
        .map(from_ms)
        .transpose()
}

/// A person in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonRow {
    /// Who.
    pub id: PersonId,
    /// How people call them. Received text.
    pub display: String,
    /// Whether they may act.
    pub state: PersonState,
    /// Who asked for their enrolment.
    pub parent: Option<PersonId>,
    /// Since when they are known.
    pub created_at: OffsetDateTime,
    /// Live keys.
    pub keys: u64,
    /// Roles, each with its end, if it has one.
    pub roles: Vec<(Role, Option<OffsetDateTime>)>,
}

/// What says how many keys a person is given: the roles that want two, and when it is, since a role that has ended wants none.
#[derive(Debug, Clone)]
pub struct Giving {
    /// Roles of two keys; whoever holds none of them is given one.
    pub two: Vec<Role>,
    /// Now.
    pub at: OffsetDateTime,
}

/// The persons that are wanted, after `$1`.
macro_rules! wanted_persons {
    () => {
        r"FROM person
         WHERE id > $1 AND (LOWER(id) LIKE $2 ESCAPE '\' OR LOWER(display) LIKE $2 ESCAPE '\') AND ($3 = '' OR state = $3)
             AND ($4 = '' OR id IN (SELECT person FROM person_role WHERE role = $4))
             AND NOT EXISTS (SELECT 1 FROM person_role WHERE person_role.person = person.id AND $5 LIKE '%,' || person_role.role || ',%')
             AND ($6 = 0 OR (state <> 'suspended'
                 AND (SELECT COUNT(*) FROM enrolled_key WHERE enrolled_key.person = person.id AND enrolled_key.state = 'live')
                     < CASE WHEN EXISTS (SELECT 1 FROM person_role WHERE person_role.person = person.id
                         AND (person_role.until_ms IS NULL OR person_role.until_ms > $7)
                         AND REPLACE($8, ',' || person_role.role || ',', '') <> $8) THEN 2 ELSE 1 END))"
    };
}

/// Persons by identifier.
pub async fn persons(
    connection: &mut AnyConnection,
    wanted: &Wanted,
    giving: &Giving,
    count: i64,
) -> Result<Vec<PersonRow>, StoreError> {
    let rows = sqlx::query(concat!(
        "SELECT page.id, page.display, page.state, page.parent, page.created_ms, person_role.role, person_role.until_ms,
             (SELECT COUNT(*) FROM enrolled_key WHERE enrolled_key.person = page.id AND enrolled_key.state = 'live') AS live
         FROM (SELECT id, display, state, parent, created_ms ",
        wanted_persons!(),
        " ORDER BY id LIMIT $9) AS page
         LEFT JOIN person_role ON person_role.person = page.id ORDER BY page.id, person_role.role",
    ))
    .bind(wanted.after.clone())
    .bind(pattern(&wanted.words))
    .bind(wanted.state.clone())
    .bind(wanted.role.clone())
    .bind(wanted.hidden())
    .bind(i64::from(wanted.lacking))
    .bind(to_ms(giving.at))
    .bind(between_commas(&giving.two))
    .bind(count)
    .fetch_all(connection)
    .await?;
    let mut persons: Vec<PersonRow> = Vec::new();
    for row in &rows {
        let id: PersonId = parse(row.try_get("id")?, "person id")?;
        if persons.last().is_none_or(|last| last.id != id) {
            persons.push(PersonRow {
                id,
                display: row.try_get("display")?,
                state: PersonState::from_word(row.try_get("state")?)
                    .ok_or(StoreError::Corrupt("person state"))?,
                parent: row
                    .try_get::<Option<String>, _>("parent")?
                    .map(|id| parse(&id, "person parent"))
                    .transpose()?,
                created_at: at(row, "created_ms")?,
                keys: u64::try_from(row.try_get::<i64, _>("live")?).unwrap_or(0),
                roles: Vec::new(),
            });
        }
        if let (Some(role), Some(person)) =
            (row.try_get::<Option<&str>, _>("role")?, persons.last_mut())
        {
            let until = at_most(row, "until_ms")?;
            person.roles.push((parse(role, "role")?, until));
        }
    }
    Ok(persons)
}

/// How many persons are wanted, on all pages.
pub async fn count_persons(
    connection: &mut AnyConnection,
    wanted: &Wanted,
    giving: &Giving,
) -> Result<u64, StoreError> {
    let row = sqlx::query(concat!("SELECT COUNT(*) AS many ", wanted_persons!()))
        .bind(String::new())
        .bind(pattern(&wanted.words))
        .bind(wanted.state.clone())
        .bind(wanted.role.clone())
        .bind(wanted.hidden())
        .bind(i64::from(wanted.lacking))
        .bind(to_ms(giving.at))
        .bind(between_commas(&giving.two))
        .fetch_one(connection)
        .await?;
    Ok(u64::try_from(row.try_get::<i64, _>("many")?).unwrap_or(0))
}

/// Every role that somebody holds, with how many hold it.
pub async fn roles(connection: &mut AnyConnection) -> Result<Vec<(Role, u64)>, StoreError> {
    sqlx::query("SELECT role, COUNT(*) AS holders FROM person_role GROUP BY role ORDER BY role")
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| {
            let holders = u64::try_from(row.try_get::<i64, _>("holders")?).unwrap_or(0);
            Ok((parse(row.try_get("role")?, "role")?, holders))
        })
        .collect()
}

/// A key in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRow {
    /// Its name.
    pub id: KeyId,
    /// Whose it is.
    pub person: PersonId,
    /// How people call them. Received text.
    pub display: String,
    /// FIDO2 or a card.
    pub kind: KeyType,
    /// Model; empty for a card.
    pub aaguid: String,
    /// A card that attested its key, or a FIDO2 key.
    pub attested: bool,
    /// How its owner calls it. Received text.
    pub label: String,
    /// Whether it counts.
    pub state: KeyState,
    /// Why not, kebab-case.
    pub reason: Option<String>,
    /// Enrolment.
    pub created_at: OffsetDateTime,
    /// Last use.
    pub used_at: Option<OffsetDateTime>,
}

/// Keys, newest first; names of keys are in the order of their enrolment.
pub async fn keys(
    connection: &mut AnyConnection,
    wanted: &Wanted,
    count: i64,
) -> Result<Vec<KeyRow>, StoreError> {
    sqlx::query(
        r"SELECT enrolled_key.id, enrolled_key.person, person.display, enrolled_key.kind, enrolled_key.aaguid, enrolled_key.attested,
             enrolled_key.label, enrolled_key.state, enrolled_key.state_reason, enrolled_key.created_ms, enrolled_key.used_ms
         FROM enrolled_key JOIN person ON person.id = enrolled_key.person
         WHERE ($1 = '' OR enrolled_key.id < $1) AND ($2 = '' OR enrolled_key.state = $2) AND ($3 = '' OR enrolled_key.person = $3)
             AND (LOWER(person.id) LIKE $4 ESCAPE '\' OR LOWER(person.display) LIKE $4 ESCAPE '\' OR LOWER(enrolled_key.label) LIKE $4 ESCAPE '\'
                  OR LOWER(enrolled_key.aaguid) LIKE $4 ESCAPE '\' OR enrolled_key.id LIKE $4 ESCAPE '\')
             AND NOT EXISTS (SELECT 1 FROM person_role WHERE person_role.person = person.id AND $5 LIKE '%,' || person_role.role || ',%')
         ORDER BY enrolled_key.id DESC LIMIT $6",
    )
    .bind(wanted.after.clone())
    .bind(wanted.state.clone())
    .bind(wanted.person.clone())
    .bind(pattern(&wanted.words))
    .bind(wanted.hidden())
    .bind(count)
    .fetch_all(connection)
    .await?
    .iter()
    .map(read_key)
    .collect()
}

fn read_key(row: &AnyRow) -> Result<KeyRow, StoreError> {
    Ok(KeyRow {
        id: parse(row.try_get("id")?, "key id")?,
        person: parse(row.try_get("person")?, "key person")?,
        display: row.try_get("display")?,
        kind: match row.try_get::<&str, _>("kind")? {
            "fido2" => KeyType::Fido2,
            "piv" => KeyType::Piv,
            _ => return Err(StoreError::Corrupt("key kind")),
        },
        aaguid: row.try_get("aaguid")?,
        attested: row.try_get::<i64, _>("attested")? != 0,
        label: row.try_get("label")?,
        state: KeyState::from_word(row.try_get("state")?)
            .ok_or(StoreError::Corrupt("key state"))?,
        reason: row.try_get("state_reason")?,
        created_at: at(row, "created_ms")?,
        used_at: at_most(row, "used_ms")?,
    })
}

/// A live session in a list; whether its key shows itself is `store::session`'s to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Its name; not its token.
    pub id: SessionId,
    /// Whose it is.
    pub person: PersonId,
    /// What it is used by.
    pub kind: SessionKind,
    /// When it was opened.
    pub created_at: OffsetDateTime,
    /// When it ends by itself.
    pub expires_at: OffsetDateTime,
    /// Where it was opened, when somebody could tell.
    pub workstation: Option<Workstation>,
}

fn read_session(row: &AnyRow) -> Result<SessionRow, StoreError> {
    Ok(SessionRow {
        id: parse(row.try_get("id")?, "session id")?,
        person: parse(row.try_get("person")?, "session person")?,
        kind: SessionKind::from_word(row.try_get("kind")?)
            .ok_or(StoreError::Corrupt("session kind"))?,
        created_at: at(row, "created_ms")?,
        expires_at: at(row, "expires_ms")?,
        workstation: json(row.try_get("workstation")?, "session workstation")?,
    })
}

/// A person's sessions that live, newest first.
pub async fn sessions(
    connection: &mut AnyConnection,
    person: &PersonId,
    now: OffsetDateTime,
    count: i64,
) -> Result<Vec<SessionRow>, StoreError> {
    sqlx::query(
        "SELECT id, person, kind, created_ms, expires_ms, workstation FROM session
         WHERE person = $1 AND state = 'active' AND expires_ms > $2 ORDER BY created_ms DESC, id LIMIT $3",
    )
    .bind(person.as_str().to_owned())
    .bind(to_ms(now))
    .bind(count)
    .fetch_all(connection)
    .await?
    .iter()
    .map(read_session)
    .collect()
}

/// An enrolment in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationRow {
    /// Its name.
    pub id: EnrolmentId,
    /// Who is invited.
    pub person: PersonId,
    /// How people call them. Received text.
    pub display: String,
    /// `new`, `opened`, `used` or `over`.
    pub state: &'static str,
    /// The action that asked for it, and who asked; `None` for the first administrators.
    pub asked: Option<(ActionId, PersonId)>,
    /// When it was made.
    pub created_at: OffsetDateTime,
    /// When it ends.
    pub expires_at: OffsetDateTime,
}

/// Enrolments, newest first. Of `wanted.state`, `open` is those that may still be used.
pub async fn invitations(
    connection: &mut AnyConnection,
    wanted: &Wanted,
    now: OffsetDateTime,
    count: i64,
) -> Result<Vec<InvitationRow>, StoreError> {
    sqlx::query(
        r"SELECT invitation.id, invitation.person, person.display, invitation.state, action.id AS action, action.requester,
             invitation.created_ms, invitation.expires_ms
         FROM invitation JOIN person ON person.id = invitation.person LEFT JOIN action ON action.id = invitation.enroll_action
         WHERE ($1 = '' OR invitation.id < $1) AND ($2 = '' OR invitation.state <> 'used' AND invitation.expires_ms > $3)
             AND (LOWER(person.id) LIKE $4 ESCAPE '\' OR LOWER(person.display) LIKE $4 ESCAPE '\')
             AND NOT EXISTS (SELECT 1 FROM person_role WHERE person_role.person = person.id AND $5 LIKE '%,' || person_role.role || ',%')
         ORDER BY invitation.id DESC LIMIT $6",
    )
    .bind(wanted.after.clone())
    .bind(wanted.state.clone())
    .bind(to_ms(now))
    .bind(pattern(&wanted.words))
    .bind(wanted.hidden())
    .bind(count)
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| {
        let expires_at = at(row, "expires_ms")?;
        let asked = row.try_get::<Option<String>, _>("action")?;
        let requester = row.try_get::<Option<String>, _>("requester")?;
        Ok(InvitationRow {
            id: parse(row.try_get("id")?, "invitation id")?,
            person: parse(row.try_get("person")?, "invitation person")?,
            display: row.try_get("display")?,
            state: match row.try_get::<&str, _>("state")? {
                "used" => "used",
                "new" | "opened" if expires_at <= now => "over",
                "new" => "new",
                "opened" => "opened",
                _ => return Err(StoreError::Corrupt("invitation state")),
            },
            asked: match (asked, requester) {
                (Some(action), Some(requester)) => Some((
                    parse(&action, "invitation action")?,
                    parse(&requester, "requester")?,
                )),
                _ => None,
            },
            created_at: at(row, "created_ms")?,
            expires_at,
        })
    })
    .collect()
}

/// Names of actions, newest first; sign-ins are left out. Of `wanted.state`, `pending` is those that wait now, any other is as stored.
pub async fn actions(
    connection: &mut AnyConnection,
    wanted: &Wanted,
    now: OffsetDateTime,
    count: i64,
) -> Result<Vec<ActionId>, StoreError> {
    let waits = wanted.state == State::Pending.as_str();
    sqlx::query(
        "SELECT id FROM action
         WHERE ($1 = '' OR id < $1) AND ($2 = '' OR state = $2) AND ($3 = '' OR requester = $3) AND kind <> 'session.open' AND expires_ms > $4
         ORDER BY id DESC LIMIT $5",
    )
    .bind(wanted.after.clone())
    .bind(wanted.state.clone())
    .bind(wanted.person.clone())
    .bind(if waits { to_ms(now) } else { 0 })
    .bind(count)
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| parse(row.try_get("id")?, "action id"))
    .collect()
}

/// What one person read at a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderRow {
    /// Who.
    pub person: PersonId,
    /// How people call them. Received text.
    pub display: String,
    /// Records counted since then.
    pub records: u64,
    /// The last of them.
    pub last_at: OffsetDateTime,
    /// Their newest live session at a gate.
    pub session: Option<SessionId>,
}

/// Who read at this service since then, by identifier after `after`.
pub async fn readers(
    connection: &mut AnyConnection,
    service: &ServiceId,
    (since, now): (OffsetDateTime, OffsetDateTime),
    after: &str,
    count: i64,
) -> Result<Vec<ReaderRow>, StoreError> {
    sqlx::query(
        "SELECT reading.person, person.display, CAST(SUM(reading.records) AS BIGINT) AS records, MAX(reading.at_ms) AS last_ms,
             (SELECT MAX(session.id) FROM session WHERE session.person = reading.person AND session.kind = 'gate' AND session.state = 'active'
                 AND session.expires_ms > $3) AS session
         FROM reading JOIN person ON person.id = reading.person
         WHERE reading.service = $1 AND reading.at_ms >= $2 AND reading.person > $4
         GROUP BY reading.person, person.display ORDER BY reading.person LIMIT $5",
    )
    .bind(service.as_str().to_owned())
    .bind(to_ms(since))
    .bind(to_ms(now))
    .bind(after.to_owned())
    .bind(count)
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| {
        Ok(ReaderRow {
            person: parse(row.try_get("person")?, "reader")?,
            display: row.try_get("display")?,
            records: u64::try_from(row.try_get::<i64, _>("records")?)
                .map_err(|_| StoreError::Corrupt("records read"))?,
            last_at: at(row, "last_ms")?,
            session: row
                .try_get::<Option<String>, _>("session")?
                .map(|id| parse(&id, "session id"))
                .transpose()?,
        })
    })
    .collect()
}

/// What of a lineage would fall with its root, `count` of each at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Falling {
    /// Live sessions, newest first.
    pub sessions: Vec<SessionRow>,
    /// Actions that are not executed, newest first.
    pub actions: Vec<ActionId>,
    /// Live keys.
    pub keys: Vec<KeyRow>,
}

/// See [`Falling`]: the same rows that `lineage::totals` counts.
pub async fn falling(
    connection: &mut AnyConnection,
    root: &Node,
    now: OffsetDateTime,
    count: i64,
) -> Result<Falling, StoreError> {
    let sessions = sqlx::query(with_descent!(
        ", persons (id) AS (SELECT SUBSTR(node, 8) FROM descent WHERE node LIKE 'person/%')
         SELECT id, person, kind, created_ms, expires_ms, workstation FROM session
         WHERE state IN ('pending', 'active') AND expires_ms > $2 AND person IN (SELECT id FROM persons) ORDER BY created_ms DESC, id LIMIT $3"
    ))
    .bind(root.to_string())
    .bind(to_ms(now))
    .bind(count)
    .fetch_all(&mut *connection)
    .await?;
    let actions = sqlx::query(with_descent!(
        ", persons (id) AS (SELECT SUBSTR(node, 8) FROM descent WHERE node LIKE 'person/%')
         SELECT id FROM action WHERE state IN ('pending', 'approved') AND started_ms IS NULL AND expires_ms > $2
             AND (requester IN (SELECT id FROM persons) OR id IN (SELECT action FROM approval WHERE person IN (SELECT id FROM persons)))
         ORDER BY id DESC LIMIT $3"
    ))
    .bind(root.to_string())
    .bind(to_ms(now))
    .bind(count)
    .fetch_all(&mut *connection)
    .await?;
    let keys = sqlx::query(with_descent!(
        ", persons (id) AS (SELECT SUBSTR(node, 8) FROM descent WHERE node LIKE 'person/%')
         SELECT enrolled_key.id, enrolled_key.person, person.display, enrolled_key.kind, enrolled_key.aaguid, enrolled_key.attested,
             enrolled_key.label, enrolled_key.state, enrolled_key.state_reason, enrolled_key.created_ms, enrolled_key.used_ms
         FROM enrolled_key JOIN person ON person.id = enrolled_key.person
         WHERE enrolled_key.state = 'live' AND enrolled_key.person IN (SELECT id FROM persons) ORDER BY enrolled_key.person, enrolled_key.id LIMIT $2"
    ))
    .bind(root.to_string())
    .bind(count)
    .fetch_all(connection)
    .await?;
    Ok(Falling {
        sessions: sessions
            .iter()
            .map(read_session)
            .collect::<Result<_, _>>()?,
        actions: actions
            .iter()
            .map(|row| parse(row.try_get("id")?, "action id"))
            .collect::<Result<_, _>>()?,
        keys: keys.iter().map(read_key).collect::<Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_searched_is_text_and_folds_the_same_on_both_stores() {
        assert_eq!(pattern(" Éloïse "), "%_lo_se%");
        assert_eq!(pattern(r"100%_\"), r"%100\%\_\\%");
        assert_eq!(pattern("a\0b\u{202e}"), "%a_b_%");
        assert_eq!(pattern(&"x".repeat(500)).len(), 102);
    }

    #[test]
    fn hidden_roles_are_whole_words_between_commas() {
        let hidden = |roles: &[&str]| {
            let hidden = roles.iter().map(|role| role.parse().unwrap()).collect();
            Wanted {
                hidden,
                ..Wanted::default()
            }
            .hidden()
        };
        assert_eq!(hidden(&[]), ",");
        assert_eq!(
            hidden(&["administrator", "security"]),
            ",administrator,security,"
        );
    }
}
