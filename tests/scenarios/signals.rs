//! A suspension, sealed by a key, travels from the shipped server to a service that is not ours: Shared Signals by `jose`, SCIM by a directory of its own
//! (`tests/peers/signal_receiver.mjs`). Also when either of the two was down meanwhile.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use e2e::{
    house::{API, RP_ID},
    http::Client,
    place,
    process::{Running, eventually},
    stage::Stage,
    workstation::{PIN, answers},
};
use serde_json::{Value, json};

/// A secret as the server takes it: nobody else's to read.
fn secret(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text)?;
    Ok(fs::set_permissions(
        file,
        fs::Permissions::from_mode(0o600),
    )?)
}

/// Starts the service; its address.
fn receiver(stage: &Stage) -> Result<(Running, Client, String)> {
    let folder = stage.path("");
    let mut peer = Running::start(
        "receiver",
        &folder,
        Command::new("node")
            .arg(place::root().join("tests/peers/signal_receiver.mjs"))
            .args([
                format!("https://{RP_ID}"),
                "https://portal.example".to_owned(),
                format!("http://{API}/v1/signals/jwks.json"),
            ])
            .env("SCEAU_PEERS", place::target().join("peers")),
    )?;
    let printed = folder.join("receiver.log");
    let port = || {
        let text = fs::read_to_string(&printed).ok()?;
        text.lines().next()?.trim().parse::<u16>().ok()
    };
    peer.wait_ready(Duration::from_secs(20), || port().is_some())?;
    let at = format!("127.0.0.1:{}", port().context("its port")?);
    Ok((peer, Client::new(&format!("http://{at}")), at))
}

/// What it was told: event and subject.
fn told(service: &Client) -> Result<Vec<(String, String)>> {
    let seen = service.get("/seen")?.json();
    ensure!(
        seen["refused"] == json!([]),
        "jose takes every token: {seen}"
    );
    let said = |claims: &Value| -> Option<(String, String)> {
        let (event, _) = claims["events"].as_object()?.iter().next()?;
        let subject = &claims["sub_id"];
        let who = subject["sub"]
            .as_str()
            .or(subject["user"]["sub"].as_str())?;
        Some((event.rsplit('/').next()?.to_owned(), who.to_owned()))
    };
    let sets = seen["sets"].as_array().context("tokens")?;
    sets.iter()
        .map(|claims| said(claims).with_context(|| claims.to_string()))
        .collect()
}

fn has(service: &Client, event: &str, times: usize) -> bool {
    let wanted = (event.to_owned(), "alice".to_owned());
    told(service).is_ok_and(|told| told.iter().filter(|it| **it == wanted).count() == times)
}

fn active(service: &Client) -> Result<Value> {
    Ok(service.get("/seen")?.json()["users"]["2819c223"]["active"].clone())
}

#[test]
fn a_suspension_reaches_a_service_that_is_not_ours() -> Result<()> {
    let mut stage = Stage::set()?;
    let (_receiver, service, at) = receiver(&stage)?;
    secret(&stage.house.file("portal.ssf"), "Bearer of-the-receiver\n")?;
    secret(
        &stage.house.file("directory.scim"),
        "scim-token-scim-token\n",
    )?;
    let signal = format!(
        "\n[signal]\nkey = \"signal.pem\"\n[[signal.receiver]]\nservice = \"portal\"\naudience = \"https://portal.example\"\npush = \"http://{at}/ssf\"\n\
         authorization = \"portal.ssf\"\n[[signal.scim]]\nname = \"directory\"\nurl = \"http://{at}/scim/v2\"\ntoken = \"directory.scim\"\n\
         ids = {{ alice = \"2819c223\" }}\n"
    );
    stage.house.reconfigure(|text| text + &signal)?;
    let checked = Command::new(place::bin("sceau-server"))
        .args(["check-config", "--config"])
        .arg(stage.house.config())
        .output()?;
    ensure!(checked.status.success(), "{checked:?}");
    let mode = fs::metadata(stage.house.file("signal.pem"))?
        .permissions()
        .mode();
    ensure!(mode & 0o077 == 0, "its key is nobody else's: {mode:o}");

    let admin = &stage.people.admin;
    let touch = |arguments: &[&str]| -> Result<()> {
        let (code, shown) = admin.sceau(arguments)?.answer(&answers("y", PIN, "1"))?;
        ensure!(code == 0, "{shown}");
        Ok(())
    };
    eventually("her agent is back", Duration::from_secs(20), || {
        admin
            .sceau(&["status"])
            .is_ok_and(|terminal| terminal.answer(&[]).is_ok_and(|(code, _)| code == 0))
    })?;
    touch(&["suspend", "alice"])?;
    let sealed = Instant::now();
    for event in ["account-disabled", "session-revoked"] {
        eventually(event, Duration::from_secs(10), || has(&service, event, 1))?;
    }
    println!("told {:?} after the touch", sealed.elapsed());
    eventually("the directory knows", Duration::from_secs(10), || {
        active(&service).is_ok_and(|active| active == json!(false))
    })?;
    stage.logged(&["signal.delivered", "directory"])?;

    // The service is down when she is brought back, and the server falls before it is up again.
    service.send("POST", "/mode", &[], Some(("text/plain", b"down")))?;
    let before = told(&service)?.len();
    let (code, shown) = admin
        .sceau(&["restore", "alice"])?
        .answer(&answers("y", PIN, "1"))?;
    ensure!(code == 0, "{shown}");
    if shown.contains("pending") {
        let second = &stage.people.second;
        let (code, shown) = second.approve(&stage.house.awaited(second)?)?;
        ensure!(code == 0, "{shown}");
    }
    stage.logged(&["person.restored"])?;
    std::thread::sleep(Duration::from_millis(800));
    ensure!(told(&service)?.len() == before, "nobody takes it now");
    stage.house.kill_server();
    stage.house.start_server()?;
    service.send("POST", "/mode", &[], Some(("text/plain", b"up")))?;
    eventually("it is told after all", Duration::from_secs(60), || {
        has(&service, "account-enabled", 1)
            && active(&service).is_ok_and(|active| active == json!(true))
    })?;
    ensure!(has(&service, "account-disabled", 1), "once each");
    Ok(())
}
