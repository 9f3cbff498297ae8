//! What the pure function says, what stops a start, and how requirements become one.

use std::collections::BTreeSet;

use proptest::prelude::*;
use time::macros::datetime;

use super::*;
use crate::action::{Approvers, KeyKind, Verification};
use crate::id::PersonId;
use crate::person::Person;

const SCHEMA: &str = r#"
action "account";
action "account.create", "account.delete" in ["account"] appliesTo { principal: Person, resource: [Account, Thing], context: Facts };
action "right.grant", "secret.read", "mixed" appliesTo { principal: Person, resource: [Account, Thing], context: Facts };
"#;

const ROLES: &str = r#"
[role.administrator]
rank = 30
[role.manager]
rank = 10
[role.operator]
rank = 10
[role.security]
rank = 20
[role.legal]
rank = 20
"#;

const POLICIES: &str = r#"
@id("create")
permit (principal in Role::"manager", action == Action::"account.create", resource in Service::"portal");

@id("never")
@reason("never-by-this-way")
@reason_fr("Jamais par ici.")
forbid (principal, action == Action::"account.delete", resource);

@id("grant")
@approvals("2")
@approver_role("requester,administrator")
@lifetime("30m")
permit (principal in Role::"manager", action == Action::"right.grant", resource);

@id("read")
@approvals("0")
permit (principal, action == Action::"secret.read", resource)
when { context.training.valid && context.asked.hour < 5 };

@id("mixed-one")
@approver_role("security,legal")
@verification("touch")
@fresh("60s")
permit (principal in Role::"manager", action == Action::"mixed", resource);

@id("mixed-two")
@lifetime("1m")
@key("fido-l1")
permit (principal in Role::"operator", action == Action::"mixed", resource);

@id("enroll")
permit (principal in Role::"operator", action == Action::"key.enroll", resource);

@id("sign-in")
permit (principal, action in [Action::"session.open", Action::"key.register"], resource);

@id("closed-at-night")
forbid (principal, action == Action::"session.open", resource)
when { context.hour >= 22 };
"#;

fn parse(policies: &str) -> Result<Policy, PolicyError> {
    Policy::parse(&[
        Source::new("roles.toml", ROLES),
        Source::new("actions.cedarschema", SCHEMA),
        Source::new("test.cedar", policies),
    ])
}

fn policy() -> &'static Policy {
    static POLICY: std::sync::LazyLock<Policy> =
        std::sync::LazyLock::new(|| parse(POLICIES).unwrap());
    &POLICY
}

fn person(id: &str, roles: &[&str]) -> Person {
    Person {
        id: id.parse().unwrap(),
        display: id.to_owned(),
        roles: roles.iter().map(|role| role.parse().unwrap()).collect(),
        state: PersonState::Active,
        parent: None,
    }
}

fn facts(action: &str, service: &str, requester: &Person) -> Facts {
    let target = TargetFacts::Thing {
        kind: "account".into(),
        id: "jd".into(),
    };
    Facts::bare(
        action,
        service.parse().unwrap(),
        PersonFacts::from(requester),
        target,
        datetime!(2026-11-22 10:00 UTC),
    )
}

fn about(action: &str, requester: &Person, target: &Person) -> Facts {
    Facts {
        target: TargetFacts::Person(PersonFacts::from(target)),
        ..facts(action, OWN_SERVICE, requester)
    }
}

fn reason(decided: &Decided) -> &str {
    match &decided.decision {
        Decision::Deny(reason) => reason.as_str(),
        other => panic!("{other:?}"),
    }
}

fn required(decided: Decided) -> (Requirement, Duration) {
    match decided.decision {
        Decision::Require(requirement, lifetime) => (requirement, lifetime),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_no_permit_names_is_denied_with_the_reason() {
    let (policy, alice) = (policy(), person("alice", &["manager"]));
    for (action, service, expected) in [
        ("file.read", "portal", "no-rule"),
        ("account.create", "other", "no-rule"),
        ("account.create", "sceau", "no-rule"),
        ("key.enroll", "portal", "no-rule"),
        ("secret.read", "portal", "condition-not-met"),
    ] {
        assert_eq!(
            reason(&policy.decide(&facts(action, service, &alice))),
            expected,
            "{action} at {service}"
        );
    }
    let bob = person("bob", &["operator"]);
    assert_eq!(
        reason(&policy.decide(&facts("account.create", "portal", &bob))),
        "requester-role"
    );
    let none = Policy::parse(&[]).unwrap();
    assert_eq!(
        reason(&none.decide(&facts("account.create", "portal", &alice))),
        "no-rule"
    );
    assert_eq!(
        reason(&none.decide(&about("session.open", &alice, &alice))),
        "no-rule"
    );
}

#[test]
fn a_forbid_wins_and_brings_its_words() {
    let decided = policy().decide(&facts(
        "account.delete",
        "portal",
        &person("alice", &["manager"]),
    ));
    assert_eq!(reason(&decided), "never-by-this-way");
    assert_eq!(decided.policies, ["never"]);
    assert_eq!(
        decided.words.unwrap().fr.as_deref(),
        Some("Jamais par ici.")
    );
}

#[test]
fn persons_who_may_not_act_are_denied_everything_but_registering_a_key() {
    let policy = policy();
    let mut alice = person("alice", &["manager"]);
    alice.state = PersonState::Inert;
    assert_eq!(
        reason(&policy.decide(&about("session.open", &alice, &alice))),
        "requester-inert"
    );
    assert!(matches!(
        policy
            .decide(&about("key.register", &alice, &alice))
            .decision,
        Decision::Require(..)
    ));
    alice.state = PersonState::Suspended;
    assert_eq!(
        reason(&policy.decide(&facts("account.create", "portal", &alice))),
        "requester-suspended"
    );
    assert_eq!(
        reason(&policy.decide(&about("key.register", &alice, &alice))),
        "requester-suspended"
    );
}

#[test]
fn conditions_look_at_the_facts() {
    let (policy, alice) = (policy(), person("alice", &["manager"]));
    let mut trained = facts("secret.read", "portal", &alice);
    trained.training = Some(Training {
        until: Some(datetime!(2026-12-01 0:00 UTC)),
    });
    assert!(matches!(
        policy.decide(&trained).decision,
        Decision::Allow(..)
    ));
    trained.asked.hour = 5;
    assert_eq!(reason(&policy.decide(&trained)), "condition-not-met");
    trained.asked.hour = 0;
    trained.at = datetime!(2026-12-01 0:00 UTC);
    assert_eq!(
        reason(&policy.decide(&trained)),
        "condition-not-met",
        "training has ended"
    );
    let mut night = about("session.open", &alice, &alice);
    night.at = datetime!(2026-11-22 22:30 UTC);
    assert_eq!(reason(&policy.decide(&night)), "closed-at-night");
}

#[test]
fn nobody_touches_a_person_of_a_higher_role() {
    let (policy, odile) = (policy(), person("odile", &["operator"]));
    let (boss, equal, unknown) = (
        person("boss", &["administrator"]),
        person("m", &["manager"]),
        person("u", &["advisor"]),
    );
    assert_eq!(
        reason(&policy.decide(&about("key.enroll", &odile, &boss))),
        "higher-role"
    );
    for target in [&equal, &unknown, &odile] {
        assert!(matches!(
            policy.decide(&about("key.enroll", &odile, target)).decision,
            Decision::Require(..)
        ));
    }
}

#[test]
fn signing_in_is_never_loosened() {
    let loose = parse(r#"@id("in") @verification("touch") @lifetime("8h") permit (principal, action == Action::"session.open", resource);"#).unwrap();
    let alice = person("alice", &[]);
    let (requirement, lifetime) = required(loose.decide(&about("session.open", &alice, &alice)));
    assert_eq!(requirement.verification, Verification::Pin);
    assert_eq!(lifetime, Duration::minutes(2));
}

#[test]
fn of_several_permits_the_strictest_of_each_holds() {
    let both = person("alice", &["manager", "operator"]);
    let decided = policy().decide(&facts("mixed", "portal", &both));
    assert_eq!(decided.policies, ["mixed-one", "mixed-two"]);
    let (requirement, lifetime) = required(decided);
    assert!(
        requirement.requester_also,
        "the second asks for the requester's own key"
    );
    assert_eq!((requirement.approvals, requirement.groups.len()), (2, 2));
    assert_eq!(requirement.verification, Verification::Pin);
    assert_eq!(
        (requirement.key, requirement.fresh),
        (KeyKind::FidoL1, Some(60))
    );
    assert_eq!(lifetime, Duration::MINUTE);
    assert_eq!(requirement.policies, ["mixed-one", "mixed-two"]);
}

#[test]
fn keys_that_cannot_exist_together_deny() {
    let contradicting = parse(
        r#"@id("card") @key("piv-touch") permit (principal, action == Action::"mixed", resource);
           @id("fido") @key("fido2") permit (principal, action == Action::"mixed", resource);"#,
    )
    .unwrap();
    assert_eq!(
        reason(&contradicting.decide(&facts("mixed", "portal", &person("a", &[])))),
        "policies-contradict"
    );
}

#[test]
fn every_group_needs_a_person_of_its_own() {
    let (requirement, _) =
        required(policy().decide(&facts("mixed", "portal", &person("alice", &["manager"]))));
    let alice: PersonId = "alice".parse().unwrap();
    let [security, legal, both] = [
        person("s", &["security"]),
        person("l", &["legal"]),
        person("b", &["security", "legal"]),
    ];
    let enough = |persons: &[&Person]| {
        let counted: Vec<Counted<'_>> = persons
            .iter()
            .map(|it| Counted {
                person: &it.id,
                roles: &it.roles,
            })
            .collect();
        met(&requirement, &alice, &counted)
    };
    assert!(!enough(&[&security]) && !enough(&[&both]) && !enough(&[&security, &security]));
    assert!(enough(&[&security, &legal]));
    assert!(
        enough(&[&both, &security]),
        "the one who holds both takes the other seat"
    );
    let missing = awaited(
        &requirement,
        &alice,
        &[Counted {
            person: &both.id,
            roles: &both.roles,
        }],
    );
    assert_eq!(missing.iter().map(|it| it.missing).sum::<u32>(), 1);
}

#[test]
fn a_second_person_is_neither_the_requester_nor_begotten_by_them() {
    let alice = person("alice", &["manager", "administrator"]);
    let (requirement, lifetime) =
        required(policy().decide(&facts("right.grant", "portal", &alice)));
    assert_eq!(lifetime, Duration::minutes(30));
    let alone = Requirement {
        requester_also: false,
        ..requirement.clone()
    };
    let bob = person("bob", &["administrator"]);
    let judged = |requirement: &Requirement, person: &Person, ancestors: &[PersonId]| {
        counts(requirement, &alice.id, person, ancestors)
    };
    assert_eq!(judged(&requirement, &bob, &[]), Ok(()));
    assert_eq!(
        judged(
            &requirement,
            &bob,
            &["eve".parse().unwrap(), alice.id.clone()]
        ),
        Err(NotCounted::Descendant)
    );
    assert_eq!(
        judged(&requirement, &person("carl", &["operator"]), &[]),
        Err(NotCounted::Role)
    );
    assert_eq!(judged(&requirement, &alice, &[]), Ok(()));
    assert_eq!(judged(&alone, &alice, &[]), Err(NotCounted::SelfApproval));
    let suspended = Person {
        state: PersonState::Suspended,
        ..bob
    };
    assert_eq!(
        judged(&requirement, &suspended, &[]),
        Err(NotCounted::NotActive)
    );
}

#[test]
fn what_makes_no_sense_stops_the_start_with_its_place() {
    let permit = |head: &str| {
        format!("\n@id(\"x\") {head}\npermit (principal, action == Action::\"mixed\", resource);")
    };
    for (text, line, problem) in [
        (permit("@approval(\"2\")"), 2, "unknown annotation @approval"),
        (permit("@reason(\"why\")"), 2, "unknown annotation @reason"),
        (permit("@approvals(\"two\")"), 2, "@approvals(\"two\")"),
        (permit("@approvals(\"2\")"), 2, "without @approver_role"),
        (permit("@approvals(\"1\") @approver_role(\"security,legal\")"), 2, "fewer than the 2"),
        (permit("@approver_role(\"boss\")"), 2, "there is no role \"boss\""),
        (permit("@approver_role(\"security,,legal\")"), 2, "@approver_role"),
        (permit("@verification(\"none\")"), 2, "@verification"),
        (permit("@key(\"software\")"), 2, "@key(\"software\")"),
        (permit("@lifetime(\"25h\")"), 2, "@lifetime"),
        (permit("@fresh(\"soon\")"), 2, "@fresh"),
        (permit("@quorum(\"3\")"), 2, "@quorum"),
        (permit("@other_workstation(\"true\") @approver_role(\"legal\")"), 2, "@other_workstation"),
        ("permit (principal, action, resource);".into(), 1, "policy without a name"),
        ("@id(\"a\")\npermit (principal, action == Action::\"mixed\", resource);\n@id(\"a\")\npermit (principal, action == Action::\"mixed\", resource);".into(), 3, "is taken by"),
        ("@id(\"a\")\npermit (principal, action == Action::\"account.crate\", resource);".into(), 2, "account.crate"),
        ("@id(\"a\")\npermit (principal in Rôle::\"x\", action, resource);".into(), 2, ""),
        ("@id(\"a\")\npermit (principal in Rule::\"x\", action == Action::\"mixed\", resource);".into(), 2, "Rule"),
        ("@id(\"a\")\npermit (principal in Role::\"bosses\", action == Action::\"mixed\", resource);".into(), 1, "there is no role \"bosses\""),
        ("@id(\"a\")\npermit (principal, action == Action::\"mixed\", resource)\nwhen { context.askd.hour < 3 };".into(), 3, "askd"),
        ("@id(\"a\")\npermit (principal, action == Action::\"mixed\", resource)\nwhen { resource.kind like 3 };".into(), 3, ""),
        ("@id(\"a\")\npermit (principal, action == Action::\"key.revoke\", resource)\nwhen { resource is Person };".into(), 1, "impossible"),
        ("@id(\"a\")\npermit (principal, action == Action::\"mixed\", resource)\nwhen { false };".into(), 1, "impossible"),
        ("@id(\"a\") @approvals(\"0\")\npermit (principal, action, resource);".into(), 1, "without a key"),
        ("@id(\"a\") @approver_role(\"legal\")\npermit (principal, action == Action::\"session.open\", resource);".into(), 1, "asks others"),
        ("@id(\"a\")\npermit (principal == ?principal, action == Action::\"mixed\", resource);".into(), 0, "template"),
    ] {
        let error = parse(&text).unwrap_err();
        let fault = &error.faults[0];
        assert!(fault.problem.contains(problem), "{text}\n→ {fault}");
        assert_eq!((fault.file.as_str(), fault.line), ("test.cedar", line), "{text}\n→ {fault}");
    }
}

#[test]
fn faults_of_the_schema_and_of_the_roles_have_their_place_too() {
    let schema = |text: &str| {
        Policy::parse(&[Source::new("s.cedarschema", text)])
            .unwrap_err()
            .faults[0]
            .clone()
    };
    let fault = schema(
        "action \"a\" appliesTo { principal: Person, resource: Thing, context: Facts };\naction \"b\" appliesTo { principal: Nobody, resource: Thing };",
    );
    assert_eq!(
        (fault.file.as_str(), fault.line),
        ("s.cedarschema", 2),
        "{fault}"
    );
    let fault = schema("\naction a b;");
    assert_eq!(
        (fault.file.as_str(), fault.line),
        ("s.cedarschema", 2),
        "{fault}"
    );
    let fault = Policy::parse(&[Source::new("roles.toml", "[role.a]\nrank = \"high\"")])
        .unwrap_err()
        .faults[0]
        .clone();
    assert_eq!(
        (fault.file.as_str(), fault.line),
        ("roles.toml", 2),
        "{fault}"
    );
}

#[test]
fn the_text_reads_back_to_the_same_policy() {
    let policy = policy();
    let again = Policy::parse(&unbundle(policy.text())).unwrap();
    assert_eq!(again.text(), policy.text());
    assert_eq!(again.len(), policy.len());
}

#[test]
fn the_shipped_set_says_what_its_table_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("policy");
    let policy = Policy::load(&folder).unwrap_or_else(|error| panic!("{error}"));
    let table = std::fs::read_to_string(folder.join("tests.toml")).unwrap();
    let tested = policy.test(&table).unwrap();
    assert!(tested.failures.is_empty(), "{:#?}", tested.failures);
    assert!(
        tested.untested.is_empty(),
        "no case for {:?}",
        tested.untested
    );
}

#[test]
fn a_table_tells_what_came_out_otherwise() {
    let tested = policy()
        .test(
            r#"
[[case]]
name = "right"
action = "account.create"
service = "portal"
roles = ["manager"]
expect = "require"
[[case]]
name = "wrong outcome"
action = "account.delete"
service = "portal"
expect = "allow"
[[case]]
name = "wrong detail"
action = "right.grant"
service = "portal"
roles = ["manager"]
expect = "require"
approvers = "requester"
"#,
        )
        .unwrap();
    assert_eq!(tested.cases, 3);
    let failed: Vec<(&str, &str, &str)> = tested
        .failures
        .iter()
        .map(|it| (it.case.as_str(), it.what, it.got.as_str()))
        .collect();
    assert_eq!(
        failed,
        [
            ("wrong outcome", "decision", "deny (never-by-this-way)"),
            ("wrong detail", "approvers", "requester,administrator:2"),
        ]
    );
    assert!(tested.untested.contains(&"mixed-one".to_owned()));
    assert_eq!(
        policy()
            .test("[[case]]\nname = \"x\"\naction = \"a\"\nexpect = \"deny\"")
            .unwrap_err()
            .problem,
        "say which service"
    );
    assert_eq!(
        policy().test("\n[[case]]\nnme = \"x\"").unwrap_err().line,
        3
    );
}

#[test]
fn a_quorum_counts_persons_beyond_the_groups_seats() {
    let of = |quorum: &str| {
        let text = format!(
            "@id(\"q\") {quorum} @approver_role(\"requester,security,legal\")\npermit (principal, action == Action::\"mixed\", resource);"
        );
        let alice = person("alice", &["manager"]);
        required(
            parse(&text)
                .unwrap()
                .decide(&facts("mixed", "portal", &alice)),
        )
        .0
    };
    let roles = |role: &str| -> BTreeSet<Role> { [role.parse().unwrap()].into() };
    let (own, security, legal) = (roles("manager"), roles("security"), roles("legal"));
    let met_by = |requirement: &Requirement, ids: &[&str]| {
        let persons: Vec<PersonId> = ids.iter().map(|id| id.parse().unwrap()).collect();
        let counted: Vec<Counted<'_>> = persons
            .iter()
            .map(|person| Counted {
                person,
                roles: match person.as_str() {
                    "alice" => &own,
                    id if id.starts_with("sec") => &security,
                    _ => &legal,
                },
            })
            .collect();
        met(requirement, &"alice".parse().unwrap(), &counted)
    };
    // Four in all: Alice, one of each group, and one more of either.
    let four = of("@quorum(\"4\")");
    for (ids, enough) in [
        (&["alice", "sec-1", "leg-1"][..], false),
        (&["alice", "sec-1", "leg-1", "leg-1"], false),
        (&["alice", "sec-1", "sec-2", "sec-3"], false),
        (&["sec-1", "leg-1", "leg-2", "leg-3"], false),
        (&["alice", "sec-1", "leg-1", "leg-2"], true),
        (&["alice", "sec-1", "leg-1", "sec-2"], true),
    ] {
        assert_eq!(met_by(&four, ids), enough, "{ids:?}");
    }
    // Fewer than the groups ask for takes nothing away.
    assert_eq!(of("@quorum(\"2\")"), of(""));
}

/// Found by a property below: who could not take a seat barred it to the person who could.
#[test]
fn whoever_finds_a_seat_taken_makes_room_along_the_whole_row() {
    let roles = |names: &[&str]| -> BTreeSet<Role> {
        names.iter().map(|name| name.parse().unwrap()).collect()
    };
    let group = |names: &[&str]| crate::action::Group {
        roles: roles(names),
        approvals: 1,
    };
    let requirement = Requirement {
        approvals: 3,
        approvers: Approvers::Roles,
        roles: roles(&["administrator", "legal"]),
        groups: vec![
            group(&["administrator"]),
            group(&["administrator", "legal"]),
            group(&["legal"]),
        ],
        ..by_own_key()
    };
    let (administrator, legal) = (roles(&["administrator"]), roles(&["legal"]));
    let persons: Vec<PersonId> = ["p1", "p2", "p3"].map(|id| id.parse().unwrap()).to_vec();
    let counted = |roles: [&'static str; 3]| -> bool {
        let of = |role| match role {
            "legal" => &legal,
            _ => &administrator,
        };
        let all: Vec<Counted<'_>> = persons
            .iter()
            .zip(roles)
            .map(|(person, role)| Counted {
                person,
                roles: of(role),
            })
            .collect();
        met(&requirement, &"p0".parse().unwrap(), &all)
    };
    for row in [
        ["administrator", "administrator", "legal"],
        ["administrator", "legal", "legal"],
        ["legal", "administrator", "administrator"],
        ["legal", "legal", "administrator"],
    ] {
        assert!(counted(row), "{row:?}");
    }
    assert!(!counted(["legal", "legal", "legal"]));
}

fn demand() -> impl Strategy<Value = Demand> {
    let groups = prop::collection::btree_map(
        prop::collection::btree_set(
            prop::sample::select(vec!["security", "legal", "administrator"]),
            1..3,
        ),
        1_u32..3,
        0..3,
    );
    (
        groups,
        any::<bool>(),
        any::<bool>(),
        0_u32..4,
        prop::option::of(1_u32..100),
        0_usize..7,
        1_i64..100,
    )
        .prop_map(|(groups, own, touch, more, fresh, key, minutes)| {
            let groups: Vec<crate::action::Group> = groups
                .into_iter()
                .map(|(roles, approvals)| crate::action::Group {
                    roles: roles
                        .into_iter()
                        .map(|role| role.parse().unwrap())
                        .collect(),
                    approvals,
                })
                .collect();
            let seats: u32 = groups.iter().map(|group| group.approvals).sum();
            let by_roles = !groups.is_empty();
            let kinds = [
                KeyKind::AttestedHardware,
                KeyKind::AttestedOrIssued,
                KeyKind::Fido2,
                KeyKind::FidoL1,
                KeyKind::FidoL2,
                KeyKind::FidoL3,
                KeyKind::PivTouch,
            ];
            Demand {
                requirement: Requirement {
                    approvals: if by_roles {
                        seats + more
                    } else {
                        u32::from(own)
                    },
                    approvers: if by_roles {
                        Approvers::Roles
                    } else {
                        Approvers::Requester
                    },
                    roles: groups
                        .iter()
                        .flat_map(|group| group.roles.clone())
                        .collect(),
                    requester_also: by_roles && own,
                    verification: if touch {
                        Verification::Touch
                    } else {
                        Verification::Pin
                    },
                    key: kinds[key],
                    groups,
                    fresh,
                    ..by_own_key()
                },
                lifetime: Duration::minutes(minutes),
            }
        })
}

fn crowd() -> impl Strategy<Value = Vec<(u8, BTreeSet<Role>)>> {
    let roles = prop::collection::btree_set(
        prop::sample::select(vec!["security", "legal", "administrator"]),
        0..4,
    )
    .prop_map(|roles| {
        roles
            .into_iter()
            .map(|role| role.parse().unwrap())
            .collect()
    });
    prop::collection::vec((0_u8..8, roles), 0..9)
}

fn enough(demand: &Demand, crowd: &[(u8, BTreeSet<Role>)]) -> bool {
    let persons: Vec<(PersonId, &BTreeSet<Role>)> = crowd
        .iter()
        .map(|(id, roles)| (format!("p{id}").parse().unwrap(), roles))
        .collect();
    let counted: Vec<Counted<'_>> = persons
        .iter()
        .map(|(person, roles)| Counted { person, roles })
        .collect();
    met(&demand.requirement, &"p0".parse().unwrap(), &counted)
}

proptest! {
    #[test]
    fn one_more_demand_never_makes_it_easier(one in demand(), other in demand(), crowd in crowd()) {
        if let Some(both) = strictest([one.clone(), other.clone()]) {
            if enough(&both, &crowd) {
                prop_assert!(enough(&one, &crowd) && enough(&other, &crowd), "{both:?}");
            }
            prop_assert!(both.lifetime <= one.lifetime && both.lifetime <= other.lifetime);
        }
        // Saying it twice changes nothing.
        let twice = strictest([one.clone(), one.clone()]).unwrap();
        prop_assert_eq!(enough(&twice, &crowd), enough(&one, &crowd));
    }

    #[test]
    fn approvals_are_met_by_distinct_persons_alone(demand in demand(), crowd in crowd()) {
        let distinct: BTreeSet<u8> = crowd.iter().map(|(id, _)| *id).filter(|id| *id != 0).collect();
        if enough(&demand, &crowd) && demand.requirement.approvers == Approvers::Roles {
            prop_assert!(distinct.len() >= usize::try_from(demand.requirement.approvals).unwrap());
        }
        let mut doubled = crowd.clone();
        doubled.extend(crowd.clone());
        prop_assert_eq!(enough(&demand, &doubled), enough(&demand, &crowd));
    }

    #[test]
    fn whatever_the_facts_the_suspended_and_the_lower_are_denied(
        hour in 0_i64..100, kind in 0_usize..5, rank in 0_usize..3, state in 0_usize..2,
    ) {
        let policy = policy();
        let states = [PersonState::Inert, PersonState::Suspended];
        let mut alice = person("alice", &["operator", "manager"]);
        let boss = person("boss", &[["administrator", "security", "legal"][rank]]);
        let action = ["key.enroll", "key.revoke", "person.suspend", "person.restore", "person.erase"][kind];
        let mut facts = about(action, &alice, &boss);
        facts.asked.hour = hour;
        if action == "key.revoke" {
            facts.target = TargetFacts::Key { id: crate::id::KeyId(uuid::Uuid::nil()), owner: PersonFacts::from(&boss) };
        }
        let decided = policy.decide(&facts);
        prop_assert!(matches!(&decided.decision, Decision::Deny(_)), "{decided:?}");
        alice.state = states[state];
        for kind in policy.kinds().filter(|kind| *kind != "key.register") {
            let decided = policy.decide(&self::facts(kind, "portal", &alice));
            prop_assert!(matches!(&decided.decision, Decision::Deny(_)), "{decided:?}");
        }
    }
}
