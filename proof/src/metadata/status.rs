//! A model's standing, from the history of its status reports (FIDO MDS 3.1 §3.1.3, §3.1.4).
//!
//! The rules, in this order, over the reports in effect at a time (a report without a date, or with one that is none, is in effect):
//! 1. A compromise or a revocation is fatal wherever it stands in the history; sunset dates do not lift it.
//!    It is limited only by the report itself: to a batch (`batchCertificate`, `certificate`), when no certificate of the
//!    authenticator's chain has that key or was signed by it; to firmware up to a version, when the leaf says a later one and a later report covers that.
//! 2. A status that we do not know is unacceptable.
//! 3. No status at all is unacceptable.
//! 4. RETIRED is for policy to decide (new keys, keys of before).
//! 5. Otherwise the certification level is that of the latest certification that has not sunset.

use serde::Deserialize;
use time::{Date, OffsetDateTime};

use crate::asn1::{Reader, Tag};
use crate::certificate::{Certificate, PublicKeyInfo};

/// 1.3.6.1.4.1.45724.1.1.5 id-fido-gen-ce-fw-version, an INTEGER.
const FIRMWARE_VERSION: &[u8] = &[
    0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xe5, 0x1c, 0x01, 0x01, 0x05,
];

/// A certification level, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Certification {
    /// Not certified, or only its vendor's word.
    None,
    /// `FIDO_CERTIFIED`: it works as specified; nothing about security.
    Functional,
    /// `FIDO_CERTIFIED_L1`.
    L1,
    /// `FIDO_CERTIFIED_L1plus`.
    L1Plus,
    /// `FIDO_CERTIFIED_L2`.
    L2,
    /// `FIDO_CERTIFIED_L2plus`.
    L2Plus,
    /// `FIDO_CERTIFIED_L3`.
    L3,
    /// `FIDO_CERTIFIED_L3plus`.
    L3Plus,
}

/// What a model's history comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing speaks against it; how far it is certified, and whether it was retired.
    Acceptable {
        /// The level in effect.
        certification: Certification,
        /// RETIRED is in effect.
        retired: bool,
    },
    /// Revoked or compromised; the reason word.
    Fatal(&'static str),
    /// A status that we do not know, or none; the reason word.
    Unknown(&'static str),
}

impl Standing {
    /// The reason word; `docs/attestation.md` lists them.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::Acceptable { retired: true, .. } => "retired",
            Self::Acceptable {
                certification: Certification::None,
                ..
            } => "not-certified",
            Self::Acceptable {
                certification: Certification::Functional,
                ..
            } => "certified",
            Self::Acceptable {
                certification: Certification::L1,
                ..
            } => "certified-l1",
            Self::Acceptable {
                certification: Certification::L1Plus,
                ..
            } => "certified-l1-plus",
            Self::Acceptable {
                certification: Certification::L2,
                ..
            } => "certified-l2",
            Self::Acceptable {
                certification: Certification::L2Plus,
                ..
            } => "certified-l2-plus",
            Self::Acceptable {
                certification: Certification::L3,
                ..
            } => "certified-l3",
            Self::Acceptable {
                certification: Certification::L3Plus,
                ..
            } => "certified-l3-plus",
            Self::Fatal(reason) | Self::Unknown(reason) => reason,
        }
    }

    /// Whether a new key of the model may be believed: nothing fatal, nothing unknown, not retired.
    #[must_use]
    pub fn is_acceptable(self) -> bool {
        matches!(self, Self::Acceptable { retired: false, .. })
    }
}

/// One status report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The status as written.
    pub status: String,
    /// From when it holds; `None` when absent or not a date (then it holds).
    pub effective: Option<Date>,
    /// Until when a certification holds.
    pub sunset: Option<Date>,
    /// The firmware that it is about.
    pub authenticator_version: Option<u64>,
    /// The key of the certificate that it is limited to (its bytes could be varied by who holds the key); `Some(None)` when it does not
    /// parse, so that it limits nothing.
    limit: Option<Option<PublicKeyInfo>>,
    meaning: Meaning,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    Certified(Certification),
    Fatal(&'static str),
    Retired,
    Information,
    Unknown,
}

impl Meaning {
    fn of(status: &str) -> Self {
        use Certification as C;
        match status {
            "NOT_FIDO_CERTIFIED" | "SELF_ASSERTION_SUBMITTED" => Self::Certified(C::None),
            "FIDO_CERTIFIED" => Self::Certified(C::Functional),
            "FIDO_CERTIFIED_L1" => Self::Certified(C::L1),
            "FIDO_CERTIFIED_L1plus" => Self::Certified(C::L1Plus),
            "FIDO_CERTIFIED_L2" => Self::Certified(C::L2),
            "FIDO_CERTIFIED_L2plus" => Self::Certified(C::L2Plus),
            "FIDO_CERTIFIED_L3" => Self::Certified(C::L3),
            "FIDO_CERTIFIED_L3plus" => Self::Certified(C::L3Plus),
            "REVOKED" => Self::Fatal("revoked"),
            "USER_VERIFICATION_BYPASS" => Self::Fatal("user-verification-bypass"),
            "ATTESTATION_KEY_COMPROMISE" => Self::Fatal("attestation-key-compromise"),
            "USER_KEY_REMOTE_COMPROMISE" => Self::Fatal("user-key-remote-compromise"),
            "USER_KEY_PHYSICAL_COMPROMISE" => Self::Fatal("user-key-physical-compromise"),
            "RETIRED" => Self::Retired,
            "UPDATE_AVAILABLE" => Self::Information,
            "FIPS140_CERTIFIED_L1"
            | "FIPS140_CERTIFIED_L2"
            | "FIPS140_CERTIFIED_L3"
            | "FIPS140_CERTIFIED_L4" => Self::Information,
            _ => Self::Unknown,
        }
    }
}

/// A report as it stands in the list; members that we do not know are ignored.
#[derive(Deserialize)]
pub(super) struct WireReport {
    status: String,
    #[serde(rename = "effectiveDate")]
    effective_date: Option<serde_json::Value>,
    #[serde(rename = "sunsetDate")]
    sunset_date: Option<serde_json::Value>,
    #[serde(rename = "authenticatorVersion")]
    authenticator_version: Option<serde_json::Value>,
    certificate: Option<serde_json::Value>,
    #[serde(rename = "batchCertificate")]
    batch_certificate: Option<serde_json::Value>,
}

impl WireReport {
    /// In the place of reports that do not parse: a status that nobody knows.
    pub(super) fn unreadable() -> Self {
        Self {
            status: "unreadable".to_owned(),
            effective_date: None,
            sunset_date: None,
            authenticator_version: None,
            certificate: None,
            batch_certificate: None,
        }
    }
}

impl Report {
    /// Whether it can only count against a model.
    pub(super) fn is_bad_news(&self) -> bool {
        matches!(self.meaning, Meaning::Fatal(_) | Meaning::Unknown)
    }

    pub(super) fn read(wire: WireReport) -> Self {
        let date = |value: Option<serde_json::Value>| {
            value
                .as_ref()
                .and_then(serde_json::Value::as_str)
                .and_then(day)
        };
        let limit = wire.batch_certificate.or(wire.certificate).map(|value| {
            let certificate = super::read_certificate(value.as_str()?)?;
            Some(certificate.public_key().clone())
        });
        Self {
            meaning: Meaning::of(&wire.status),
            status: wire.status,
            effective: date(wire.effective_date),
            sunset: date(wire.sunset_date),
            authenticator_version: wire
                .authenticator_version
                .as_ref()
                .and_then(serde_json::Value::as_u64),
            limit,
        }
    }

    /// Whether it holds on that day.
    #[must_use]
    pub fn is_in_effect(&self, today: Date) -> bool {
        self.effective.is_none_or(|from| from <= today)
    }

    /// Whether it is about an authenticator with that chain; without a chain it is about the model, hence yes.
    fn concerns(&self, chain: &[Certificate]) -> bool {
        match &self.limit {
            Some(Some(key)) if !chain.is_empty() => chain.iter().any(|certificate| {
                certificate.public_key() == key || certificate.is_signed_by(key)
            }),
            _ => true,
        }
    }
}

/// `YYYY-MM-DD`, tolerating a time after it.
pub(super) fn day(text: &str) -> Option<Date> {
    let format = time::macros::format_description!("[year]-[month]-[day]");
    Date::parse(text.get(..10)?, format).ok()
}

/// The standing at `at`; see the file comment for the rules.
pub(super) fn standing(reports: &[Report], at: OffsetDateTime, chain: &[Certificate]) -> Standing {
    let today = at.to_offset(time::UtcOffset::UTC).date();
    let effective: Vec<&Report> = reports
        .iter()
        .filter(|report| report.is_in_effect(today))
        .collect();
    let firmware = chain.first().and_then(firmware_of);
    for report in &effective {
        if let Meaning::Fatal(reason) = report.meaning
            && report.concerns(chain)
            && !is_cured(report, &effective, firmware)
        {
            return Standing::Fatal(reason);
        }
    }
    if effective
        .iter()
        .any(|report| report.meaning == Meaning::Unknown)
    {
        return Standing::Unknown("status-unknown");
    }
    if effective.is_empty() {
        return Standing::Unknown("status-missing");
    }
    Standing::Acceptable {
        certification: certification(&effective, today),
        retired: effective
            .iter()
            .any(|report| report.meaning == Meaning::Retired),
    }
}

/// Whether a fatal report about one firmware does not hold for this authenticator: it says a later one, and a later report of an update
/// or a certification covers that. A revocation is never cured.
fn is_cured(fatal: &Report, reports: &[&Report], firmware: Option<u64>) -> bool {
    let (Some(bad), Some(ours)) = (fatal.authenticator_version, firmware) else {
        return false;
    };
    fatal.meaning != Meaning::Fatal("revoked")
        && ours > bad
        && reports.iter().any(|report| {
            matches!(report.meaning, Meaning::Certified(level) if level > Certification::None)
                | (report.status == "UPDATE_AVAILABLE")
                && report
                    .authenticator_version
                    .is_some_and(|fixed| bad < fixed && fixed <= ours)
        })
}

/// The level of the latest certification; reports of one day count together, the highest of them.
fn certification(effective: &[&Report], today: Date) -> Certification {
    let held: Vec<(Option<Date>, Certification)> = effective
        .iter()
        .filter(|report| report.sunset.is_none_or(|end| today < end))
        .filter_map(|report| match report.meaning {
            Meaning::Certified(level) => Some((report.effective, level)),
            _ => None,
        })
        .collect();
    // FIDO_CERTIFIED says that it works, beside a level and not instead of one: it counts only where there is no level.
    let of = |wanted: fn(Certification) -> bool| {
        held.iter()
            .filter(move |(_, level)| wanted(*level))
            .copied()
    };
    let latest_level = of(|level| level != Certification::Functional).max();
    let functional = of(|level| level == Certification::Functional).max();
    match (latest_level, functional) {
        (Some((day, Certification::None)), Some((later, level))) if later >= day => level,
        (Some((_, level)), _) | (None, Some((_, level))) => level,
        (None, None) => Certification::None,
    }
}

fn firmware_of(leaf: &Certificate) -> Option<u64> {
    let mut reader = Reader::new(&leaf.extension(FIRMWARE_VERSION)?.value);
    reader
        .expect(Tag::INTEGER)
        .ok()?
        .small_integer()
        .ok()
        .map(u64::from)
}
