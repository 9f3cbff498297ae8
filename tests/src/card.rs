//! PIV cards of a test manufacturer, with their holders' certificates by a test card office: real firmware in a reader that the operating system believes in.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail, ensure};

use crate::{
    key::{Key, Model},
    place,
};

/// Every card's PIN, as `vkey make-card` sets it.
pub const CARD_PIN: &str = "123456";

/// A manufacturer whose cards attest their keys, and the card office of an administration.
#[derive(Debug, Clone)]
pub struct CardMaker {
    folder: PathBuf,
}

fn vkey(arguments: &[&OsStr]) -> Result<()> {
    let out = Command::new(place::vkey()).args(arguments).output()?;
    if !out.status.success() {
        bail!(
            "vkey {:?}: {}",
            arguments.first(),
            String::from_utf8_lossy(&out.stderr)
        );
    }
    Ok(())
}

impl CardMaker {
    /// Founds the manufacturer; its chain has this many certificates between root and card.
    ///
    /// # Errors
    /// When `vkey` refuses.
    pub fn found(folder: &Path, intermediates: u8) -> Result<Self> {
        let maker = Self {
            folder: folder.to_owned(),
        };
        vkey(&[
            "make-piv-model".as_ref(),
            "--out".as_ref(),
            maker.model().as_os_str(),
            "--intermediates".as_ref(),
            intermediates.to_string().as_ref(),
        ])?;
        Ok(maker)
    }

    fn model(&self) -> PathBuf {
        self.folder.join("model")
    }

    /// Its certificates that a server is configured with: the root, and what is between it and the cards.
    #[must_use]
    pub fn trusted(&self) -> Vec<PathBuf> {
        let files = ["root.pem", "intermediates.pem"].map(|name| self.model().join(name));
        files
            .into_iter()
            .filter(|file| file.metadata().is_ok_and(|about| about.len() > 0))
            .collect()
    }

    /// A card of `holder` with a new key in slot 9C (`options`: `vkey make-card`'s), which it attests, in the reader whose first port is
    /// `port`; unplugged until [`Key::insert`].
    ///
    /// # Errors
    /// When it is not made, or does not start.
    pub fn card(&self, folder: &Path, holder: &str, options: &[&str], port: u16) -> Result<Key> {
        self.make(folder, holder, options)?;
        let model = self.model();
        let attested = ["--piv-attestation", &*model.to_string_lossy()];
        let all = [&["--piv", "--out"], &attested[..]].concat();
        Key::start(folder, None, port, &all)
    }

    /// The same, of a card that attests nothing: its office's certificate is all it has.
    ///
    /// # Errors
    /// When it is not made, or does not start.
    pub fn issued(&self, folder: &Path, holder: &str, port: u16) -> Result<Key> {
        self.make(folder, holder, &[])?;
        Key::start(folder, None, port, &["--piv", "--out"])
    }

    /// A card with a FIDO2 key of `model` beside it in the reader: ports `piv` and `fido`.
    ///
    /// # Errors
    /// When they are not made, or do not start.
    pub fn beside(&self, folder: &Path, holder: &str, model: &Model, port: u16) -> Result<Key> {
        self.make(folder, holder, &["--touch", "always"])?;
        let attesting = self.model();
        let attested = ["--piv-attestation", &*attesting.to_string_lossy()];
        let all = [&["--piv", "--fido", "--out"], &attested[..]].concat();
        Key::start(folder, Some(model), port, &all)
    }

    fn make(&self, folder: &Path, holder: &str, options: &[&str]) -> Result<()> {
        let (office, flash) = (self.office(), folder.join("flash"));
        std::fs::create_dir_all(folder)?;
        let mut arguments: Vec<&OsStr> = ["make-card", "--holder", holder, "--slot", "9c"]
            .map(AsRef::as_ref)
            .into();
        arguments.extend(["--issuer".as_ref(), office.as_os_str()]);
        arguments.extend(["--state".as_ref(), flash.as_os_str()]);
        arguments.extend(options.iter().map(AsRef::<OsStr>::as_ref));
        vkey(&arguments)
    }

    /// The card office's folder: `root.pem`, `root.key`.
    #[must_use]
    pub fn office(&self) -> PathBuf {
        self.folder.join("office")
    }

    /// The office's list of revoked certificates, written to `list` as an office would, with OpenSSL; `revoked` goes on it from now on.
    ///
    /// # Errors
    /// When OpenSSL refuses.
    pub fn publish(&self, revoked: Option<&Path>, list: &Path) -> Result<()> {
        let (office, books) = (self.office(), self.folder.join("books"));
        std::fs::create_dir_all(&books)?;
        let (config, index) = (books.join("ca.cnf"), books.join("index.txt"));
        if !index.exists() {
            std::fs::write(&index, "")?;
        }
        let text = format!(
            "[ca]\ndefault_ca = office\n[office]\ndatabase = {}\ndefault_md = sha256\n",
            index.display()
        );
        std::fs::write(&config, text)?;
        let openssl = |more: &[&OsStr]| -> Result<()> {
            let out = Command::new("openssl")
                .args(["ca", "-config"])
                .arg(&config)
                .arg("-keyfile")
                .arg(office.join("root.key"))
                .arg("-cert")
                .arg(office.join("root.pem"))
                .args(more)
                .output()?;
            ensure!(
                out.status.success(),
                "openssl ca: {}",
                String::from_utf8_lossy(&out.stderr)
            );
            Ok(())
        };
        if let Some(certificate) = revoked {
            openssl(&["-revoke".as_ref(), certificate.as_os_str()])?;
        }
        let made = list.with_extension("new");
        openssl(&[
            "-gencrl".as_ref(),
            "-crldays".as_ref(),
            "1".as_ref(),
            "-out".as_ref(),
            made.as_os_str(),
        ])?;
        Ok(std::fs::rename(made, list)?)
    }
}
