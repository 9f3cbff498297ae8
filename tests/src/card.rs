//! PIV cards of a test manufacturer, with their holders' certificates by a test card office: real firmware in a reader that the operating system believes in.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Result, bail};

use crate::{key::Key, place};

/// Every card's PIN, as `vkey make-card` sets it.
pub const CARD_PIN: &str = "123456";

/// A manufacturer whose cards attest their keys, and the card office of an administration.
#[derive(Debug, Clone)]
pub struct CardMaker {
    folder: PathBuf,
}

fn vkey(arguments: &[&std::ffi::OsStr]) -> Result<()> {
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

    /// A card of `holder` with a new key in slot 9C (`options`: `vkey make-card`'s), in the reader whose first port is `port`; unplugged
    /// until [`Key::insert`].
    ///
    /// # Errors
    /// When it is not made, or does not start.
    pub fn card(&self, folder: &Path, holder: &str, options: &[&str], port: u16) -> Result<Key> {
        let office = self.folder.join("office");
        let flash = folder.join("flash");
        std::fs::create_dir_all(folder)?;
        let mut arguments: Vec<&std::ffi::OsStr> =
            ["make-card", "--holder", holder, "--slot", "9c"]
                .map(AsRef::as_ref)
                .into();
        arguments.extend(["--issuer".as_ref(), office.as_os_str()]);
        arguments.extend(["--state".as_ref(), flash.as_os_str()]);
        arguments.extend(options.iter().map(AsRef::<std::ffi::OsStr>::as_ref));
        vkey(&arguments)?;
        let model = self.model();
        let attested = ["--piv-attestation", &*model.to_string_lossy()];
        Key::start(
            folder,
            None,
            port,
            &[&["--piv", "--out"], &attested[..]].concat(),
        )
    }
}
