//! The recipes of docs/services.md, taken out of the document and run as they stand: each accepts what we sign and refuses every lie about it. A language
//! whose runtime is not on the machine is passed over, and says so.

use std::path::Path;
use std::process::Command;

use aws_lc_rs::rand::SystemRandom;
use sceau_proof::base64url;
use sceau_proof::permit::SigningKey;
use serde_json::{Value, json};

const NOW: i64 = 1_795_000_000;
const ISSUER: &str = "https://sceau.example";
const AUDIENCE: &str = "portal";

/// The recipe of that language: the block whose info string says `recipe`.
fn recipe(language: &str) -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/services.md");
    let document = std::fs::read_to_string(path).unwrap();
    let fence = format!("```{language} recipe\n");
    let (_, rest) = document.split_once(&fence).unwrap();
    rest.split_once("\n```").unwrap().0.to_owned() + "\n"
}

fn key() -> SigningKey {
    SigningKey::from_pkcs8(&SigningKey::generate_pkcs8(&SystemRandom::new()).unwrap()).unwrap()
}

fn signed(key: &SigningKey, kind: &str, change: Value) -> String {
    // A member of the action that is named like a claim: whoever looks for text rather than for members takes it.
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "jti": "0193500a-7d00-7000-8000-00000000000a", "iat": NOW - 1, "exp": NOW + 59,
        "action_sha256": base64url::encode([7; 32]), "acr": "eidas3", "amr": ["pop", "hwk", "pin", "mfa"], "approvals": [],
        "authorization_details": [{"type": "account.create", "params": {"note": "\"exp\":9999999999,\"aud\":\"portal\" é", "aud": AUDIENCE, "exp": NOW + 30, "iss": ISSUER}}],
    });
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    key.jws(kind, &claims, &SystemRandom::new()).unwrap()
}

/// Tokens, and whether each is a permit for us, now.
fn cases(ours: &SigningKey) -> Vec<(&'static str, String, bool)> {
    let other = key();
    let good = signed(ours, "permit+jwt", json!({}));
    let part = |n: usize| good.split('.').nth(n).unwrap().to_owned();
    let (head, body, signature) = (part(0), part(1), part(2));
    let header = |alg: &str| {
        base64url::encode(json!({"alg": alg, "kid": ours.kid(), "typ": "permit+jwt"}).to_string())
    };
    let hmac = {
        let input = format!("{}.{body}", header("HS256"));
        let secret = base64url::decode(ours.jwk().x.as_deref().unwrap()).unwrap();
        let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &secret);
        let mac = aws_lc_rs::hmac::sign(&key, input.as_bytes());
        format!("{input}.{}", base64url::encode(mac.as_ref()))
    };
    let changed = {
        let claims = String::from_utf8(base64url::decode(&body).unwrap()).unwrap();
        base64url::encode(claims.replace("alice", "mallory"))
    };
    let mut bent = base64url::decode(&signature).unwrap();
    bent[40] ^= 1;
    let named = {
        let (input, signature) = signed(&other, "permit+jwt", json!({}))
            .rsplit_once('.')
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        let _ = input;
        format!("{head}.{body}.{signature}")
    };
    vec![
        ("ours, now", good.clone(), true),
        (
            "of a minute ago, its last second",
            signed(ours, "permit+jwt", json!({"iat": NOW - 59, "exp": NOW + 1})),
            true,
        ),
        (
            "expired",
            signed(ours, "permit+jwt", json!({"iat": NOW - 61, "exp": NOW - 1})),
            false,
        ),
        (
            "of the future",
            signed(
                ours,
                "permit+jwt",
                json!({"iat": NOW + 30, "exp": NOW + 60}),
            ),
            false,
        ),
        (
            "for too long",
            signed(ours, "permit+jwt", json!({"exp": NOW + 3600})),
            false,
        ),
        (
            "for another service",
            signed(ours, "permit+jwt", json!({"aud": "other"})),
            false,
        ),
        (
            "another issuer's",
            signed(ours, "permit+jwt", json!({"iss": "https://evil.example"})),
            false,
        ),
        (
            "a token of another kind",
            signed(ours, "JWT", json!({})),
            false,
        ),
        (
            "of a key that is not published",
            signed(&other, "permit+jwt", json!({})),
            false,
        ),
        ("of another key that takes its name", named, false),
        ("alg none", format!("{}.{body}.", header("none")), false),
        ("alg HS256 with the public key", hmac, false),
        (
            "its claims changed",
            format!("{head}.{changed}.{signature}"),
            false,
        ),
        (
            "its signature changed",
            format!("{head}.{body}.{}", base64url::encode(bent)),
            false,
        ),
        (
            "a signature of zeros",
            format!("{head}.{body}.{}", base64url::encode([0; 64])),
            false,
        ),
        ("no signature", format!("{head}.{body}."), false),
        ("a fourth part", format!("{good}.x"), false),
        ("nothing", String::new(), false),
    ]
}

/// Runs a recipe on all cases in one process: it prints a line for each.
fn check(language: &str, file: &str, run: &[&str], driver: impl Fn(&str, &Path) -> String) {
    let program = run.first().unwrap();
    if Command::new(program).arg("--version").output().is_err() {
        eprintln!(
            "SKIPPED: {program} is not on this machine; the recipe for {language} was not run"
        );
        return;
    }
    let ours = key();
    let cases = cases(&ours);
    let folder = tempfile::tempdir().unwrap();
    let tokens: Vec<&str> = cases.iter().map(|(_, token, _)| token.as_str()).collect();
    let keys = json!({"keys": [key().jwk(), ours.jwk()]});
    std::fs::write(folder.path().join("jwks.json"), keys.to_string()).unwrap();
    std::fs::write(folder.path().join("tokens"), tokens.join("\n")).unwrap();
    let program_file = folder.path().join(file);
    std::fs::write(&program_file, driver(&recipe(language), folder.path())).unwrap();
    let out = Command::new(program)
        .args(&run[1..])
        .arg(&program_file)
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(
        lines.len(),
        cases.len(),
        "{language}: {said}{}",
        String::from_utf8_lossy(&out.stderr)
    );
    for ((name, _, good), line) in cases.iter().zip(lines) {
        let expected = if *good { "alice" } else { "refused" };
        assert_eq!(
            line.split(':').next(),
            Some(expected),
            "{language}: {name}: {line}"
        );
    }
}

#[test]
fn node_verifies_a_permit() {
    check("js", "permit.mjs", &["node"], |recipe, _| {
        format!(
            "{recipe}
import {{ readFileSync }} from \"node:fs\";
const jwks = JSON.parse(readFileSync(\"jwks.json\"));
for (const token of readFileSync(\"tokens\", \"utf8\").split(\"\\n\")) {{
  try {{ console.log(verify(token, jwks, \"{ISSUER}\", \"{AUDIENCE}\", {NOW}).sub); }} catch (error) {{ console.log(`refused: ${{error.message}}`); }}
}}
"
        )
    });
}

#[test]
fn python_verifies_a_permit() {
    check("python", "permit.py", &["python3"], |recipe, _| {
        format!(
            "{recipe}
jwks = json.load(open('jwks.json'))
for token in open('tokens').read().split('\\n'):
    try:
        print(verify(token, jwks, '{ISSUER}', '{AUDIENCE}', {NOW})['sub'])
    except ValueError as error:
        print('refused:', error)
"
        )
    });
}

#[test]
fn java_verifies_a_permit() {
    check("java", "Permit.java", &["java"], |recipe, folder| {
        let keys = std::fs::read_to_string(folder.join("jwks.json")).unwrap();
        let keys: Value = serde_json::from_str(&keys).unwrap();
        let keys: Vec<String> = keys["keys"]
            .as_array()
            .unwrap()
            .iter()
            .map(|key| json!(key.to_string()).to_string())
            .collect();
        let main = format!(
            "  public static void main(String[] none) throws Exception {{
    var keys = List.of({});
    for (String token : java.nio.file.Files.readString(java.nio.file.Path.of(\"tokens\")).split(\"\\n\", -1)) {{
      try {{ System.out.println(member(verify(token, keys, \"{ISSUER}\", \"{AUDIENCE}\", {NOW}L), \"sub\")); }}
      catch (GeneralSecurityException | IllegalArgumentException error) {{ System.out.println(\"refused: \" + error.getMessage()); }}
    }}
  }}
}}
",
            keys.join(", ")
        );
        let (class, _) = recipe.rsplit_once('}').unwrap();
        format!("{class}{main}")
    });
}

#[test]
fn php_verifies_a_permit() {
    check("php", "permit.php", &["php"], |recipe, _| {
        format!(
            "{recipe}
$jwks = json_decode(file_get_contents('jwks.json'), true);
foreach (explode(\"\\n\", file_get_contents('tokens')) as $token) {{
  try {{ echo verify($token, $jwks, '{ISSUER}', '{AUDIENCE}', {NOW})['sub'], \"\\n\"; }} catch (Exception $error) {{ echo 'refused: ', $error->getMessage(), \"\\n\"; }}
}}
"
        )
    });
}
