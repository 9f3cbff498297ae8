//! Rows of lineage: edges, services' accounts, and what a suspension stopped. Walks are recursive queries over the index, so that a
//! lineage of ten thousand is one question.

use std::collections::{BTreeMap, BTreeSet};

use sqlx::{AnyConnection, Row as _};
use time::OffsetDateTime;

use super::{StoreError, from_ms, parse, to_ms};
use crate::id::{ActionId, PersonId, ServiceId};
use crate::lineage::{Edge, Known, Node, Relation, Totals};

/// The names of `$1` and all who descend from it. A circle ends by itself: `UNION` keeps each name once.
macro_rules! descent {
    ($rest:literal) => {
        concat!(
            "WITH RECURSIVE descent (node) AS (
                 SELECT CAST($1 AS TEXT)
                 UNION
                 SELECT lineage_edge.child FROM lineage_edge JOIN descent ON lineage_edge.parent = descent.node
                 WHERE lineage_edge.relation <> 'granted'
             ) ",
            $rest
        )
    };
}

pub(super) use descent as with_descent;

/// The persons among the nodes that the action `$1` stopped.
macro_rules! stopped_persons {
    () => {
        "(SELECT SUBSTR(node, 8) FROM suspension WHERE action = $1 AND node LIKE 'person/%')"
    };
}

/// Writes an edge; one that is there already stays as it is.
pub(crate) async fn link(connection: &mut AnyConnection, edge: &Edge) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO lineage_edge (parent, child, relation, action, at_ms) VALUES ($1, $2, $3, $4, $5)
         ON CONFLICT (parent, child, relation) DO NOTHING",
    )
    .bind(edge.parent.to_string())
    .bind(edge.child.to_string())
    .bind(edge.relation.as_str())
    .bind(edge.action.map(|id| id.to_string()))
    .bind(to_ms(edge.at))
    .execute(connection)
    .await?;
    Ok(())
}

/// Writes an account that is not known yet.
pub(crate) async fn insert_account(
    connection: &mut AnyConnection,
    service: &ServiceId,
    id: &str,
    display: &str,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO service_account (node, service, id, display, state, created_ms) VALUES ($1, $2, $3, $4, 'active', $5)
         ON CONFLICT (node) DO NOTHING",
    )
    .bind(Node::Account(service.clone(), id.to_owned()).to_string())
    .bind(service.as_str().to_owned())
    .bind(id.to_owned())
    .bind(display.to_owned())
    .bind(to_ms(now))
    .execute(connection)
    .await?;
    Ok(())
}

/// Whether any account of this service is suspended.
pub async fn any_suspended(
    connection: &mut AnyConnection,
    service: &ServiceId,
) -> Result<bool, StoreError> {
    Ok(sqlx::query(
        "SELECT node FROM service_account WHERE service = $1 AND state = 'suspended' LIMIT 1",
    )
    .bind(service.as_str().to_owned())
    .fetch_optional(connection)
    .await?
    .is_some())
}

/// Whether this account of a service is suspended; accounts that nobody recorded are not.
pub async fn is_suspended(
    connection: &mut AnyConnection,
    service: &ServiceId,
    id: &str,
) -> Result<bool, StoreError> {
    Ok(sqlx::query(
        "SELECT node FROM service_account WHERE service = $1 AND id = $2 AND state = 'suspended'",
    )
    .bind(service.as_str().to_owned())
    .bind(id.to_owned())
    .fetch_optional(connection)
    .await?
    .is_some())
}

/// The root and all who descend from it.
pub async fn descent(
    connection: &mut AnyConnection,
    root: &Node,
) -> Result<BTreeSet<Node>, StoreError> {
    sqlx::query(descent!("SELECT node FROM descent"))
        .bind(root.to_string())
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| parse(row.try_get("node")?, "lineage node"))
        .collect()
}

/// Every edge that leaves the root or one of its descendants, granted rights among them, and names and states of all whom it leads to, and
/// of the root: one walk.
pub async fn walk(
    connection: &mut AnyConnection,
    root: &Node,
) -> Result<(Vec<Edge>, BTreeMap<Node, Known>), StoreError> {
    // Each person is looked up by their own identifier: a lineage is small beside all persons.
    let rows = sqlx::query(descent!(
        ", edge (parent, child, relation, action, at_ms) AS (
             SELECT lineage_edge.parent, lineage_edge.child, lineage_edge.relation, lineage_edge.action, lineage_edge.at_ms
             FROM lineage_edge JOIN descent ON lineage_edge.parent = descent.node
             UNION ALL SELECT NULL, CAST($1 AS TEXT), NULL, NULL, NULL)
         SELECT edge.parent, edge.child, edge.relation, edge.action, edge.at_ms,
             COALESCE(person.display, service_account.display) AS display, COALESCE(person.state, service_account.state) AS state
         FROM edge
             LEFT JOIN person ON person.id = CASE WHEN edge.child LIKE 'person/%' THEN SUBSTR(edge.child, 8) END
             LEFT JOIN service_account ON service_account.node = edge.child"
    ))
    .bind(root.to_string())
    .fetch_all(connection)
    .await?;
    let (mut edges, mut known) = (Vec::with_capacity(rows.len()), BTreeMap::new());
    for row in &rows {
        let child: Node = parse(row.try_get("child")?, "lineage child")?;
        if let Some(state) = row.try_get("state")? {
            let display = row.try_get("display")?;
            known.insert(child.clone(), Known { display, state });
        }
        // The row of the root itself is no edge.
        let Some(parent) = row.try_get::<Option<&str>, _>("parent")? else {
            continue;
        };
        edges.push(Edge {
            parent: parse(parent, "lineage parent")?,
            child,
            relation: Relation::from_word(row.try_get("relation")?)
                .ok_or(StoreError::Corrupt("lineage relation"))?,
            action: row
                .try_get::<Option<String>, _>("action")?
                .map(|id| parse(&id, "lineage action"))
                .transpose()?,
            at: from_ms(row.try_get("at_ms")?)?,
        });
    }
    Ok((edges, known))
}

/// What stopping the root, and all its descendants where it is the whole lineage, would stop.
pub async fn totals(
    connection: &mut AnyConnection,
    root: &Node,
    whole: bool,
    now: OffsetDateTime,
) -> Result<Totals, StoreError> {
    let row = sqlx::query(descent!(
        ", persons (id) AS (SELECT SUBSTR(node, 8) FROM descent WHERE node LIKE 'person/%' AND (CAST($3 AS BIGINT) = 1 OR node = CAST($1 AS TEXT)))
         SELECT (SELECT COUNT(*) FROM persons) AS persons,
             (SELECT COUNT(*) FROM descent WHERE node LIKE 'account/%' AND CAST($3 AS BIGINT) = 1) AS accounts,
             (SELECT COUNT(*) FROM session WHERE state IN ('pending', 'active') AND expires_ms > $2
                 AND person IN (SELECT id FROM persons)) AS sessions,
             (SELECT COUNT(*) FROM action WHERE state IN ('pending', 'approved') AND started_ms IS NULL AND expires_ms > $2
                 AND (requester IN (SELECT id FROM persons)
                      OR id IN (SELECT action FROM approval WHERE person IN (SELECT id FROM persons)))) AS actions,
             (SELECT COUNT(*) FROM enrolled_key WHERE state = 'live' AND person IN (SELECT id FROM persons)) AS keys"
    ))
    .bind(root.to_string())
    .bind(to_ms(now))
    .bind(i64::from(whole))
    .fetch_one(connection)
    .await?;
    let count = |column| -> Result<u64, StoreError> {
        Ok(u64::try_from(row.try_get::<i64, _>(column)?).unwrap_or(0))
    };
    Ok(Totals {
        persons: count("persons")?,
        accounts: count("accounts")?,
        sessions: count("sessions")?,
        actions: count("actions")?,
        keys: count("keys")?,
    })
}

/// Every person from whom this one descends, over accounts too; nearest first as far as the walk goes.
pub async fn ancestors(
    connection: &mut AnyConnection,
    id: &PersonId,
) -> Result<Vec<PersonId>, StoreError> {
    sqlx::query(
        "WITH RECURSIVE ascent (node) AS (
             SELECT lineage_edge.parent FROM lineage_edge WHERE child = CAST($1 AS TEXT) AND relation <> 'granted'
             UNION
             SELECT lineage_edge.parent FROM lineage_edge JOIN ascent ON lineage_edge.child = ascent.node
             WHERE lineage_edge.relation <> 'granted'
         ) SELECT node FROM ascent WHERE node LIKE 'person/%'",
    )
    .bind(Node::Person(id.clone()).to_string())
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| {
        match parse(row.try_get("node")?, "lineage node")? {
            Node::Person(person) => Ok(person),
            Node::Account(..) => Err(StoreError::Corrupt("lineage node")),
        }
    })
    .collect()
}

/// Notes that an action stops the root, or the root and its descendants; those whom an earlier action stopped stay its own.
pub(crate) async fn stop(
    connection: &mut AnyConnection,
    root: &Node,
    cascade: bool,
    action: ActionId,
    now: OffsetDateTime,
) -> Result<(), StoreError> {
    let sql = if cascade {
        descent!(
            "INSERT INTO suspension (node, action, at_ms) SELECT node, $2, $3 FROM descent WHERE TRUE ON CONFLICT (node) DO NOTHING"
        )
    } else {
        "INSERT INTO suspension (node, action, at_ms) SELECT CAST($1 AS TEXT), $2, $3 WHERE TRUE ON CONFLICT (node) DO NOTHING"
    };
    sqlx::query(sql)
        .bind(root.to_string())
        .bind(action.to_string())
        .bind(to_ms(now))
        .execute(connection)
        .await?;
    Ok(())
}

/// Suspends persons, accounts, sessions and keys of what [`stop`] noted for this action; how many of each there were.
pub(crate) async fn suspend(
    connection: &mut AnyConnection,
    action: ActionId,
) -> Result<Totals, StoreError> {
    let mut run = async |sql: &'static str| -> Result<u64, StoreError> {
        Ok(sqlx::query(sql)
            .bind(action.to_string())
            .execute(&mut *connection)
            .await?
            .rows_affected())
    };
    Ok(Totals {
        persons: run(concat!("UPDATE person SET state = 'suspended' WHERE state <> 'suspended' AND id IN ", stopped_persons!())).await?,
        accounts: run("UPDATE service_account SET state = 'suspended' WHERE state <> 'suspended'
                 AND node IN (SELECT node FROM suspension WHERE action = $1)").await?,
        sessions: run(concat!("UPDATE session SET state = 'suspended' WHERE state IN ('pending', 'active') AND person IN ", stopped_persons!())).await?,
        actions: 0,
        keys: run(concat!("UPDATE enrolled_key SET state = 'suspended', state_reason = 'person-suspended' WHERE state IN ('live', 'waiting') AND person IN ", stopped_persons!())).await?,
    })
}

/// Names of actions that persons stopped by this action asked for or approved, and that nobody has executed. Not the action itself.
pub(crate) async fn open_actions(
    connection: &mut AnyConnection,
    action: ActionId,
) -> Result<Vec<ActionId>, StoreError> {
    sqlx::query(concat!(
        "SELECT id FROM action WHERE state IN ('pending', 'approved') AND started_ms IS NULL AND id <> $1 AND (requester IN ",
        stopped_persons!(),
        " OR id IN (SELECT action FROM approval WHERE person IN ",
        stopped_persons!(),
        ")) ORDER BY id"
    ))
    .bind(action.to_string())
    .fetch_all(connection)
    .await?
    .iter()
    .map(|row| parse(row.try_get("id")?, "action id"))
    .collect()
}

/// Whether it was said what this action begot.
pub(crate) async fn is_said(
    connection: &mut AnyConnection,
    action: ActionId,
) -> Result<bool, StoreError> {
    Ok(
        sqlx::query("SELECT parent FROM lineage_edge WHERE action = $1 LIMIT 1")
            .bind(action.to_string())
            .fetch_optional(connection)
            .await?
            .is_some(),
    )
}

/// By which action a node is stopped.
pub async fn stopped_by(
    connection: &mut AnyConnection,
    node: &Node,
) -> Result<Option<ActionId>, StoreError> {
    sqlx::query("SELECT action FROM suspension WHERE node = $1")
        .bind(node.to_string())
        .fetch_optional(connection)
        .await?
        .map(|row| parse(row.try_get("action")?, "suspending action"))
        .transpose()
}

/// Brings back the root, or of its subtree everything that the same action stopped; keys that fell for another reason stay down.
/// `actions` and `sessions` are always 0: what was refused or ended stays so. With whom it brought back.
pub(crate) async fn restore(
    connection: &mut AnyConnection,
    root: &Node,
    subtree: bool,
    action: ActionId,
) -> Result<(Totals, BTreeSet<Node>), StoreError> {
    let nodes: BTreeSet<Node> = if subtree {
        let of_action: BTreeSet<String> =
            sqlx::query("SELECT node FROM suspension WHERE action = $1")
                .bind(action.to_string())
                .fetch_all(&mut *connection)
                .await?
                .iter()
                .map(|row| Ok(row.try_get("node")?))
                .collect::<Result<_, StoreError>>()?;
        descent(&mut *connection, root)
            .await?
            .into_iter()
            .filter(|node| of_action.contains(&node.to_string()))
            .collect()
    } else {
        BTreeSet::from([root.clone()])
    };
    let mut totals = Totals::default();
    for node in &nodes {
        match node {
            Node::Person(id) => {
                totals.keys += sqlx::query(
                    "UPDATE enrolled_key SET state = 'live', state_reason = NULL
                     WHERE person = $1 AND state = 'suspended' AND state_reason = 'person-suspended'",
                )
                .bind(id.as_str().to_owned())
                .execute(&mut *connection)
                .await?
                .rows_affected();
                // Someone without a live key is as new: inert until one is enrolled.
                totals.persons += sqlx::query(
                    "UPDATE person SET state = CASE WHEN EXISTS
                         (SELECT id FROM enrolled_key WHERE person = $1 AND state = 'live') THEN 'active' ELSE 'inert' END
                     WHERE id = $1 AND state = 'suspended'",
                )
                .bind(id.as_str().to_owned())
                .execute(&mut *connection)
                .await?
                .rows_affected();
            }
            Node::Account(..) => {
                totals.accounts += sqlx::query("UPDATE service_account SET state = 'active' WHERE node = $1 AND state = 'suspended'")
                    .bind(node.to_string())
                    .execute(&mut *connection)
                    .await?
                    .rows_affected();
            }
        }
        sqlx::query("DELETE FROM suspension WHERE node = $1")
            .bind(node.to_string())
            .execute(&mut *connection)
            .await?;
    }
    Ok((totals, nodes))
}

/// Something that may be in use right now was ended: whoever serves streams looks again.
pub(crate) async fn ended(connection: &mut AnyConnection) -> Result<(), StoreError> {
    sqlx::query("UPDATE log_head SET ended = ended + 1 WHERE id = 1")
        .execute(connection)
        .await?;
    Ok(())
}

/// How often that was.
pub async fn times_ended(connection: &mut AnyConnection) -> Result<i64, StoreError> {
    Ok(sqlx::query("SELECT ended FROM log_head WHERE id = 1")
        .fetch_one(connection)
        .await?
        .try_get("ended")?)
}
