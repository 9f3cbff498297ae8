//! What a route file says of held requests: parameters, words, effects that the request does not spell out.

use std::collections::BTreeMap;

use super::raw::{AlsoToml, CreatesToml, ParamToml, RouteToml};
use super::{RouteFault, action_type, known};
use crate::gate::creation::Whence;
use crate::gate::route::{Also, Display, Hold, Param, Segment, Source, Template, When};

pub(super) fn hold(raw: RouteToml, segments: &[Segment]) -> Result<Hold, RouteFault> {
    if !raw.meter.list().is_empty() {
        return Err(RouteFault::Meter(
            "a held route is sealed each time: it needs no meter",
        ));
    }
    let action = action_type(raw.action.unwrap_or_default())?;
    let mut params: BTreeMap<String, Param> = BTreeMap::new();
    for segment in segments {
        if let Segment::Name { name, .. } = segment {
            let source = Source::Path(name.clone());
            params.insert(
                name.clone(),
                Param {
                    source,
                    optional: false,
                    many: false,
                },
            );
        }
    }
    for (name, given) in raw.param {
        let param = param(&name, given, segments)?;
        params.insert(name, param);
    }
    let mut display = BTreeMap::new();
    for (name, given) in raw.display {
        let get = known(Template::parse(&given.get)?, &given.get, |n| {
            params.contains_key(n)
        })?;
        display.insert(
            name,
            Display {
                get,
                json: given.json,
            },
        );
    }
    let is_known = |name: &str| params.contains_key(name) || display.contains_key(name);
    let template = |text: &str| known(Template::parse(text)?, text, is_known);
    let optional = |text: Option<&String>| text.map(|text| template(text)).transpose();
    let (target_kind, target_id, target_display) = match &raw.target {
        Some(target) => {
            let id = template(&target.id)?;
            let shown = target.display.as_deref().map(template).transpose()?;
            (target.kind.clone(), id.clone(), shown.unwrap_or(id))
        }
        None => {
            let path = Template::parse(&raw.path.replace('{', "{{").replace('}', "}}"))?;
            ("path".to_owned(), path.clone(), path)
        }
    };
    let words = match &raw.words {
        Some(words) => [optional(words.fr.as_ref())?, optional(words.en.as_ref())?],
        None => [None, None],
    };
    let account = |begets: &CreatesToml| {
        if begets.kind == "account" {
            Ok(())
        } else {
            Err(RouteFault::Begets(begets.kind.clone()))
        }
    };
    let creates = match &raw.creates {
        Some(creates) => {
            account(creates)?;
            let fault = || RouteFault::Begets(creates.id.clone());
            Some(Whence::parse(&creates.id).ok_or_else(fault)?)
        }
        None => None,
    };
    let grants = match &raw.grants {
        Some(grants) => {
            account(grants)?;
            Some(template(&grants.id)?)
        }
        None => None,
    };
    let mut also = Vec::new();
    for item in &raw.also {
        also.push(Also {
            when: condition(item, &params)?,
            words: [optional(item.fr.as_ref())?, optional(item.en.as_ref())?],
        });
    }
    Ok(Hold {
        action,
        target_kind,
        target_id,
        target_display,
        params,
        ignore: raw.ignore,
        words,
        also,
        display,
        bodyless: raw.bodyless,
        creates,
        grants,
    })
}

fn condition(item: &AlsoToml, params: &BTreeMap<String, Param>) -> Result<When, RouteFault> {
    let name = match (&item.param, &item.equals, &item.unless) {
        (None, None, None) => return Ok(When::Always),
        (Some(name), _, _) if params.contains_key(name) => name.clone(),
        _ => return Err(RouteFault::Condition),
    };
    match (&item.equals, &item.unless) {
        (Some(text), None) => Ok(When::Equals(name, text.clone())),
        (None, Some(texts)) => Ok(When::Unless(name, texts.clone())),
        _ => Err(RouteFault::Condition),
    }
}

fn param(name: &str, raw: ParamToml, segments: &[Segment]) -> Result<Param, RouteFault> {
    let fault = || RouteFault::Source(name.to_owned());
    let mut sources = [
        raw.path.map(Source::Path),
        raw.query.map(Source::Query),
        raw.json.map(Source::Json),
        raw.form.map(Source::Form),
        raw.multipart.map(Source::Multipart),
        raw.field.map(Source::Field),
        raw.header
            .map(|header| Source::Header(header.to_ascii_lowercase())),
    ]
    .into_iter()
    .flatten();
    let (Some(source), None) = (sources.next(), sources.next()) else {
        return Err(fault());
    };
    match &source {
        Source::Path(place) => {
            let there =
                |segment: &Segment| matches!(segment, Segment::Name { name, .. } if name == place);
            if !segments.iter().any(there) {
                return Err(fault());
            }
        }
        Source::Json(pointer) if !pointer.is_empty() && !pointer.starts_with('/') => {
            return Err(fault());
        }
        _ => {}
    }
    Ok(Param {
        source,
        optional: raw.optional,
        many: raw.many,
    })
}
