//! A policy in words, in either language: what it demands of whom, and what was decided. The texts are the catalogue's (`rule-…`); the names of
//! roles, policies and reasons are the house's, and shown as they are. Nothing here decides.

use sceau_locale::{Language, Value, span};
use time::Duration;

use super::annotation::Demand;
use super::{Decided, Decision, Stated};
use crate::action::{Approvers, Group, Requirement, Verification, Words};
use crate::id::Role;

impl Words {
    /// In this language, else in the other.
    #[must_use]
    pub fn in_language(&self, language: Language) -> Option<&str> {
        let (fr, en) = (self.fr.as_deref(), self.en.as_deref());
        language.pick(fr.or(en), en.or(fr))
    }
}

impl Stated {
    /// What it says, and why where it says so.
    pub(super) fn says(&self, language: Language) -> String {
        let what = match &self.demand {
            None => language.text_with(
                "rule-forbidden",
                &[("reason", Value::from(self.reason.as_str()))],
            ),
            Some(demand) => in_words(language, demand),
        };
        let mut values = vec![
            ("action", Value::from(self.action.as_str())),
            ("what", Value::from(what)),
        ];
        match self.words.in_language(language) {
            None => language.text_with("rule-says", &values),
            Some(why) => {
                values.push(("why", Value::from(why)));
                language.text_with("rule-says-why", &values)
            }
        }
    }
}

impl Decided {
    /// The decision, without the policies that decided.
    #[must_use]
    pub fn in_words(&self, language: Language) -> String {
        match &self.decision {
            Decision::Deny(reason) => {
                language.text_with("rule-denied", &[("reason", Value::from(reason.as_str()))])
            }
            Decision::Allow(requirement, lifetime) | Decision::Require(requirement, lifetime) => {
                let demand = Demand {
                    requirement: requirement.clone(),
                    lifetime: *lifetime,
                };
                in_words(language, &demand)
            }
        }
    }
}

/// A demand in words.
#[must_use]
pub fn in_words(language: Language, demand: &Demand) -> String {
    let requirement = &demand.requirement;
    if requirement.approvals == 0 {
        return language.text("rule-free").into_owned();
    }
    let within =
        |name, time: Duration| language.text_with(name, &[("time", span(language, time).into())]);
    let how = match requirement.verification {
        Verification::Pin => "rule-verified-pin",
        Verification::Touch => "rule-verified-touch",
    };
    let mut parts = vec![
        language.text_with(
            "rule-sealed",
            &[("by", by_whom(language, requirement).into())],
        ),
        language.text(how).into_owned(),
        language
            .text(&format!("rule-key-{}", requirement.key.as_str()))
            .into_owned(),
        within("rule-within", demand.lifetime),
    ];
    parts.extend(
        requirement
            .fresh_for()
            .map(|fresh| within("rule-fresh", fresh)),
    );
    if requirement.other_workstation {
        parts.push(language.text("rule-other-workstation").into_owned());
    }
    if requirement.cosignatures > 0 {
        let count = [("count", requirement.cosignatures.into())];
        parts.push(language.text_with("rule-witnessed", &count));
    }
    parts.join(", ")
}

/// Who seals it.
fn by_whom(language: Language, requirement: &Requirement) -> String {
    if requirement.approvers == Approvers::Requester {
        return language.text("rule-requester").into_owned();
    }
    let groups = requirement.groups();
    let seats: u32 = groups.iter().map(|group| group.approvals).sum();
    let and = format!(" {} ", language.text("rule-and"));
    let others: Vec<String> = groups.iter().map(|it| group(language, it)).collect();
    let mut others = others.join(&and);
    if requirement.approvals > seats {
        let values = [
            ("others", others.into()),
            ("count", requirement.approvals.into()),
        ];
        others = language.text_with("rule-in-all", &values);
    }
    if requirement.requester_also {
        return language.text_with("rule-requester-also", &[("others", others.into())]);
    }
    others
}

fn group(language: Language, group: &Group) -> String {
    let or = format!(" {} ", language.text("rule-or"));
    let roles: Vec<&str> = group.roles.iter().map(Role::as_str).collect();
    let values = [
        ("count", group.approvals.into()),
        ("roles", roles.join(&or).into()),
    ];
    language.text_with("rule-others", &values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::KeyKind;
    use crate::policy::{Policy, Reason, by_own_key};

    fn demand(groups: &[(&[&str], u32)]) -> Demand {
        let groups: Vec<Group> = groups
            .iter()
            .map(|(roles, approvals)| Group {
                roles: roles.iter().map(|role| role.parse().unwrap()).collect(),
                approvals: *approvals,
            })
            .collect();
        Demand {
            requirement: Requirement {
                approvals: groups.iter().map(|group| group.approvals).sum(),
                approvers: Approvers::Roles,
                groups,
                key: KeyKind::AttestedHardware,
                ..by_own_key()
            },
            lifetime: Duration::minutes(5),
        }
    }

    #[test]
    fn a_demand_reads_as_a_sentence_in_both_languages() {
        let own = Demand {
            requirement: by_own_key(),
            lifetime: Duration::hours(24),
        };
        assert_eq!(
            in_words(Language::En, &own),
            "sealed by the requester, with PIN and touch, by an attested key, or the card of a known issuer, within 24 hours"
        );
        assert_eq!(
            in_words(Language::Fr, &own),
            "scellé par la personne qui demande, avec code PIN et toucher, par une clé attestée, ou la carte d’un émetteur connu, sous 24 heures"
        );
        let mut all = demand(&[(&["administrator", "security"], 2), (&["manager"], 1)]);
        all.requirement.approvals = 4;
        all.requirement.requester_also = true;
        all.requirement.verification = Verification::Touch;
        all.requirement.fresh = Some(90);
        all.requirement.other_workstation = true;
        all.requirement.cosignatures = 1;
        assert_eq!(
            in_words(Language::En, &all),
            "sealed by the requester, and 2 other persons (administrator or security) and one other person (manager), 4 in all, with a touch, \
             by an attested hardware key, within 5 minutes, used within 90 seconds, at different workstations, after one witness of the log"
        );
        assert_eq!(
            in_words(Language::Fr, &all),
            "scellé par la personne qui demande, et 2 autres personnes (administrator ou security) et une autre personne (manager), 4 en tout, d’un toucher, \
             par une clé matérielle attestée, sous 5 minutes, utilisé sous 90 secondes, depuis des postes différents, après un témoin du journal"
        );
        all.requirement.approvals = 0;
        assert_eq!(in_words(Language::Fr, &all), "permis sans clé");
    }

    #[test]
    fn every_kind_of_key_has_its_words() {
        for word in KeyKind::WORDS.map(|(_, word)| word) {
            for language in [Language::Fr, Language::En] {
                let name = format!("rule-key-{word}");
                assert!(language.known(&name).is_some(), "{name}");
            }
        }
    }

    #[test]
    fn the_shipped_set_is_explained_in_french() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/policy");
        let policy = Policy::load(folder.as_ref()).unwrap();
        let (french, english) = (policy.explain(Language::Fr), policy.explain(Language::En));
        assert!(french.len() > 20 && french.len() == english.len());
        for (french, english) in french.iter().zip(&english) {
            assert_eq!(french.policy, english.policy);
            for word in ["sealed", "forbidden", "within", " key", " PIN and "] {
                assert!(!french.says.contains(word), "{}", french.says);
            }
            let begun = ["scellé par ", "interdit (", "permis sans clé"];
            assert!(
                begun.iter().any(|begun| french.says.contains(begun)),
                "{}",
                french.says
            );
        }
    }

    #[test]
    fn a_decision_is_said_with_its_reason() {
        let denied = Decided::deny(Reason::Rule("vault-closed".into()));
        assert_eq!(denied.in_words(Language::En), "denied (vault-closed)");
        assert_eq!(denied.in_words(Language::Fr), "non permise (vault-closed)");
    }
}
