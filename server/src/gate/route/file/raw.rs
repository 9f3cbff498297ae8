//! A route file as it is written: TOML, with unknown keys refused. What it means is checked in the parent.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use toml::Spanned;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FileToml {
    pub(super) application: Spanned<ApplicationToml>,
    #[serde(default)]
    pub(super) route: Vec<Spanned<RouteToml>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplicationToml {
    pub(super) host: OneOrMany,
    pub(super) service: String,
    pub(super) upstream: String,
    pub(super) hold: Option<String>,
    pub(super) upstream_timeout: Option<String>,
    pub(super) body_limit: Option<u32>,
    pub(super) default_unsafe: Option<String>,
    #[serde(default)]
    pub(super) method_override: Vec<OverrideToml>,
    #[serde(default)]
    pub(super) session: SessionToml,
    #[serde(default)]
    pub(super) forward_auth: bool,
    pub(super) account: Option<DisplayToml>,
    pub(super) acr: Option<Vec<String>>,
    pub(super) budget: Option<BudgetToml>,
}

/// One text or several.
#[derive(Deserialize, Clone)]
#[serde(untagged)]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn into_vec(self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub(super) enum OverrideToml {
    Query,
    Body,
    Header,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "kebab-case")]
pub(super) enum SessionToml {
    #[default]
    Held,
    Always,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RouteToml {
    pub(super) method: OneOrMany,
    pub(super) path: String,
    #[serde(default)]
    pub(super) query: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) free: bool,
    #[serde(default)]
    pub(super) upgrade: bool,
    pub(super) action: Option<String>,
    pub(super) target: Option<TargetToml>,
    #[serde(default)]
    pub(super) param: BTreeMap<String, ParamToml>,
    #[serde(default)]
    pub(super) ignore: BTreeSet<String>,
    pub(super) words: Option<WordsToml>,
    #[serde(default)]
    pub(super) also: Vec<AlsoToml>,
    #[serde(default)]
    pub(super) display: BTreeMap<String, DisplayToml>,
    #[serde(default)]
    pub(super) meter: MetersToml,
    #[serde(default)]
    pub(super) bodyless: bool,
    pub(super) creates: Option<CreatesToml>,
    pub(super) grants: Option<CreatesToml>,
}

/// An account at the service that an execution makes, or gives something to.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreatesToml {
    pub(super) kind: String,
    pub(super) id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TargetToml {
    pub(super) kind: String,
    pub(super) id: String,
    pub(super) display: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ParamToml {
    pub(super) path: Option<String>,
    pub(super) query: Option<String>,
    pub(super) json: Option<String>,
    pub(super) form: Option<String>,
    pub(super) multipart: Option<String>,
    pub(super) field: Option<String>,
    pub(super) header: Option<String>,
    #[serde(default)]
    pub(super) optional: bool,
    #[serde(default)]
    pub(super) many: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WordsToml {
    pub(super) fr: Option<String>,
    pub(super) en: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AlsoToml {
    pub(super) param: Option<String>,
    pub(super) equals: Option<String>,
    pub(super) unless: Option<Vec<String>>,
    pub(super) fr: Option<String>,
    pub(super) en: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DisplayToml {
    pub(super) get: String,
    pub(super) json: Option<String>,
}

/// One way of counting, or one for each type of answer.
#[derive(Deserialize, Default)]
#[serde(untagged)]
pub(super) enum MetersToml {
    #[default]
    None,
    One(Box<MeterToml>),
    Many(Vec<MeterToml>),
}

impl MetersToml {
    pub(super) fn list(&self) -> &[MeterToml] {
        match self {
            Self::None => &[],
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many,
        }
    }
}

/// How records in an answer are counted; exactly one of `json`, `length`, `css`, `cost`.
#[derive(Deserialize, Clone)]
#[serde(deny_unknown_fields)]
pub(super) struct MeterToml {
    pub(super) json: Option<String>,
    pub(super) length: Option<String>,
    pub(super) css: Option<String>,
    pub(super) cost: Option<u64>,
    pub(super) distinct: Option<OneOrMany>,
    pub(super) id: Option<String>,
    pub(super) record: Option<String>,
}

/// What a touch opens.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BudgetToml {
    pub(super) records: u64,
    pub(super) window: String,
    #[serde(default)]
    pub(super) roles: BTreeMap<String, u64>,
    pub(super) action: Option<String>,
}

impl OneOrMany {
    pub(super) fn clone_vec(&self) -> Vec<String> {
        match self {
            Self::One(one) => vec![one.clone()],
            Self::Many(many) => many.clone(),
        }
    }
}
