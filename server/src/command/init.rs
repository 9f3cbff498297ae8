//! `sceau-server init`: the store, the signing keys, and a one-time link for each of the first two administrators.

use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};

use serde_json::json;

use super::{CommandError, ConfigFile, load_config, open_desk};
use crate::desk::DeskError;
use crate::id::{EnrolmentId, PersonId};
use crate::keyfile;
use crate::person::{Person, PersonState};
use crate::port::Ports;

/// Make the store, the signing keys, and invitations for the first two administrators.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Example:\n  sceau-server init --config /etc/sceau/sceau.toml --administrator 'amartin=Alice Martin' --administrator 'bdurand=Bruno Durand'"
)]
pub struct Init {
    #[command(flatten)]
    config: ConfigFile,
    /// A first administrator, `ID=Name`; give two. Two persons are needed so that neither can act alone.
    #[arg(long = "administrator", value_name = "ID=NAME", value_parser = founder)]
    administrators: Vec<(PersonId, String)>,
    /// Where the invitations are written, each in a file that only its owner reads; beside the configuration when not given.
    #[arg(long, value_name = "DIR")]
    invitations: Option<PathBuf>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// What root makes in the folder of the service's user is that user's: otherwise the service could not open it.
fn give_to_owner_of_folder(url: &str) -> std::io::Result<()> {
    let Some(path) = url.strip_prefix("sqlite://").map(Path::new) else {
        return Ok(());
    };
    let Some(folder) = path.parent() else {
        return Ok(());
    };
    let owner = std::fs::metadata(folder)?;
    for suffix in ["", "-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        let made = Path::new(&name);
        match std::fs::metadata(made) {
            Ok(file) if (file.uid(), file.gid()) == (owner.uid(), owner.gid()) => {}
            Ok(_) if rustix::process::geteuid().is_root() => {
                chown(made, Some(owner.uid()), Some(owner.gid()))?;
            }
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn founder(text: &str) -> Result<(PersonId, String), String> {
    let (id, name) = text.split_once('=').unwrap_or((text, text));
    let id = id
        .parse()
        .map_err(|_| "an id has 1 to 64 of a-z A-Z 0-9 . _ - @".to_owned())?;
    if name.trim().is_empty() || name.len() > 200 || name.chars().any(char::is_control) {
        return Err("a name is one line of at most 200 bytes".to_owned());
    }
    Ok((id, name.to_owned()))
}

/// One invitation, written.
struct Written {
    person: PersonId,
    enrolment: EnrolmentId,
    file: PathBuf,
}

impl Init {
    /// Runs the command; what it prints is returned.
    ///
    /// # Errors
    /// [`CommandError`].
    pub async fn run(self, ports: Ports) -> Result<String, CommandError> {
        let config = load_config(&self.config)?;
        let keys = &config.keys;
        if !keys.permit.exists() {
            keyfile::make_permit_key(&keys.permit)?;
        }
        if !keys.log.exists() {
            keyfile::make_log_key(&keys.log, &keys.log_vkey, &keys.log_origin, &ports)?;
        }
        let folder = self.invitations.clone().unwrap_or_else(|| {
            self.config
                .config
                .parent()
                .filter(|p| !p.as_os_str().is_empty())
                .unwrap_or(Path::new("."))
                .to_owned()
        });
        let desk = open_desk(&config, ports, true).await?;
        give_to_owner_of_folder(&config.store.url)?;
        let founded = desk
            .found(self.founders())
            .await
            .map_err(|error| match error {
                DeskError::Forbidden => CommandError::Initialised,
                other => CommandError::Desk(other),
            })?;
        let mut written = Vec::new();
        for (person, enrolment, secret) in founded {
            let file = folder.join(format!("invitation-{person}"));
            keyfile::write_secret(&file, format!("{}\n", *secret).as_bytes())?;
            written.push(Written {
                person,
                enrolment,
                file,
            });
        }
        let vkey =
            std::fs::read_to_string(&keys.log_vkey).map_err(|error| CommandError::Unreadable {
                path: keys.log_vkey.clone(),
                error,
            })?;
        Ok(self.tell(&config, vkey.trim(), &written))
    }

    fn founders(&self) -> Vec<Person> {
        let named = |(id, display): &(PersonId, String)| Person {
            id: id.clone(),
            display: display.clone(),
            roles: ["administrator"]
                .iter()
                .filter_map(|role| role.parse().ok())
                .collect(),
            state: PersonState::Inert,
            parent: None,
        };
        if self.administrators.is_empty() {
            let unnamed = ["admin-1=Administrator 1", "admin-2=Administrator 2"];
            unnamed
                .iter()
                .filter_map(|text| founder(text).ok())
                .map(|founder| named(&founder))
                .collect()
        } else {
            self.administrators.iter().map(named).collect()
        }
    }

    fn tell(&self, config: &crate::config::Config, vkey: &str, written: &[Written]) -> String {
        let link = |invitation: &Written| {
            format!(
                "{}/enrol#{}",
                config.server.public_url, invitation.enrolment
            )
        };
        if self.json {
            let invitations: Vec<_> = written
                .iter()
                .map(|invitation| {
                    json!({
                        "person": invitation.person,
                        "enrolment_id": invitation.enrolment,
                        "invitation_file": invitation.file,
                        "link": link(invitation),
                    })
                })
                .collect();
            return format!(
                "{}\n",
                json!({ "log_vkey": vkey, "invitations": invitations })
            );
        }
        let mut text = format!("log key      {vkey}\n");
        for invitation in written {
            text.push_str(&format!(
                "invitation   {}\n  link       {}\n  secret in  {}\n  enrol with sceau enroll --invitation-file {}\n",
                invitation.person,
                link(invitation),
                invitation.file.display(),
                invitation.file.display()
            ));
        }
        text
    }
}
