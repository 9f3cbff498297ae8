//! Rows of recertification campaigns.

use sqlx::{AnyConnection, Row as _};
use time::OffsetDateTime;

use super::{StoreError, from_ms, parse, to_ms};
use crate::fact::{Campaign, Fate, Holder};
use crate::id::{ActionId, PersonId, Role};

/// Writes a campaign with everyone whom it is about.
pub(crate) async fn open(
    connection: &mut AnyConnection,
    id: &str,
    role: &Role,
    holders: &[PersonId],
    (now, due): (OffsetDateTime, OffsetDateTime),
) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO campaign (id, role, opened_ms, due_ms) VALUES ($1, $2, $3, $4)")
        .bind(id.to_owned())
        .bind(role.as_str().to_owned())
        .bind(to_ms(now))
        .bind(to_ms(due))
        .execute(&mut *connection)
        .await?;
    for person in holders {
        sqlx::query(
            "INSERT INTO campaign_holder (campaign, person, outcome) VALUES ($1, $2, 'open')",
        )
        .bind(id.to_owned())
        .bind(person.as_str().to_owned())
        .execute(&mut *connection)
        .await?;
    }
    Ok(())
}

/// What became of somebody's role, in every campaign that waited for it.
pub(crate) async fn settle(
    connection: &mut AnyConnection,
    person: &PersonId,
    role: &Role,
    fate: Fate,
    action: Option<ActionId>,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "UPDATE campaign_holder SET outcome = $3, action = $4, at_ms = $5
         WHERE person = $1 AND outcome = 'open' AND campaign IN (SELECT id FROM campaign WHERE role = $2)",
    )
    .bind(person.as_str().to_owned())
    .bind(role.as_str().to_owned())
    .bind(fate.as_str())
    .bind(action.map(|id| id.to_string()))
    .bind(to_ms(now))
    .execute(connection)
    .await?;
    Ok(())
}

/// When the next campaign is due that nobody has closed.
pub(crate) async fn next_due(
    connection: &mut AnyConnection,
) -> Result<Option<OffsetDateTime>, StoreError> {
    sqlx::query("SELECT MIN(due_ms) AS next FROM campaign WHERE closed_ms IS NULL")
        .fetch_one(connection)
        .await?
        .try_get::<Option<i64>, _>("next")?
        .map(from_ms)
        .transpose()
}

/// Closes the campaigns whose time is over; which these were.
pub(crate) async fn close(
    connection: &mut AnyConnection,
    now: OffsetDateTime,
) -> Result<Vec<Campaign>, StoreError> {
    let mut closed = page(&mut *connection, OffsetDateTime::UNIX_EPOCH).await?;
    closed.retain(|campaign| campaign.closed_at.is_none() && campaign.due <= now);
    for campaign in &closed {
        sqlx::query("UPDATE campaign SET closed_ms = $2 WHERE id = $1")
            .bind(campaign.id.clone())
            .bind(to_ms(now))
            .execute(&mut *connection)
            .await?;
    }
    Ok(closed)
}

/// The campaigns that were opened since then, oldest first, each with its holders.
pub async fn page(
    connection: &mut AnyConnection,
    since: OffsetDateTime,
) -> Result<Vec<Campaign>, StoreError> {
    let rows = sqlx::query(
        "SELECT campaign.id, campaign.role, campaign.opened_ms, campaign.due_ms, campaign.closed_ms,
             campaign_holder.person, campaign_holder.outcome, campaign_holder.action, campaign_holder.at_ms
         FROM campaign LEFT JOIN campaign_holder ON campaign_holder.campaign = campaign.id
         WHERE campaign.opened_ms >= $1 ORDER BY campaign.opened_ms, campaign.id, campaign_holder.person",
    )
    .bind(to_ms(since))
    .fetch_all(connection)
    .await?;
    let mut campaigns: Vec<Campaign> = Vec::new();
    for row in &rows {
        let id: String = row.try_get("id")?;
        if campaigns.last().is_none_or(|last| last.id != id) {
            campaigns.push(Campaign {
                id,
                role: parse(row.try_get("role")?, "role")?,
                opened_at: from_ms(row.try_get("opened_ms")?)?,
                due: from_ms(row.try_get("due_ms")?)?,
                closed_at: row
                    .try_get::<Option<i64>, _>("closed_ms")?
                    .map(from_ms)
                    .transpose()?,
                holders: Vec::new(),
            });
        }
        let (Some(person), Some(campaign)) = (
            row.try_get::<Option<&str>, _>("person")?,
            campaigns.last_mut(),
        ) else {
            continue;
        };
        campaign.holders.push(Holder {
            person: parse(person, "person id")?,
            fate: Fate::from_word(row.try_get("outcome")?)
                .ok_or(StoreError::Corrupt("campaign outcome"))?,
            action: row
                .try_get::<Option<String>, _>("action")?
                .map(|id| parse(&id, "campaign action"))
                .transpose()?,
            at: row
                .try_get::<Option<i64>, _>("at_ms")?
                .map(from_ms)
                .transpose()?,
        });
    }
    Ok(campaigns)
}
