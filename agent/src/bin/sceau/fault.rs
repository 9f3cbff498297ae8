//! Why a command of `sceau` did not do its work, for the person, with the exit code.

use sceau_agent::administration::AdministrationError;
use sceau_agent::config::ConfigError;
use sceau_agent::locale::Language;
use sceau_agent::prompt::terminal::ClientError;
use sceau_locale::foreign;

/// Why.
pub(crate) enum Fault {
    /// Nobody knows where the socket is.
    Places(ConfigError),
    /// A key at USB was not administered.
    Administration(AdministrationError),
    /// What was given does not serve: an invitation, a list, a file; in words already.
    Invitation(String),
    /// The system's.
    Signals(std::io::Error),
    /// The daemon.
    Client(ClientError),
}

impl From<ClientError> for Fault {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl Fault {
    /// What the person reads, and the exit code.
    pub(crate) fn tell(&self, language: Language) -> (String, u8) {
        match self {
            Self::Places(e) => (e.tell(language), 3),
            Self::Administration(e) => e.tell(language),
            Self::Invitation(e) => (e.clone(), 2),
            Self::Signals(e) => (foreign(language, &e.to_string()), 3),
            Self::Client(ClientError::Io(e)) => {
                let reason = foreign(language, &e.to_string());
                (
                    format!("{} ({reason})", language.text("command-no-agent")),
                    3,
                )
            }
            Self::Client(ClientError::NoTerminal) => {
                (language.text("command-terminal").into_owned(), 2)
            }
            Self::Client(ClientError::Malformed) => {
                (language.text("command-agent-malformed").into_owned(), 3)
            }
        }
    }
}
