//! The session token at rest: `$XDG_STATE_HOME/sceau/session`, mode 0600, in a directory of mode 0700, written whole or not at all.
//!
//! The file says for which server the token is: it is never sent to another one.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use serde::{Deserialize, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// What bears a person's session. No `Debug`, no `Display`; erased when dropped.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub struct Token(String);

impl Token {
    /// Takes what the server gave out: base64url text (RFC 6750 token characters), bounded.
    #[must_use]
    pub fn new(text: String) -> Option<Self> {
        let token = Self(text);
        token.is_sound().then_some(token)
    }

    fn is_sound(&self) -> bool {
        (16..=512).contains(&self.0.len())
            && self
                .0
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
    }

    /// The text for the `Authorization` header.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A session and whose it is.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The server that gave it out, as [`crate::config::ServerUrl::text`].
    pub server: String,
    /// Whose session it is.
    pub person: String,
    /// The server's name for it; empty when the server gave none.
    pub session_id: String,
    /// The bearer.
    pub token: Token,
}

/// Reads the session for `server`, if there is one.
///
/// # Errors
/// The file is there but unreadable, readable by others, or not of the expected shape.
pub fn load(path: &Path, server: &str) -> io::Result<Option<Session>> {
    let Some(text) = read_own(path)? else {
        return Ok(None);
    };
    let session: Session = serde_json::from_slice(&text)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not a session file"))?;
    if !session.token.is_sound() {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "not a session token",
        ));
    }
    Ok((session.server == server).then_some(session))
}

/// The longest file of the agent's own that is read.
const MAX_OWN: u64 = 64 * 1024;

/// Reads a file that is its owner's alone; `None` when there is none.
///
/// # Errors
/// The file is there but unreadable, or readable by others.
pub(crate) fn read_own(path: &Path) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
    let file = match OpenOptions::new()
        .read(true)
        .custom_flags(nofollow())
        .open(path)
    {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let metadata = file.metadata()?;
    if metadata.mode() & 0o077 != 0 || metadata.uid() != rustix::process::geteuid().as_raw() {
        return Err(io::Error::new(
            io::ErrorKind::PermissionDenied,
            format!("{} must be its owner's alone (mode 0600)", path.display()),
        ));
    }
    let length = usize::try_from(metadata.len().min(MAX_OWN)).unwrap_or(0);
    // Never moved while it grows: what it holds is erased.
    let mut text = Zeroizing::new(Vec::with_capacity(length.saturating_add(1)));
    file.take(MAX_OWN).read_to_end(&mut text)?;
    Ok(Some(text))
}

/// Writes the session, whole or not at all: a reader sees the old one or the new one.
///
/// # Errors
/// The system's. Nothing was replaced then.
pub fn save(path: &Path, session: &Session) -> io::Result<()> {
    write_own(path, &Zeroizing::new(serde_json::to_vec(session)?))
}

/// Replaces a file that is its owner's alone, in a directory that is too: a reader sees the old one or the new one.
///
/// # Errors
/// The system's. Nothing was replaced then.
pub(crate) fn write_own(path: &Path, text: &[u8]) -> io::Result<()> {
    let directory = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)?;
    let fresh = path.with_extension("new");
    match fs::remove_file(&fresh) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&fresh, path)?;
    fs::File::open(directory)?.sync_all()
}

/// Forgets the session.
///
/// # Errors
/// The system's; a file that is not there is no error.
pub fn forget(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

fn nofollow() -> i32 {
    i32::try_from(rustix::fs::OFlags::NOFOLLOW.bits()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn session() -> Session {
        Session {
            server: "https://sceau.example".into(),
            person: "amartin".into(),
            session_id: "s1".into(),
            token: Token::new("dG9rZW4tdG9rZW4tdG9rZW4".into()).unwrap(),
        }
    }

    #[test]
    fn is_kept_for_its_owner_and_its_server_alone() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("state/sceau/session");
        assert!(load(&path, "https://sceau.example").unwrap().is_none());
        save(&path, &session()).unwrap();
        save(&path, &session()).unwrap();
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert!(load(&path, "https://sceau.example").unwrap() == Some(session()));
        assert!(load(&path, "https://other.example").unwrap().is_none());
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert_eq!(
            load(&path, "https://sceau.example").err().map(|e| e.kind()),
            Some(io::ErrorKind::PermissionDenied)
        );
        forget(&path).unwrap();
        forget(&path).unwrap();
        assert!(load(&path, "https://sceau.example").unwrap().is_none());
    }

    #[test]
    fn token_that_could_break_a_header_is_refused() {
        assert!(Token::new("abcdefghijklmnop\r\nX: y".into()).is_none());
        assert!(Token::new("short".into()).is_none());
    }
}
