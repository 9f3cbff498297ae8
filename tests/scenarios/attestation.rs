//! Only genuine keys of models that are wanted: each kind of other key is refused with its reason, in the words that stand on the
//! terminal under the help-desk's eyes; and a key whose model is revoked tomorrow stops counting within one refresh.

use std::{fs, path::Path, time::Duration};

use anyhow::{Context, Result, ensure};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use e2e::{house::House, key::Model, process::eventually, stage::makers, workstation::Workstation};
use serde_json::{Value, json};

/// Who publishes the list of models.
struct Publisher {
    root: String,
    signer: Vec<u8>,
    key: Vec<u8>,
}

impl Publisher {
    fn new() -> Result<Self> {
        let root_key = rcgen::KeyPair::generate()?;
        let mut root = rcgen::CertificateParams::default();
        root.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        root.distinguished_name
            .push(rcgen::DnType::CommonName, "Scenario Metadata Root");
        let certificate = root.self_signed(&root_key)?.pem();
        let issuer = rcgen::Issuer::new(root, root_key);
        let key = rcgen::KeyPair::generate()?;
        let leaf = rcgen::CertificateParams::new(vec!["mds.fidoalliance.org".to_owned()])?;
        Ok(Self {
            root: certificate,
            signer: leaf.signed_by(&key, &issuer)?.der().to_vec(),
            key: key.serialize_der(),
        })
    }

    /// Puts a signed list where the server looks for it.
    fn publish(&self, file: &Path, no: u64, entries: &[Value]) -> Result<()> {
        let header = json!({"alg": "ES256", "typ": "JWT", "x5c": [STANDARD.encode(&self.signer)]});
        let payload = json!({"legalHeader": "none", "no": no, "nextUpdate": "2999-01-01", "entries": entries});
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let signed = format!("{}.{}", encode(&header), encode(&payload));
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.key)?;
        let signature = pair.sign(&SystemRandom::new(), signed.as_bytes())?;
        let blob = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
        let beside = file.with_extension("new");
        fs::write(&beside, blob)?;
        Ok(fs::rename(beside, file)?)
    }
}

/// A model's entry; `revoked` besides its certification.
fn entry(model: &Model, revoked: bool) -> Result<Value> {
    let pem = fs::read_to_string(model.root())?;
    let root: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let mut reports = vec![json!({"status": "FIDO_CERTIFIED_L1", "effectiveDate": "2025-01-01"})];
    if revoked {
        reports.push(json!({"status": "REVOKED", "effectiveDate": "2025-06-01"}));
    }
    Ok(json!({
        "aaguid": model.aaguid, "timeOfLastStatusChange": "2025-01-01", "statusReports": reports,
        "metadataStatement": {
            "description": model.name, "attestationTypes": ["basic_full"], "keyProtection": ["hardware"],
            "attestationRootCertificates": [root],
        },
    }))
}

/// What stands on the terminal when this person enrols a key of this model.
fn try_to_enrol(
    house: &House,
    folder: &Path,
    number: u16,
    model: Option<&Model>,
) -> Result<std::result::Result<Workstation, String>> {
    let place = folder.join(format!("w{number}"));
    fs::create_dir_all(&place)?;
    let mut workstation =
        Workstation::set_up(&place, number, "admin-1", model, &house.for_agents())?;
    workstation.start_agent()?;
    match workstation.enroll(&house.first_invitation(1)?) {
        Ok(_) => Ok(Ok(workstation)),
        Err(shown) => Ok(Err(shown
            .to_string()
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" "))),
    }
}

#[test]
fn only_genuine_keys_enrol_and_a_revoked_model_stops_counting() -> Result<()> {
    let (folder, [wanted, revoked]) = makers()?;
    let make = |name: &str, aaguid: &str, options: &[&str]| {
        Model::make(&folder.path().join(name), name, aaguid, options)
    };
    let ca = wanted.folder.to_string_lossy().into_owned();
    let stranger = make("stranger", "5cea0000-0000-4000-8000-00000000000c", &[])?;
    let relabelled = make(
        "relabelled",
        "5cea0000-0000-4000-8000-00000000000d",
        &["--ca", &ca],
    )?;
    let expired = make("expired", &wanted.aaguid, &["--ca", &ca, "--expired"])?;

    let mut house = House::found(folder.path(), &[&wanted])?;
    house.kill_server();
    fs::write(
        house.file("anchors/anchors.toml"),
        format!(
            "version = 1\n[[anchor]]\nfile = \"maker-0.pem\"\naaguids = [\"{}\"]\n",
            wanted.aaguid
        ),
    )?;
    let publisher = Publisher::new()?;
    fs::write(house.file("mds-root.pem"), &publisher.root)?;
    let blob = house.file("blob.jwt");
    publisher.publish(&blob, 1, &[entry(&wanted, false)?, entry(&revoked, true)?])?;
    house.environment = vec![
        ("SCEAU_METADATA__SOURCE", "blob.jwt"),
        ("SCEAU_METADATA__ROOT", "mds-root.pem"),
        ("SCEAU_METADATA__REFRESH", "200ms"),
        // Six enrolments in a row by one person.
        ("SCEAU_LIMIT__PENDING", "20"),
    ];
    house.start_server()?;
    let logged = |kind: &str, reason: &str| -> Result<bool> {
        Ok(house
            .entries()?
            .iter()
            .any(|entry| entry["type"] == kind && entry["data"]["reason"] == reason))
    };
    eventually("the list is in force", Duration::from_secs(10), || {
        house.entries().is_ok_and(|entries| {
            entries
                .iter()
                .any(|entry| entry["type"] == "metadata.changed")
        })
    })?;

    let cases: [(Option<&Model>, &str, &str); 5] = [
        (
            None,
            "attestation-type-refused",
            "the kind of attestation (self, none, …) is not among those allowed",
        ),
        (
            Some(&stranger),
            "unknown-root",
            "no known anchor signed the chain",
        ),
        (
            Some(&relabelled),
            "aaguid-not-of-anchor",
            "the anchor may not vouch for that model",
        ),
        (
            Some(&expired),
            "certificate-expired",
            "a certificate on the path has expired",
        ),
        (Some(&revoked), "revoked", "metadata: the model is revoked"),
    ];
    for (number, (model, reason, words)) in (0..).zip(cases) {
        let Err(shown) = try_to_enrol(&house, folder.path(), number, model)? else {
            anyhow::bail!("{reason}: a key was enrolled that must not be");
        };
        // Letters beyond ASCII arrive as several characters here (see `terminal`).
        let words = words.split('…').next().unwrap_or(words).trim();
        ensure!(
            shown.contains(reason) && shown.contains(words),
            "{reason}: the terminal says otherwise: {shown}"
        );
        ensure!(logged("enrolment.refused", reason)?, "{reason}: not logged");
    }

    let admin = try_to_enrol(&house, folder.path(), 5, Some(&wanted))?
        .map_err(|shown| anyhow::anyhow!("the genuine key is refused: {shown}"))?;
    let asked = house.person(&admin)?.post(
        "/v1/enrolments",
        &json!({"person": {"id": "paul", "display": "Paul", "roles": ["advisor"]}}),
    )?;
    ensure!(asked.status == 201, "{}", asked.text);
    let action = asked.json()["action"]["id"]
        .as_str()
        .context("an id")?
        .to_owned();

    // Tomorrow's list.
    publisher.publish(&blob, 2, &[entry(&wanted, true)?, entry(&revoked, true)?])?;
    let took = eventually("the key is suspended", Duration::from_secs(5), || {
        logged("key.suspended", "model-revoked").unwrap_or_default()
    })?;
    println!("suspended {took:?} after the list was published (asked every 200 ms)");
    let (code, shown) = admin.approve(&action)?;
    ensure!(
        code != 0,
        "a key of a revoked model sealed an action:\n{shown}"
    );
    let mine = house.person(&admin)?.get("/v1/me")?.json();
    ensure!(
        mine["keys"] == json!([]) && mine["suspended_keys"][0]["reason"] == "model-revoked",
        "{mine}"
    );
    Ok(())
}
