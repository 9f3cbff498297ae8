//! FIDO metadata, version 3 (MDS3): what is known of every model of authenticator, signed, and its standing.
//!
//! [`Metadata::verify`] believes a BLOB only when its signature, its signer's chain to the caller's root at the caller's
//! time and the signer's name hold, and its number did not go back. Then it reads entry by entry: one that does not parse is
//! reported ([`Metadata::problems`]) and the others kept, unknown members are ignored, unknown statuses are kept and count as
//! unacceptable (`status`). Icons and the like are skipped, so that a BLOB of 10 MB stays small in memory. A BLOB past its
//! `nextUpdate` is still believed: [`Metadata::is_stale`] tells, and policy has the grace. Fetching and caching are the
//! server's; revocation lists of the signer's chain are not asked (the list would have to be fetched).

mod envelope;
pub mod status;

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::RawValue;
use time::{Date, OffsetDateTime};

use crate::attestation::AttestationType;
use crate::authenticator_data::Aaguid;
use crate::certificate::Certificate;
use crate::certificate::path::PathError;
use status::Report;
pub use status::{Certification, Standing};

/// The largest BLOB that is read, in bytes.
pub const MAX_LENGTH: usize = 64 << 20;
/// The most entries.
const MAX_ENTRIES: usize = 20_000;
/// The root that ends the chain of who signs the production list, in PEM (`data/README.md` has source and date).
pub const PRODUCTION_ROOT: &str = include_str!("../data/fido-metadata-root.pem");
/// The name that the signer's certificate bears in production.
pub const LEAF_NAME: &str = "mds.fidoalliance.org";

/// Why a BLOB is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// Over [`MAX_LENGTH`], or more than 20,000 entries.
    #[error("metadata is larger than the budget")]
    TooLarge,
    /// Not three base64url parts.
    #[error("not a compact JWS")]
    NotJws,
    /// The protected header does not parse, or has `crit`.
    #[error("JWS header is malformed or has members that must be understood")]
    Header,
    /// `alg` is `none`.
    #[error("metadata is not signed")]
    AlgorithmNone,
    /// An algorithm that we do not verify, or one that is not of the signer's key.
    #[error("JWS algorithm is not supported, or is not of the signer's key")]
    Algorithm,
    /// `x5u`: we fetch nothing that an unverified header names.
    #[error("signer's certificate is to be fetched, which we never do")]
    X5u,
    /// `x5c` is absent or empty.
    #[error("no signer certificate")]
    X5cMissing,
    /// `x5c` has something else than certificates.
    #[error("signer certificate is malformed")]
    Certificate,
    /// The chain does not lead to the root at that time.
    #[error("signer: {0}")]
    Path(PathError),
    /// The signer's certificate bears another name.
    #[error("signer's certificate bears another name")]
    LeafName,
    /// The signature does not verify.
    #[error("signature does not verify")]
    Signature,
    /// The payload is not a metadata BLOB.
    #[error("payload is not a metadata BLOB")]
    Payload,
    /// The number is lower than one already seen.
    #[error("number went back")]
    Rollback,
}

impl MetadataError {
    /// The kebab-case word of CONTRACT.md.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::TooLarge => "too-large",
            Self::NotJws => "not-a-jws",
            Self::Header => "header-malformed",
            Self::AlgorithmNone => "algorithm-none",
            Self::Algorithm => "algorithm-unsupported",
            Self::X5u => "x5u-refused",
            Self::X5cMissing => "x5c-missing",
            Self::Certificate => "certificate-malformed",
            Self::Path(error) => error.reason(),
            Self::LeafName => "leaf-name-mismatch",
            Self::Signature => "signature-invalid",
            Self::Payload => "payload-malformed",
            Self::Rollback => "rollback",
        }
    }
}

/// What a BLOB must satisfy.
#[derive(Clone, Debug)]
pub struct MetadataExpectation<'a> {
    /// The roots that may end the signer's chain.
    pub roots: &'a [Certificate],
    /// The name in the signer's certificate ([`LEAF_NAME`] in production).
    pub leaf_name: &'a str,
    /// The highest number seen so far.
    pub seen_no: Option<u64>,
    /// The time.
    pub at: OffsetDateTime,
}

/// A verified BLOB. Only [`Metadata::verify`] makes one.
#[derive(Clone, Debug)]
pub struct Metadata {
    no: u64,
    next_update: Date,
    entries: Vec<Entry>,
    aaguids: HashMap<Aaguid, usize>,
    key_identifiers: HashMap<[u8; 20], usize>,
    problems: Vec<Problem>,
}

/// An entry, or a part of one, that does not parse and was left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Its position in the list.
    pub position: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// What metadata says of one model.
#[derive(Clone, Debug)]
pub struct Entry {
    aaguid: Option<Aaguid>,
    key_identifiers: Vec<[u8; 20]>,
    description: String,
    attestation_types: Vec<String>,
    key_protection: Vec<String>,
    roots: Vec<Arc<Certificate>>,
    reports: Vec<Report>,
    json: Box<str>,
}

impl Metadata {
    /// Verifies and reads a BLOB (untrusted bytes, a compact JWS; surrounding white space is allowed).
    ///
    /// # Errors
    /// The first check that fails. Slow for the real list (tens of milliseconds, see the bench): not for an async thread.
    pub fn verify(
        blob: &[u8],
        expectation: &MetadataExpectation<'_>,
    ) -> Result<Self, MetadataError> {
        let payload = envelope::open(blob, expectation)?;
        let payload: Payload<'_> =
            serde_json::from_slice(&payload).map_err(|_| MetadataError::Payload)?;
        let next_update = status::day(&payload.next_update).ok_or(MetadataError::Payload)?;
        if expectation.seen_no.is_some_and(|seen| payload.no < seen) {
            return Err(MetadataError::Rollback);
        }
        if payload.entries.len() > MAX_ENTRIES {
            return Err(MetadataError::TooLarge);
        }
        let mut metadata = Self {
            no: payload.no,
            next_update,
            entries: Vec::with_capacity(payload.entries.len()),
            aaguids: HashMap::new(),
            key_identifiers: HashMap::new(),
            problems: Vec::new(),
        };
        let mut certificates = HashMap::new();
        for (position, raw) in payload.entries.iter().enumerate() {
            metadata.read_entry(position, raw, &mut certificates);
        }
        Ok(metadata)
    }

    fn read_entry(
        &mut self,
        position: usize,
        raw: &RawValue,
        certificates: &mut HashMap<String, Option<Arc<Certificate>>>,
    ) {
        let wire = match serde_json::from_str::<WireEntry>(raw.get()) {
            Ok(wire) => wire,
            Err(_) => {
                self.problems.push(Problem {
                    position,
                    what: "entry does not parse",
                });
                let Some(wire) = WireEntry::unreadable(raw) else {
                    return;
                };
                wire
            }
        };
        let mut problem = |what| self.problems.push(Problem { position, what });
        let aaguid = match wire.aaguid.as_deref().map(str::parse::<Aaguid>) {
            Some(Ok(aaguid)) => Some(aaguid),
            Some(Err(_)) => return problem("aaguid is not one"),
            None => None,
        };
        let mut key_identifiers = Vec::new();
        for text in &wire.key_identifiers {
            let mut id = [0; 20];
            match hex::decode_to_slice(text, &mut id) {
                Ok(()) => key_identifiers.push(id),
                Err(_) => problem("attestation certificate key identifier is not one"),
            }
        }
        let statement = wire.statement.unwrap_or_default();
        let mut roots = Vec::new();
        for text in statement.roots {
            let parsed = certificates
                .entry(text)
                .or_insert_with_key(|text| read_certificate(text));
            match parsed {
                Some(certificate) => roots.push(Arc::clone(certificate)),
                None => problem("attestation root certificate does not parse"),
            }
        }
        let index = self.entries.len();
        let reports: Vec<Report> = wire.reports.into_iter().map(Report::read).collect();
        // The first entry of a model wins; a second one must not let a later line undo a revocation. Bad news in it counts.
        if let Some(aaguid) = aaguid {
            let first = *self.aaguids.entry(aaguid).or_insert(index);
            if first != index {
                problem("aaguid is already taken by another entry");
                if let Some(first) = self.entries.get_mut(first) {
                    let bad = reports.into_iter().filter(Report::is_bad_news);
                    first.reports.extend(bad);
                }
                return;
            }
        }
        for id in &key_identifiers {
            if *self.key_identifiers.entry(*id).or_insert(index) != index {
                problem("key identifier is already taken by another entry");
            }
        }
        self.entries.push(Entry {
            aaguid,
            key_identifiers,
            description: statement.description,
            attestation_types: statement.attestation_types,
            key_protection: statement.key_protection,
            roots,
            reports,
            json: raw.get().into(),
        });
    }

    /// The BLOB's number, which never goes back.
    #[must_use]
    pub fn no(&self) -> u64 {
        self.no
    }

    /// The day by which a newer BLOB is promised.
    #[must_use]
    pub fn next_update(&self) -> Date {
        self.next_update
    }

    /// Whether that day has passed.
    #[must_use]
    pub fn is_stale(&self, at: OffsetDateTime) -> bool {
        at.to_offset(time::UtcOffset::UTC).date() > self.next_update
    }

    /// The entries that parsed.
    #[must_use]
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// What did not parse.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The entry of a FIDO2 model. The zero AAGUID is no model.
    #[must_use]
    pub fn by_aaguid(&self, aaguid: Aaguid) -> Option<&Entry> {
        if aaguid == Aaguid::ZERO {
            return None;
        }
        self.aaguids
            .get(&aaguid)
            .and_then(|index| self.entries.get(*index))
    }

    /// The entry of a U2F model, by the SHA-1 identifier of its attestation key.
    #[must_use]
    pub fn by_key_identifier(&self, id: &[u8; 20]) -> Option<&Entry> {
        self.key_identifiers
            .get(id)
            .and_then(|index| self.entries.get(*index))
    }
}

impl Entry {
    /// One entry by itself, as [`Entry::json`] gave it: evidence carries those that keys were judged by. A claim, since no signature is over it alone.
    ///
    /// # Errors
    /// [`MetadataError::Payload`].
    pub fn parse(json: &[u8]) -> Result<Self, MetadataError> {
        let raw: &RawValue = serde_json::from_slice(json).map_err(|_| MetadataError::Payload)?;
        let mut alone = Metadata {
            no: 0,
            next_update: Date::MIN,
            entries: Vec::new(),
            aaguids: HashMap::new(),
            key_identifiers: HashMap::new(),
            problems: Vec::new(),
        };
        alone.read_entry(0, raw, &mut HashMap::new());
        alone.entries.pop().ok_or(MetadataError::Payload)
    }

    /// The entry as it stands in the list.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The model's AAGUID, when it is a FIDO2 authenticator.
    #[must_use]
    pub fn aaguid(&self) -> Option<Aaguid> {
        self.aaguid
    }

    /// The identifiers of its attestation keys, when it is a U2F authenticator.
    #[must_use]
    pub fn key_identifiers(&self) -> &[[u8; 20]] {
        &self.key_identifiers
    }

    /// The model's name, in English. From its vendor: escape it before showing it.
    #[must_use]
    pub fn description(&self) -> &str {
        &self.description
    }

    /// Where private keys live: `hardware`, `secure_element`, `tee`, `software`, `remote_handle`.
    #[must_use]
    pub fn key_protection(&self) -> &[String] {
        &self.key_protection
    }

    /// Whether the model makes attestations of that type. Basic and AttCA cannot be told apart in packed statements.
    #[must_use]
    pub fn attests(&self, attestation: AttestationType) -> bool {
        let named: &[&str] = match attestation {
            AttestationType::Basic => &["basic_full", "attca"],
            AttestationType::AttCa => &["attca", "basic_full"],
            AttestationType::AnonCa => &["anonca"],
            AttestationType::SelfSigned => &["basic_surrogate"],
            AttestationType::None => &["none"],
        };
        self.attestation_types
            .iter()
            .any(|ours| named.contains(&ours.as_str()))
    }

    /// The certificates that may end its attestation chains.
    pub fn roots(&self) -> impl Iterator<Item = &Certificate> {
        self.roots.iter().map(AsRef::as_ref)
    }

    /// All status reports, in the order of the list.
    #[must_use]
    pub fn reports(&self) -> &[Report] {
        &self.reports
    }

    /// Its standing at `at`, for an authenticator with that attestation chain (empty when only the model is asked about).
    #[must_use]
    pub fn standing(&self, at: OffsetDateTime, chain: &[Certificate]) -> Standing {
        status::standing(&self.reports, at, chain)
    }
}

#[derive(Deserialize)]
struct Payload<'a> {
    no: u64,
    #[serde(rename = "nextUpdate")]
    next_update: String,
    #[serde(borrow)]
    entries: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct WireEntry {
    aaguid: Option<String>,
    #[serde(rename = "attestationCertificateKeyIdentifiers", default)]
    key_identifiers: Vec<String>,
    #[serde(rename = "metadataStatement")]
    statement: Option<WireStatement>,
    #[serde(rename = "statusReports")]
    reports: Vec<status::WireReport>,
}

impl WireEntry {
    /// What is left of an entry that does not parse: whom it is about, if that can be read, and that nothing good is known of it. To forget it would
    /// let an anchor of the operator's vouch for a model of which the list may have said that it is revoked.
    fn unreadable(raw: &RawValue) -> Option<Self> {
        let value: serde_json::Value = serde_json::from_str(raw.get()).ok()?;
        let aaguid = value.get("aaguid").and_then(|it| it.as_str());
        let aaguid = aaguid.filter(|text| text.parse::<Aaguid>().is_ok());
        let ids = value.get("attestationCertificateKeyIdentifiers");
        let ids = ids.and_then(|it| it.as_array()).into_iter().flatten();
        let wire = Self {
            aaguid: aaguid.map(str::to_owned),
            key_identifiers: ids.filter_map(|it| Some(it.as_str()?.to_owned())).collect(),
            statement: None,
            reports: vec![status::WireReport::unreadable()],
        };
        (wire.aaguid.is_some() || !wire.key_identifiers.is_empty()).then_some(wire)
    }
}

#[derive(Deserialize, Default)]
struct WireStatement {
    #[serde(default)]
    description: String,
    #[serde(rename = "attestationTypes", default)]
    attestation_types: Vec<String>,
    #[serde(rename = "keyProtection", default)]
    key_protection: Vec<String>,
    #[serde(rename = "attestationRootCertificates", default)]
    roots: Vec<String>,
}

/// A base64 certificate; vendors leave white space and line breaks in it.
fn read_certificate(text: &str) -> Option<Arc<Certificate>> {
    let text: String = text
        .chars()
        .filter(|letter| !letter.is_ascii_whitespace())
        .collect();
    let der = STANDARD.decode(text).ok()?;
    Certificate::from_der(&der).ok().map(Arc::new)
}
