//! Decisions per second on one core, with the policies that are shipped and 100,000 persons, beside verifications of assertions on the same
//! core in the same run: policy must never be the slow part. `cargo xtask bench policy`.
//!
//! A decision is `Policy::decide`, the whole of it: from the facts as the desk loads them to the requirement. Persons have the roles that
//! roles.toml declares, in proportions of an administration; every declared action type is asked for, by those who may and by those who may
//! not. Contestants take turns in short slices, so that whatever else the machine does strikes both alike; figures are medians.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "a bench owns its clock, fails loudly and prints"
)]

#[path = "../tests/gate/authenticator.rs"]
#[allow(dead_code, reason = "shared with the tests")]
mod authenticator;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use sceau_proof::assertion::{AssertionResponse, Expectation, verify};
use sceau_proof::cose::PublicKey;
use sceau_server::id::{PersonId, Role};
use sceau_server::person::PersonState;
use sceau_server::policy::{
    Decision, Facts, KeysAtHand, OWN_SERVICE, PersonFacts, Policy, SessionFacts, TargetFacts,
    Training, Window,
};
use time::OffsetDateTime;

use authenticator::{Credential, Manufacturer};

const PERSONS: usize = 100_000;
const ROUNDS: usize = 25;
const SLICE: Duration = Duration::from_millis(120);
const GOAL: f64 = 20_000.0;
const RP_ID: &str = "sceau.example";
const ORIGIN: &str = "sceau-agent://sceau.example";

/// How many of a hundred persons hold which role; the rest hold none.
const ROLES: [(&str, usize); 8] = [
    ("administrator", 1),
    ("security", 1),
    ("federation-admin", 2),
    ("moderation-lead", 1),
    ("moderator", 8),
    ("manager", 40),
    ("operator", 5),
    ("break-glass", 2),
];

fn main() {
    let policy =
        Policy::load(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/policy"))).expect("shipped");
    let persons: Vec<PersonFacts> = (0..PERSONS).map(person).collect();
    let asked = questions(&policy, &persons);
    let mut outcomes: BTreeMap<&str, usize> = BTreeMap::new();
    for facts in &asked {
        let outcome = match policy.decide(facts).decision {
            Decision::Deny(_) => "denied",
            Decision::Allow(..) => "allowed",
            Decision::Require(..) => "to be sealed",
        };
        *outcomes.entry(outcome).or_default() += 1;
    }
    let (key, response, challenge) = assertion();
    let origins = [ORIGIN.to_owned()];
    let mut expected = Expectation::new(RP_ID, &origins, &challenge);
    expected.require_uv = true;

    let (mut decisions, mut verifications) = (Vec::new(), Vec::new());
    let mut next = asked.iter().cycle();
    for _ in 0..ROUNDS {
        decisions.push(rate(|| {
            black_box(policy.decide(black_box(next.next().unwrap())));
        }));
        verifications.push(rate(|| {
            verify(black_box(&response), &key, &expected).expect("genuine");
        }));
    }
    let (decided, verified) = (median(decisions), median(verifications));
    println!(
        "{} policies, {} action types, {PERSONS} persons, {} questions: {outcomes:?}",
        policy.len(),
        policy.kinds().count(),
        asked.len()
    );
    println!("decisions per second and core:     {decided:>9.0}");
    println!("verified assertions per second:    {verified:>9.0}");
    println!(
        "a decision costs of a verification {:>9.2}",
        verified / decided
    );
    let met = decided >= GOAL;
    println!(
        "goal: at least {GOAL} decisions per second and core: {}",
        if met { "met" } else { "MISSED" }
    );
    std::process::exit(i32::from(!met));
}

fn person(number: usize) -> PersonFacts {
    let mut at = (number * 37) % 100;
    let mut roles = std::collections::BTreeSet::new();
    for (role, share) in ROLES {
        if at < share {
            roles.insert(role.parse::<Role>().unwrap());
            break;
        }
        at -= share;
    }
    PersonFacts {
        id: format!("person-{number}").parse::<PersonId>().unwrap(),
        roles,
        state: PersonState::Active,
        organisation: Some(format!("{:014}", number % 977)),
    }
}

/// One question for each person, over all action types and their services.
fn questions(policy: &Policy, persons: &[PersonFacts]) -> Vec<Facts> {
    let mut kinds: Vec<&str> = policy.kinds().collect();
    kinds.sort_unstable();
    let at = OffsetDateTime::from_unix_timestamp(1_795_291_200).unwrap();
    let questions = persons.iter().enumerate().map(|(number, requester)| {
        // Not in step with the roles.
        let kind = kinds[(number / 100 + number * 7) % kinds.len()];
        let own = matches!(
            kind.split('.').next(),
            Some("session" | "key" | "person" | "facts" | "break-glass")
        );
        let service = match kind.split('.').next().unwrap() {
            _ if own => OWN_SERVICE,
            "account" | "right" | "records" => "portal",
            "login" => "proconnect",
            "identity-provider" | "service-provider" | "federation-user" | "configuration"
            | "notification" => "federation-admin",
            _ => "hyyypertool",
        };
        let other = persons[(number * 7919 + 13) % persons.len()].clone();
        let target = match kind {
            "key.revoke" => TargetFacts::Key {
                id: "0197a1f2-6c1e-7cc3-98c4-dc0c0c07398f".parse().unwrap(),
                owner: other,
            },
            "session.open" | "key.register" => TargetFacts::Person(requester.clone()),
            _ if own && !kind.starts_with("break-glass") => TargetFacts::Person(other),
            _ => TargetFacts::Thing {
                kind: "account".to_owned(),
                id: format!("account-{number}"),
            },
        };
        let mut facts = Facts::bare(
            kind,
            service.parse().unwrap(),
            requester.clone(),
            target,
            at,
        );
        let busy = i64::try_from(number % 61).unwrap();
        facts.asked = Window {
            minute: busy % 3,
            hour: busy % 13,
            day: busy,
        };
        facts.executed = facts.asked;
        facts.keys = KeysAtHand {
            fido2: 1,
            piv: busy % 2,
            given: 2,
            wanted: 2,
            ..KeysAtHand::default()
        };
        facts.present = true;
        facts.session = Some(SessionFacts {
            kind: "gate".to_owned(),
            acr: "eidas3".to_owned(),
            age: busy * 60,
        });
        facts.training = Some(Training {
            until: Some(at + time::Duration::days(90)),
        });
        facts.facts = ["training".to_owned(), "cleared".to_owned()].into();
        facts
    });
    questions.collect()
}

fn assertion() -> (PublicKey, AssertionResponse, [u8; 32]) {
    let challenge = [7; 32];
    let manufacturer = Manufacturer::new();
    let (credential, _, object) = Credential::make(&manufacturer, RP_ID, ORIGIN, &challenge);
    // The COSE key as the authenticator wrote it: EC2, ES256, P-256, x, y.
    let head = [0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 0x20];
    let at = object
        .windows(head.len())
        .position(|window| window == head)
        .unwrap();
    let key = PublicKey::from_cose(&object[at..at + 77]).unwrap();
    let (client_data_json, authenticator_data, signature) = credential.assert(ORIGIN, &challenge);
    let response = AssertionResponse {
        client_data_json,
        authenticator_data,
        signature,
        credential_id: None,
    };
    (key, response, challenge)
}

fn rate(mut work: impl FnMut()) -> f64 {
    let (start, mut times) = (Instant::now(), 0_u32);
    while start.elapsed() < SLICE {
        for _ in 0..16 {
            work();
        }
        times += 16;
    }
    f64::from(times) / start.elapsed().as_secs_f64()
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
