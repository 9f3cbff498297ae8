//! Rows of persons, their roles and lineage.

use std::collections::BTreeSet;

use sqlx::{AnyConnection, Row as _};
use time::OffsetDateTime;

use super::{StoreError, parse, to_ms};
use crate::id::{ActionId, PersonId};
use crate::person::{Person, PersonState};

/// One person; `None` when there is none.
pub async fn load(
    connection: &mut AnyConnection,
    id: &PersonId,
) -> Result<Option<Person>, StoreError> {
    let Some(row) = sqlx::query("SELECT display, state, parent FROM person WHERE id = $1")
        .bind(id.as_str().to_owned())
        .fetch_optional(&mut *connection)
        .await?
    else {
        return Ok(None);
    };
    let mut roles = BTreeSet::new();
    for row in sqlx::query("SELECT role FROM person_role WHERE person = $1")
        .bind(id.as_str().to_owned())
        .fetch_all(&mut *connection)
        .await?
    {
        roles.insert(parse(row.try_get::<&str, _>("role")?, "role")?);
    }
    Ok(Some(Person {
        id: id.clone(),
        display: row.try_get("display")?,
        roles,
        state: PersonState::from_word(row.try_get("state")?)
            .ok_or(StoreError::Corrupt("person state"))?,
        parent: row
            .try_get::<Option<String>, _>("parent")?
            .map(|id| parse(&id, "person parent"))
            .transpose()?,
    }))
}

/// SIRET of the person's structure, when it is known.
pub async fn organisation(
    connection: &mut AnyConnection,
    id: &PersonId,
) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("SELECT organisation FROM person WHERE id = $1")
        .bind(id.as_str().to_owned())
        .fetch_optional(connection)
        .await?;
    Ok(match row {
        Some(row) => row.try_get("organisation")?,
        None => None,
    })
}

/// Says which structure a person belongs to.
pub(crate) async fn set_organisation(
    connection: &mut AnyConnection,
    id: &PersonId,
    siret: &str,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE person SET organisation = $2 WHERE id = $1")
        .bind(id.as_str().to_owned())
        .bind(siret.to_owned())
        .execute(connection)
        .await?;
    Ok(())
}

/// Everyone whom this person descends from: who had them created or enrolled, or created an account of theirs, and so on.
pub async fn ancestors(
    connection: &mut AnyConnection,
    id: &PersonId,
) -> Result<Vec<PersonId>, StoreError> {
    let mut found = super::lineage::ancestors(connection, id).await?;
    found.retain(|ancestor| ancestor != id);
    Ok(found)
}

/// Everyone who holds a role that this action's approvers must hold.
pub async fn role_holders(
    connection: &mut AnyConnection,
    action: ActionId,
) -> Result<Vec<PersonId>, StoreError> {
    let rows = sqlx::query(
        "SELECT DISTINCT person_role.person FROM action_role JOIN person_role ON person_role.role = action_role.role
         WHERE action_role.action = $1",
    )
    .bind(action.to_string())
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| parse(row.try_get::<&str, _>("person")?, "person id"))
        .collect()
}

/// Writes a new person and their roles.
pub(crate) async fn insert(
    connection: &mut AnyConnection,
    person: &Person,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO person (id, display, state, parent, created_ms) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(person.id.as_str().to_owned())
    .bind(person.display.clone())
    .bind(person.state.as_str())
    .bind(person.parent.as_ref().map(|id| id.as_str().to_owned()))
    .bind(to_ms(now))
    .execute(&mut *connection)
    .await?;
    for role in &person.roles {
        sqlx::query("INSERT INTO person_role (person, role) VALUES ($1, $2)")
            .bind(person.id.as_str().to_owned())
            .bind(role.as_str().to_owned())
            .execute(&mut *connection)
            .await?;
    }
    Ok(())
}

/// Changes whether a person may act.
pub(crate) async fn set_state(
    connection: &mut AnyConnection,
    id: &PersonId,
    state: PersonState,
) -> Result<(), StoreError> {
    sqlx::query("UPDATE person SET state = $2 WHERE id = $1")
        .bind(id.as_str().to_owned())
        .bind(state.as_str())
        .execute(connection)
        .await?;
    Ok(())
}

/// Puts `word` where the person's name stood, and deletes the labels of their keys and what they wrote into refusals.
pub(crate) async fn erase(
    connection: &mut AnyConnection,
    id: &PersonId,
    word: &str,
) -> Result<(), StoreError> {
    let person = id.as_str().to_owned();
    for statement in [
        "UPDATE person SET display = $2 WHERE id = $1",
        "UPDATE enrolled_key SET label = $2 WHERE person = $1",
    ] {
        sqlx::query(statement)
            .bind(person.clone())
            .bind(word)
            .execute(&mut *connection)
            .await?;
    }
    let rows = sqlx::query("SELECT id, refusal FROM action WHERE refusal LIKE $1")
        .bind(format!("%\"{person}\"%"))
        .fetch_all(&mut *connection)
        .await?;
    for row in rows {
        let mut refusal: crate::action::Settlement =
            super::json(row.try_get("refusal")?, "refusal")?
                .ok_or(StoreError::Corrupt("refusal"))?;
        if refusal.by.as_ref() == Some(id) && refusal.text.take().is_some() {
            sqlx::query("UPDATE action SET refusal = $2 WHERE id = $1")
                .bind(row.try_get::<String, _>("id")?)
                .bind(super::to_json(&refusal)?)
                .execute(&mut *connection)
                .await?;
        }
    }
    Ok(())
}

/// How many persons there are: an empty store may be initialised.
pub async fn count(connection: &mut AnyConnection) -> Result<i64, StoreError> {
    Ok(sqlx::query("SELECT COUNT(*) AS n FROM person")
        .fetch_one(connection)
        .await?
        .try_get("n")?)
}
