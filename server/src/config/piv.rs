//! `[piv]`: which cards may be enrolled. Without it none. Each member that weakens a check says so by its name, and `check-config` warns of it.

use std::path::{Path, PathBuf};

use sceau_locale::Language;
use serde::Deserialize;
use time::Duration;

use super::{ConfigError, Span};

/// `[piv]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Piv {
    /// Folder of manufacturers' roots that attest cards' keys (PEM or DER).
    #[serde(default)]
    pub roots: Option<PathBuf>,
    /// PIN policies that an attested key may have.
    #[serde(default = "each_time")]
    pub pin: Vec<String>,
    /// Touch policies that an attested key may have.
    #[serde(default = "touched")]
    pub touch: Vec<String>,
    /// The oldest firmware of an attesting card, `5.4.3`.
    #[serde(default)]
    pub minimum_firmware: Option<Firmware>,
    /// The certified edition that an attesting card must be.
    #[serde(default)]
    pub edition: Option<Edition>,
    /// The serial numbers of the cards that may be enrolled; any when empty.
    #[serde(default)]
    pub serials: Vec<u64>,
    /// Folder where the last good lists of web addresses are kept; beside the configuration when not given.
    #[serde(default)]
    pub cache: Option<PathBuf>,
    /// Roots of the web servers that give lists and answers, beside the system's (PEM): an administration's own.
    #[serde(default)]
    pub web_roots: Option<PathBuf>,
    /// `[[piv.issuer]]`.
    #[serde(default)]
    pub issuer: Vec<PivIssuer>,
}

fn each_time() -> Vec<String> {
    ["always", "match-always"].map(str::to_owned).into()
}

fn touched() -> Vec<String> {
    vec!["always".to_owned()]
}

/// Major, minor, patch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub struct Firmware(pub [u8; 3]);

impl TryFrom<String> for Firmware {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let parts: Option<Vec<u8>> = text.split('.').map(|part| part.parse().ok()).collect();
        parts
            .and_then(|parts| parts.try_into().ok())
            .map(Self)
            .ok_or("a firmware is written 5.4.3")
    }
}

impl std::fmt::Display for Firmware {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [major, minor, patch] = self.0;
        write!(f, "{major}.{minor}.{patch}")
    }
}

/// A certified edition of a card.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edition {
    /// FIPS 140.
    Fips,
    /// ANSSI's first-level certification.
    Cspn,
}

impl Edition {
    /// The word in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fips => "fips",
            Self::Cspn => "cspn",
        }
    }
}

/// `[[piv.issuer]]`: an administration's own card PKI, for cards that cannot attest their keys.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PivIssuer {
    /// How it is called in refusals and in the log.
    pub name: String,
    /// Its root, and perhaps intermediates (PEM).
    pub certificate: PathBuf,
    /// Certificate policies of which a card's certificate asserts one: the issuer's promise that the key was made on a card which asks
    /// for its PIN each time. An issuer without such a policy says `[]`.
    pub policies: Vec<String>,
    /// Lists of revoked certificates: files, or web addresses (the lists are signed). One for each certificate authority on the path.
    #[serde(default)]
    pub crl: Vec<String>,
    /// The oldest list that still counts.
    #[serde(default = "one_day")]
    pub crl_max_age: Span,
    /// OCSP responders, asked in this order. With them a card counts only by a good answer; lists still count against it, and for the
    /// authorities above it.
    #[serde(default)]
    pub ocsp: Vec<String>,
    /// The oldest answer that still counts.
    #[serde(default = "one_hour")]
    pub ocsp_max_age: Span,
    /// Answers must have our nonce. Many responders sign in advance and have none.
    #[serde(default)]
    pub ocsp_nonce: bool,
    /// Revoked cards pass. For tests.
    #[serde(default)]
    pub danger_revocation_not_judged: bool,
}

fn one_day() -> Span {
    Span(Duration::days(1))
}

fn one_hour() -> Span {
    Span(Duration::hours(1))
}

/// Whether a list is fetched, rather than read.
pub(crate) fn is_address(place: &str) -> bool {
    place.starts_with("http://") || place.starts_with("https://")
}

const PIN: [&str; 5] = ["never", "once", "always", "match-once", "match-always"];
const TOUCH: [&str; 3] = ["never", "always", "cached"];

impl Piv {
    /// Makes its paths relative to the file's folder.
    pub(super) fn resolve(&mut self, folder: &Path) {
        if let Some(roots) = &mut self.roots {
            *roots = folder.join(&roots);
        }
        self.cache = Some(folder.join(self.cache.as_deref().unwrap_or(Path::new("piv-cache"))));
        if let Some(roots) = &mut self.web_roots {
            *roots = folder.join(&roots);
        }
        for issuer in &mut self.issuer {
            issuer.certificate = folder.join(&issuer.certificate);
            for list in issuer.crl.iter_mut().filter(|list| !is_address(list)) {
                *list = folder.join(&list).to_string_lossy().into_owned();
            }
        }
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let reject = |key, problem| Err(ConfigError::Rejected { key, problem });
        if self.roots.is_none() && self.issuer.is_empty() {
            return reject("piv.roots", "fault-cards-no-root");
        }
        if self.pin.is_empty() || !self.pin.iter().all(|word| PIN.contains(&word.as_str())) {
            return reject("piv.pin", "fault-cards-pin");
        }
        if self.touch.is_empty() || !self.touch.iter().all(|word| TOUCH.contains(&word.as_str())) {
            return reject("piv.touch", "fault-cards-touch");
        }
        for issuer in &self.issuer {
            if issuer.name.is_empty()
                || issuer.name.len() > 100
                || issuer.name.chars().any(char::is_control)
            {
                return reject("piv.issuer.name", "fault-issuer-name");
            }
            let judged = !issuer.crl.is_empty() || !issuer.ocsp.is_empty();
            if judged == issuer.danger_revocation_not_judged {
                return reject("piv.issuer.crl", "fault-issuer-revocation");
            }
            let is_uri = |place: &String| is_address(place) && place.parse::<http::Uri>().is_ok();
            if !issuer
                .crl
                .iter()
                .all(|list| is_uri(list) || !list.contains("://"))
            {
                return reject("piv.issuer.crl", "fault-issuer-crl");
            }
            if !issuer.ocsp.iter().all(is_uri) {
                return reject("piv.issuer.ocsp", "fault-issuer-ocsp");
            }
            if issuer.ocsp_nonce && issuer.ocsp.is_empty() {
                return reject("piv.issuer.ocsp_nonce", "fault-issuer-ocsp-nonce");
            }
            if issuer.ocsp_max_age.0 <= Duration::ZERO {
                return reject("piv.issuer.ocsp_max_age", "fault-longer-than-nothing");
            }
            if issuer.crl_max_age.0 <= Duration::ZERO {
                return reject("piv.issuer.crl_max_age", "fault-longer-than-nothing");
            }
        }
        Ok(())
    }

    /// What weakens the checks, a line each.
    #[must_use]
    pub fn warnings(&self, language: Language) -> Vec<String> {
        let mut warnings = Vec::new();
        if self.roots.is_some() {
            for word in &self.pin {
                match word.as_str() {
                    "never" => {
                        warnings.push(language.text("report-warning-pin-never").into_owned())
                    }
                    "once" | "match-once" => {
                        warnings.push(language.text_with(
                            "report-warning-pin-once",
                            &[("word", word.as_str().into())],
                        ))
                    }
                    _ => {}
                }
            }
            for word in &self.touch {
                match word.as_str() {
                    "never" => {
                        warnings.push(language.text("report-warning-touch-never").into_owned())
                    }
                    "cached" => {
                        warnings.push(language.text("report-warning-touch-cached").into_owned());
                    }
                    _ => {}
                }
            }
        }
        for issuer in &self.issuer {
            let named = [("issuer", issuer.name.as_str().into())];
            if issuer.danger_revocation_not_judged {
                warnings.push(language.text_with("report-warning-issuer-unjudged", &named));
            }
            if issuer.policies.is_empty() {
                warnings.push(language.text_with("report-warning-issuer-any-policy", &named));
            }
        }
        warnings
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Piv, String> {
        let piv: Piv = toml::from_str(text).map_err(|error| error.to_string())?;
        piv.check().map_err(|error| error.to_string())?;
        Ok(piv)
    }

    const ISSUER: &str = "[[issuer]]\nname = \"Cards\"\ncertificate = \"ca.pem\"\n";

    #[test]
    fn the_default_wants_pin_and_touch_each_time() {
        let mut piv = parse("roots = \"r\"\nminimum_firmware = \"5.4.3\"").unwrap();
        piv.resolve(Path::new("/etc/sceau"));
        assert_eq!(piv.roots, Some(PathBuf::from("/etc/sceau/r")));
        assert_eq!(piv.pin, ["always", "match-always"]);
        assert_eq!(piv.touch, ["always"]);
        assert_eq!(piv.minimum_firmware, Some(Firmware([5, 4, 3])));
        assert_eq!(piv.warnings(Language::En), Vec::<String>::new());
    }

    #[test]
    fn what_weakens_is_said_and_what_makes_no_sense_is_refused() {
        let weak = "roots = \"r\"\npin = [\"once\"]\ntouch = [\"cached\", \"never\"]";
        assert_eq!(parse(weak).unwrap().warnings(Language::Fr).len(), 3);
        let unjudged = format!("{ISSUER}policies = []\ndanger_revocation_not_judged = true");
        assert_eq!(parse(&unjudged).unwrap().warnings(Language::Fr).len(), 2);
        for wrong in [
            "",
            "roots = \"r\"\ntouch = [\"sometimes\"]",
            "roots = \"r\"\npin = []",
            "roots = \"r\"\nminimum_firmware = \"5\"",
            &format!("{ISSUER}policies = []"),
            &format!("{ISSUER}crl = [\"a.crl\"]"),
            &format!("{ISSUER}policies = []\ncrl = [\"ldap://crl.example/a\"]"),
            &format!("{ISSUER}policies = []\nocsp = [\"answers.der\"]"),
            &format!("{ISSUER}policies = []\ncrl = [\"a.crl\"]\nocsp_nonce = true"),
            &format!("{ISSUER}policies = []\nocsp = [\"http://o.example\"]\nocsp_max_age = \"0s\""),
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn lists_are_files_beside_the_configuration_or_addresses() {
        let text = format!(
            "{ISSUER}policies = []\ncrl = [\"a.crl\", \"https://crl.example/b\"]\nocsp = [\"http://ocsp.example\"]"
        );
        let mut piv = parse(&text).unwrap();
        piv.resolve(Path::new("/etc/sceau"));
        assert_eq!(
            piv.issuer[0].crl,
            ["/etc/sceau/a.crl", "https://crl.example/b"]
        );
        assert_eq!(piv.cache, Some(PathBuf::from("/etc/sceau/piv-cache")));
    }
}
