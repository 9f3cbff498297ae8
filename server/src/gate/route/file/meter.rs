//! What a route file says of reading: how answers are counted, and what a touch opens.

use std::collections::BTreeMap;
use std::time::Duration;

use super::raw::{BudgetToml, OneOrMany, RouteToml};
use super::{RouteFault, action_type, known};
use crate::gate::meter::count::is_selector;
use crate::gate::route::{Counting, Distinct, Metered, Segment, Template};
use crate::reading::{Budget, MAX_RECORDS};

pub(super) fn budget(raw: BudgetToml) -> Result<Budget, RouteFault> {
    let sound = |records: u64| {
        if (1..=MAX_RECORDS).contains(&records) {
            Ok(records)
        } else {
            Err(RouteFault::Budget)
        }
    };
    let action = raw.action.unwrap_or_else(|| "records.read".to_owned());
    let window = match raw.window.strip_suffix('h') {
        Some(hours) => match hours.parse() {
            Ok(hours @ 1..=24) => Duration::from_secs(3_600 * hours),
            _ => return Err(RouteFault::Duration(raw.window)),
        },
        None => match raw.window.strip_suffix('m').map(str::parse) {
            Some(Ok(minutes @ 1..=1_440)) => Duration::from_secs(60 * minutes),
            _ => return Err(RouteFault::Duration(raw.window)),
        },
    };
    let mut roles = BTreeMap::new();
    for (role, records) in raw.roles {
        let role = role.parse().map_err(|_| RouteFault::Budget)?;
        roles.insert(role, sound(records)?);
    }
    Ok(Budget {
        records: sound(raw.records)?,
        window: time::Duration::try_from(window).map_err(|_| RouteFault::Budget)?,
        roles,
        action: action_type(action)?,
    })
}

pub(super) fn metered(raw: &RouteToml, segments: &[Segment]) -> Result<Metered, RouteFault> {
    let pointer = |text: &str| {
        if text.is_empty() || text.starts_with('/') {
            Ok(text.to_owned())
        } else {
            Err(RouteFault::Meter(
                "json, length and the distinct of an array are JSON pointers",
            ))
        }
    };
    let mut countings = Vec::new();
    let mut record = None;
    for meter in raw.meter.list() {
        let names = meter
            .distinct
            .clone()
            .map_or(Vec::new(), OneOrMany::into_vec);
        let counting = match (&meter.json, &meter.length, &meter.css, meter.cost) {
            (Some(json), None, None, None) if names.is_empty() => Counting::Number(pointer(json)?),
            (None, Some(length), None, None) if names.len() < 2 => Counting::Length {
                pointer: pointer(length)?,
                distinct: names.first().map(|name| pointer(name)).transpose()?,
            },
            (None, None, Some(css), None) if is_selector(css) => Counting::Css {
                selector: css.clone(),
                distinct: names
                    .iter()
                    .map(|name| distinct(css, name))
                    .collect::<Result<_, _>>()?,
            },
            (None, None, None, Some(records @ 1..=MAX_RECORDS)) if names.is_empty() => {
                Counting::Cost {
                    records,
                    id: match &meter.id {
                        Some(id) => Some(known(Template::parse(id)?, id, |name| {
                            segments.iter().any(
                            |segment| matches!(segment, Segment::Name { name: place, .. } if place == name),
                        )
                        })?),
                        None => None,
                    },
                }
            }
            _ => {
                return Err(RouteFault::Meter(
                    "exactly one of json, length (with distinct), css (a selector, with distinct), cost (with id)",
                ));
            }
        };
        countings.push(counting);
        record = record.or_else(|| meter.record.clone());
    }
    Ok(Metered {
        record: record.unwrap_or_else(|| raw.path.clone()),
        countings,
    })
}

/// `attribute` of the element itself, or `selector@attribute` of the first such element within it.
fn distinct(css: &str, text: &str) -> Result<Distinct, RouteFault> {
    let fault = RouteFault::Meter(
        "the distinct of css is an attribute, or selector@attribute of an element within (then css is one selector, without commas)",
    );
    let (within, attribute) = match text.rsplit_once('@') {
        Some((within, attribute)) => (Some(within), attribute),
        None => (None, text),
    };
    let plain = attribute
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || b"_-:".contains(&b));
    let reachable = within.is_none_or(|within| {
        !css.contains(',') && !within.contains(',') && is_selector(&format!("{css} {within}"))
    });
    if attribute.is_empty() || !plain || !reachable {
        return Err(fault);
    }
    Ok(Distinct {
        within: within.map(|within| format!("{css} {within}")),
        attribute: attribute.to_owned(),
    })
}
