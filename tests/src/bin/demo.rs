//! The demo: the breach of December 2025, replayed against Sceau, told one step at a time. Run it with `cargo xtask demo`.
//!
//! It leaves `<target>/demo/{evidence.json,log.vkey,report.json}`, and ends with 0 only when everything that it claims held.

use std::{
    env, fs,
    io::Read,
    net::{Shutdown, TcpStream},
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    thread,
};

use anyhow::{Context, Result, bail, ensure};
use e2e::{
    attack::ATTACKS,
    house::{API, GATE, PORTAL, create_account},
    narrator::{Language, Narrator},
    place,
    stage::Stage,
};
use serde_json::{Value, json};

#[path = "demo/real.rs"]
mod real;

struct Options {
    stay: bool,
    real_key: bool,
    anchors: Option<PathBuf>,
    fast: bool,
    language: Language,
}

fn options() -> Result<Options> {
    let mut options = Options {
        stay: false,
        real_key: false,
        anchors: None,
        fast: false,
        language: Language::of_locale(),
    };
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--stay" => options.stay = true,
            "--real-key" => options.real_key = true,
            "--anchors" => {
                options.anchors = Some(arguments.next().context("--anchors DIR")?.into())
            }
            "--fast" => options.fast = true,
            "--lang" => {
                options.language = match arguments.next().as_deref() {
                    Some("fr") => Language::French,
                    Some("en") => Language::English,
                    other => bail!("--lang fr or --lang en, not {other:?}"),
                };
            }
            other => bail!("unknown option {other}"),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(error) => {
            eprintln!("demo: {error}");
            return ExitCode::from(2);
        }
    };
    match play(&options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\ndemo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn play(options: &Options) -> Result<()> {
    place::require_namespace();
    let mut tell = Narrator::new(options.language, options.fast);
    println!("{}", tell.pick((
        "Sceau — décembre 2025, rejoué. Le compte d’un gestionnaire a été détourné, deux comptes créés, les dossiers de 1,6 million de jeunes lus.",
        "Sceau — December 2025, replayed. A manager's account was hijacked, two accounts created, the files of 1.6 million young people read.",
    )));

    tell.chapter((
        "La maison : serveur, passerelle, service, et quatre personnes avec leur clé",
        "The house: server, gate, service, and four people with their keys",
    ));
    let mut stage = Stage::set_for(options.language, |workstation, shown| {
        let last = shown.lines().last().unwrap_or_default();
        tell.screen(
            &workstation.person,
            last.rsplit('…').next().unwrap_or_default(),
        );
    })?;
    tell.held(tell.pick((
        "deux administrateurs, une opératrice, une gestionnaire ; deux modèles de clé, attestés par leur fabricant",
        "two administrators, a help-desk operator, a manager; two models of key, attested by their makers",
    )));

    tell.chapter((
        "Alice, gestionnaire, crée un compte",
        "Alice, account manager, creates an account",
    ));
    let action = honest_action(&stage, &tell)?;

    tell.chapter((
        "L’intrusion de décembre, et d’autres",
        "The breach of December, and more",
    ));
    let (rows, report) = attacks(&mut stage, &tell)?;

    tell.chapter((
        "Un auditeur vérifie la preuve, hors ligne",
        "An auditor checks the evidence, offline",
    ));
    let folder = audit(&stage, &tell, &action)?;
    fs::write(
        folder.join("report.json"),
        serde_json::to_string_pretty(&report)?,
    )?;

    tell.chapter(("Ce qui s’est passé", "What happened"));
    tell.table(
        &[
            tell.pick(("N°", "No.")),
            tell.pick(("attaque", "attack")),
            tell.pick(("issue", "outcome")),
            tell.pick(("journal", "log entry")),
        ],
        &rows,
    );
    println!("\n   {}", folder.display());
    if options.real_key {
        tell.chapter(("Votre propre clé", "Your own key"));
        real::play(&mut stage, &tell, options.anchors.as_deref())?;
    }
    if options.stay {
        stay(&tell, &folder)?;
    }
    Ok(())
}

/// The real manager asks for something and touches her key; returns the action's id.
fn honest_action(stage: &Stage, tell: &Narrator) -> Result<String> {
    let (house, manager) = (&stage.house, &stage.people.manager);
    let browser = house.browser(manager)?;
    tell.say(tell.pick((
        "Elle s’est connectée avec sa clé. La passerelle retient sa demande jusqu’au toucher.",
        "She signed in with her key. The gate holds her request until the touch.",
    )));
    let before = house.executed()?.len();
    let (answer, action, shown) = thread::scope(|scope| -> Result<_> {
        let held = scope.spawn(|| create_account(&browser, "Jean Dupont"));
        let action = house.awaited(manager)?;
        let (code, shown) = manager.approve(&action)?;
        ensure!(code == 0, "the manager could not approve:\n{shown}");
        let answer = held
            .join()
            .map_err(|_| anyhow::anyhow!("the browser panicked"))??;
        Ok((answer, action, shown))
    })?;
    tell.screen("alice", &shown);
    ensure!(answer.status == 201, "{} {}", answer.status, answer.text);
    ensure!(house.executed()?.len() == before + 1, "executed once");
    tell.held(tell.pick((
        "exécutée une fois, inchangée, sur la même connexion",
        "executed once, unchanged, on the same connection",
    )));
    Ok(action)
}

/// Plays every attack; returns the rows of the closing table and the report.
fn attacks(stage: &mut Stage, tell: &Narrator) -> Result<(Vec<Vec<String>>, Value)> {
    let mut rows = Vec::new();
    let mut report = Vec::new();
    for attack in ATTACKS {
        tell.attack(&format!("{}. {}", attack.number, tell.pick(attack.name)));
        let entries = (attack.play)(stage)
            .with_context(|| format!("attack {} was not stopped as claimed", attack.number))?;
        tell.held(tell.pick(attack.outcome));
        let shown = entries
            .first()
            .map(|entry| entry["type"].as_str().unwrap_or_default().to_owned());
        rows.push(vec![
            attack.number.to_string(),
            tell.pick(attack.name).to_owned(),
            tell.pick(attack.outcome).to_owned(),
            shown.unwrap_or_else(|| {
                tell.pick((
                    "— (rien n’atteint le serveur)",
                    "— (nothing reaches the server)",
                ))
                .to_owned()
            }),
        ]);
        report.push(json!({"number": attack.number, "attack": attack.name.1, "outcome": attack.outcome.1, "log_entry": entries.first(), "log_entries": entries}));
    }
    Ok((rows, Value::Array(report)))
}

/// Takes the evidence out of the house and checks it with the auditors' tool; then changes one byte.
fn audit(stage: &Stage, tell: &Narrator, action: &str) -> Result<PathBuf> {
    let folder = place::target().join("demo");
    fs::create_dir_all(&folder)?;
    let evidence = stage
        .house
        .service()
        .get(&format!("/v1/actions/{action}/evidence"))?;
    ensure!(
        evidence.status == 200,
        "evidence: {} {}",
        evidence.status,
        evidence.text
    );
    let (bundle, key) = (folder.join("evidence.json"), folder.join("log.vkey"));
    fs::write(&bundle, &evidence.text)?;
    fs::copy(stage.house.file("log.vkey"), &key)?;
    let roots = folder.join("roots");
    let _ = fs::remove_dir_all(&roots);
    fs::create_dir_all(&roots)?;
    for (number, model) in stage.models.iter().enumerate() {
        fs::copy(model.root(), roots.join(format!("maker-{number}.pem")))?;
    }
    let verify = |bundle: &Path| -> Result<(bool, Value)> {
        let out = Command::new(place::bin("sceau-verify"))
            .arg("evidence")
            .arg(bundle)
            .arg("--log-key")
            .arg(fs::read_to_string(&key)?.trim())
            .arg("--roots")
            .arg(&roots)
            .output()?;
        Ok((
            out.status.success(),
            serde_json::from_slice(&out.stdout).context("sceau-verify prints JSON")?,
        ))
    };
    let (accepted, verdict) = verify(&bundle)?;
    for check in verdict["checks"].as_array().into_iter().flatten() {
        tell.say(&format!(
            "{:<9} {}",
            check["result"].as_str().unwrap_or_default(),
            check["check"].as_str().unwrap_or_default()
        ));
    }
    ensure!(accepted, "the evidence was not accepted: {verdict}");
    tell.held(tell.pick((
        "preuve acceptée, sans réseau ni serveur",
        "evidence accepted, without network or server",
    )));

    let forged = folder.join("forged.json");
    let mut changed: Value = serde_json::from_str(&evidence.text)?;
    let signature = &mut changed["approvals"][0]["response"]["signature"];
    let text = signature.as_str().context("a signature")?.to_owned();
    let other = if text.as_bytes()[20] == b'A' {
        "B"
    } else {
        "A"
    };
    *signature = format!("{}{other}{}", &text[..20], &text[21..]).into();
    fs::write(&forged, changed.to_string())?;
    let (accepted, _) = verify(&forged)?;
    fs::remove_file(&forged)?;
    ensure!(!accepted, "a forged byte went unnoticed");
    tell.held(tell.pick(("un octet changé : refusée", "one byte changed: refused")));
    Ok(folder)
}

/// Leaves everything running until somebody presses Enter.
fn stay(tell: &Narrator, folder: &Path) -> Result<()> {
    for address in [API, GATE, PORTAL] {
        outlet(address, folder)?;
    }
    println!(
        "\n   {}",
        tell.pick(("Tout reste en marche :", "Everything stays running:"))
    );
    println!(
        "   {:<12} http://{API}/v1/openapi.json   http://{API}/metrics   http://{API}/log/checkpoint",
        "API"
    );
    println!(
        "   {:<12} http://{GATE}/.sceau/sign-in",
        tell.pick(("passerelle", "gate"))
    );
    println!("   {:<12} http://{PORTAL}/", "service");
    println!(
        "   {:<12} {}",
        tell.pick(("fichiers", "files")),
        folder.display()
    );
    println!(
        "   {}",
        tell.pick(("Entrée pour finir.", "Press Enter to end."))
    );
    let _ = std::io::stdin().read(&mut [0; 1])?;
    Ok(())
}

/// A socket in `folder` through which this machine's own loopback reaches a port of the private one (`cargo xtask demo --stay` listens there).
fn outlet(address: &'static str, folder: &Path) -> Result<()> {
    let port = address.rsplit(':').next().context("a port")?;
    let socket = folder.join(format!("{port}.sock"));
    let _ = fs::remove_file(&socket);
    let listener = UnixListener::bind(&socket)?;
    thread::spawn(move || {
        for outside in listener.incoming().flatten() {
            let Ok(inside) = TcpStream::connect(address) else {
                continue;
            };
            let (Ok(mut from_outside), Ok(mut to_inside)) =
                (outside.try_clone(), inside.try_clone())
            else {
                continue;
            };
            thread::spawn(move || {
                let _ = std::io::copy(&mut from_outside, &mut to_inside);
                let _ = to_inside.shutdown(Shutdown::Write);
            });
            let (mut from_inside, mut to_outside) = (inside, outside);
            thread::spawn(move || {
                let _ = std::io::copy(&mut from_inside, &mut to_outside);
                let _ = to_outside.shutdown(Shutdown::Write);
            });
        }
    });
    Ok(())
}
