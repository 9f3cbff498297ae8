mod approval;
mod enrolment;
mod issuer;

use std::path::Path;

use sceau_proof::action::Action;
use sceau_proof::attestation::trust::{Anchor, Binding, Sources};
use sceau_proof::base64url;
use sceau_proof::certificate::Certificate;
use sceau_proof::presence::Beat;
use sceau_server::config;
use sceau_server::desk::{DeskError, InboxEvent};
use serde_json::{Value, json};
use time::{OffsetDateTime, macros::datetime};

use crate::api::Served;
use crate::card::{Authority, Card, GOOD, Kind, Maker, POLICY, Says};
use crate::fixture::{AGENT, Hand, Place};
use crate::wire::problem;
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
