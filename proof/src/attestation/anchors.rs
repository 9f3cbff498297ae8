//! A folder of anchors, as bytes: certificates in PEM or DER, and `anchors.toml` that says what each may vouch for.
//!
//! Without `anchors.toml` every certificate vouches for any model: the operator's word. With it, a certificate that it does
//! not list is refused, so that a file dropped into the folder gains nothing. Reading the folder is the caller's.
//! ```toml
//! version = 1
//! [[anchor]]
//! file = "yubico-fido.pem"            # all certificates in it
//! aaguids = ["2fc0579f-8113-47ea-b116-bb5a8db9202a"]
//! key_identifiers = ["bf12365afcb14d3dd820be7ec4be163cb7c85de0"]  # U2F attestation keys
//! [[anchor]]
//! file = "our-test-maker.pem"
//! any_model = true
//! ```

use serde::Deserialize;

use super::trust::{Anchor, Binding};
use crate::authenticator_data::Aaguid;
use crate::certificate::{Certificate, CertificateError};

/// The name of the file that binds anchors to models.
pub const INDEX: &str = "anchors.toml";
/// The most certificates in a folder.
const MAX_ANCHORS: usize = 4096;

/// Why a folder is not one of anchors.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnchorsError {
    /// A file is no certificate.
    #[error("{file}: {error}")]
    Certificate {
        /// Its name.
        file: String,
        /// Why.
        error: CertificateError,
    },
    /// `anchors.toml` is malformed.
    #[error("anchors.toml: {0}")]
    Index(String),
    /// `anchors.toml` does not list a file that is there.
    #[error("{0} is not listed in anchors.toml")]
    Unlisted(String),
    /// `anchors.toml` lists a file that is not there.
    #[error("{0} is listed in anchors.toml and not there")]
    Missing(String),
    /// No certificate at all, or too many.
    #[error("no certificate, or more than {MAX_ANCHORS}")]
    Count,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Index {
    version: u64,
    #[serde(default)]
    anchor: Vec<Line>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    file: String,
    #[serde(default)]
    aaguids: Vec<String>,
    #[serde(default)]
    key_identifiers: Vec<String>,
    #[serde(default)]
    any_model: bool,
}

/// Reads anchors from named files, and from the text of `anchors.toml` where there is one.
///
/// # Errors
/// [`AnchorsError`]: one bad file spoils the folder, since half a folder is a surprise later.
pub fn read(files: &[(String, Vec<u8>)], index: Option<&str>) -> Result<Vec<Anchor>, AnchorsError> {
    let index = index.map(read_index).transpose()?;
    if let Some(lines) = &index
        && let Some((missing, _)) = lines
            .iter()
            .find(|(name, _)| !files.iter().any(|(file, _)| file == name))
    {
        return Err(AnchorsError::Missing(missing.clone()));
    }
    let mut anchors = Vec::new();
    for (file, bytes) in files {
        let binding = match &index {
            None => Binding::Any,
            Some(lines) => {
                let line = lines.iter().find(|(name, _)| name == file);
                line.ok_or_else(|| AnchorsError::Unlisted(file.clone()))?
                    .1
                    .clone()
            }
        };
        let certificates = if bytes.first() == Some(&0x30) {
            Certificate::from_der(bytes).map(|one| vec![one])
        } else {
            Certificate::from_pem(bytes)
        }
        .map_err(|error| AnchorsError::Certificate {
            file: file.clone(),
            error,
        })?;
        anchors.extend(certificates.into_iter().map(|certificate| Anchor {
            certificate,
            name: file.clone(),
            binding: binding.clone(),
        }));
    }
    if anchors.is_empty() || anchors.len() > MAX_ANCHORS {
        return Err(AnchorsError::Count);
    }
    Ok(anchors)
}

fn read_index(text: &str) -> Result<Vec<(String, Binding)>, AnchorsError> {
    let wrong = |what: String| AnchorsError::Index(what);
    let index: Index = toml::from_str(text).map_err(|error| wrong(error.to_string()))?;
    if index.version != 1 {
        return Err(wrong("unknown version".to_owned()));
    }
    index
        .anchor
        .into_iter()
        .map(|line| {
            let models = !line.aaguids.is_empty() || !line.key_identifiers.is_empty();
            if line.any_model == models {
                return Err(wrong(format!(
                    "{}: either any_model or a list of models",
                    line.file
                )));
            }
            if line.any_model {
                return Ok((line.file, Binding::Any));
            }
            let aaguids = line
                .aaguids
                .iter()
                .map(|text| text.parse::<Aaguid>())
                .collect::<Result<Vec<_>, _>>();
            let mut key_identifiers = Vec::new();
            for text in &line.key_identifiers {
                let mut id = [0; 20];
                hex::decode_to_slice(text, &mut id)
                    .map_err(|_| wrong(format!("{text}: not a key identifier")))?;
                key_identifiers.push(id);
            }
            let aaguids = aaguids.map_err(|_| wrong(format!("{}: not an AAGUID", line.file)))?;
            Ok((
                line.file,
                Binding::Models {
                    aaguids,
                    key_identifiers,
                },
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> Vec<(String, Vec<u8>)> {
        let key = rcgen::KeyPair::generate().unwrap();
        let certificate = rcgen::CertificateParams::default()
            .self_signed(&key)
            .unwrap();
        vec![
            ("a.pem".to_owned(), certificate.pem().into_bytes()),
            ("b.der".to_owned(), certificate.der().to_vec()),
        ]
    }

    #[test]
    fn without_an_index_any_model() {
        let anchors = read(&folder(), None).unwrap();
        assert_eq!(anchors.len(), 2);
        assert!(anchors.iter().all(|anchor| anchor.binding == Binding::Any));
        assert_eq!(anchors[0].certificate, anchors[1].certificate);
    }

    #[test]
    fn an_index_binds_and_forgets_nobody() {
        let both = "version = 1\n[[anchor]]\nfile = \"a.pem\"\nany_model = true\n[[anchor]]\nfile = \"b.der\"\naaguids = [\"2fc0579f-8113-47ea-b116-bb5a8db9202a\"]\n";
        let anchors = read(&folder(), Some(both)).unwrap();
        assert_eq!(anchors[0].binding, Binding::Any);
        assert!(
            matches!(&anchors[1].binding, Binding::Models { aaguids, .. } if aaguids.len() == 1)
        );
        let one = "version = 1\n[[anchor]]\nfile = \"a.pem\"\nany_model = true\n";
        assert_eq!(
            read(&folder(), Some(one)),
            Err(AnchorsError::Unlisted("b.der".to_owned()))
        );
        let three = format!("{both}[[anchor]]\nfile = \"c.pem\"\nany_model = true\n");
        assert_eq!(
            read(&folder(), Some(&three)),
            Err(AnchorsError::Missing("c.pem".to_owned()))
        );
    }

    #[test]
    fn refuses_an_index_that_says_nothing_or_both() {
        for line in [
            "",
            "any_model = true\naaguids = [\"2fc0579f-8113-47ea-b116-bb5a8db9202a\"]",
            "aaguids = [\"x\"]",
            "key_identifiers = [\"00\"]",
            "models = []",
        ] {
            let text = format!("version = 1\n[[anchor]]\nfile = \"a.pem\"\n{line}\n");
            assert!(
                matches!(
                    read(&folder()[..1], Some(&text)),
                    Err(AnchorsError::Index(_))
                ),
                "{line}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_certificate() {
        let file = vec![("a.pem".to_owned(), b"hello".to_vec())];
        assert!(matches!(
            read(&file, None),
            Err(AnchorsError::Certificate { .. })
        ));
        assert_eq!(read(&[], None), Err(AnchorsError::Count));
    }
}
