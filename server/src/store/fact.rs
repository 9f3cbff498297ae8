//! Rows of facts that expire.

use super::{StoreError, from_ms};
use crate::fact::Facts;
use crate::id::PersonId;
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
