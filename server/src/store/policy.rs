//! The texts of every policy that was ever in force, by their digests: what evidence shows, and what explains an old decision.

use sceau_proof::log::Entry;
use sqlx::{AnyConnection, Row as _};

use super::{StoreError, log};
use crate::id::ActionId;

/// The text of that digest; `None` when it is not kept.
pub async fn text(
    connection: &mut AnyConnection,
    sha256: &[u8; 32],
) -> Result<Option<String>, StoreError> {
    let row = sqlx::query("SELECT body FROM policy_text WHERE sha256 = $1")
        .bind(sha256.to_vec())
        .fetch_optional(connection)
        .await?;
    let Some(row) = row else { return Ok(None) };
    String::from_utf8(row.try_get("body")?)
        .map(Some)
        .map_err(|_| StoreError::Corrupt("policy text"))
}

/// The text by which an action was decided, as its first entry names it.
pub async fn of_action(
    connection: &mut AnyConnection,
    action: ActionId,
) -> Result<Option<String>, StoreError> {
    let entries = log::entries_of(connection, action).await?;
    let parsed = entries
        .iter()
        .filter_map(|entry| Entry::parse(&entry.body).ok());
    let mut digests = parsed.filter_map(|entry| entry.sha256_of("policy").copied());
    match digests.next() {
        Some(digest) => text(connection, &digest).await,
        None => Ok(None),
    }
}
