//! The three verdicts in one: what a policy accepts, and the first rule that each refusal names.

use sceau_proof::attestation::trust::{Anchor, Binding, Sources};
use sceau_proof::certificate::oid;
use sceau_proof::metadata::Metadata;
use sceau_proof::model::{DEFAULT, ModelPolicy, Occasion, REASONS, StoredRegistration, judge};
use serde_json::{Value, json};
use time::Duration;

use crate::maker::{AAGUID, Ceremony, Draft, Identity, NOW, Publisher, Statement, entry, report};

struct Case {
    root: Identity,
    ceremony: Ceremony,
    entry: Value,
    policy: String,
    roles: Vec<&'static str>,
    occasion: Occasion,
    days: i64,
}

impl Case {
    fn new() -> Self {
        let root = Identity::root(Draft::authority("Racine"));
        let entry = entry(&root, &json!([report("FIDO_CERTIFIED_L1")]));
        Self {
            root,
            ceremony: Ceremony::new(),
            entry,
            policy: DEFAULT.to_owned(),
            roles: Vec::new(),
            occasion: Occasion::Enrolment,
            days: 0,
        }
    }

    fn with(change: impl FnOnce(&mut Self)) -> &'static str {
        let mut case = Self::new();
        change(&mut case);
        case.judge()
    }

    fn judge(&self) -> &'static str {
        self.judge_object(&self.ceremony.packed(&self.root.issue(Draft::leaf()), &[]))
    }

    fn judge_object(&self, object: &[u8]) -> &'static str {
        let metadata = Publisher::new().publish(std::slice::from_ref(&self.entry));
        self.ask(
            object,
            Sources {
                anchors: None,
                metadata: Some(&metadata),
            },
        )
    }

    fn ask(&self, object: &[u8], sources: Sources<'_>) -> &'static str {
        let stored = StoredRegistration {
            client_data_json: self.ceremony.client_data_json(),
            attestation_object: object.to_vec(),
            expectation: self.ceremony.expectation.clone(),
        };
        let policy = ModelPolicy::parse(&self.policy).unwrap();
        let at = NOW + Duration::days(self.days);
        let verdict = judge(
            &stored,
            sources,
            Some(&policy),
            &self.roles,
            self.occasion,
            Some(at),
        );
        assert_eq!(verdict.is_accepted(), verdict.reason() == "accepted");
        if let Some(policy) = verdict.policy {
            assert!(
                REASONS.iter().any(|(word, _)| *word == policy.reason()),
                "{}",
                policy.reason()
            );
        }
        verdict.reason()
    }

    fn set(&mut self, from: &str, to: &str) {
        assert!(self.policy.contains(from), "{from}");
        self.policy = self.policy.replacen(from, to, 1);
    }
}

#[test]
fn accepts_an_attested_hardware_key_of_a_certified_model() {
    assert_eq!(Case::with(|_| ()), "accepted");
    assert_eq!(
        Case::with(|c| c.roles = vec!["administrator", "manager", "nobody"]),
        "accepted"
    );
}

#[test]
fn refuses_what_proves_nothing() {
    let case = Case::new();
    let own = Statement::default().int("alg", -7).bytes(
        "sig",
        case.ceremony.credential.sign(&case.ceremony.signed()),
    );
    assert_eq!(
        case.judge_object(&case.ceremony.object("packed", &own)),
        "attestation-type-refused"
    );
    assert_eq!(
        case.judge_object(&case.ceremony.object("none", &Statement::default())),
        "attestation-type-refused"
    );
    assert_eq!(
        case.judge_object(b"nonsense"),
        "attestation-object-malformed"
    );
}

/// U2F signs neither the AAGUID nor the flags beside it: what a client writes there must gain nothing.
#[test]
fn believes_no_model_and_no_pin_that_a_u2f_statement_claims() {
    let judged = |required: bool, line: &str, leaf: Draft| {
        let mut case = Case::new();
        if !required {
            case.set(
                "user_verification = \"required\"",
                "user_verification = \"optional\"",
            );
        }
        case.set(
            "minimum_certification = \"certified\"",
            "minimum_certification = \"none\"",
        );
        case.set("allow_aaguids = []", line);
        let leaf = case.root.issue(leaf);
        let statement = Statement::default()
            .bytes("sig", leaf.key.sign(&case.ceremony.signed_u2f()))
            .chain(vec![leaf.der.clone()]);
        let anchors = [Anchor {
            certificate: case.root.certificate(),
            name: "racine".to_owned(),
            binding: Binding::Any,
        }];
        let sources = Sources {
            anchors: Some(&anchors),
            metadata: None,
        };
        let object = case.ceremony.object("fido-u2f", &statement);
        case.ask(&object, sources)
    };
    let bare = || Draft::leaf().without(oid::FIDO_AAGUID);
    let claimed = format!("allow_aaguids = [\"{}\"]", uuid::Uuid::from_bytes(AAGUID));
    let none = "allow_aaguids = []";
    assert_eq!(judged(false, none, bare()), "accepted");
    assert_eq!(judged(true, none, bare()), "user-verification-missing");
    assert_eq!(judged(false, &claimed, bare()), "model-not-listed");
    assert_eq!(judged(false, &claimed, Draft::leaf()), "accepted");
}

#[test]
fn refuses_by_ceremony() {
    let unverified = |c: &mut Case| {
        c.ceremony.flags &= !0x04;
        c.ceremony.expectation.require_uv = false;
    };
    assert_eq!(Case::with(unverified), "user-verification-missing");
    assert_eq!(Case::with(|c| c.ceremony.flags |= 0x08), "backup-eligible");
    assert_eq!(
        Case::with(|c| c.set("algorithms = [-7, ", "algorithms = [")),
        "algorithm-refused"
    );
    assert_eq!(
        Case::with(|c| c.set("formats = [\"packed\", ", "formats = [")),
        "format-refused"
    );
    // Ed448, 57 bytes: well-formed, and nothing that we could verify later.
    let ed448 = |c: &mut Case| {
        c.ceremony.cose = Some(
            [
                &[0xa4, 1, 1, 3, 0x38, 0x34, 0x20, 7, 0x21, 0x58, 57][..],
                &[3; 57],
            ]
            .concat(),
        )
    };
    assert_eq!(Case::with(ed448), "algorithm-not-verifiable");
}

#[test]
fn refuses_by_trust_with_the_reason_of_trust() {
    assert_eq!(
        Case::with(|c| c.entry["statusReports"] = json!([report("REVOKED")])),
        "revoked"
    );
    assert_eq!(
        Case::with(|c| c.root = Identity::root(Draft::authority("Autre"))),
        "unknown-root"
    );
    let case = Case::new();
    let object = case.ceremony.packed(&case.root.issue(Draft::leaf()), &[]);
    assert_eq!(case.ask(&object, Sources::default()), "trust-not-evaluated");
}

#[test]
fn refuses_by_lists() {
    let ours = "73636561-7520-7465-7374-206d6f64656c";
    assert_eq!(
        Case::with(|c| c.set(
            "allow_aaguids = []",
            &format!("allow_aaguids = [\"{ours}\"]")
        )),
        "accepted"
    );
    assert_eq!(
        Case::with(|c| c.set(
            "allow_aaguids = []",
            "allow_aaguids = [\"2fc0579f-8113-47ea-b116-bb5a8db9202a\"]"
        )),
        "model-not-listed"
    );
    assert_eq!(
        Case::with(|c| c.set("deny_aaguids = []", &format!("deny_aaguids = [\"{ours}\"]"))),
        "model-denied"
    );
    let for_managers = format!("[role.manager]\ndeny_aaguids = [\"{ours}\"]");
    assert_eq!(
        Case::with(|c| c.set("[role.manager]", &for_managers)),
        "accepted"
    );
    let as_manager = |c: &mut Case| {
        c.set("[role.manager]", &for_managers);
        c.roles = vec!["manager"];
    };
    assert_eq!(Case::with(as_manager), "model-denied");
    let listed = |name: &'static str, right: bool| {
        Case::with(|c| {
            let digest = if right {
                crate::maker::sha256(&c.root.der)
            } else {
                vec![7; 32]
            };
            c.set(
                &format!("{name} = []"),
                &format!("{name} = [\"{}\"]", hex::encode(digest)),
            );
        })
    };
    assert_eq!(listed("allow_anchors", true), "accepted");
    assert_eq!(listed("allow_anchors", false), "anchor-not-listed");
    assert_eq!(listed("deny_anchors", true), "anchor-denied");
    assert_eq!(listed("deny_anchors", false), "accepted");
}

#[test]
fn refuses_by_certification_and_role() {
    let certified = |status: &str, roles: &[&'static str]| {
        Case::with(|c| {
            c.entry["statusReports"] = json!([report(status)]);
            c.roles = roles.to_vec();
        })
    };
    assert_eq!(
        certified("NOT_FIDO_CERTIFIED", &[]),
        "certification-too-low"
    );
    assert_eq!(certified("FIDO_CERTIFIED", &[]), "accepted");
    assert_eq!(
        certified("FIDO_CERTIFIED", &["manager"]),
        "certification-too-low"
    );
    assert_eq!(certified("FIDO_CERTIFIED_L2plus", &["manager"]), "accepted");
    // A model that only an anchor of ours vouches for has no certification at all.
    let case = Case::new();
    let anchors = [Anchor {
        certificate: case.root.certificate(),
        name: "a".to_owned(),
        binding: Binding::Any,
    }];
    let object = case.ceremony.packed(&case.root.issue(Draft::leaf()), &[]);
    assert_eq!(
        case.ask(
            &object,
            Sources {
                anchors: Some(&anchors),
                metadata: None
            }
        ),
        "certification-too-low"
    );
    let mut lenient = case;
    lenient.set(
        "minimum_certification = \"certified\"",
        "minimum_certification = \"none\"",
    );
    assert_eq!(
        lenient.ask(
            &object,
            Sources {
                anchors: Some(&anchors),
                metadata: None
            }
        ),
        "accepted"
    );
}

#[test]
fn refuses_keys_kept_in_software() {
    for kept in [
        json!(["software"]),
        json!(["software", "hardware"]),
        json!(["tee"]),
        json!([]),
    ] {
        assert_eq!(
            Case::with(|c| c.entry["metadataStatement"]["keyProtection"] = kept.clone()),
            "key-protection-too-low",
            "{kept}"
        );
    }
    assert_eq!(
        Case::with(|c| c.entry["metadataStatement"]["keyProtection"] = json!(["hardware"])),
        "accepted"
    );
}

#[test]
fn retired_models_keep_their_enrolled_keys() {
    let retired = json!([report("FIDO_CERTIFIED_L1"), report("RETIRED")]);
    let with = |occasion, rule: &str| {
        Case::with(|c| {
            c.entry["statusReports"] = retired.clone();
            c.occasion = occasion;
            c.set("retired = \"existing\"", &format!("retired = \"{rule}\""));
        })
    };
    assert_eq!(with(Occasion::Enrolment, "existing"), "model-retired");
    assert_eq!(with(Occasion::Existing, "existing"), "accepted");
    assert_eq!(with(Occasion::Existing, "refused"), "model-retired");
    assert_eq!(with(Occasion::Enrolment, "accepted"), "accepted");
}

#[test]
fn overdue_metadata_stops_enrolments_after_its_grace() {
    // nextUpdate 2026-12-01, grace 30 days, hence until 2026-12-31, 40 days from now.
    for (days, occasion, expected) in [
        (9, Occasion::Enrolment, "accepted"),
        (40, Occasion::Enrolment, "accepted"),
        (41, Occasion::Enrolment, "metadata-stale"),
        (41, Occasion::Existing, "accepted"),
    ] {
        let overdue = |c: &mut Case| (c.days, c.occasion) = (days, occasion);
        assert_eq!(Case::with(overdue), expected, "{days} {occasion:?}");
    }
}

#[test]
fn an_enrolment_is_refused_when_the_second_verifier_disagrees() {
    // Level 1 client data that webauthn-rs does not parse and ours, as Level 3 says, ignores.
    let contested = |occasion| {
        Case::with(|c| {
            c.ceremony.client["tokenBinding"] = json!("unused");
            c.occasion = occasion;
        })
    };
    assert_eq!(contested(Occasion::Enrolment), "second-verifier-disagrees");
    assert_eq!(contested(Occasion::Existing), "accepted");
}

#[test]
fn a_model_revoked_by_a_new_list_falls_at_the_same_question() {
    let case = Case::new();
    let object = case.ceremony.packed(
        &case.root.issue(Draft::leaf().without(oid::FIDO_AAGUID)),
        &[],
    );
    let publisher = Publisher::new();
    let before: Metadata = publisher.publish(std::slice::from_ref(&case.entry));
    let mut fallen = case.entry.clone();
    fallen["statusReports"] = json!([
        report("FIDO_CERTIFIED_L1"),
        report("USER_KEY_REMOTE_COMPROMISE")
    ]);
    let after = publisher.publish(&[fallen]);
    assert_eq!(
        case.ask(
            &object,
            Sources {
                anchors: None,
                metadata: Some(&before)
            }
        ),
        "accepted"
    );
    assert_eq!(
        case.ask(
            &object,
            Sources {
                anchors: None,
                metadata: Some(&after)
            }
        ),
        "user-key-remote-compromise"
    );
}

#[test]
fn the_documentation_has_every_word() {
    let text = include_str!("../../../docs/attestation.md");
    let all = [
        sceau_proof::attestation::REASONS,
        sceau_proof::attestation::trust::REASONS,
        REASONS,
    ];
    for (word, meaning) in all.into_iter().flatten() {
        assert!(
            text.contains(&format!("| `{word}` | {meaning} |")),
            "{word}"
        );
    }
}
