//! The server's own secrets, as files: the ES256 key that signs permits (PKCS#8 PEM) and the Ed25519 seed that signs the log's
//! checkpoints. Mode 0600; a file that others may read is refused. Never in flags, environment or configuration.
//!
//! The service manager hands them over as credentials (`LoadCredential=`): files in `$CREDENTIALS_DIRECTORY`, which it lets this user alone enter.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use aws_lc_rs::rand::SystemRandom;
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use sceau_locale::{Language, Value, foreign};
use sceau_proof::log::note::{KeyKind, SigningKey as NoteKey, VerifyingKey};
use sceau_proof::permit::SigningKey as PermitKey;
use zeroize::Zeroizing;

use crate::port::{NoRandomness, Ports};

/// A key file cannot be used. `Display` is for logs, in English; [`KeyFileError::tell`] for the person.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Cannot be read or written.
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Others may read it.
    Exposed {
        /// Which.
        path: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Not a key.
    Malformed {
        /// Which.
        path: PathBuf,
        /// Which text of the catalogue says what was looked for.
        kind: &'static str,
    },
    /// The system's random source failed.
    NoRandomness(#[from] NoRandomness),
    /// AWS-LC made no key.
    NotMade,
}

impl KeyFileError {
    /// What a person reads.
    #[must_use]
    pub fn tell(&self, language: Language) -> String {
        let said = |name: &str, path: &Path, more: &[(&str, Value<'_>)]| {
            let path = [("path", path.display().to_string().into())];
            language.text_with(name, &[&path, more].concat())
        };
        match self {
            Self::Io { path, error } => language.labelled(
                &path.display().to_string(),
                foreign(language, &error.to_string()),
            ),
            Self::Exposed { path, mode } => {
                let mode = format!("{mode:o}");
                said("fault-key-exposed", path, &[("mode", mode.into())])
            }
            Self::Malformed { path, kind } => {
                let kind = language.text(kind);
                said("fault-key-malformed", path, &[("kind", kind.into())])
            }
            Self::NoRandomness(_) => language.text("fault-no-randomness").into_owned(),
            Self::NotMade => language.text("fault-key-not-made").into_owned(),
        }
    }
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.tell(Language::En))
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> KeyFileError + '_ {
    move |error| KeyFileError::Io {
        path: path.to_owned(),
        error,
    }
}

/// Writes a secret to a new file, 0600, and waits for the disk.
///
/// # Errors
/// When the file exists already, or cannot be written.
pub fn write_secret(path: &Path, secret: &[u8]) -> Result<(), KeyFileError> {
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(secret)?;
        file.sync_all()
    };
    write().map_err(io_error(path))
}

/// Reads a secret's file.
///
/// # Errors
/// When it cannot be read, or others may read it.
pub fn read_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let mode = fs::metadata(path).map_err(io_error(path))?.mode() & 0o777;
    let handed_over = std::env::var_os("CREDENTIALS_DIRECTORY")
        .is_some_and(|folder| !folder.is_empty() && path.starts_with(folder));
    // The manager's access list for this user shows as the group's right to read.
    let others = if handed_over { 0o037 } else { 0o077 };
    if mode & others != 0 {
        return Err(KeyFileError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(Zeroizing::new(fs::read(path).map_err(io_error(path))?))
}

/// Makes the permit key's file.
///
/// # Errors
/// [`KeyFileError`].
pub fn make_permit_key(path: &Path) -> Result<(), KeyFileError> {
    let der = Zeroizing::new(
        PermitKey::generate_pkcs8(&SystemRandom::new()).map_err(|_| KeyFileError::NotMade)?,
    );
    write_secret(path, pem("PRIVATE KEY", &der).as_bytes())
}

/// Reads the permit key.
///
/// # Errors
/// [`KeyFileError`].
pub fn permit_key(path: &Path) -> Result<PermitKey, KeyFileError> {
    let malformed = || KeyFileError::Malformed {
        path: path.to_owned(),
        kind: "fault-key-kind-p256",
    };
    let text = read_secret(path)?;
    let der = PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|_| malformed())?;
    PermitKey::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| malformed())
}

/// Reads a secret of one line.
///
/// # Errors
/// [`KeyFileError`].
pub fn secret_line(path: &Path) -> Result<String, KeyFileError> {
    let malformed = || KeyFileError::Malformed {
        path: path.to_owned(),
        kind: "fault-key-kind-line",
    };
    let bytes = read_secret(path)?;
    let text = std::str::from_utf8(&bytes)
        .map_err(|_| malformed())?
        .trim_ascii();
    if text.is_empty() || text.contains(char::is_control) {
        return Err(malformed());
    }
    Ok(text.to_owned())
}

/// Makes the log key's file, and its verification key's beside it, for auditors.
///
/// # Errors
/// [`KeyFileError`].
pub fn make_log_key(
    path: &Path,
    vkey: &Path,
    origin: &str,
    ports: &Ports,
) -> Result<(), KeyFileError> {
    make_note_key(path, vkey, origin, KeyKind::Log, ports).map(|_| ())
}

/// Makes the file of a key that signs notes, and its verification key's beside it.
///
/// # Errors
/// [`KeyFileError`]; when the file exists already it is one.
pub fn make_note_key(
    path: &Path,
    vkey: &Path,
    name: &str,
    kind: KeyKind,
    ports: &Ports,
) -> Result<VerifyingKey, KeyFileError> {
    let seed: Zeroizing<[u8; 32]> = Zeroizing::new(ports.bytes()?);
    let key = NoteKey::from_seed(name, kind, &seed).map_err(|_| KeyFileError::NotMade)?;
    let text = Zeroizing::new(format!("{}\n", sceau_proof::base64url::encode(*seed)));
    write_secret(path, text.as_bytes())?;
    // Whatever the umask: this one is for everyone.
    let public = || -> io::Result<()> {
        fs::write(vkey, format!("{}\n", key.verifying_key()))?;
        fs::set_permissions(vkey, fs::Permissions::from_mode(0o644))
    };
    public().map_err(io_error(vkey))?;
    Ok(key.verifying_key().clone())
}

/// Reads the log key.
///
/// # Errors
/// [`KeyFileError`].
pub fn log_key(path: &Path, origin: &str) -> Result<NoteKey, KeyFileError> {
    note_key(path, origin, KeyKind::Log)
}

/// Reads a key that signs notes.
///
/// # Errors
/// [`KeyFileError`].
pub fn note_key(path: &Path, name: &str, kind: KeyKind) -> Result<NoteKey, KeyFileError> {
    let malformed = || KeyFileError::Malformed {
        path: path.to_owned(),
        kind: "fault-key-kind-bytes",
    };
    let text = read_secret(path)?;
    let text = std::str::from_utf8(&text)
        .map_err(|_| malformed())?
        .trim_ascii();
    let seed: Zeroizing<[u8; 32]> =
        Zeroizing::new(sceau_proof::base64url::decode_array(text).map_err(|_| malformed())?);
    NoteKey::from_seed(name, kind, &seed).map_err(|_| malformed())
}

/// Reads a secret that is shared with another machine: at least 32 characters, without the white space around it.
///
/// # Errors
/// [`KeyFileError`].
pub fn shared_secret(path: &Path) -> Result<Zeroizing<Vec<u8>>, KeyFileError> {
    let text = read_secret(path)?;
    let secret = Zeroizing::new(text.trim_ascii().to_vec());
    if secret.len() < 32 {
        return Err(KeyFileError::Malformed {
            path: path.to_owned(),
            kind: "fault-key-kind-secret",
        });
    }
    Ok(secret)
}

fn pem(label: &str, der: &[u8]) -> Zeroizing<String> {
    use base64::Engine as _;

    let body = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(der));
    let mut text = Zeroizing::new(format!("-----BEGIN {label}-----\n"));
    let mut rest = body.as_str();
    while let Some((line, after)) = rest.split_at_checked(64) {
        text.push_str(line);
        text.push('\n');
        rest = after;
    }
    if !rest.is_empty() {
        text.push_str(rest);
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::{Clock, Random};

    struct Still;
    impl Clock for Still {
        fn now(&self) -> time::OffsetDateTime {
            time::OffsetDateTime::UNIX_EPOCH
        }
    }
    struct Counting;
    impl Random for Counting {
        fn fill(&self, buffer: &mut [u8]) -> Result<(), NoRandomness> {
            buffer.iter_mut().zip(1..).for_each(|(byte, n)| *byte = n);
            Ok(())
        }
    }

    #[test]
    fn keys_read_back_and_are_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let permit = folder.path().join("permit.pem");
        make_permit_key(&permit).unwrap();
        let kid = permit_key(&permit).unwrap().kid().to_owned();
        assert!(make_permit_key(&permit).is_err());
        assert_eq!(permit_key(&permit).unwrap().kid(), kid);
        let (log, vkey) = (
            folder.path().join("log.key"),
            folder.path().join("log.vkey"),
        );
        make_log_key(
            &log,
            &vkey,
            "sceau.example/log",
            &Ports::new(Still, Counting),
        )
        .unwrap();
        let key = log_key(&log, "sceau.example/log").unwrap();
        assert_eq!(
            fs::read_to_string(&vkey).unwrap().trim(),
            key.verifying_key().to_string()
        );
    }

    #[test]
    fn a_secret_is_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("database-url");
        write_secret(&path, b"postgres://sceau:pw@db/sceau\n").unwrap();
        assert_eq!(secret_line(&path).unwrap(), "postgres://sceau:pw@db/sceau");
        for text in ["", "\n", "a\nb\n"] {
            fs::write(&path, text).unwrap();
            let kind = "fault-key-kind-line";
            assert!(
                matches!(secret_line(&path), Err(KeyFileError::Malformed { kind: k, .. }) if k == kind)
            );
        }
    }

    #[test]
    fn a_key_that_others_may_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let permit = folder.path().join("permit.pem");
        make_permit_key(&permit).unwrap();
        fs::set_permissions(&permit, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            permit_key(&permit),
            Err(KeyFileError::Exposed { mode: 0o640, .. })
        ));
    }
}
