use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use sceau_proof::action::Action;
use sceau_proof::attestation::trust::{Anchor, Binding, Sources};
use sceau_proof::base64url;
use sceau_proof::certificate::Certificate;
use sceau_proof::presence::Beat;
use sceau_server::config;
use sceau_server::desk::{DeskError, InboxEvent};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime, macros::datetime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::api::{Served, problem};
use crate::card::{Authority, Card, GOOD, Kind, Maker, POLICY, Says};
use crate::fixture::{AGENT, Hand, Place, URL};
use crate::wire::{Answer, Ask};

pub(crate) const NEVER: OffsetDateTime = datetime!(9999-12-31 0:00 UTC);

pub(crate) fn now() -> OffsetDateTime {
    use sceau_server::port::Clock as _;
    Hand::new().now()
}

/// A server that enrols cards, whose maker and administration are at hand.
pub(crate) struct House {
    pub(crate) served: Served,
    pub(crate) maker: Maker,
    pub(crate) administration: Authority,
    pub(crate) folder: tempfile::TempDir,
}

/// A card that was enrolled.
pub(crate) struct Enrolled {
    card: Card,
    key: String,
    token: String,
}

impl House {
    pub(crate) async fn start() -> Self {
        Self::with("", |crl| format!("crl = [{crl:?}]")).await
    }

    /// With these lines in `[piv]`, and in its issuer, given where the list is.
    pub(crate) async fn with(lines: &str, issuer: impl FnOnce(&Path) -> String) -> Self {
        Self::placed(lines, issuer, |_| ()).await
    }

    /// The same, where the place is another.
    pub(crate) async fn placed(
        lines: &str,
        issuer: impl FnOnce(&Path) -> String,
        change: impl FnOnce(&mut Place),
    ) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (maker, administration) = (Maker::new("Test Cards Root"), Authority::root("AC Cartes"));
        let roots = folder.path().join("roots");
        std::fs::create_dir(&roots).unwrap();
        std::fs::write(roots.join("maker.pem"), &maker.root.pem).unwrap();
        std::fs::write(folder.path().join("cards.pem"), &administration.pem).unwrap();
        let list = folder.path().join("cards.crl");
        std::fs::write(&list, administration.crl(&[], now(), 2)).unwrap();
        let text = format!(
            "roots = {roots:?}\n{lines}\n[[issuer]]\nname = \"Cards\"\ncertificate = {:?}\npolicies = [{POLICY:?}]\n{}\n",
            folder.path().join("cards.pem"),
            issuer(&list)
        );
        let piv: config::Piv = toml::from_str(&text).unwrap();
        Self {
            served: Served::with(|place| {
                change(place);
                place.piv = Some(piv);
            })
            .await,
            maker,
            administration,
            folder,
        }
    }

    /// Another instance, with `[piv]` as the place has it now, in place of the one before.
    pub(crate) async fn restart(&mut self) {
        self.served.restart().await;
    }

    pub(crate) fn revoke(&self, serials: &[i64], at: OffsetDateTime) {
        let list = self.administration.crl(serials, at, 2);
        std::fs::write(self.folder.path().join("cards.crl"), list).unwrap();
    }

    /// An invitation for a new person, opened.
    pub(crate) async fn opened(&self, id: &str, role: &str) -> Opened {
        let served = &self.served;
        let invite = json!({"person": {"id": id, "display": id, "roles": [role]}});
        let object = served
            .ask(&served.alice.token, "POST", "/v1/enrolments", Some(invite))
            .await
            .json();
        let approved = served.approve(&served.alice, &object).await.json();
        let secret = approved["result"]["invitation"].as_str().unwrap();
        let opened = served
            .send(
                Ask::new("POST", "/v1/enrolments/open")
                    .json(&json!({"invitation": secret}).to_string()),
            )
            .await
            .json();
        let action = Action::parse(opened["action"].to_string().as_bytes()).unwrap();
        Opened {
            secret: secret.to_owned(),
            challenge: *action.challenge().as_bytes(),
            answer: opened,
        }
    }

    async fn register(&self, opened: &Opened, response: Value) -> Answer {
        let target = format!(
            "/v1/enrolments/{}/registration",
            opened.answer["enrolment_id"].as_str().unwrap()
        );
        let body = json!({"invitation": opened.secret, "kind": "piv", "response": response, "transports": ["smart-card"]});
        self.served
            .send(Ask::new("POST", &target).json(&body.to_string()))
            .await
    }

    pub(crate) async fn refused(&self, opened: &Opened, response: Value) -> String {
        let answer = self.register(opened, response).await;
        problem(&answer, 422, "registration-refused");
        let words = &answer.json()["words"];
        assert!(
            words["fr"].is_string() && words["en"].is_string(),
            "{answer:?}"
        );
        answer.json()["reason"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn enrol(&self, id: &str, role: &str, card: Card) -> Enrolled {
        let opened = self.opened(id, role).await;
        let answer = self
            .register(&opened, shown(&card, &opened.challenge, AGENT))
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let answer = answer.json();
        assert_eq!(
            (&answer["kind"], &answer["aaguid"]),
            (&json!("piv"), &Value::Null)
        );
        Enrolled {
            card,
            key: answer["key_id"].as_str().unwrap().to_owned(),
            token: answer["session"]["token"].as_str().unwrap().to_owned(),
        }
    }

    /// An action of that type at the portal, asked for by a person.
    pub(crate) async fn wanted(&self, kind: &str, requester: &str) -> Value {
        let body = json!({"type": kind, "requester": requester,
            "target": {"kind": "account", "id": "jd", "display": "Jean Dupont"}, "params": {"email": "jd@ml.example"}});
        let answer = self
            .served
            .ask(crate::api::SERVICE, "POST", "/v1/actions", Some(body))
            .await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json()
    }

    async fn approve(&self, by: &Enrolled, action: &Value, response: Value) -> Answer {
        let target = format!("{}/approvals", action["status_url"].as_str().unwrap());
        let body = json!({"key_id": by.key, "response": response});
        self.served
            .ask(&by.token, "POST", &target, Some(body))
            .await
    }

    /// Signs and sends.
    pub(crate) async fn seal(&self, by: &Enrolled, action: &Value) -> Answer {
        self.approve(by, action, by.answer(action, AGENT)).await
    }

    /// The reason that the log has of the last approval that was rejected.
    pub(crate) async fn rejected(&self, action: &Value) -> String {
        let id = action["action"]["id"].as_str().unwrap().parse().unwrap();
        let bundle = self.served.desk.evidence(id).await.unwrap();
        let entries = bundle.log.entries.iter().rev();
        let mut entries = entries.map(|it| serde_json::from_slice::<Value>(&it.leaf).unwrap());
        let entry = entries
            .find(|it| it["type"] == "approval.rejected")
            .unwrap();
        entry["data"]["reason"].as_str().unwrap().to_owned()
    }
}

pub(crate) struct Opened {
    secret: String,
    pub(crate) challenge: [u8; 32],
    answer: Value,
}

pub(crate) fn shown(card: &Card, challenge: &[u8; 32], origin: &str) -> Value {
    let text = |der: &Option<Vec<u8>>| der.as_ref().map(base64url::encode);
    json!({"origin": origin, "signature": base64url::encode(card.sign(challenge, origin)), "attestation": text(&card.attestation),
        "certificate": text(&card.certificate), "intermediates": card.intermediates.iter().map(base64url::encode).collect::<Vec<_>>()})
}

impl Enrolled {
    fn answer(&self, action: &Value, origin: &str) -> Value {
        let action = Action::parse(action["action"].to_string().as_bytes()).unwrap();
        let signature = self.card.sign(action.challenge().as_bytes(), origin);
        json!({"origin": origin, "signature": base64url::encode(signature)})
    }
}

#[tokio::test]
async fn cards_of_each_kind_enrol_approve_and_leave_evidence() {
    let house = House::start().await;
    for (id, kind) in [
        ("carl", Kind::P256),
        ("dana", Kind::P384),
        ("emil", Kind::Rsa),
    ] {
        let card = house
            .enrol(id, "manager", house.maker.card(kind, GOOD))
            .await;
        let me = house
            .served
            .ask(&card.token, "GET", "/v1/me", None)
            .await
            .json();
        let key = &me["keys"][0];
        assert_eq!(key["kind"], "piv");
        assert_eq!(
            (&key["credential_id"], &key["aaguid"]),
            (&Value::Null, &Value::Null)
        );
        assert_eq!(key["public_key_spki"], base64url::encode(card.card.spki()));
        assert_eq!(key["transports"], json!(["smart-card"]));

        let action = house.wanted("account.create", id).await;
        let approved = house.seal(&card, &action).await;
        assert_eq!(approved.status, 200, "{approved:?}");
        assert_eq!(approved.json()["state"], "approved");
        let url = action["status_url"].as_str().unwrap();
        let seen = house
            .served
            .ask(crate::api::SERVICE, "GET", url, None)
            .await
            .json();
        let permit = seen["permit"].as_str().unwrap();
        let claims = base64url::decode(permit.split('.').nth(1).unwrap()).unwrap();
        let claims: Value = serde_json::from_slice(&claims).unwrap();
        assert_eq!(claims["amr"], json!(["pop", "hwk", "pin", "mfa"]));
        assert_eq!(claims["acr"], "eidas3");
        accepted(&house, &action).await;
    }
}

/// The evidence convinces an auditor who has the maker's root, and not one who has another.
async fn accepted(house: &House, action: &Value) {
    let id = action["action"]["id"].as_str().unwrap().parse().unwrap();
    let bundle = house
        .served
        .desk
        .evidence(id)
        .await
        .unwrap()
        .to_json()
        .unwrap();
    let anchor = |pem: &str| Anchor {
        certificate: Certificate::from_pem(pem.as_bytes()).unwrap().remove(0),
        name: "root".to_owned(),
        binding: Binding::Any,
    };
    let vkey = Place::log_vkey();
    let check = |pem: &str| {
        let anchors = [anchor(pem)];
        let trust = sceau_proof::evidence::Trust {
            log: &vkey,
            witnesses: &[],
            sources: Sources {
                anchors: Some(&anchors),
                metadata: None,
            },
            at: None,
        };
        sceau_proof::evidence::check(&bundle, &trust)
    };
    let report = check(&house.maker.root.pem);
    assert!(report.accepted(), "{:#?}", report.checks());
    assert!(!check(&Maker::new("Test Cards Root").root.pem).accepted());
}

#[tokio::test]
async fn a_four_eyes_action_takes_a_card_and_a_fido2_key() {
    let house = House::start().await;
    let carl = house
        .enrol("carl", "manager", house.maker.card(Kind::P256, GOOD))
        .await;
    // Two administrators or managers (Carl was enrolled by Alice, so he does not count for her), and the requester's own besides.
    let action = house.wanted("vault.open", "bob").await;
    let served = &house.served;
    assert_eq!(
        served.approve(&served.bob, &action).await.json()["state"],
        "pending"
    );
    assert_eq!(house.seal(&carl, &action).await.json()["state"], "pending");
    assert_eq!(
        served.approve(&served.alice, &action).await.json()["state"],
        "approved"
    );
    let id = action["action"]["id"].as_str().unwrap().parse().unwrap();
    let bundle = served.desk.evidence(id).await.unwrap();
    let kinds: Vec<_> = bundle
        .approvals
        .iter()
        .map(|it| it.key["kind"].as_str().unwrap())
        .collect();
    assert_eq!(kinds, ["fido2", "piv", "fido2"]);
}

#[tokio::test]
async fn a_card_signs_its_owner_in() {
    let house = House::start().await;
    let carl = house
        .enrol("carl", "manager", house.maker.card(Kind::P256, GOOD))
        .await;
    let asked = json!({"person": "carl", "kind": "agent"});
    let opened = house
        .served
        .send(Ask::new("POST", "/v1/sessions").json(&asked.to_string()))
        .await
        .json();
    assert_eq!(opened["keys"][0]["kind"], "piv");
    let pending = Enrolled {
        token: opened["token"].as_str().unwrap().to_owned(),
        ..carl
    };
    let action = json!({"action": opened["action"],
        "status_url": format!("/v1/actions/{}", opened["action"]["id"].as_str().unwrap())});
    assert_eq!(
        house.seal(&pending, &action).await.json()["state"],
        "executed"
    );
    let me = house
        .served
        .ask(&pending.token, "GET", "/v1/me", None)
        .await;
    assert_eq!(me.status, 200, "{me:?}");
}

/// What a card's slot 9E attests: neither PIN nor touch.
const SILENT: Says = Says {
    slot: "9e",
    pin: 1,
    touch: 1,
    ..GOOD
};

/// What a card answers to a beat's challenge.
type Answers<'a> = &'a dyn Fn(&Card, &[u8; 32]) -> Vec<u8>;

#[tokio::test]
async fn a_card_proves_presence_by_the_silent_key_that_it_attests_and_by_nothing_else() {
    let rule = "kinds = [\"browser\"]\ninterval = \"15s\"";
    let house = House::placed(
        "",
        |crl| format!("crl = [{crl:?}]"),
        |place| place.presence = Some(toml::from_str(rule).unwrap()),
    )
    .await;
    let maker = &house.maker;
    let carl = house
        .enrol("carl", "manager", maker.card(Kind::P256, GOOD))
        .await;
    let agent = house.served.desk.session(&carl.token).await;
    let agent = agent.unwrap().unwrap();
    let asked = json!({"person": "carl", "kind": "browser"});
    let opened = house
        .served
        .send(Ask::new("POST", "/v1/sessions").json(&asked.to_string()))
        .await
        .json();
    let action = json!({"action": opened["action"],
        "status_url": format!("/v1/actions/{}", opened["action"]["id"].as_str().unwrap())});
    let browser = Enrolled {
        token: opened["token"].as_str().unwrap().to_owned(),
        ..carl
    };
    assert_eq!(
        house.seal(&browser, &action).await.json()["state"],
        "executed"
    );

    let prove = async |beside: &Card, of: Answers<'_>| {
        let mut inbox = house.served.desk.subscribe_session(&agent).await.unwrap();
        let asked = loop {
            if let InboxEvent::Presence(asked) = inbox.next().await.unwrap() {
                break asked;
            }
        };
        let sessions = asked.sessions.iter().map(|id| id.0).collect();
        let beat = Beat::new(asked.nonce, asked.key.0, sessions).unwrap();
        let body = json!({
            "nonce": base64url::encode(asked.nonce),
            "card": {
                "attestation": base64url::encode(beside.attestation.as_ref().unwrap()),
                "intermediates": beside.intermediates.iter().map(base64url::encode).collect::<Vec<_>>(),
                "origin": AGENT,
                "signature": base64url::encode(of(beside, &beat.challenge())),
            },
        });
        let path = "/v1/presence/proofs";
        house
            .served
            .ask(&carl.token, "POST", path, Some(body))
            .await
    };
    let honest = |card: &Card, challenge: &[u8; 32]| card.sign_presence(challenge, AGENT);
    let proven = prove(&maker.card(Kind::P256, SILENT), &honest).await;
    assert_eq!(proven.status, 200, "{proven:?}");
    assert_eq!(proven.json()["sessions"].as_array().map(Vec::len), Some(1));

    let stranger = Maker::new("Test Cards Root");
    let says = |serial, pin, touch| Says {
        serial,
        pin,
        touch,
        ..SILENT
    };
    let refused: [(Card, Answers<'_>, &str); 6] = [
        (maker.card(Kind::P256, says(4, 1, 1)), &honest, "other-card"),
        (maker.card(Kind::P256, GOOD), &honest, "other-card"),
        (
            stranger.card(Kind::P256, SILENT),
            &honest,
            "chain-signature-invalid",
        ),
        (maker.card(Kind::P256, says(3, 1, 2)), &honest, "not-silent"),
        (
            maker.card(Kind::P256, SILENT),
            &|card, _| card.sign_presence(&[7; 32], AGENT),
            "signature-invalid",
        ),
        (
            maker.card(Kind::P256, SILENT),
            &|card, challenge| card.sign(challenge, AGENT),
            "signature-invalid",
        ),
    ];
    for (card, of, reason) in refused {
        let answer = prove(&card, of).await;
        problem(&answer, 422, "not-verified");
        let told = crate::conformance::log(&house.served.desk).await;
        let last = told
            .iter()
            .rfind(|entry| entry.kind() == "presence.rejected");
        assert_eq!(last.unwrap().data()["reason"], reason);
    }
}

async fn refusal_of(says: Says) -> String {
    let house = House::start().await;
    let opened = house.opened("carl", "manager").await;
    let card = house.maker.card(Kind::P256, says);
    house
        .refused(&opened, shown(&card, &opened.challenge, AGENT))
        .await
}

#[tokio::test]
async fn rejects_keys_that_sign_without_a_touch() {
    assert_eq!(
        refusal_of(Says { touch: 1, ..GOOD }).await,
        "touch-policy-never"
    );
}

#[tokio::test]
async fn rejects_keys_whose_touch_is_cached() {
    assert_eq!(
        refusal_of(Says { touch: 3, ..GOOD }).await,
        "touch-policy-cached"
    );
}

#[tokio::test]
async fn rejects_keys_that_never_ask_for_the_pin() {
    assert_eq!(
        refusal_of(Says { pin: 1, ..GOOD }).await,
        "pin-policy-never"
    );
}

#[tokio::test]
async fn rejects_keys_that_ask_for_the_pin_once() {
    assert_eq!(refusal_of(Says { pin: 2, ..GOOD }).await, "pin-policy-once");
}

#[tokio::test]
async fn rejects_keys_of_another_slot() {
    assert_eq!(refusal_of(Says { slot: "9a", ..GOOD }).await, "slot-not-9c");
}

#[tokio::test]
async fn rejects_rsa_keys_of_the_firmware_that_makes_them_weak() {
    let house = House::start().await;
    let opened = house.opened("carl", "manager").await;
    let weak = Says {
        firmware: [4, 3, 1],
        ..GOOD
    };
    let response = |kind| shown(&house.maker.card(kind, weak), &opened.challenge, AGENT);
    assert_eq!(
        house.refused(&opened, response(Kind::Rsa)).await,
        "weak-key-generation"
    );
    assert_eq!(
        house.register(&opened, response(Kind::P256)).await.status,
        201
    );
}

#[tokio::test]
async fn rejects_cards_of_an_unknown_maker_with_the_same_name() {
    let house = House::start().await;
    let opened = house.opened("carl", "manager").await;
    let impostor = Maker::new("Test Cards Root").card(Kind::P256, GOOD);
    let reason = house
        .refused(&opened, shown(&impostor, &opened.challenge, AGENT))
        .await;
    assert_eq!(reason, "chain-signature-invalid");
}

#[tokio::test]
async fn rejects_an_attestation_of_another_key_than_the_one_that_signs() {
    let house = House::start().await;
    let opened = house.opened("carl", "manager").await;
    let (genuine, software) = (
        house.maker.card(Kind::P256, GOOD),
        house.maker.card(Kind::P256, GOOD),
    );
    let mut response = shown(&genuine, &opened.challenge, AGENT);
    response["signature"] = json!(base64url::encode(software.sign(&opened.challenge, AGENT)));
    assert_eq!(house.refused(&opened, response).await, "signature-invalid");
}

#[tokio::test]
async fn rejects_a_registration_from_another_origin() {
    let house = House::start().await;
    let opened = house.opened("carl", "manager").await;
    let card = house.maker.card(Kind::P256, GOOD);
    // A browser's origin is not a card's, though it is one of the server's.
    for origin in ["sceau-agent://evil.example", URL] {
        let reason = house
            .refused(&opened, shown(&card, &opened.challenge, origin))
            .await;
        assert_eq!(reason, "origin-mismatch");
    }
}

#[tokio::test]
async fn rejects_a_registration_for_another_challenge() {
    let house = House::start().await;
    let opened = house.opened("carl", "manager").await;
    let card = house.maker.card(Kind::P256, GOOD);
    let reason = house.refused(&opened, shown(&card, &[7; 32], AGENT)).await;
    assert_eq!(reason, "signature-invalid");
}

#[tokio::test]
async fn rejects_a_card_that_shows_nothing() {
    let house = House::start().await;
    let opened = house.opened("carl", "manager").await;
    let mut response = shown(
        &house.maker.card(Kind::P256, GOOD),
        &opened.challenge,
        AGENT,
    );
    response["attestation"] = Value::Null;
    assert_eq!(house.refused(&opened, response).await, "no-attestation");
}

#[tokio::test]
async fn rejects_a_card_that_is_enrolled_already() {
    let house = House::start().await;
    let carl = house
        .enrol("carl", "manager", house.maker.card(Kind::P256, GOOD))
        .await;
    let opened = house.opened("dana", "manager").await;
    let reason = house
        .refused(&opened, shown(&carl.card, &opened.challenge, AGENT))
        .await;
    assert_eq!(reason, "credential-known");
}

#[tokio::test]
async fn rejects_cards_where_none_is_configured() {
    let served = Served::with(|_| ()).await;
    let house = House {
        served,
        maker: Maker::new("Test Cards Root"),
        administration: Authority::root("AC Cartes"),
        folder: tempfile::tempdir().unwrap(),
    };
    let opened = house.opened("carl", "manager").await;
    assert_eq!(opened.answer["piv"], Value::Null);
    let card = house.maker.card(Kind::P256, GOOD);
    let reason = house
        .refused(&opened, shown(&card, &opened.challenge, AGENT))
        .await;
    assert_eq!(reason, "cards-not-enrolled");
}

#[tokio::test]
async fn rejects_cards_that_are_not_on_the_list_of_serials() {
    let house = House::with("serials = [1]", |crl| format!("crl = [{crl:?}]")).await;
    let opened = house.opened("carl", "manager").await;
    let card = house.maker.card(Kind::P256, GOOD);
    let reason = house
        .refused(&opened, shown(&card, &opened.challenge, AGENT))
        .await;
    assert_eq!(reason, "serial-not-listed");
}

#[tokio::test]
async fn rejects_old_firmware_and_other_editions_where_it_is_asked() {
    let lines = "minimum_firmware = \"5.8.0\"";
    let house = House::with(lines, |crl| format!("crl = [{crl:?}]")).await;
    let opened = house.opened("carl", "manager").await;
    let card = house.maker.card(Kind::P256, GOOD);
    let response = shown(&card, &opened.challenge, AGENT);
    assert_eq!(house.refused(&opened, response).await, "firmware-too-old");
    let house = House::with("edition = \"fips\"", |crl| format!("crl = [{crl:?}]")).await;
    let opened = house.opened("carl", "manager").await;
    let card = house.maker.card(Kind::P256, GOOD);
    let response = shown(&card, &opened.challenge, AGENT);
    assert_eq!(
        house.refused(&opened, response).await,
        "edition-not-certified"
    );
}

#[tokio::test]
async fn a_registration_that_is_not_of_its_form_is_malformed() {
    let house = House::start().await;
    let opened = house.opened("carl", "manager").await;
    let good = shown(
        &house.maker.card(Kind::P256, GOOD),
        &opened.challenge,
        AGENT,
    );
    for (member, value) in [
        ("origin", Value::Null),
        ("origin", json!("x".repeat(301))),
        ("signature", Value::Null),
        ("signature", json!("+/==")),
        ("attestation", json!("!")),
        ("intermediates", json!(["!"])),
    ] {
        let mut response = good.clone();
        response[member] = value;
        problem(&house.register(&opened, response).await, 400, "malformed");
    }
    let mut junk = good.clone();
    junk["attestation"] = json!(base64url::encode(b"no certificate"));
    assert_eq!(house.refused(&opened, junk).await, "certificate-malformed");
    let mut many = good;
    many["intermediates"] = json!(vec![base64url::encode(b"x"); 9]);
    assert_eq!(house.refused(&opened, many).await, "chain-too-long");
}

#[tokio::test]
async fn rejects_an_approval_by_another_key() {
    let house = House::start().await;
    let carl = house
        .enrol("carl", "manager", house.maker.card(Kind::P256, GOOD))
        .await;
    let action = house.wanted("account.create", "carl").await;
    let other = Enrolled {
        card: house.maker.card(Kind::P256, GOOD),
        key: carl.key.clone(),
        token: carl.token.clone(),
    };
    problem(&house.seal(&other, &action).await, 422, "not-verified");
    assert_eq!(house.rejected(&action).await, "signature-invalid");
    assert_eq!(house.seal(&carl, &action).await.status, 200);
}

#[tokio::test]
async fn rejects_an_approval_from_another_origin() {
    let house = House::start().await;
    let carl = house
        .enrol("carl", "manager", house.maker.card(Kind::P256, GOOD))
        .await;
    let action = house.wanted("account.create", "carl").await;
    for origin in ["sceau-agent://evil.example", URL] {
        let answer = house
            .approve(&carl, &action, carl.answer(&action, origin))
            .await;
        problem(&answer, 422, "not-verified");
        assert_eq!(house.rejected(&action).await, "origin-mismatch");
    }
}

#[tokio::test]
async fn rejects_a_signature_that_was_made_for_another_action() {
    let house = House::start().await;
    let carl = house
        .enrol("carl", "manager", house.maker.card(Kind::P256, GOOD))
        .await;
    let first = house.wanted("account.create", "carl").await;
    let second = house.wanted("account.create", "carl").await;
    let answer = carl.answer(&first, AGENT);
    assert_eq!(
        house.approve(&carl, &first, answer.clone()).await.status,
        200
    );
    problem(
        &house.approve(&carl, &first, answer.clone()).await,
        409,
        "already-settled",
    );
    problem(
        &house.approve(&carl, &second, answer).await,
        422,
        "not-verified",
    );
    assert_eq!(house.rejected(&second).await, "signature-invalid");
}

#[tokio::test]
async fn rejects_an_answer_of_another_kind_of_key() {
    let house = House::start().await;
    let carl = house
        .enrol("carl", "manager", house.maker.card(Kind::P256, GOOD))
        .await;
    let action = house.wanted("account.create", "carl").await;
    let record = house.served.record(&action).await;
    let assertion = house
        .served
        .alice
        .claim(&record)
        .response
        .to_value()
        .unwrap();
    problem(
        &house.approve(&carl, &action, assertion).await,
        422,
        "not-verified",
    );
    assert_eq!(house.rejected(&action).await, "key-kind");
    for response in [
        json!({"signature": "AA"}),
        json!({"signature": "AA", "origin": AGENT, "client_data_json": "AA"}),
        json!({"signature": "AA", "origin": "x".repeat(301)}),
    ] {
        problem(
            &house.approve(&carl, &action, response).await,
            400,
            "malformed",
        );
    }
}

#[tokio::test]
async fn rejects_an_approval_by_a_revoked_card_key() {
    let house = House::start().await;
    let carl = house
        .enrol("carl", "manager", house.maker.card(Kind::P256, GOOD))
        .await;
    let action = house.wanted("account.create", "carl").await;
    let revoke = json!({"type": "key.revoke", "requester": "alice", "params": {"key_id": carl.key},
        "target": {"kind": "key", "id": carl.key, "display": "card"}});
    let served = &house.served;
    let asked = served
        .ask(&served.alice.token, "POST", "/v1/actions", Some(revoke))
        .await;
    let done = served.approve(&served.alice, &asked.json()).await;
    assert_eq!(done.json()["state"], "executed", "{done:?}");
    // Its session ended with it; by another session of Carl's it counts no more either.
    problem(&house.seal(&carl, &action).await, 401, "session-ended");
    let other = house
        .enrol("carl", "manager", house.maker.card(Kind::P256, GOOD))
        .await;
    let carl = Enrolled {
        token: other.token,
        ..carl
    };
    problem(&house.seal(&carl, &action).await, 422, "not-verified");
    assert_eq!(house.rejected(&action).await, "key-revoked");
}

#[tokio::test]
async fn rejects_an_approval_that_comes_too_late() {
    let house = House::start().await;
    let carl = house
        .enrol("carl", "manager", house.maker.card(Kind::P256, GOOD))
        .await;
    let action = house.wanted("account.create", "carl").await;
    house.served.place.clock.shift(Duration::minutes(6));
    problem(&house.seal(&carl, &action).await, 410, "expired");
}

#[tokio::test]
async fn a_card_that_does_not_ask_each_time_seals_only_what_needs_a_touch() {
    let lines = "pin = [\"once\", \"always\"]";
    let house = House::with(lines, |crl| format!("crl = [{crl:?}]")).await;
    let card = house.maker.card(Kind::P256, Says { pin: 2, ..GOOD });
    let carl = house.enrol("carl", "manager", card).await;
    let action = house.wanted("account.create", "carl").await;
    let answer = house.seal(&carl, &action).await;
    problem(&answer, 403, "not-an-approver");
    assert_eq!(answer.json()["reason"], "key-without-pin-each-time");
    let action = house.wanted("note.touch", "carl").await;
    assert_eq!(house.seal(&carl, &action).await.status, 200);
}

#[tokio::test]
async fn a_card_by_its_issuer_seals_only_where_a_rule_allows_it() {
    let house = House::start().await;
    let card = Card::issued(&house.administration, 0x1234, NEVER);
    let carl = house.enrol("carl", "manager", card).await;
    let action = house.wanted("account.create", "carl").await;
    let answer = house.seal(&carl, &action).await;
    problem(&answer, 403, "not-an-approver");
    assert_eq!(answer.json()["reason"], "key-not-attested");
    // Their agent is not offered it for that action, and is for the other.
    let person = "carl".parse().unwrap();
    let offered = async |kind: &str| {
        let action = house.wanted(kind, "carl").await;
        let record = house.served.record(&action).await;
        let keys = house.served.desk.keys_for(&person, &record).await;
        keys.unwrap().len()
    };
    assert_eq!(offered("account.create").await, 0);
    assert_eq!(offered("note.write").await, 1);
    let action = house.wanted("note.write", "carl").await;
    assert_eq!(house.seal(&carl, &action).await.status, 200);
    let id = action["action"]["id"].as_str().unwrap().parse().unwrap();
    let bundle = house.served.desk.evidence(id).await.unwrap();
    let registration = &bundle.approvals[0].key["registration"];
    assert!(registration["certificate"].is_string() && registration.get("attestation").is_none());
    let log = bundle.to_json().unwrap();
    let report = sceau_proof::evidence::check(
        &log,
        &sceau_proof::evidence::Trust {
            log: &Place::log_vkey(),
            witnesses: &[],
            sources: Sources {
                anchors: Some(&[Anchor {
                    certificate: Certificate::from_pem(house.administration.pem.as_bytes())
                        .unwrap()
                        .remove(0),
                    name: "AC".to_owned(),
                    binding: Binding::Any,
                }]),
                metadata: None,
            },
            at: None,
        },
    );
    assert!(report.accepted(), "{:#?}", report.checks());
    // The holder's name is in the certificate, which the bundle shows, and in no entry of the log.
    for entry in &bundle.log.entries {
        assert!(!String::from_utf8_lossy(&entry.leaf).contains("Camille"));
    }
}

#[tokio::test]
async fn rejects_a_card_of_another_issuer() {
    let house = House::start().await;
    let opened = house.opened("carl", "manager").await;
    for (name, reason) in [
        ("AC Autre", "unknown-root"),
        ("AC Cartes", "chain-signature-invalid"),
    ] {
        let card = Card::issued(&Authority::root(name), 1, NEVER);
        let response = shown(&card, &opened.challenge, AGENT);
        assert_eq!(house.refused(&opened, response).await, reason);
    }
}

#[tokio::test]
async fn rejects_a_revoked_card() {
    let house = House::start().await;
    house.revoke(&[0x1234], now());
    let opened = house.opened("carl", "manager").await;
    let card = Card::issued(&house.administration, 0x1234, NEVER);
    let response = shown(&card, &opened.challenge, AGENT);
    assert_eq!(
        house.refused(&opened, response).await,
        "certificate-revoked"
    );
}

#[tokio::test]
async fn rejects_a_card_when_the_list_is_too_old() {
    let house = House::start().await;
    house.served.place.clock.shift(Duration::hours(25));
    let alice = house
        .served
        .alice
        .sign_in(
            &house.served.desk,
            sceau_server::session::SessionKind::Agent,
        )
        .await;
    let mut house = house;
    house.served.alice.token = alice;
    let opened = house.opened("carl", "manager").await;
    let card = Card::issued(&house.administration, 0x1234, NEVER);
    let response = shown(&card, &opened.challenge, AGENT);
    assert_eq!(
        house.refused(&opened, response.clone()).await,
        "crl-not-fresh"
    );
    house.revoke(&[], now() + Duration::hours(25));
    assert_eq!(house.register(&opened, response).await.status, 201);
}

#[tokio::test]
async fn rejects_a_card_when_there_is_no_list() {
    let house = House::start().await;
    std::fs::remove_file(house.folder.path().join("cards.crl")).unwrap();
    let opened = house.opened("carl", "manager").await;
    let card = Card::issued(&house.administration, 0x1234, NEVER);
    let response = shown(&card, &opened.challenge, AGENT);
    assert_eq!(house.refused(&opened, response).await, "crl-missing");
}

#[tokio::test]
async fn a_card_that_is_revoked_after_enrolment_approves_nothing_more() {
    let house = House::start().await;
    let carl = house
        .enrol(
            "carl",
            "manager",
            Card::issued(&house.administration, 0x1234, NEVER),
        )
        .await;
    let action = house.wanted("note.write", "carl").await;
    house.revoke(&[0x1234], now());
    problem(&house.seal(&carl, &action).await, 422, "not-verified");
    assert_eq!(house.rejected(&action).await, "certificate-revoked");
}

#[tokio::test]
async fn a_card_whose_list_grows_old_approves_nothing_until_there_is_a_new_one() {
    let house = House::with("", |crl| format!("crl = [{crl:?}]\ncrl_max_age = \"10m\"")).await;
    let carl = house
        .enrol(
            "carl",
            "manager",
            Card::issued(&house.administration, 0x1234, NEVER),
        )
        .await;
    house.served.place.clock.shift(Duration::minutes(11));
    let action = house.wanted("note.write", "carl").await;
    problem(&house.seal(&carl, &action).await, 422, "not-verified");
    assert_eq!(house.rejected(&action).await, "crl-not-fresh");
    house.revoke(&[], now() + Duration::minutes(11));
    assert_eq!(house.seal(&carl, &action).await.status, 200);
}

#[tokio::test]
async fn a_card_that_expires_approves_nothing_more() {
    let house = House::start().await;
    let until = now() + Duration::minutes(10);
    let carl = house
        .enrol(
            "carl",
            "manager",
            Card::issued(&house.administration, 0x1234, until),
        )
        .await;
    house.served.place.clock.shift(Duration::minutes(11));
    let action = house.wanted("note.write", "carl").await;
    problem(&house.seal(&carl, &action).await, 422, "not-verified");
    assert_eq!(house.rejected(&action).await, "certificate-expired");
}

/// Serves one body at `http://…/cards.crl`; counts how often it is asked.
async fn list_server(body: Vec<u8>) -> (SocketAddr, Arc<AtomicUsize>, tokio::task::JoinHandle<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, asked) = (
        listener.local_addr().unwrap(),
        Arc::new(AtomicUsize::new(0)),
    );
    let count = Arc::clone(&asked);
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let _ = stream.read(&mut [0; 4096]).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            let _ = stream.write_all(&[head.as_bytes(), &body].concat()).await;
        }
    });
    (address, asked, serving)
}

#[tokio::test]
async fn a_list_at_an_address_is_kept_until_it_is_too_old() {
    let address = std::cell::RefCell::new(None);
    let holder = tempfile::tempdir().unwrap();
    let place = holder.path().join("list.crl");
    // The list has to be signed by the house's own administration, whose list lies in its folder: it is copied to the server afterwards.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let house = House::with("", |crl| {
        std::fs::copy(crl, &place).unwrap();
        address.replace(Some(port));
        format!("crl = [\"http://127.0.0.1:{port}/cards.crl\"]\ncrl_max_age = \"30m\"")
    })
    .await;
    let opened = house.opened("carl", "manager").await;
    let card = Card::issued(&house.administration, 0x1234, NEVER);
    let response = shown(&card, &opened.challenge, AGENT);
    assert_eq!(
        house.refused(&opened, response.clone()).await,
        "crl-missing",
        "nobody serves it"
    );

    let (served_at, asked, serving) = list_server(std::fs::read(&place).unwrap()).await;
    let forward = tokio::spawn(forward(port, served_at));
    assert_eq!(
        house.refused(&opened, response.clone()).await,
        "crl-missing",
        "not asked again so soon"
    );
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    house.served.place.clock.shift(Duration::minutes(9));
    house.served.place.clock.shift(Duration::seconds(59));
    assert_eq!(house.refused(&opened, response).await, "crl-missing");
    house.served.place.clock.shift(Duration::seconds(1));
    let opened = house.opened("dana", "manager").await;
    let carl = {
        let response = shown(&card, &opened.challenge, AGENT);
        let answer = house.register(&opened, response).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let answer = answer.json();
        Enrolled {
            card,
            key: answer["key_id"].as_str().unwrap().to_owned(),
            token: answer["session"]["token"].as_str().unwrap().to_owned(),
        }
    };
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    forward.abort();
    serving.abort();
    house.served.place.clock.shift(Duration::minutes(15));
    let action = house.wanted("note.write", "dana").await;
    assert_eq!(
        house.seal(&carl, &action).await.status,
        200,
        "kept, and fresh still"
    );
    house.served.place.clock.shift(Duration::minutes(10));
    let action = house.wanted("note.write", "dana").await;
    problem(&house.seal(&carl, &action).await, 422, "not-verified");
    assert_eq!(house.rejected(&action).await, "crl-not-fresh");
}

/// Listens on a port that was told to somebody before anybody served there.
async fn forward(port: u16, to: SocketAddr) {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .unwrap();
    while let Ok((mut near, _)) = listener.accept().await {
        let mut far = tokio::net::TcpStream::connect(to).await.unwrap();
        let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
    }
}

/// Of the conformance suite: what is kept of cards reads back on that store.
pub(crate) async fn a_card_is_kept_with_its_approval(mut place: Place) {
    let folder = tempfile::tempdir().unwrap();
    let maker = Maker::new("Test Cards Root");
    std::fs::write(folder.path().join("maker.pem"), &maker.root.pem).unwrap();
    place.piv = Some(toml::from_str(&format!("roots = {:?}", folder.path())).unwrap());
    let desk = place.desk("a").await.unwrap();
    let (alice, _) = place.found(&desk).await;
    let card = maker.card(Kind::P256, GOOD);
    let invitation = place.invitation(&desk, &alice, "carl", "manager").await;
    let opened = desk.open_enrolment(&invitation).await.unwrap();
    let challenge = |document: &str| {
        *Action::parse(document.as_bytes())
            .unwrap()
            .challenge()
            .as_bytes()
    };
    let answer = |document: &str| sceau_proof::piv::SignatureResponse {
        origin: AGENT.to_owned(),
        signature: card.sign(&challenge(document), AGENT),
    };
    let claim = sceau_server::piv::CardClaim {
        signature: answer(&opened.action.document),
        attestation: card.attestation.clone(),
        certificate: None,
        intermediates: card.intermediates.clone(),
        transports: vec!["smart-card".to_owned()],
        label: None,
    };
    let registered = desk
        .register_card(opened.id, &invitation, claim)
        .await
        .unwrap();
    let Ok(registered) = registered else {
        panic!("refused")
    };
    let carl: sceau_server::id::PersonId = "carl".parse().unwrap();
    // Another instance reads the rows.
    let other = place.desk("b").await.unwrap();
    let keys = other.keys(&carl).await.unwrap();
    assert_eq!(keys, [registered.key.summary()]);
    let asked = sceau_server::action::NewAction {
        requester: carl.clone(),
        ..alice.wants("account.create")
    };
    let record = desk
        .open_action(
            asked,
            sceau_server::action::Caller::Service("portal".parse().unwrap()),
        )
        .await
        .unwrap();
    let claim = sceau_server::desk::ApprovalClaim {
        person: carl,
        key: registered.key.id,
        response: sceau_proof::evidence::Response::Piv(answer(&record.document)),
    };
    other.approve(record.id, claim.clone()).await.unwrap();
    assert!(matches!(
        desk.approve(record.id, claim).await,
        Err(DeskError::AlreadySettled(_))
    ));
    let bundle = desk.evidence(record.id).await.unwrap();
    assert_eq!(bundle.approvals[0].response["origin"], AGENT);
    let bundle = bundle.to_json().unwrap();
    let trust = sceau_proof::evidence::Trust {
        log: &Place::log_vkey(),
        witnesses: &[],
        sources: Sources {
            anchors: None,
            metadata: None,
        },
        at: None,
    };
    let report = sceau_proof::evidence::check(&bundle, &trust);
    assert!(report.accepted(), "{:#?}", report.checks());
}
