//! A whole house: the sample service, Sceau's server with its gate before it, and the people who were enrolled.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{
    http::{Answer, Client},
    key::Model,
    narrator::Language,
    place,
    process::Running,
    workstation::{Server, Workstation},
};

/// Where the API listens, on the test's own loopback.
pub const API: &str = "127.0.0.1:8440";
/// Where the gate listens: the application's public name.
pub const GATE: &str = "127.0.0.1:8441";
/// Where the sample service listens; only the gate should talk to it.
pub const PORTAL: &str = "127.0.0.1:8442";
/// The relying party's id.
pub const RP_ID: &str = "sceau.example";
/// The portal's own password of its account manager.
pub const PASSWORD: &str = "tulipe-noire";

const SERVICE_TOKEN: &str = "c2VydmljZS10b2tlbi1mb3ItdGhlLXNhbXBsZS1zdG9yeQ";
const MODERATION_TOKEN: &str = "bW9kZXJhdGlvbi10b2tlbi1mb3ItdGhlLXNhbXBsZS1z";

/// What differs from the limits that are shipped: a whole story happens here within a minute, refusals and all.
pub const STORY_LIMITS: &str = "[limit]\nasked = 90\nrefused = 40\n";

/// The running house.
pub struct House {
    /// What the server's environment says beside its file (`SCEAU_SECTION__KEY`), from its next start on.
    pub environment: Vec<(&'static str, &'static str)>,
    folder: PathBuf,
    server: Option<Running>,
    portal: Running,
}

/// The people of the December 2025 story, each enrolled at a workstation of their own.
pub struct People {
    /// First administrator.
    pub admin: Workstation,
    /// Second administrator.
    pub second: Workstation,
    /// Help-desk operator.
    pub operator: Workstation,
    /// Account manager.
    pub manager: Workstation,
}

impl House {
    /// Founds a house in `folder` whose server trusts the makers of `models`: configuration, `init`, sample service, server and gate.
    ///
    /// # Errors
    /// When a part does not start; the message quotes what it printed.
    pub fn found(folder: &Path, models: &[&Model]) -> Result<Self> {
        let sceau = folder.join("sceau");
        let anchors = sceau.join("anchors");
        fs::create_dir_all(&anchors)?;
        for (number, model) in models.iter().enumerate() {
            fs::copy(model.root(), anchors.join(format!("maker-{number}.pem")))?;
        }
        fs::write(sceau.join("sceau.toml"), config()?)?;
        fs::create_dir_all(sceau.join("policy"))?;
        for (name, text) in POLICY {
            fs::write(sceau.join("policy").join(name), text)?;
        }
        fs::write(sceau.join("portal.toml"), ROUTES)?;
        let init = Command::new(place::bin("sceau-server"))
            .args(["init", "--config"])
            .arg(sceau.join("sceau.toml"))
            .output()?;
        if !init.status.success() {
            bail!(
                "sceau-server init: {}{}",
                String::from_utf8_lossy(&init.stdout),
                String::from_utf8_lossy(&init.stderr)
            );
        }
        let account = format!("Alice Martin:alice@ml.example:manager:{PASSWORD}");
        let mut portal = Running::start(
            "portal",
            folder,
            Command::new(place::bin("portal")).args([
                "--listen",
                PORTAL,
                "--files",
                "1600000",
                "--account",
                &account,
            ]),
        )?;
        portal.wait_ready(Duration::from_secs(10), || {
            Client::new(&format!("http://{PORTAL}"))
                .get("/_journal")
                .is_ok()
        })?;
        let mut house = Self {
            environment: Vec::new(),
            folder: folder.to_owned(),
            server: None,
            portal,
        };
        house.start_server()?;
        Ok(house)
    }

    /// Starts the server (again), and waits until it is ready.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn start_server(&mut self) -> Result<Duration> {
        let mut command = Command::new(place::bin("sceau-server"));
        command.envs(self.environment.iter().copied());
        command.args(["serve", "--config"]).arg(self.config());
        let mut server = Running::start("sceau-server", &self.folder, &mut command)?;
        let api = self.api();
        let took = server.wait_ready(Duration::from_secs(20), || {
            api.get("/readyz").is_ok_and(|answer| answer.status == 200)
        })?;
        self.server = Some(server);
        Ok(took)
    }

    /// Changes the server's configuration file and starts the server again with it; gives what stood there before.
    ///
    /// # Errors
    /// When the server does not become ready with it.
    pub fn reconfigure(&mut self, change: impl FnOnce(String) -> String) -> Result<String> {
        let before = fs::read_to_string(self.config())?;
        fs::write(self.config(), change(before.clone()))?;
        self.kill_server();
        self.start_server()?;
        Ok(before)
    }

    /// Cuts the server's power.
    pub fn kill_server(&mut self) {
        self.server = None;
    }

    /// The server's process id.
    #[must_use]
    pub fn server_pid(&self) -> Option<u32> {
        self.server.as_ref().map(Running::pid)
    }

    /// The server's configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.folder.join("sceau/sceau.toml")
    }

    /// A file of the server's.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join("sceau").join(name)
    }

    /// What an agent is told about this house.
    #[must_use]
    pub fn for_agents(&self) -> Server {
        Server {
            url: format!("http://{API}"),
            rp_id: RP_ID.to_owned(),
        }
    }

    /// A client of the API that says nothing of who it is.
    #[must_use]
    pub fn api(&self) -> Client {
        Client::new(&format!("http://{API}"))
    }

    /// The API as the sample service calls it.
    #[must_use]
    pub fn service(&self) -> Client {
        self.api().bearer(SERVICE_TOKEN)
    }

    /// The API as the moderation back office calls it; it stands behind no gate here.
    #[must_use]
    pub fn moderation(&self) -> Client {
        self.api().bearer(MODERATION_TOKEN)
    }

    /// The API as the person at this workstation calls it.
    ///
    /// # Errors
    /// When nobody is signed in there.
    pub fn person(&self, workstation: &Workstation) -> Result<Client> {
        Ok(self.api().bearer(&workstation.session()?))
    }

    /// The application through the gate.
    #[must_use]
    pub fn gate(&self) -> Client {
        Client::new(&format!("http://{GATE}"))
    }

    /// What the sample service executed, in order.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn executed(&self) -> Result<Vec<String>> {
        let journal = Client::new(&format!("http://{PORTAL}"))
            .get("/_journal")?
            .json();
        let entries = journal["requests"]
            .as_array()
            .cloned()
            .context("the journal lists requests")?;
        Ok(entries
            .iter()
            .filter_map(|entry| entry["executed"].as_str().map(str::to_owned))
            .collect())
    }

    /// Copies the public log (C2SP tlog-tiles) into a folder, as any mirror would.
    ///
    /// # Errors
    /// When the log does not answer.
    pub fn mirror_log(&self, folder: &Path) -> Result<u64> {
        let checkpoint = self.api().get("/log/checkpoint")?;
        ensure!(
            checkpoint.status == 200,
            "checkpoint: {} {}",
            checkpoint.status,
            checkpoint.text
        );
        let size: u64 = checkpoint.text.lines().nth(1).context("a size")?.parse()?;
        ensure!(size < 256_000, "more than a test writes");
        let mut paths = tiles("entries", size);
        for level in 0..8 {
            paths.extend(tiles(&level.to_string(), size >> (8 * level)));
        }
        for path in paths {
            let file = folder.join(&path);
            fs::create_dir_all(file.parent().context("a folder")?)?;
            fs::write(file, self.api().get_bytes(&format!("/log/{path}"))?)?;
        }
        fs::write(folder.join("checkpoint"), &checkpoint.text)?;
        Ok(size)
    }

    /// Every entry of the log, in order, read from its public tiles.
    ///
    /// # Errors
    /// When the log does not answer, or a tile is not of its form.
    pub fn entries(&self) -> Result<Vec<Value>> {
        let folder = tempfile::tempdir()?;
        let size = self.mirror_log(folder.path())?;
        let mut entries = Vec::new();
        for path in tiles("entries", size) {
            let bytes = fs::read(folder.path().join(path))?;
            let mut bundle = &bytes[..];
            while let [high, low, rest @ ..] = bundle {
                let (entry, after) = rest
                    .split_at_checked(usize::from(u16::from_be_bytes([*high, *low])))
                    .context("a whole entry")?;
                entries.push(serde_json::from_slice(entry)?);
                bundle = after;
            }
        }
        Ok(entries)
    }

    /// One of the two invitations that `init` wrote.
    ///
    /// # Errors
    /// When it is not there.
    pub fn first_invitation(&self, number: usize) -> Result<PathBuf> {
        let path = self.file(&format!("invitation-admin-{number}"));
        ensure!(path.exists(), "{} was not written by init", path.display());
        Ok(path)
    }

    /// Enrols the four people of the story: two administrators by `init`'s invitations, the operator by the administrators, the manager by the operator and an administrator.
    ///
    /// `enrolled` is told of each, with what stood on their terminal.
    ///
    /// # Errors
    /// When a step does not hold.
    pub fn people(
        &self,
        folder: &Path,
        models: [&Model; 2],
        language: Language,
        mut enrolled: impl FnMut(&Workstation, &str),
    ) -> Result<People> {
        let server = self.for_agents();
        let at = |number: u16, person: &str| -> Result<Workstation> {
            let mut workstation = Workstation::set_up(
                folder,
                number,
                person,
                Some(models[usize::from(number % 2)]),
                &server,
            )?
            .reading(language);
            workstation.start_agent()?;
            Ok(workstation)
        };
        let admin = at(0, "admin-1")?;
        enrolled(&admin, &admin.enroll(&self.first_invitation(1)?)?);
        let second = at(1, "admin-2")?;
        enrolled(&second, &second.enroll(&self.first_invitation(2)?)?);
        let operator = at(2, "odile")?;
        let invitation = self.invite(
            &admin,
            &[&admin, &second],
            "odile",
            "Odile Petit",
            &["operator"],
        )?;
        enrolled(&operator, &operator.enroll(&invitation)?);
        let manager = at(3, "alice")?;
        let invitation = self.invite(
            &operator,
            &[&operator, &admin],
            "alice",
            "Alice Martin",
            &["manager"],
        )?;
        enrolled(&manager, &manager.enroll(&invitation)?);
        Ok(People {
            admin,
            second,
            operator,
            manager,
        })
    }

    /// `asker` asks to enrol a person, `approvers` seal it; returns the file that holds the invitation.
    ///
    /// # Errors
    /// When the server refuses, or an approval is not accepted.
    pub fn invite(
        &self,
        asker: &Workstation,
        approvers: &[&Workstation],
        id: &str,
        display: &str,
        roles: &[&str],
    ) -> Result<PathBuf> {
        let asked = self.person(asker)?.post(
            "/v1/enrolments",
            &json!({"person": {"id": id, "display": display, "roles": roles}}),
        )?;
        ensure!(
            asked.status == 201,
            "enrolment of {id}: {} {}",
            asked.status,
            asked.text
        );
        let action = asked.json()["action"]["id"]
            .as_str()
            .context("an action with an id")?
            .to_owned();
        ensure!(
            asked.json()["state"] == "pending",
            "enrolment of {id}: {}",
            asked.text
        );
        for approver in approvers {
            let (code, shown) = approver.approve(&action)?;
            ensure!(
                code == 0,
                "{} could not approve the enrolment of {id}:\n{shown}",
                approver.person
            );
        }
        let done = self
            .person(asker)?
            .get(&format!("/v1/actions/{action}?wait=10"))?
            .json();
        let secret = done["result"]["invitation"]
            .as_str()
            .with_context(|| format!("an invitation in {done}"))?;
        let file = self.folder.join(format!("invitation-{id}"));
        fs::write(&file, secret)?;
        Ok(file)
    }

    /// A browser of this person, signed in at the gate with the key.
    ///
    /// # Errors
    /// When the sign-in is not sealed.
    pub fn browser(&self, person: &Workstation) -> Result<Client> {
        let browser = self.gate();
        let begun = browser.post("/.sceau/session", &json!({"person": person.person}))?;
        ensure!(
            begun.status == 201,
            "sign-in at the gate: {} {}",
            begun.status,
            begun.text
        );
        let action = begun.json()["action_id"]
            .as_str()
            .context("an action_id")?
            .to_owned();
        let (code, shown) = person.approve(&action)?;
        ensure!(
            code == 0,
            "{} could not sign in:\n{shown}\n{}\n{}",
            person.person,
            person.agent_log(),
            self.server
                .as_ref()
                .map(Running::printed)
                .unwrap_or_default()
        );
        let state = browser.get("/.sceau/session?wait=10")?;
        ensure!(state.json()["state"] == "active", "sign-in: {}", state.text);
        let login = browser.send(
            "POST",
            "/login",
            &[],
            Some((
                "application/x-www-form-urlencoded",
                format!("email=alice%40ml.example&password={PASSWORD}").as_bytes(),
            )),
        )?;
        ensure!(
            login.status < 400,
            "the portal's own log-in: {} {}",
            login.status,
            login.text
        );
        Ok(browser)
    }

    /// The newest action that waits for this person, once there is one.
    ///
    /// # Errors
    /// When none comes within ten seconds.
    pub fn awaited(&self, person: &Workstation) -> Result<String> {
        self.awaited_beside(person, &[])
    }

    /// The same, where these wait already.
    ///
    /// # Errors
    /// When no other does within ten seconds.
    pub fn awaited_beside(&self, person: &Workstation, known: &[String]) -> Result<String> {
        let mut found = None;
        crate::process::eventually(
            "an action awaits the person",
            Duration::from_secs(10),
            || {
                let actions = pending(person).unwrap_or_default();
                found = actions
                    .into_iter()
                    .rev()
                    .find(|action| !known.contains(action));
                found.is_some()
            },
        )?;
        found.context("just found")
    }

    /// The sample service's process.
    pub fn portal(&mut self) -> &mut Running {
        &mut self.portal
    }
}

/// The paths of a row of tiles with `count` hashes or entries.
fn tiles(row: &str, count: u64) -> Vec<String> {
    let full = (0..count / 256).map(|tile| format!("tile/{row}/{tile:03}"));
    let rest = count % 256;
    let part = (rest > 0).then(|| format!("tile/{row}/{:03}.p/{rest}", count / 256));
    full.chain(part).collect()
}

/// The ids of the actions that the person's agent says are waiting.
///
/// # Errors
/// When the agent does not answer.
pub fn pending(person: &Workstation) -> Result<Vec<String>> {
    let out = person
        .command("sceau")
        .args(["status", "--json"])
        .output()?;
    let status: Value = serde_json::from_slice(&out.stdout)?;
    let actions = status["pending"].as_array().cloned().unwrap_or_default();
    Ok(actions
        .iter()
        .filter_map(|action| action["id"].as_str().map(str::to_owned))
        .collect())
}

/// The account that the story is about.
///
/// # Errors
/// When no answer comes.
pub fn create_account(browser: &Client, name: &str) -> Result<Answer> {
    browser.post("/accounts", &json!({"name": name, "email": format!("{}@ml.example", name.to_lowercase().replace(' ', ".")), "role": "advisor"}))
}

fn config() -> Result<String> {
    let sha256 = |token: &str| {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.as_bytes());
        hex::encode(digest)
    };
    let (digest, moderation) = (sha256(SERVICE_TOKEN), sha256(MODERATION_TOKEN));
    Ok(format!(
        r#"[server]
listen = "{API}"
public_url = "https://{RP_ID}"
rp_id = "{RP_ID}"
rp_name = "Sceau"

[store]
url = "sqlite:sceau.db"

[keys]
permit = "permit.pem"
log = "log.seed"
log_vkey = "log.vkey"
log_origin = "{RP_ID}/log"

[policy]
folder = "policy"

[attestation]
anchors = "anchors"

[[service]]
id = "portal"
token_sha256 = "{digest}"

[[service]]
id = "hyyypertool"
token_sha256 = "{moderation}"

{STORY_LIMITS}
[gate]
listen = "{GATE}"
routes = ["portal.toml"]
"#
    ))
}

/// The policy that is shipped: a house that follows the README has this one.
const POLICY: [(&str, &str); 6] = [
    ("roles.toml", include_str!("../../server/policy/roles.toml")),
    (
        "actions.cedarschema",
        include_str!("../../server/policy/actions.cedarschema"),
    ),
    (
        "sceau.cedar",
        include_str!("../../server/policy/sceau.cedar"),
    ),
    (
        "portal.cedar",
        include_str!("../../server/policy/portal.cedar"),
    ),
    (
        "hyyypertool.cedar",
        include_str!("../../server/policy/hyyypertool.cedar"),
    ),
    (
        "federation.cedar",
        include_str!("../../server/policy/federation.cedar"),
    ),
];

const ROUTES: &str = include_str!("../portal.toml");
