//! Rows of identities: who somebody at an identity provider is of our persons.

use sqlx::{AnyConnection, Row as _};
use time::OffsetDateTime;

use super::{StoreError, parse, to_ms};
use crate::gate::login::token::Identity;
use crate::id::{ActionId, PersonId};

/// Whose it is; `None` while it is nobody's.
pub async fn person_of(
    connection: &mut AnyConnection,
    identity: &Identity,
) -> Result<Option<PersonId>, StoreError> {
    sqlx::query("SELECT person FROM identity WHERE issuer = $1 AND idp_id = $2 AND sub = $3")
        .bind(identity.issuer.clone())
        .bind(identity.idp_id.clone())
        .bind(identity.sub.clone())
        .fetch_optional(connection)
        .await?
        .map(|row| parse(row.try_get("person")?, "identity person"))
        .transpose()
}

/// Forgets which identities were this person's.
pub(crate) async fn erase(
    connection: &mut AnyConnection,
    person: &PersonId,
) -> Result<(), StoreError> {
    sqlx::query("DELETE FROM identity WHERE person = $1")
        .bind(person.as_str().to_owned())
        .execute(connection)
        .await?;
    Ok(())
}

/// Says whose it is, by the action that sealed it. An identity that is somebody's already stays theirs.
pub(crate) async fn bind(
    connection: &mut AnyConnection,
    identity: &Identity,
    person: &PersonId,
    action: ActionId,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO identity (issuer, idp_id, sub, person, action, created_ms) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (issuer, idp_id, sub) DO NOTHING",
    )
    .bind(identity.issuer.clone())
    .bind(identity.idp_id.clone())
    .bind(identity.sub.clone())
    .bind(person.as_str().to_owned())
    .bind(action.to_string())
    .bind(to_ms(now))
    .execute(connection)
    .await?;
    Ok(())
}
