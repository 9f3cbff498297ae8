//! Facts as Cedar's request: only the few entities that the decision speaks of, so that it costs the same however many persons there are.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request,
    RestrictedExpression as Expression,
};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::fact::{Facts, PersonFacts, TargetFacts, Training, Window};
use super::{Policy, Slice};

/// As Cedar writes times: no more than milliseconds, and those left out.
const INSTANT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second]Z");

/// Something that Cedar would not take. It cannot happen with facts of ours; where it does, the answer is no.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unfit;

/// The entity types, parsed once.
#[derive(Debug, Clone)]
pub(super) struct Names {
    person: EntityTypeName,
    role: EntityTypeName,
    organisation: EntityTypeName,
    service: EntityTypeName,
    account: EntityTypeName,
    thing: EntityTypeName,
    key: EntityTypeName,
}

impl Names {
    pub(super) fn new() -> Result<Self, Unfit> {
        let name = |text| EntityTypeName::from_str(text).map_err(|_| Unfit);
        Ok(Self {
            person: name("Person")?,
            role: name("Role")?,
            organisation: name("Organisation")?,
            service: name("Service")?,
            account: name("Account")?,
            thing: name("Thing")?,
            key: name("Key")?,
        })
    }
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn text(text: &str) -> Expression {
    Expression::new_string(text.to_owned())
}

fn long(number: i64) -> Expression {
    Expression::new_long(number)
}

fn record<const N: usize>(fields: [(&str, Expression); N]) -> Result<Expression, Unfit> {
    Expression::new_record(fields.map(|(name, value)| (name.to_owned(), value))).map_err(|_| Unfit)
}

fn attributes<const N: usize>(fields: [(&str, Expression); N]) -> HashMap<String, Expression> {
    fields
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

impl Policy {
    fn person(&self, facts: &PersonFacts) -> Result<Entity, Unfit> {
        let parents: HashSet<EntityUid> = facts
            .roles
            .iter()
            .map(|role| uid(&self.names.role, role.as_str()))
            .chain(
                facts
                    .organisation
                    .iter()
                    .map(|siret| uid(&self.names.organisation, siret)),
            )
            .collect();
        let attributes = attributes([
            ("id", text(facts.id.as_str())),
            ("state", text(facts.state.as_str())),
            ("rank", long(self.rank(&facts.roles))),
        ]);
        Entity::new(
            uid(&self.names.person, facts.id.as_str()),
            attributes,
            parents,
        )
        .map_err(|_| Unfit)
    }

    /// The target as an entity of a type that the action is declared for; with its owner when it is a key.
    fn target(&self, facts: &Facts, slice: &Slice) -> Result<(EntityUid, Vec<Entity>), Unfit> {
        match &facts.target {
            TargetFacts::Person(person) => {
                let entity = self.person(person)?;
                Ok((entity.uid(), vec![entity]))
            }
            TargetFacts::Key { id, owner } => {
                let owner = self.person(owner)?;
                let owner_uid = owner.uid();
                let key = Entity::new(
                    uid(&self.names.key, &id.to_string()),
                    attributes([("owner", Expression::new_entity_uid(owner_uid.clone()))]),
                    HashSet::from([owner_uid]),
                )
                .map_err(|_| Unfit)?;
                Ok((key.uid(), vec![key, owner]))
            }
            TargetFacts::Thing { kind, id } => {
                let service = uid(&self.names.service, facts.service.as_str());
                let account = matches!(kind.as_str(), "account" | "user");
                let declared = |name: &str| slice.resources.contains(name);
                let type_name = match () {
                    () if declared("Account") && (account || !declared("Thing")) => {
                        &self.names.account
                    }
                    () if declared("Thing") => &self.names.thing,
                    () => {
                        return Ok((
                            service.clone(),
                            vec![Entity::new_no_attrs(service, HashSet::new())],
                        ));
                    }
                };
                let attributes = attributes([("kind", text(kind)), ("id", text(id))]);
                let entity = Entity::new(uid(type_name, id), attributes, HashSet::from([service]))
                    .map_err(|_| Unfit)?;
                Ok((entity.uid(), vec![entity]))
            }
        }
    }

    /// The request and the entities that it speaks of.
    pub(super) fn request(
        &self,
        facts: &Facts,
        slice: &Slice,
    ) -> Result<(Request, Entities), Unfit> {
        let requester = self.person(&facts.requester)?;
        let principal = requester.uid();
        let (resource, mut entities) = self.target(facts, slice)?;
        entities.push(slice.action.clone());
        // Somebody who asks about themselves is one entity; the requester's facts count.
        entities.retain(|entity| entity.uid() != principal);
        entities.push(requester);
        let request = Request::new(
            principal,
            slice.action.uid(),
            resource,
            context(facts)?,
            None,
        )
        .map_err(|_| Unfit)?;
        let entities = Entities::from_entities(entities, None).map_err(|_| Unfit)?;
        Ok((request, entities))
    }
}

fn instant(time: OffsetDateTime) -> Result<Expression, Unfit> {
    let text = time
        .to_offset(time::UtcOffset::UTC)
        .format(&INSTANT)
        .map_err(|_| Unfit)?;
    Ok(Expression::new_datetime(text))
}

fn counts(window: Window) -> Result<Expression, Unfit> {
    record([
        ("minute", long(window.minute)),
        ("hour", long(window.hour)),
        ("day", long(window.day)),
    ])
}

fn context(facts: &Facts) -> Result<Context, Unfit> {
    let now = facts.at.to_offset(time::UtcOffset::UTC);
    let keys = record([
        (
            "live",
            long(facts.keys.fido2.saturating_add(facts.keys.piv)),
        ),
        ("fido2", long(facts.keys.fido2)),
        ("piv", long(facts.keys.piv)),
        ("waiting", long(facts.keys.waiting)),
        ("given", long(facts.keys.given)),
        ("wanted", long(facts.keys.wanted)),
    ])?;
    let training = match facts.training {
        None => record([("valid", Expression::new_bool(false))])?,
        Some(Training { until: None }) => record([("valid", Expression::new_bool(true))])?,
        Some(Training { until: Some(until) }) => record([
            ("valid", Expression::new_bool(facts.at < until)),
            ("until", instant(until)?),
        ])?,
    };
    let mut pairs = vec![
        ("now", instant(facts.at)?),
        ("hour", long(i64::from(now.hour()))),
        (
            "weekday",
            long(i64::from(now.weekday().number_from_monday())),
        ),
        ("asked", counts(facts.asked)?),
        ("executed", counts(facts.executed)?),
        ("refused", counts(facts.refused)?),
        ("keys", keys),
        ("present", Expression::new_bool(facts.present)),
        ("training", training),
        (
            "facts",
            Expression::new_set(facts.facts.iter().map(|name| text(name))),
        ),
        ("approvals", long(i64::from(facts.approvals))),
    ];
    if let Some(session) = &facts.session {
        let session = record([
            ("kind", text(&session.kind)),
            ("acr", text(&session.acr)),
            ("age", long(session.age)),
        ])?;
        pairs.push(("session", session));
    }
    Context::from_pairs(
        pairs
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value)),
    )
    .map_err(|_| Unfit)
}
