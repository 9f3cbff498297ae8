//! Rows of facts that expire.

use time::OffsetDateTime;

use super::{StoreError, from_ms, parse, to_ms};
use crate::fact::Facts;
use crate::id::{ActionId, PersonId, Role};
use sqlx::{AnyConnection, Row as _};

/// What is recorded of a person, whether it still holds or not.
pub async fn of_person(
    connection: &mut AnyConnection,
    person: &PersonId,
) -> Result<Facts, StoreError> {
    let rows = sqlx::query("SELECT name, until_ms FROM fact WHERE person = $1")
        .bind(person.as_str().to_owned())
        .fetch_all(connection)
        .await?;
    let mut facts = Vec::with_capacity(rows.len());
    for row in &rows {
        let until: Option<i64> = row.try_get("until_ms")?;
        facts.push((row.try_get("name")?, until.map(from_ms).transpose()?));
    }
    Ok(Facts::new(facts))
}

/// Records a fact, in the place of what was recorded by that name before.
pub(crate) async fn record(
    connection: &mut AnyConnection,
    person: &PersonId,
    name: &str,
    until: Option<OffsetDateTime>,
    source: &str,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO fact (person, name, until_ms, source, at_ms) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (person, name) DO UPDATE SET until_ms = $3, source = $4, at_ms = $5",
    )
    .bind(person.as_str().to_owned())
    .bind(name.to_owned())
    .bind(until.map(to_ms))
    .bind(source.to_owned())
    .bind(to_ms(now))
    .execute(connection)
    .await?;
    Ok(())
}

/// Sets when a role that a person holds ends; whether they hold it.
pub(crate) async fn limit_role(
    connection: &mut AnyConnection,
    person: &PersonId,
    role: &Role,
    until: Option<OffsetDateTime>,
) -> Result<bool, StoreError> {
    Ok(
        sqlx::query("UPDATE person_role SET until_ms = $3 WHERE person = $1 AND role = $2")
            .bind(person.as_str().to_owned())
            .bind(role.as_str().to_owned())
            .bind(until.map(to_ms))
            .execute(connection)
            .await?
            .rows_affected()
            > 0,
    )
}

/// Gives a role for a time to someone who does not hold it; whoever holds it keeps it as they do.
pub(crate) async fn lend_role(
    connection: &mut AnyConnection,
    person: &PersonId,
    role: &Role,
    until: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO person_role (person, role, until_ms) VALUES ($1, $2, $3) ON CONFLICT (person, role) DO NOTHING",
    )
    .bind(person.as_str().to_owned())
    .bind(role.as_str().to_owned())
    .bind(to_ms(until))
    .execute(connection)
    .await?;
    Ok(())
}

/// Takes away roles whose end has come; which these were.
pub(crate) async fn expire_roles(
    connection: &mut AnyConnection,
    now: OffsetDateTime,
) -> Result<Vec<(PersonId, Role)>, StoreError> {
    let over: Vec<(PersonId, Role)> =
        sqlx::query("SELECT person, role FROM person_role WHERE until_ms <= $1")
            .bind(to_ms(now))
            .fetch_all(&mut *connection)
            .await?
            .iter()
            .map(|row| {
                Ok((
                    parse(row.try_get("person")?, "person id")?,
                    parse(row.try_get("role")?, "role")?,
                ))
            })
            .collect::<Result<_, StoreError>>()?;
    if !over.is_empty() {
        sqlx::query("DELETE FROM person_role WHERE until_ms <= $1")
            .bind(to_ms(now))
            .execute(connection)
            .await?;
    }
    Ok(over)
}

/// When the next role ends, for the sweep.
pub(crate) async fn next_end(
    connection: &mut AnyConnection,
) -> Result<Option<OffsetDateTime>, StoreError> {
    sqlx::query("SELECT MIN(until_ms) AS next FROM person_role")
        .fetch_one(connection)
        .await?
        .try_get::<Option<i64>, _>("next")?
        .map(from_ms)
        .transpose()
}

/// Everyone who holds a role, with its end.
pub async fn holders(
    connection: &mut AnyConnection,
    role: &Role,
) -> Result<Vec<(PersonId, Option<OffsetDateTime>)>, StoreError> {
    sqlx::query("SELECT person, until_ms FROM person_role WHERE role = $1 ORDER BY person")
        .bind(role.as_str().to_owned())
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| {
            let until: Option<i64> = row.try_get("until_ms")?;
            Ok((
                parse(row.try_get("person")?, "person id")?,
                until.map(from_ms).transpose()?,
            ))
        })
        .collect()
}

/// The roles that a person holds, each with its end.
pub async fn role_ends(
    connection: &mut AnyConnection,
    person: &PersonId,
) -> Result<Vec<(Role, Option<OffsetDateTime>)>, StoreError> {
    sqlx::query("SELECT role, until_ms FROM person_role WHERE person = $1 ORDER BY role")
        .bind(person.as_str().to_owned())
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| {
            let until: Option<i64> = row.try_get("until_ms")?;
            Ok((
                parse(row.try_get("role")?, "role")?,
                until.map(from_ms).transpose()?,
            ))
        })
        .collect()
}

/// One line of the report: a fact or role that ends by itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// Whose.
    pub person: PersonId,
    /// `training`, or `role:manager`.
    pub what: String,
    /// When.
    pub until: OffsetDateTime,
}

/// Everything that ends before `before`, soonest first.
pub async fn endings(
    connection: &mut AnyConnection,
    before: OffsetDateTime,
) -> Result<Vec<Ending>, StoreError> {
    sqlx::query(
        "SELECT person, name AS what, until_ms FROM fact WHERE until_ms < $1
         UNION ALL SELECT person, 'role:' || role AS what, until_ms FROM person_role WHERE until_ms < $1
         ORDER BY until_ms, person",
    )
    .bind(to_ms(before))
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| {
        Ok(Ending {
            person: parse(row.try_get("person")?, "person id")?,
            what: row.try_get("what")?,
            until: from_ms(row.try_get("until_ms")?)?,
        })
    })
    .collect()
}

/// Active persons without a session, and live keys without a use, since `since`: each with the last time, if there was one.
pub async fn dormant(
    connection: &mut AnyConnection,
    since: OffsetDateTime,
) -> Result<Vec<(PersonId, String, Option<OffsetDateTime>)>, StoreError> {
    sqlx::query(
        "SELECT person.id AS person, 'person' AS what, MAX(session.created_ms) AS last_ms
         FROM person LEFT JOIN session ON session.person = person.id
         WHERE person.state = 'active' GROUP BY person.id
         HAVING COALESCE(MAX(session.created_ms), MAX(person.created_ms)) < $1
         UNION ALL
         SELECT person, 'key:' || id AS what, used_ms AS last_ms FROM enrolled_key
         WHERE state = 'live' AND COALESCE(used_ms, created_ms) < $1
         ORDER BY person, what",
    )
    .bind(to_ms(since))
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| {
        let last: Option<i64> = row.try_get("last_ms")?;
        Ok((
            parse(row.try_get("person")?, "person id")?,
            row.try_get("what")?,
            last.map(from_ms).transpose()?,
        ))
    })
    .collect()
}

/// The opening of the glass that nobody has reviewed yet.
pub async fn unreviewed(connection: &mut AnyConnection) -> Result<Option<ActionId>, StoreError> {
    sqlx::query("SELECT action FROM break_glass WHERE review IS NULL ORDER BY opened_ms LIMIT 1")
        .fetch_optional(connection)
        .await?
        .map(|row| parse(row.try_get("action")?, "opening"))
        .transpose()
}

/// Notes an opening.
pub(crate) async fn opened(
    connection: &mut AnyConnection,
    action: ActionId,
    person: &PersonId,
    role: &Role,
    (now, until): (OffsetDateTime, OffsetDateTime),
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO break_glass (action, person, role, opened_ms, until_ms) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(action.to_string())
    .bind(person.as_str().to_owned())
    .bind(role.as_str().to_owned())
    .bind(to_ms(now))
    .bind(to_ms(until))
    .execute(connection)
    .await?;
    Ok(())
}

/// Notes a review; whether that opening waited for one.
pub(crate) async fn reviewed(
    connection: &mut AnyConnection,
    opening: ActionId,
    review: ActionId,
) -> Result<bool, StoreError> {
    Ok(
        sqlx::query("UPDATE break_glass SET review = $2 WHERE action = $1 AND review IS NULL")
            .bind(opening.to_string())
            .bind(review.to_string())
            .execute(connection)
            .await?
            .rows_affected()
            > 0,
    )
}
