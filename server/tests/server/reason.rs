use sceau_server::desk::DeskError;
use sceau_server::policy::Policy;
use serde_json::{Value, json};

use crate::api::Served;
use crate::fixture::{POLICY, SCHEMA, policy_of};
use crate::page::signed_in;
use crate::wire::Ask;

/// The tests' policy, with a word of its own.
fn with_a_word_of_its_own() -> Policy {
    let closed = r#"
@id("vault-closed")
@reason("vault-closed")
@reason_fr("La salle des coffres est fermée <le dimanche>.")
@reason_en("The vault is closed <on Sundays>.")
forbid (principal, action == Action::"note.write", resource);
"#;
    policy_of(SCHEMA, &format!("{POLICY}{closed}"))
}

#[tokio::test]
async fn the_log_says_why_in_words_with_the_code_beside() {
    let served = Served::with(|place| place.policy = with_a_word_of_its_own()).await;
    let desk = &served.desk;
    // A key that is revoked, an approval by a stranger to it, a rule of the house, and a word that is nobody's.
    let manon = served
        .place
        .invite(desk, &served.alice, "manon", "manager")
        .await;
    let revoke = json!({"key_id": manon.key, "reason": "pin-blocked"});
    let record = served.alice.ask_own(desk, "key.revoke", revoke).await;
    let record = record.unwrap();
    let refused = manon.approve(desk, &record).await;
    assert!(
        matches!(refused, Err(DeskError::NotAnApprover(_))),
        "{refused:?}"
    );
    served.alice.approve(desk, &record).await.unwrap();
    let denied = served.alice.ask(desk, "note.write").await.unwrap();
    assert_eq!(denied.denial.unwrap().reason, "vault-closed");
    let strange = json!({"reason": "<b>odd</b>", "limit": "lost"});
    let strange: &serde_json::Map<String, Value> = strange.as_object().unwrap();
    desk.note("alert.strange", None, strange.clone())
        .await
        .unwrap();

    let alice = signed_in(&served, &served.alice).await;
    let in_english = alice.page("/console/log").await.text();
    let under = |label: &str, words: &str, code: &str| {
        format!("<bdi>{label}</bdi> {words} <small><code>{code}</code></small>")
    };
    let said = |words: &str, code: &str| under("reason:", words, code);
    for (words, code) in [
        ("PIN blocked", "pin-blocked"),
        (
            "by somebody else than whoever asked for it",
            "not-requester",
        ),
        ("The vault is closed &lt;on Sundays&gt;.", "vault-closed"),
    ] {
        assert!(
            in_english.contains(&said(words, code)),
            "{code}: {in_english}"
        );
    }
    // Where nobody knows words the code stands alone; and nothing but reasons is taken for one.
    let other = "<bdi>limit:</bdi> <bdi>lost</bdi>";
    let strange = in_english.split("alert.strange").nth(1).unwrap();
    let strange = strange.split("</tr>").next().unwrap();
    assert!(
        strange.contains("<code>&lt;b&gt;odd&lt;/b&gt;</code>"),
        "{strange}"
    );
    assert!(strange.contains(other), "{strange}");

    let ask = Ask::new("GET", "/console/log")
        .header("Cookie", &alice.cookie)
        .header("Accept-Language", "fr");
    let in_french = served.send(ask).await.text();
    for (words, code) in [
        ("code PIN bloqué", "pin-blocked"),
        (
            "par quelqu’un d’autre que la personne qui l’avait demandée",
            "not-requester",
        ),
        (
            "La salle des coffres est fermée &lt;le dimanche&gt;.",
            "vault-closed",
        ),
    ] {
        assert!(
            in_french.contains(&under("raison\u{a0}:", words, code)),
            "{code}: {in_french}"
        );
    }
    // What happened is said in words too, with the type below; a type that nobody knows stands alone.
    for (shown, page) in [
        (
            "request denied by the policy<br><small><code>action.denied</code></small>",
            &in_english,
        ),
        (
            "demande interdite par la politique<br><small><code>action.denied</code></small>",
            &in_french,
        ),
        ("\"Quoi\"><code>alert.strange</code></td>", &in_french),
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }

    // One entry's own page, the alerts and the list of requests say the same.
    let alerts = alice.page("/console/alerts").await.text();
    assert!(
        alerts.contains("<code>&lt;b&gt;odd&lt;/b&gt;</code>"),
        "{alerts}"
    );
    let requests = alice.page("/console/actions?state=any").await.text();
    let vault = "The vault is closed &lt;on Sundays&gt;. <small><code>vault-closed</code></small>";
    assert!(requests.contains(vault), "{requests}");
    let of_key = in_english.split("<code>key.revoked</code>").next().unwrap();
    let number = of_key.rsplit("/console/log/").next().unwrap();
    let number = number.split('"').next().unwrap();
    let entry = alice.page(&format!("/console/log/{number}")).await.text();
    assert!(
        entry.contains(&said("PIN blocked", "pin-blocked")),
        "{entry}"
    );
    // The exact entry keeps the code alone.
    assert!(
        entry.contains("&quot;reason&quot;:&quot;pin-blocked&quot;"),
        "{entry}"
    );
}
