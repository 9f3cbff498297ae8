//! The log on the running stack: a witness on a machine of its own, an export behind a web server, a database edited behind the server's back (attack 17),
//! a stolen permit key (attack 18), and ordinary workstations that notice.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use e2e::{
    house::{API, House},
    place,
    process::{Running, eventually},
    stage::Stage,
};
use serde_json::Value;

const WITNESS: &str = "127.0.0.1:8450";
const MIRROR: &str = "127.0.0.1:8451";

fn run(name: &str, arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(place::bin(name)).args(arguments).output()?)
}

fn said(output: &Output) -> Result<Value> {
    serde_json::from_slice(&output.stdout).with_context(|| {
        format!(
            "{}{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

/// A witness that knows the house's log and follows it; its configuration and verifier key.
fn witness(folder: &Path, house: &House) -> Result<(Running, PathBuf, String)> {
    fs::create_dir_all(folder)?;
    let config = folder.join("witness.toml");
    let log = fs::read_to_string(house.file("log.vkey"))?;
    fs::write(
        &config,
        format!(
            "name = \"witness.example/w1\"\nkey = \"w.key\"\nvkey = \"w.vkey\"\nstate = \"state\"\nlisten = \"{WITNESS}\"\ninterval = \"500ms\"\n[[log]]\nvkeys = [\"{}\"]\nurl = \"http://{API}/log\"\n",
            log.trim()
        ),
    )?;
    let at = config.to_string_lossy().into_owned();
    let init = run("sceau-witness", &["init", "--config", &at])?;
    ensure!(
        init.status.success(),
        "{}",
        String::from_utf8_lossy(&init.stderr)
    );
    let vkey = String::from_utf8(init.stdout)?.trim().to_owned();
    let mut command = Command::new(place::bin("sceau-witness"));
    command.args(["serve", "--config", &at]);
    let mut running = Running::start("sceau-witness", folder, &mut command)?;
    let client = e2e::http::Client::new(&format!("http://{WITNESS}"));
    running.wait_ready(Duration::from_secs(10), || client.get("/healthz").is_ok())?;
    Ok((running, config, vkey))
}

fn metric(name: &str) -> Result<u64> {
    let text = e2e::http::Client::new(&format!("http://{WITNESS}"))
        .get("/metrics")?
        .text;
    let line = text
        .lines()
        .find(|line| line.starts_with(&format!("{name}{{")))
        .with_context(|| text.clone())?;
    Ok(line.rsplit(' ').next().unwrap_or_default().parse()?)
}

/// As whoever has the database's file.
pub(crate) fn sql(database: &Path, statements: &str) -> Result<()> {
    let script = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.executescript(sys.argv[2]); c.commit(); c.close()";
    let done = Command::new("python3")
        .args(["-c", script])
        .arg(database)
        .arg(statements)
        .output()?;
    ensure!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    Ok(())
}

fn database(house: &House) -> [PathBuf; 3] {
    ["sceau.db", "sceau.db-wal", "sceau.db-shm"].map(|name| house.file(name))
}

fn copy_database(house: &House, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for path in database(house).into_iter().filter(|path| path.exists()) {
        fs::copy(&path, to.join(path.file_name().context("a name")?))?;
    }
    Ok(())
}

fn restore_database(house: &House, from: &Path) -> Result<()> {
    for path in database(house) {
        let _ = fs::remove_file(&path);
        let kept = from.join(path.file_name().context("a name")?);
        if kept.exists() {
            fs::copy(kept, path)?;
        }
    }
    Ok(())
}

fn sealed(stage: &Stage) -> Result<String> {
    let id = stage.asked()?;
    let (code, shown) = stage.people.manager.approve(&id)?;
    ensure!(code == 0, "{shown}");
    Ok(id)
}

fn agent_log(stage: &Stage) -> Result<Value> {
    let out = stage
        .people
        .manager
        .command("sceau")
        .args(["status", "--json"])
        .output()?;
    Ok(said(&out)?["log"].clone())
}

/// Attack 17: edited, rolled back, forked; found by the auditor's command, the witness, and the manager's own workstation.
#[test]
fn a_changed_log_is_found_by_everyone_who_looks() -> Result<()> {
    let mut stage = Stage::set()?;
    let (witness, config, vkey) = witness(&stage.path("witness"), &stage.house)?;
    let section = format!(
        "\n[[log.witness]]\nvkey = \"{vkey}\"\nurl = \"http://{WITNESS}\"\n[log.cosignatures]\n\"account.create\" = 1\n"
    );
    let server = fs::read_to_string(stage.house.config())?;
    stage.house.kill_server();
    fs::write(stage.house.config(), format!("{server}{section}"))?;
    stage.house.start_server()?;

    // Sealed, cosigned, permitted; the bundle shows the witness to an auditor.
    let id = sealed(&stage)?;
    let service = stage.house.service();
    eventually(
        "a permit, once the witness has seen it",
        Duration::from_secs(10),
        || {
            service
                .get(&format!("/v1/actions/{id}"))
                .is_ok_and(|answer| answer.json()["permit"].is_string())
        },
    )?;
    let evidence = service.get(&format!("/v1/actions/{id}/evidence"))?.text;
    let bundle = stage.path("evidence.json");
    fs::write(&bundle, &evidence)?;
    let key = stage.house.file("log.vkey").to_string_lossy().into_owned();
    let bundle = bundle.to_string_lossy().into_owned();
    let checked = run(
        "sceau-verify",
        &["evidence", &bundle, "--log-key", &key, "--witness", &vkey],
    )?;
    ensure!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
    ensure!(
        checked.stdout.windows(7).any(|word| word == b"witness"),
        "the witness is a check of its own"
    );

    // The manager's workstation found its own approval.
    eventually(
        "the approval is found in the log",
        Duration::from_secs(20),
        || {
            agent_log(&stage).is_ok_and(|log| {
                log["included"].as_u64() >= Some(1) && log["state"] == "consistent"
            })
        },
    )?;

    // Exported; a web server that knows nothing of us offers it.
    let out = stage.path("export");
    let folder = out.to_string_lossy().into_owned();
    let at = stage.house.config().to_string_lossy().into_owned();
    let exported = run(
        "sceau-server",
        &["log", "export", &folder, "--config", &at, "--json"],
    )?;
    ensure!(
        exported.status.success(),
        "{}",
        String::from_utf8_lossy(&exported.stderr)
    );
    let local = said(&run("sceau-verify", &["log", &folder, "--log-key", &key])?)?;
    ensure!(local["verdict"] == "consistent", "{local}");
    let (host, port) = MIRROR.split_once(':').context("a port")?;
    let mut command = Command::new("python3");
    command.args([
        "-m",
        "http.server",
        port,
        "--bind",
        host,
        "--directory",
        &folder,
    ]);
    fs::create_dir_all(stage.path("web"))?;
    let mut web = Running::start("web", &stage.path("web"), &mut command)?;
    let mirror = format!("http://{MIRROR}");
    let client = e2e::http::Client::new(&mirror);
    web.wait_ready(Duration::from_secs(10), || {
        client.get("/checkpoint").is_ok()
    })?;
    let remote = said(&run("sceau-verify", &["log", &mirror, "--log-key", &key])?)?;
    ensure!(
        remote["verdict"] == "consistent" && remote["size"] == local["size"],
        "{remote}"
    );

    // One entry edited in the database: the auditor's command names it.
    let before = stage.path("before");
    let edited = stage.path("edited");
    stage.house.kill_server();
    copy_database(&stage.house, &before)?;
    copy_database(&stage.house, &edited)?;
    stage.house.start_server()?;
    sql(
        &edited.join("sceau.db"),
        "UPDATE log_entry SET body = CAST(replace(CAST(body AS TEXT), '\"data\":{\"approvals\":1}', '\"data\":{\"approvals\":2}') AS BLOB) WHERE idx = (SELECT entry FROM approval ORDER BY entry DESC LIMIT 1)",
    )?;
    let folder = stage.path("edited-export").to_string_lossy().into_owned();
    let exported = Command::new(place::bin("sceau-server"))
        .args(["log", "export", &folder, "--config", &at])
        .env(
            "SCEAU_STORE__URL",
            format!("sqlite:{}", edited.join("sceau.db").display()),
        )
        .output()?;
    ensure!(
        exported.status.success(),
        "{}",
        String::from_utf8_lossy(&exported.stderr)
    );
    let edited = said(&run("sceau-verify", &["log", &folder, "--log-key", &key])?)?;
    ensure!(
        edited["verdict"] == "inconsistent" && edited["reason"] == "entry-not-in-tree",
        "{edited}"
    );

    // More happens; then the database of before comes back, as after a restored backup or deleted entries.
    sealed(&stage)?;
    sealed(&stage)?;
    let seen = metric("sceau_witness_size")?;
    eventually(
        "the workstation has seen the newest",
        Duration::from_secs(20),
        || agent_log(&stage).is_ok_and(|log| log["included"].as_u64() >= Some(2)),
    )?;
    stage.house.kill_server();
    restore_database(&stage.house, &before)?;
    stage.house.start_server()?;
    eventually(
        "the witness says that the log went back",
        Duration::from_secs(15),
        || metric("sceau_witness_behind").is_ok_and(|behind| behind == 1),
    )?;
    ensure!(
        metric("sceau_witness_size")? >= seen,
        "it cosigns nothing that is shorter"
    );
    eventually(
        "the server has been told, and says it",
        Duration::from_secs(15),
        || stage.logged(&["alert.log-rolled-back"]).is_ok(),
    )?;
    eventually(
        "the workstation says it too",
        Duration::from_secs(30),
        || {
            agent_log(&stage)
                .is_ok_and(|log| log["state"] == "rolled-back" || log["state"] == "forked")
        },
    )?;
    let id = stage.asked()?;
    let (code, shown) = stage.people.manager.answer_action(&id, "y", "unused")?;
    ensure!(
        code == 1 && shown.contains("log"),
        "nothing is sealed any more: {code}\n{shown}"
    );
    let out = stage
        .people
        .manager
        .command("sceau")
        .args(["log", "--json"])
        .output()?;
    ensure!(out.status.code() == Some(1), "sceau log says no");
    ensure!(said(&out)?["breach"]["held"].is_string(), "with the proof");

    // The log grows past what was seen: now it is a fork, which two signatures prove to anyone.
    for number in 0..12 {
        stage.house.service().post(
            "/v1/actions",
            &serde_json::json!({"type": "account.create", "requester": "admin-1", "target": {"kind": "account", "id": format!("f{number}"), "display": "F"}, "params": {}}),
        )?;
    }
    eventually(
        "the witness keeps the proof of the fork",
        Duration::from_secs(20),
        || metric("sceau_witness_forks").is_ok_and(|forks| forks >= 1),
    )?;
    drop(witness);
    let at = config.to_string_lossy().into_owned();
    let check = run("sceau-witness", &["check", "--config", &at, "--json"])?;
    ensure!(
        check.status.code() == Some(1),
        "{}",
        String::from_utf8_lossy(&check.stdout)
    );

    // Resolved by hand: the person forgets, told by the administrator.
    let out = stage
        .people
        .manager
        .command("sceau")
        .args(["log", "--forget"])
        .output()?;
    ensure!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    eventually(
        "the new history is believed from here on",
        Duration::from_secs(20),
        || agent_log(&stage).is_ok_and(|log| log["state"] == "consistent" && log["size"].is_u64()),
    )?;
    Ok(())
}

/// Attack 18: whoever has the permit key signs permits; the log does not know them. Then the key is replaced.
#[test]
fn a_permit_that_the_log_does_not_know_is_found() -> Result<()> {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

    let mut stage = Stage::set()?;
    let id = sealed(&stage)?;
    let service = stage.house.service();
    let genuine = service.get(&format!("/v1/actions/{id}"))?.json()["permit"]
        .as_str()
        .context("a permit")?
        .to_owned();
    let pem = fs::read_to_string(stage.house.file("permit.pem"))?;
    let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = base64::engine::general_purpose::STANDARD.decode(body)?;
    let stolen = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der)?;
    let mut parts = genuine.split('.');
    let (header, claims) = (
        parts.next().context("a header")?,
        parts.next().context("claims")?,
    );
    let mut claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims)?)?;
    claims["authorization_details"] = serde_json::json!([{"type": "right.grant"}]);
    let input = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let random = aws_lc_rs::rand::SystemRandom::new();
    let signature = stolen.sign(&random, input.as_bytes())?;
    let forged = format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()));
    let introspect = |permit: &str, consume: bool| -> Result<Value> {
        let form = format!("token={permit}&consume={consume}");
        let kind = "application/x-www-form-urlencoded";
        Ok(service
            .send(
                "POST",
                "/v1/permits/introspect",
                &[],
                Some((kind, form.as_bytes())),
            )?
            .json())
    };
    ensure!(
        introspect(&forged, true)? == serde_json::json!({"active": false}),
        "not active"
    );
    stage.logged(&["alert.permit-unlogged", &id])?;
    ensure!(
        introspect(&genuine, false)?["active"] == true,
        "the genuine one is"
    );

    // A service that checks by itself accepted both: the log tells them apart.
    let mirror = stage.path("mirror");
    stage.house.mirror_log(&mirror)?;
    let accepted = stage.path("accepted.txt");
    fs::write(&accepted, format!("{genuine}\n{forged}\n"))?;
    let key = stage.house.file("log.vkey").to_string_lossy().into_owned();
    let (accepted, mirror) = (
        accepted.to_string_lossy().into_owned(),
        mirror.to_string_lossy().into_owned(),
    );
    let found = run(
        "sceau-verify",
        &["permits", &accepted, "--log", &mirror, "--log-key", &key],
    )?;
    ensure!(
        found.status.code() == Some(1),
        "{}",
        String::from_utf8_lossy(&found.stdout)
    );
    let found = said(&found)?;
    ensure!(
        found["unlogged"]
            .as_array()
            .is_some_and(|all| all.len() == 1 && all[0]["line"] == 2),
        "{found}"
    );

    // Replaced: what the thief signs now has no meaning, what was sealed before can still be checked.
    let before = stage.house.api().get("/jwks.json")?.json();
    let at = stage.house.config().to_string_lossy().into_owned();
    let rotated = run(
        "sceau-server",
        &["keys", "rotate", "permit", "--compromised", "--config", &at],
    )?;
    ensure!(
        rotated.status.success(),
        "{}",
        String::from_utf8_lossy(&rotated.stderr)
    );
    let rotated = run("sceau-server", &["keys", "rotate", "log", "--config", &at])?;
    ensure!(
        rotated.status.success(),
        "{}",
        String::from_utf8_lossy(&rotated.stderr)
    );
    stage.house.kill_server();
    stage.house.start_server()?;
    ensure!(
        stage.house.api().get("/jwks.json")?.json() != before,
        "another key"
    );
    stage.logged(&["permit-key.changed"])?;
    stage.logged(&["log-key.changed"])?;
    // Old and new verifier keys both open the log while both sign.
    let live = format!("http://{API}/log");
    let previous = stage
        .house
        .file("log.vkey.previous")
        .to_string_lossy()
        .into_owned();
    for key in [&key, &previous] {
        let checked = said(&run("sceau-verify", &["log", &live, "--log-key", key])?)?;
        ensure!(checked["verdict"] == "consistent", "{checked}");
    }
    let evidence = service.get(&format!("/v1/actions/{id}/evidence"))?.text;
    let bundle = stage.path("evidence.json");
    fs::write(&bundle, &evidence)?;
    let bundle = bundle.to_string_lossy().into_owned();
    let checked = run("sceau-verify", &["evidence", &bundle, "--log-key", &key])?;
    ensure!(
        checked.status.success(),
        "{}",
        String::from_utf8_lossy(&checked.stderr)
    );
    // The workstation pinned the old key, saw the new one sign beside it, and goes on.
    sealed(&stage)?;
    let new = fs::read_to_string(stage.house.file("log.vkey"))?;
    eventually(
        "the workstation has taken the new key over",
        Duration::from_secs(20),
        || {
            agent_log(&stage)
                .is_ok_and(|log| log["state"] == "consistent" && log["key"] == new.trim())
        },
    )?;
    let ended = run(
        "sceau-server",
        &["keys", "rotate", "log", "--end", "--config", &at],
    )?;
    ensure!(
        ended.status.success(),
        "{}",
        String::from_utf8_lossy(&ended.stderr)
    );
    stage.house.kill_server();
    stage.house.start_server()?;
    sealed(&stage)?;
    std::thread::sleep(Duration::from_secs(2));
    ensure!(
        agent_log(&stage)?["state"] == "consistent",
        "{}",
        agent_log(&stage)?
    );
    Ok(())
}
