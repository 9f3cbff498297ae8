//! Bytes from a file or a web address, only when they may be new; bounded in size and time. Blocking.
//!
//! The web client is `web`'s. Nothing rests on its TLS: what is fetched must lead to the list's own root.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::config::MetadataSource;
use crate::web;
use sceau_proof::metadata::MAX_LENGTH;

/// For a whole answer: 10 MB over a slow line.
const PATIENCE: Duration = Duration::from_secs(120);

/// What tells whether there is something new.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Validators {
    etag: Option<String>,
    last_modified: Option<String>,
    stamp: Option<(u64, SystemTime)>,
}

/// What the source gave.
pub(super) enum Fetched {
    /// Nothing new.
    Unchanged,
    /// Untrusted bytes.
    New {
        bytes: Vec<u8>,
        validators: Validators,
    },
}

/// A source that can be asked. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Fetcher {
    source: MetadataSource,
    agent: ureq::Agent,
}

impl Fetcher {
    pub(super) fn new(source: MetadataSource) -> Self {
        let tls = matches!(&source, MetadataSource::Url(url) if url.starts_with("https:"));
        Self {
            agent: web::client("sceau-server", PATIENCE, tls, &[]),
            source,
        }
    }

    /// Asks once. The error is in words, for the administrator.
    pub(super) fn fetch(&self, known: &Validators) -> Result<Fetched, String> {
        match &self.source {
            MetadataSource::File(path) => from_file(path, known),
            MetadataSource::Url(url) => self.ask_web(url, known),
        }
    }

    fn ask_web(&self, url: &str, known: &Validators) -> Result<Fetched, String> {
        let mut request = self.agent.get(url);
        if let Some(etag) = &known.etag {
            request = request.header("if-none-match", etag);
        }
        if let Some(time) = &known.last_modified {
            request = request.header("if-modified-since", time);
        }
        let response = request.call().map_err(|error| error.to_string())?;
        match response.status().as_u16() {
            200 => {}
            304 if *known != Validators::default() => return Ok(Fetched::Unchanged),
            status => return Err(format!("status {status}")),
        }
        let header = |name| {
            let value = response.headers().get(name)?.to_str().ok()?;
            (value.len() <= 256).then(|| value.to_owned())
        };
        let validators = Validators {
            etag: header("etag"),
            last_modified: header("last-modified"),
            stamp: None,
        };
        let limit = u64::try_from(MAX_LENGTH).unwrap_or(u64::MAX);
        let body = response.into_body().into_with_config().limit(limit);
        let bytes = body.read_to_vec().map_err(|error| error.to_string())?;
        Ok(Fetched::New { bytes, validators })
    }
}

fn from_file(path: &Path, known: &Validators) -> Result<Fetched, String> {
    let described = |error: io::Error| format!("{}: {error}", path.display());
    let about = fs::metadata(path).map_err(described)?;
    let stamp = about.modified().ok().map(|time| (about.len(), time));
    if stamp.is_some() && stamp == known.stamp {
        return Ok(Fetched::Unchanged);
    }
    let bytes = read_file(path)?.ok_or_else(|| format!("{} is gone", path.display()))?;
    Ok(Fetched::New {
        bytes,
        validators: Validators {
            stamp,
            ..Validators::default()
        },
    })
}

/// A whole file within the budget; `None` when there is none.
pub(crate) fn read_file(path: &Path) -> Result<Option<Vec<u8>>, String> {
    let described = |error: io::Error| format!("{}: {error}", path.display());
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(described(error)),
    };
    let limit = u64::try_from(MAX_LENGTH).unwrap_or(u64::MAX);
    let mut bytes = Vec::new();
    file.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(described)?;
    if bytes.len() > MAX_LENGTH {
        return Err(format!("{} is too large", path.display()));
    }
    Ok(Some(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_again_only_when_it_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("blob.jwt");
        let fetcher = Fetcher::new(MetadataSource::File(path.clone()));
        assert!(fetcher.fetch(&Validators::default()).is_err());
        crate::file::replace(&path, b"one").unwrap();
        let Ok(Fetched::New { bytes, validators }) = fetcher.fetch(&Validators::default()) else {
            panic!("the first time it is new");
        };
        assert_eq!(bytes, b"one");
        assert!(matches!(fetcher.fetch(&validators), Ok(Fetched::Unchanged)));
        crate::file::replace(&path, b"other").unwrap();
        assert!(matches!(
            fetcher.fetch(&validators),
            Ok(Fetched::New { .. })
        ));
    }
}
