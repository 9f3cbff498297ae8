//! The same story with a key of the person who watches: plugged into this machine, touched by hand, its PIN typed at this terminal.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use e2e::{narrator::Narrator, place, process::Running, stage::Stage};
use serde_json::json;

/// Where `tests/in-namespace` leaves the machine's own PC/SC daemon.
const MACHINE_PCSCD: &str = "/run/sceau/machine-pcscd/pcscd.comm";

/// Enrols the person's own key, and has it seal an action.
pub(crate) fn play(stage: &mut Stage, tell: &Narrator, anchors: Option<&Path>) -> Result<()> {
    let Some(anchors) = anchors else {
        tell.say(tell.pick((
            "Donnez le certificat racine de son fabricant : --real-key --anchors DOSSIER (fichiers PEM). Sans lui, rien ne prouve ce qu’est la clé, et l’enrôlement serait refusé.",
            "Give its maker's root certificate: --real-key --anchors DIR (PEM files). Without it nothing proves what the key is, and enrolment would be refused.",
        )));
        anyhow::bail!("--real-key needs --anchors DIR");
    };
    for file in fs::read_dir(anchors).with_context(|| anchors.display().to_string())? {
        let file = file?.path();
        let name = file.file_name().context("a file name")?;
        fs::copy(&file, stage.house.file("anchors").join(name))?;
    }
    stage.house.kill_server();
    stage.house.start_server()?;

    let (operator, admin) = (&stage.people.operator, &stage.people.admin);
    let invitation = stage.house.invite(
        operator,
        &[operator, admin],
        "you",
        tell.pick(("Vous", "You")),
        &["manager"],
    )?;
    let desk = Desk::set_up(&stage.path("you"), stage)?;
    tell.say(tell.pick((
        "Branchez votre clé. Son code PIN est demandé ici et ne va qu’à elle.",
        "Plug in your key. Its PIN is asked for here, and goes nowhere but to the key.",
    )));
    desk.run(&["enroll", "--invitation-file", &invitation.to_string_lossy()])?;

    let asked = stage.house.service().post(
        "/v1/actions",
        &json!({"type": "account.create", "requester": "you", "target": {"kind": "account", "id": "jean", "display": "Jean Dupont"}, "params": {"role": "advisor"}}),
    )?;
    let id = asked.json()["action"]["id"]
        .as_str()
        .context("an action")?
        .to_owned();
    desk.run(&["approve", &id])?;
    ensure!(
        stage.state(&id)? == "approved",
        "the server has your key's approval"
    );
    tell.held(tell.pick(("scellée par votre clé", "sealed by your key")));
    Ok(())
}

/// An agent of this machine's own readers and USB ports.
struct Desk {
    folder: PathBuf,
    _agent: Running,
}

impl Desk {
    fn set_up(folder: &Path, stage: &Stage) -> Result<Self> {
        for place in ["config/sceau", "state", "runtime"] {
            fs::create_dir_all(folder.join(place))?;
        }
        let server = stage.house.for_agents();
        fs::write(
            folder.join("config/sceau/agent.toml"),
            format!(
                "server = \"{}\"\nrp_id = \"{}\"\n",
                server.url, server.rp_id
            ),
        )?;
        let socket = folder.join("runtime/sceau/agent.sock");
        let mut agent = Running::start("sceau-agent", folder, &mut command(folder, "sceau-agent"))?;
        agent.wait_ready(Duration::from_secs(10), || socket.exists())?;
        Ok(Self {
            folder: folder.to_owned(),
            _agent: agent,
        })
    }

    /// A command of the person's, at this very terminal.
    fn run(&self, arguments: &[&str]) -> Result<()> {
        let status = command(&self.folder, "sceau").args(arguments).status()?;
        ensure!(status.success(), "sceau {}: {status}", arguments.join(" "));
        Ok(())
    }
}

fn command(folder: &Path, program: &str) -> Command {
    let mut command = Command::new(place::bin(program));
    command
        .env("PCSCLITE_CSOCK_NAME", MACHINE_PCSCD)
        .env("XDG_CONFIG_HOME", folder.join("config"))
        .env("XDG_STATE_HOME", folder.join("state"))
        .env("XDG_RUNTIME_DIR", folder.join("runtime"));
    command
}
