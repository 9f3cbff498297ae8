//! From files to something that decides: parse, read annotations, check everything against the schema, cut one small policy set for each
//! action type. Whatever could make a policy mean nothing (an unknown action, a condition that never holds, an annotation that nobody reads, a
//! role that nobody declared) is a fault with its place.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::str::FromStr;

use cedar_policy::{
    ActionConstraint, Entity, EntityUid, Policy as CedarPolicy, PolicyId, PolicySet, Schema,
    SchemaFragment, ValidationMode, Validator,
};
use miette::Diagnostic;
use serde::Deserialize;

use super::annotation::{self, Annotated, kebab};
use super::cedar::Names;
use super::source::{Fault, PolicyError, Source, bundle};
use super::{OWN_SERVICE, Policy, Roles, Slice, Stated};
use crate::action::Approvers;
use crate::id::Role;

/// The built-in words.
const WORDS: &str = include_str!("words.cedarschema");
pub(super) const WORDS_NAME: &str = "words.cedarschema (built in)";

/// `roles.toml`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RolesFile {
    #[serde(default)]
    role: BTreeMap<Role, RoleEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RoleEntry {
    rank: u32,
    /// How many keys whoever holds it is given: one, or main and spare.
    #[serde(default)]
    keys: Option<u8>,
    #[serde(default)]
    #[expect(dead_code, reason = "for people who read the file")]
    note: Option<String>,
}

/// A policy with its place.
struct Placed<'s> {
    policy: CedarPolicy,
    annotated: Annotated,
    source: &'s Source,
    line: usize,
}

impl Placed<'_> {
    fn fault(&self, problem: String, advice: &str) -> Fault {
        Fault {
            file: self.source.name.clone(),
            line: self.line,
            problem: format!(
                "policy {:?}: {problem}",
                AsRef::<str>::as_ref(self.policy.id())
            ),
            advice: advice.to_owned(),
        }
    }
}

pub(super) fn compile(sources: &[Source]) -> Result<Policy, PolicyError> {
    let mut faults = Vec::new();
    let roles = roles(sources, &mut faults);
    let schema = schema(sources, &mut faults);
    let placed = policies(sources, &mut faults);
    if let Some(schema) = &schema {
        validate(schema, &placed, &mut faults);
    }
    if let Some(roles) = &roles {
        check_roles(&roles.ranks, &placed, &mut faults);
    }
    let (Some(schema), true) = (schema, faults.is_empty()) else {
        return Err(PolicyError { faults });
    };
    let slices = slices(&schema, &placed, &mut faults)?;
    if !faults.is_empty() {
        return Err(PolicyError { faults });
    }
    let mut all = vec![Source::new(WORDS_NAME, WORDS)];
    all.extend(sources.iter().cloned());
    let names = Names::new().map_err(|_| broken("entity types".to_owned()))?;
    Ok(Policy {
        names,
        slices,
        roles,
        stated: placed
            .into_iter()
            .map(|it| {
                let stated = Stated {
                    action: actions(&it.policy.action_constraint()),
                    demand: it.annotated.demand,
                    reason: it.annotated.reason,
                    words: it.annotated.words,
                    file: it.source.name.clone(),
                    line: it.line,
                };
                (AsRef::<str>::as_ref(it.policy.id()).to_owned(), stated)
            })
            .collect(),
        text: bundle(&all),
    })
}

fn broken(problem: String) -> Fault {
    Fault {
        file: "policy".to_owned(),
        line: 0,
        problem,
        advice: String::new(),
    }
}

/// The actions of a scope, in words.
fn actions(constraint: &ActionConstraint) -> String {
    match constraint {
        ActionConstraint::Any => "every action".to_owned(),
        ActionConstraint::Eq(uid) => uid.id().unescaped().to_owned(),
        ActionConstraint::In(uids) => {
            let names: Vec<&str> = uids.iter().map(|uid| uid.id().unescaped()).collect();
            names.join(", ")
        }
    }
}

fn of_kind<'s>(sources: &'s [Source], kind: &'static str) -> impl Iterator<Item = &'s Source> {
    sources
        .iter()
        .filter(move |source| source.name.ends_with(kind))
}

fn roles(sources: &[Source], faults: &mut Vec<Fault>) -> Option<Roles> {
    let source = of_kind(sources, "roles.toml").next()?;
    match toml::from_str::<RolesFile>(&source.text) {
        Ok(file) => {
            let mut roles = Roles::default();
            for (role, entry) in file.role {
                if let Some(keys) = entry.keys {
                    if !(1..=2).contains(&keys) {
                        faults.push(Fault {
                            file: source.name.clone(),
                            line: 0,
                            problem: format!("role {role}: keys = {keys}"),
                            advice: "write keys = 1, or keys = 2 (main and spare)".to_owned(),
                        });
                    }
                    roles.keys.insert(role.clone(), keys);
                }
                roles.ranks.insert(role, i64::from(entry.rank));
            }
            Some(roles)
        }
        Err(error) => {
            faults.push(Fault {
                file: source.name.clone(),
                line: error.span().map_or(0, |span| source.line(span.start)),
                problem: error.message().to_owned(),
                advice: "write [role.NAME] and rank = NUMBER".to_owned(),
            });
            None
        }
    }
}

/// One fault of a diagnostic, at its first label.
fn diagnosed(source: &Source, fallback_line: usize, error: &dyn Diagnostic) -> Fault {
    let line = error
        .labels()
        .and_then(|mut labels| labels.next())
        .map_or(fallback_line, |label| source.line(label.offset()));
    Fault {
        file: source.name.clone(),
        line,
        problem: error.to_string(),
        advice: error
            .help()
            .map(|help| help.to_string())
            .unwrap_or_default(),
    }
}

fn schema(sources: &[Source], faults: &mut Vec<Fault>) -> Option<Schema> {
    let words = Source::new(WORDS_NAME, WORDS);
    let mut fragments = Vec::new();
    let before = faults.len();
    for source in std::iter::once(&words).chain(of_kind(sources, ".cedarschema")) {
        match SchemaFragment::from_cedarschema_str(&source.text) {
            Ok((fragment, warnings)) => {
                fragments.push(fragment);
                faults.extend(warnings.map(|warning| diagnosed(source, 0, &warning)));
            }
            Err(error) => faults.push(diagnosed(source, 0, &error)),
        }
    }
    if faults.len() > before {
        return None;
    }
    match Schema::from_schema_fragments(fragments) {
        Ok(schema) => Some(schema),
        Err(error) => {
            let file = of_kind(sources, ".cedarschema").next().unwrap_or(&words);
            let mut fault = diagnosed(file, 0, &error);
            // Which file it is, the library does not say: the first that has the quoted name.
            if let Some(name) = fault
                .problem
                .split(['"', '`'])
                .nth(1)
                .map(|name| name.rsplit("::").next().unwrap_or(name).to_owned())
            {
                for source in of_kind(sources, ".cedarschema") {
                    if let Some(at) = source.text.find(&name) {
                        (fault.file, fault.line) = (source.name.clone(), source.line(at));
                        break;
                    }
                }
            }
            faults.push(fault);
            None
        }
    }
}

fn policies<'s>(sources: &'s [Source], faults: &mut Vec<Fault>) -> Vec<Placed<'s>> {
    let mut placed: Vec<Placed<'s>> = Vec::new();
    for source in of_kind(sources, ".cedar") {
        let set = match PolicySet::from_str(&source.text) {
            Ok(set) => set,
            Err(errors) => {
                faults.extend(errors.iter().map(|error| diagnosed(source, 0, error)));
                continue;
            }
        };
        if let Some(template) = set.templates().next() {
            faults.push(Fault {
                file: source.name.clone(),
                line: 0,
                problem: format!("{} is a template", template.id()),
                advice: "templates are not used: write the policy out".to_owned(),
            });
        }
        let mut of_file: Vec<(usize, &CedarPolicy)> = set
            .policies()
            .map(|policy| {
                let start = policy.as_ref().loc().map_or(0, |loc| loc.start());
                (source.line(start), policy)
            })
            .collect();
        of_file.sort_by_key(|(line, _)| *line);
        for (line, policy) in of_file {
            let fault = |problem: String, advice: &str| Fault {
                file: source.name.clone(),
                line,
                problem,
                advice: advice.to_owned(),
            };
            let Some(id) = policy.annotation("id").filter(|id| kebab(id)) else {
                faults.push(fault(
                    "policy without a name".into(),
                    "give it @id(\"…\"), small letters, digits and hyphens",
                ));
                continue;
            };
            if let Some(other) = placed
                .iter()
                .find(|it| AsRef::<str>::as_ref(it.policy.id()) == id)
            {
                let problem = format!(
                    "@id({id:?}) is taken by {}:{}",
                    other.source.name, other.line
                );
                faults.push(fault(problem, "each policy has a name of its own"));
                continue;
            }
            match annotation::read(id, policy.effect(), policy.annotations()) {
                Ok(annotated) => placed.push(Placed {
                    policy: policy.new_id(PolicyId::new(id)),
                    annotated,
                    source,
                    line,
                }),
                Err((problem, advice)) => {
                    faults.push(fault(format!("policy {id:?}: {problem}"), advice))
                }
            }
        }
    }
    placed
}

fn validate(schema: &Schema, placed: &[Placed<'_>], faults: &mut Vec<Fault>) {
    let validator = Validator::new(schema.clone());
    for it in placed {
        let Ok(set) = PolicySet::from_policies([it.policy.clone()]) else {
            faults.push(it.fault("cannot be used".into(), ""));
            continue;
        };
        let result = validator.validate(&set, ValidationMode::Strict);
        for error in result.validation_errors() {
            faults.push(diagnosed(it.source, it.line, error));
        }
        // A policy that can never apply, or a name that looks like another: nobody means that.
        if result.validation_passed() {
            for warning in result.validation_warnings() {
                faults.push(diagnosed(it.source, it.line, warning));
            }
        }
    }
}

fn check_roles(ranks: &BTreeMap<Role, i64>, placed: &[Placed<'_>], faults: &mut Vec<Fault>) {
    const ADVICE: &str = "declare it in roles.toml, or correct it";
    for it in placed {
        let mut named: BTreeSet<String> = it
            .policy
            .entity_literals()
            .iter()
            .filter(|uid| uid.type_name().basename() == "Role")
            .map(|uid| uid.id().unescaped().to_owned())
            .collect();
        let demanded = it
            .annotated
            .demand
            .iter()
            .flat_map(|demand| &demand.requirement.roles);
        named.extend(demanded.map(ToString::to_string));
        for name in named {
            if !name
                .parse::<Role>()
                .is_ok_and(|role| ranks.contains_key(&role))
            {
                faults.push(it.fault(format!("there is no role {name:?}"), ADVICE));
            }
        }
    }
}

fn slices(
    schema: &Schema,
    placed: &[Placed<'_>],
    faults: &mut Vec<Fault>,
) -> Result<HashMap<String, Slice>, PolicyError> {
    let entities = schema
        .action_entities()
        .map_err(|error| broken(error.to_string()))?;
    let mut slices = HashMap::new();
    for uid in schema.actions() {
        let groups: Vec<&EntityUid> = entities.ancestors(uid).into_iter().flatten().collect();
        let covers = |constraint: &ActionConstraint| match constraint {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(only) => only == uid,
            ActionConstraint::In(any) => any.iter().any(|of| of == uid || groups.contains(&of)),
        };
        let resources: BTreeSet<String> = schema
            .resources_for_action(uid)
            .into_iter()
            .flatten()
            .map(|name| name.basename().to_owned())
            .collect();
        if resources.is_empty() {
            // A group of actions.
            continue;
        }
        let kind = uid.id().unescaped().to_owned();
        let own = groups
            .iter()
            .any(|group| group.id().unescaped() == OWN_SERVICE);
        let mut set = PolicySet::new();
        for it in placed
            .iter()
            .filter(|it| covers(&it.policy.action_constraint()))
        {
            check_own(own, &kind, it, faults);
            set.add(it.policy.clone())
                .map_err(|error| broken(error.to_string()))?;
        }
        let slice = Slice {
            set,
            action: Entity::new_no_attrs(uid.clone(), groups.into_iter().cloned().collect()),
            own,
            resources,
        };
        slices.insert(kind, slice);
    }
    Ok(slices)
}

/// What no policy may do to the server's own actions.
fn check_own(own: bool, kind: &str, it: &Placed<'_>, faults: &mut Vec<Fault>) {
    let Some(demand) = it.annotated.demand.as_ref().filter(|_| own) else {
        return;
    };
    if demand.requirement.approvals == 0 {
        faults.push(it.fault(
            format!("lets {kind} happen without a key"),
            "what a person does to Sceau itself is always sealed: leave @approvals(\"0\") out, or name the actions of services",
        ));
    }
    if matches!(kind, "session.open" | "key.register")
        && demand.requirement.approvers != Approvers::Requester
    {
        faults.push(it.fault(
            format!("asks others to approve {kind}"),
            "it is sealed by its own person alone: leave @approver_role out",
        ));
    }
}
