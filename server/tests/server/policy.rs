use std::path::Path;

use serde_json::{Value, json};
use time::Duration;

use crate::fixture::{POLICY, Place, SCHEMA, policy_of, write_policy};

pub(crate) const CONFIG: &str = r#"
[server]
public_url = "https://sceau.example"
rp_id = "sceau.example"
[store]
url = "sqlite:sceau.db"
[keys]
permit = "permit.pem"
log = "log.seed"
log_vkey = "log.vkey"
log_origin = "sceau.example/log"
[policy]
folder = "policy"
[attestation]
anchors = "anchors"
"#;

/// The real binary in this folder: exit code, what it printed, and complained.
fn command(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    command_in("C.UTF-8", folder, arguments)
}

pub(crate) fn command_in(
    locale: &str,
    folder: &Path,
    arguments: &[&str],
) -> (Option<i32>, String, String) {
    let out = std::process::Command::new(env!("CARGO_BIN_EXE_sceau-server"))
        .args(arguments)
        .args(["--config", "sceau.toml"])
        .current_dir(folder)
        .env("LC_ALL", locale)
        .output()
        .unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code(), text(out.stdout), text(out.stderr))
}

/// A month of a house: who asked for what, under the policy of that time; then another policy is tried on it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_month_of_actions_is_decided_again_and_explained() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("sceau.toml"), CONFIG).unwrap();
    std::fs::create_dir(at.join("anchors")).unwrap();
    let mut place = Place::new(format!("sqlite:{}", at.join("sceau.db").display()));
    let night = "@id(\"vault-closed\") @reason_fr(\"Le coffre est fermé.\") @reason_en(\"The vault is closed.\")\n\
                 forbid (principal, action == Action::\"vault.open\", resource) when { context.asked.day >= 9 };";
    let policy = format!("{POLICY}\n{night}");
    write_policy(at, SCHEMA, &policy);
    place.policy = policy_of(SCHEMA, &policy);
    // The command has the machine's clock, and looks 30 days back from it.
    let now = time::OffsetDateTime::now_utc();
    let behind = now - sceau_server::port::Clock::now(&place.clock);
    place.clock.shift(behind - Duration::days(40));
    let desk = place.desk("a").await.unwrap();
    let (alice, bob) = place.found(&desk).await;
    let old = alice.ask(&desk, "account.create").await.unwrap();
    place.clock.shift(Duration::days(20));
    let mut created = Vec::new();
    for _ in 0..5 {
        place.clock.shift(Duration::SECOND);
        created.push(alice.ask(&desk, "account.create").await.unwrap());
    }
    place.clock.shift(Duration::SECOND);
    let granted = bob.ask(&desk, "right.grant").await.unwrap();
    for _ in 0..4 {
        alice.ask(&desk, "account.delete").await.unwrap();
    }
    let denied = alice.ask(&desk, "vault.open").await.unwrap();
    assert_eq!(denied.denial.unwrap().reason, "vault-closed");
    drop(desk);

    // The same policy decides the same of everything that it decided.
    let (code, text, errors) = command(at, &["policy", "diff", "recorded", "configured"]);
    assert_eq!(code, Some(0), "{text}{errors}");
    assert!(
        text.contains(", 0 would have been decided otherwise"),
        "{text}"
    );

    // Another: creating accounts takes a second person, after the third within a day; the vault opens.
    let next = at.join("next");
    let changed = format!(
        "{POLICY}\n@id(\"many-accounts\") @approver_role(\"requester,administrator\")\n\
         permit (principal, action == Action::\"account.create\", resource) when {{ context.asked.day >= 3 }};"
    );
    write_policy(&next, SCHEMA, &changed);
    let arguments = ["policy", "diff", "recorded", "next/policy"];
    let (code, text, errors) = command(at, &arguments);
    assert_eq!(code, Some(1), "{errors}");
    assert!(
        text.contains("3 would have been decided otherwise"),
        "{text}"
    );
    for record in &created[3..] {
        assert!(text.contains(&record.id.to_string()), "{text}");
    }
    assert!(
        text.contains("new: ") && text.contains("many-accounts"),
        "{text}"
    );
    for untouched in [old.id, created[0].id, created[2].id, granted.id] {
        assert!(!text.contains(&untouched.to_string()), "{text}");
    }
    let (_, text, _) = command(at, &[&arguments[..], &["--json"]].concat());
    let shown: Value = serde_json::from_str(&text).unwrap();
    let vault = &shown["changes"][2];
    assert_eq!(
        (
            &vault["type"],
            &vault["old_policies"],
            &vault["new_policies"]
        ),
        (
            &json!("vault.open"),
            &json!(["vault-closed"]),
            &json!(["vault"])
        ),
        "{shown}"
    );
    // Further back there is one action more, and it comes out the same.
    let wider = [&arguments[..], &["--since", "60d", "--json"]].concat();
    let (_, text, _) = command(at, &wider);
    let further: Value = serde_json::from_str(&text).unwrap();
    let compared = |shown: &Value| shown["compared"].as_u64().unwrap();
    assert!(compared(&further) > compared(&shown));
    assert_eq!(further["changes"], shown["changes"]);

    // What decided, by its text of that time, though the files have changed since.
    write_policy(at, SCHEMA, &changed);
    let (code, text, errors) = command(at, &["policy", "explain", &denied.id.to_string()]);
    assert_eq!(code, Some(0), "{errors}");
    for words in [
        "vault.open at portal by alice: denied",
        "by vault-closed",
        "test.cedar:",
        "The vault is closed.",
        "asked: {\"minute\":9,\"hour\":9,\"day\":9}",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    let explain = ["policy", "explain", &denied.id.to_string()];
    let (code, text, errors) = command_in("fr_FR.UTF-8", at, &explain);
    assert_eq!(code, Some(0), "{errors}");
    for words in [
        "vault.open pour portal, demandée par alice : non permise",
        "selon vault-closed",
        "Le coffre est fermé.",
        "d’après ces faits :",
    ] {
        assert!(text.contains(words), "{words} in {text}");
    }
    assert!(!text.contains("The vault is closed."), "{text}");
    let (_, text, _) = command_in("fr_FR.UTF-8", at, &arguments);
    assert!(
        text.contains("auraient été décidées autrement") && text.contains("après : scellé par "),
        "{text}"
    );
    let (code, text, _) = command(
        at,
        &["policy", "explain", &granted.id.to_string(), "--json"],
    );
    let explained: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (code, &explained["policies"][0]["policy"]),
        (Some(0), &json!("grant"))
    );
    let nobody = "0197a1f2-6c1e-7cc3-98c4-dc0c0c07398f";
    let (code, _, _) = command(at, &["policy", "explain", nobody]);
    assert_eq!(code, Some(1));
}

/// What makes no sense stops `check-config`, the tests and the start, each with file and line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn faults_stop_the_check_and_the_start_with_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("sceau.toml"), CONFIG).unwrap();
    std::fs::create_dir(at.join("anchors")).unwrap();
    std::fs::write(at.join("table.toml"), "").unwrap();
    let bad_schema =
        format!("{SCHEMA}\naction \"b\" appliesTo {{ principal: Nobody, resource: Thing }};");
    let line = SCHEMA.lines().count() + 2;
    for (schema, policy, place, problem) in [
        (
            bad_schema.as_str(),
            POLICY,
            format!("actions.cedarschema:{line}"),
            "Nobody",
        ),
        (
            SCHEMA,
            "@id(\"a\")\npermit (principal, action == Action::\"note.write\", resource)\nwhen { false };",
            "test.cedar:1".to_owned(),
            "impossible",
        ),
        (
            SCHEMA,
            "\n@id(\"a\") @approval(\"2\")\npermit (principal, action == Action::\"note.write\", resource);",
            "test.cedar:2".to_owned(),
            "unknown annotation @approval",
        ),
    ] {
        write_policy(at, schema, policy);
        for arguments in [
            &["check-config"][..],
            &["serve"],
            &["policy", "test", "table.toml"],
        ] {
            let (code, text, errors) = command(at, arguments);
            let said = format!("{text}{errors}");
            assert_eq!(code, Some(2), "{arguments:?}: {said}");
            assert!(
                said.contains(&place) && said.contains(problem),
                "{arguments:?}: {place} {problem} in {said}"
            );
        }
    }
}
