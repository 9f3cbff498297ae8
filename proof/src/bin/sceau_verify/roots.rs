//! Folders of trusted certificates, as several subcommands take them.

use std::path::Path;

use crate::{Failure, read_input};
use sceau_proof::attestation::trust::{Anchor, Binding};
use sceau_proof::certificate::Certificate;

const SUFFIXES: [&str; 4] = ["pem", "crt", "cer", "der"];

/// Every certificate of the folder's `.pem`, `.crt`, `.cer` and `.der` files, by file name. One that does not parse vouches for
/// nobody: it is named on standard error and left out.
pub(crate) fn load(folder: &Path) -> Result<Vec<Anchor>, Failure> {
    let unreadable =
        |error: std::io::Error| Failure::Malformed(format!("{}: {error}", folder.display()));
    let mut files = Vec::new();
    for file in std::fs::read_dir(folder).map_err(unreadable)? {
        files.push(file.map_err(unreadable)?.path());
    }
    files.sort();
    let mut anchors = Vec::new();
    for file in files {
        let suffix = file
            .extension()
            .and_then(|suffix| suffix.to_str())
            .unwrap_or_default()
            .to_ascii_lowercase();
        if !SUFFIXES.contains(&suffix.as_str()) || file.is_dir() {
            continue;
        }
        let bytes = read_input(&file)?;
        let name = file
            .file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
            .unwrap_or_default();
        let certificates = match read(&bytes) {
            Ok(certificates) => certificates,
            Err(error) => {
                eprintln!("sceau-verify: {}: left out: {error}", file.display());
                continue;
            }
        };
        for certificate in certificates {
            anchors.push(Anchor {
                certificate,
                name: name.clone(),
                binding: Binding::Any,
            });
        }
    }
    if anchors.is_empty() {
        return Err(Failure::Malformed(format!(
            "{}: no certificates",
            folder.display()
        )));
    }
    Ok(anchors)
}

fn read(bytes: &[u8]) -> Result<Vec<Certificate>, String> {
    let all = if bytes.first() == Some(&0x30) {
        Certificate::from_der(bytes).map(|one| vec![one])
    } else {
        Certificate::from_pem(bytes)
    };
    all.map_err(|error| error.to_string())
}
