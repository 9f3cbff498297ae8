//! PIV key attestation: a certificate by the card itself (slot F9) that a key was generated on it, and with which policies.
//!
//! Yubico's scheme (<https://developers.yubico.com/PIV/Introduction/PIV_attestation.html>), the only one in use: a leaf
//! `CN=YubiKey PIV Attestation <slot>` with extensions under 1.3.6.1.4.1.41482.3, signed by the card's F9 certificate, which leads to a manufacturer's
//! root: the root of 2016 at once, or, since 2024, through two intermediates with notAfter 9999.
//! Claim: [`Claim`]. Proof: [`VerifiedAttestation`], built by [`verify`] alone, for roots that the caller trusts for this.
//! Deliberately elsewhere: whether these policies are good enough (policy), proof of possession (`piv::verify_signature`).

use time::OffsetDateTime;

use super::path::{self, PathError, Rules, YUBICO_PIV};
use crate::asn1::{Reader, Tag};
use crate::certificate::signature::KeyKind;
use crate::certificate::{Certificate, PublicKeyInfo, name};

const SUBJECT_PREFIX: &str = "YubiKey PIV Attestation ";

const FIRMWARE: u8 = 3;
const SERIAL: u8 = 7;
const POLICY: u8 = 8;
const FORM_FACTOR: u8 = 9;
const FIPS: u8 = 10;
const CSPN: u8 = 11;

/// What a card, or whoever speaks for it, sent. Not trusted.
#[derive(Debug, Clone, Copy)]
pub struct Claim<'a> {
    /// The slot's attestation certificate.
    pub leaf: &'a Certificate,
    /// The F9 certificate and others of the chain, in any order; roots among them are not trusted.
    pub intermediates: &'a [Certificate],
    /// The key that is to be attested, when the caller has it from elsewhere.
    pub public_key: Option<&'a PublicKeyInfo>,
}

/// Why an attestation is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AttestationError {
    /// Rejected: not a slot's attestation by its subject, or not version 3.
    #[error("the certificate is not a slot's attestation")]
    NotAttestation,
    /// Rejected: the leaf is, or may act as, a certificate authority.
    #[error("the attestation certificate is an authority")]
    LeafIsAuthority,
    /// Malformed: firmware or policies missing, or an extension not of its form.
    #[error("the attestation's extensions are missing or not of their form")]
    Extensions,
    /// Rejected: the certificate is of another key.
    #[error("the attestation is of another key")]
    PublicKey,
    /// Rejected: no path to a root.
    #[error(transparent)]
    Path(#[from] PathError),
}

impl AttestationError {
    /// One stable kebab-case word per check.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NotAttestation => "not-an-attestation",
            Self::LeafIsAuthority => "leaf-is-authority",
            Self::Extensions => "extensions-malformed",
            Self::PublicKey => "public-key-mismatch",
            Self::Path(error) => error.reason(),
        }
    }
}

/// Every reason word with what it means; `verified` first.
pub const REASONS: [(&str, &str); 16] = [
    (
        "verified",
        "the chain leads to a root, and the key is this one",
    ),
    ("certificate-malformed", "a certificate does not parse"),
    ("public-key-malformed", "the public key does not parse"),
    (
        "not-an-attestation",
        "the subject is not `YubiKey PIV Attestation <slot>`, or the certificate is not version 3",
    ),
    (
        "leaf-is-authority",
        "the attestation certificate could itself sign certificates",
    ),
    (
        "extensions-malformed",
        "firmware or policies are missing, or an extension is not of its form",
    ),
    (
        "public-key-mismatch",
        "the attestation is of another key than `public_key`",
    ),
    ("unknown-root", "nothing leads to a configured root"),
    (
        "chain-signature-invalid",
        "a certificate has its issuer's name but not its signature",
    ),
    (
        "chain-signature-weak",
        "a signature of the chain rests on SHA-1",
    ),
    (
        "chain-too-long",
        "more certificates or signatures than the budget",
    ),
    (
        "issuer-not-authority",
        "an issuer is not a certificate authority, or not so far down",
    ),
    (
        "critical-extension-unknown",
        "a critical extension is not understood",
    ),
    (
        "certificate-not-yet-valid",
        "before the validity of a certificate of the chain",
    ),
    (
        "certificate-expired",
        "after the validity of a certificate of the chain",
    ),
    (
        "validity-disjoint",
        "without --at: the certificates were never all valid at one time",
    ),
];

/// When the card asks for its PIN.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PinPolicy {
    /// Never.
    Never,
    /// Once after insertion.
    Once,
    /// For each use.
    Always,
    /// Once, fingerprint or PIN.
    MatchOnce,
    /// For each use, fingerprint or PIN.
    MatchAlways,
}

impl PinPolicy {
    fn from_byte(byte: u8) -> Option<Self> {
        [
            Self::Never,
            Self::Once,
            Self::Always,
            Self::MatchOnce,
            Self::MatchAlways,
        ]
        .into_iter()
        .zip(1..)
        .find_map(|(policy, number)| (number == byte).then_some(policy))
    }

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Once => "once",
            Self::Always => "always",
            Self::MatchOnce => "match-once",
            Self::MatchAlways => "match-always",
        }
    }
}

/// When the card asks to be touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TouchPolicy {
    /// Never.
    Never,
    /// For each use.
    Always,
    /// At most once in 15 seconds.
    Cached,
}

impl TouchPolicy {
    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Never),
            2 => Some(Self::Always),
            3 => Some(Self::Cached),
            _ => None,
        }
    }

    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::Always => "always",
            Self::Cached => "cached",
        }
    }
}

/// The shape of the device, and its certified edition, in one byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormFactor(u8);

impl FormFactor {
    /// The byte, as attested.
    #[must_use]
    pub fn byte(self) -> u8 {
        self.0
    }

    /// Whether it is a FIPS edition.
    #[must_use]
    pub fn is_fips(self) -> bool {
        self.0 & 0x80 != 0
    }

    /// The shape in words, when it is known.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        Some(match self.0 & 0x3f {
            1 => "usb-a-keychain",
            2 => "usb-a-nano",
            3 => "usb-c-keychain",
            4 => "usb-c-nano",
            5 => "usb-c-lightning",
            6 => "usb-a-bio",
            7 => "usb-c-bio",
            _ => return None,
        })
    }
}

/// A known weakness of keys made by this firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weakness {
    /// CVE-2017-15361: RSA keys generated by firmware 4.2.6 to 4.3.4 can be factored.
    Roca,
}

/// A key that a genuine card generated and keeps. Only [`verify`] builds one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedAttestation {
    public_key: PublicKeyInfo,
    slot: u8,
    firmware: [u8; 3],
    serial: Option<u64>,
    pin_policy: PinPolicy,
    touch_policy: TouchPolicy,
    form_factor: Option<FormFactor>,
    fips: bool,
    cspn: bool,
    anchor: String,
    chain: Vec<String>,
}

impl VerifiedAttestation {
    /// The attested key.
    #[must_use]
    pub fn public_key(&self) -> &PublicKeyInfo {
        &self.public_key
    }

    /// Its slot: 0x9a, 0x9c, 0x9d, 0x9e, 0x82 ..= 0x95.
    #[must_use]
    pub fn slot(&self) -> u8 {
        self.slot
    }

    /// Major, minor, patch.
    #[must_use]
    pub fn firmware(&self) -> [u8; 3] {
        self.firmware
    }

    /// The serial number, on devices that tell it.
    #[must_use]
    pub fn serial(&self) -> Option<u64> {
        self.serial
    }

    /// When the PIN is asked for.
    #[must_use]
    pub fn pin_policy(&self) -> PinPolicy {
        self.pin_policy
    }

    /// When a touch is asked for.
    #[must_use]
    pub fn touch_policy(&self) -> TouchPolicy {
        self.touch_policy
    }

    /// The shape, on devices that tell it.
    #[must_use]
    pub fn form_factor(&self) -> Option<FormFactor> {
        self.form_factor
    }

    /// A FIPS edition, by its form factor or its F9 certificate.
    #[must_use]
    pub fn is_fips(&self) -> bool {
        self.fips
    }

    /// A CSPN edition, by its F9 certificate.
    #[must_use]
    pub fn is_cspn(&self) -> bool {
        self.cspn
    }

    /// The root's subject.
    #[must_use]
    pub fn anchor(&self) -> &str {
        &self.anchor
    }

    /// The subjects from the leaf to the root.
    #[must_use]
    pub fn chain(&self) -> &[String] {
        &self.chain
    }

    /// What is known against keys of this kind from this firmware.
    #[must_use]
    pub fn weakness(&self) -> Option<Weakness> {
        let roca = self.public_key.kind() == KeyKind::Rsa
            && ([4, 2, 6]..[4, 3, 5]).contains(&self.firmware);
        roca.then_some(Weakness::Roca)
    }
}

/// Checks an attestation: leaf, path to one of `roots`, valid at `at` (without: at some one time), key.
///
/// # Errors
/// [`AttestationError`].
pub fn verify(
    claim: &Claim<'_>,
    roots: &[&Certificate],
    at: Option<OffsetDateTime>,
) -> Result<VerifiedAttestation, AttestationError> {
    let slot = check_leaf(claim.leaf)?;
    if claim
        .public_key
        .is_some_and(|key| !is_same_key(key, claim.leaf.public_key()))
    {
        return Err(AttestationError::PublicKey);
    }
    let rules = Rules {
        at,
        bare_attestation_issuer: true,
    };
    let path = path::find(claim.leaf, claim.intermediates, roots, rules)?;
    let (issuer, anchor) = (
        path.issuer().ok_or(PathError::UnknownRoot)?,
        path.anchor().ok_or(PathError::UnknownRoot)?,
    );

    let firmware = octets(claim.leaf, FIRMWARE)?.ok_or(AttestationError::Extensions)?;
    let [pin, touch] = octets(claim.leaf, POLICY)?.ok_or(AttestationError::Extensions)?;
    let form_factor = octets(claim.leaf, FORM_FACTOR)?.map(|[byte]| FormFactor(byte));
    let either = |id: u8| extension(claim.leaf, id).is_some() || extension(issuer, id).is_some();
    Ok(VerifiedAttestation {
        public_key: claim.leaf.public_key().clone(),
        slot,
        firmware,
        serial: extension(claim.leaf, SERIAL).map(serial).transpose()?,
        pin_policy: PinPolicy::from_byte(pin).ok_or(AttestationError::Extensions)?,
        touch_policy: TouchPolicy::from_byte(touch).ok_or(AttestationError::Extensions)?,
        form_factor,
        fips: form_factor.is_some_and(FormFactor::is_fips) || either(FIPS),
        cspn: either(CSPN),
        anchor: anchor.subject().to_string(),
        chain: path
            .0
            .iter()
            .map(|certificate| certificate.subject().to_string())
            .collect(),
    })
}

/// The slot whose attestation this is.
fn check_leaf(leaf: &Certificate) -> Result<u8, AttestationError> {
    let mut names = leaf.subject().texts(name::COMMON_NAME);
    let slot = match (names.next(), names.next()) {
        (Some(text), None) => text.strip_prefix(SUBJECT_PREFIX).and_then(slot),
        _ => None,
    };
    let slot = slot
        .filter(|_| leaf.version() == 3)
        .ok_or(AttestationError::NotAttestation)?;
    let constraints = leaf
        .basic_constraints()
        .map_err(|_| AttestationError::Extensions)?;
    let key_usage = leaf.extension(crate::certificate::oid::KEY_USAGE).is_some();
    let signs = key_usage
        && leaf
            .may_sign_certificates()
            .map_err(|_| AttestationError::Extensions)?;
    if signs || constraints.is_some_and(|constraints| constraints.ca) {
        return Err(AttestationError::LeafIsAuthority);
    }
    Ok(slot)
}

/// Two lower-case or upper-case hexadecimal digits of a key slot.
fn slot(text: &str) -> Option<u8> {
    let slot = if text.len() == 2 {
        u8::from_str_radix(text, 16).ok()?
    } else {
        return None;
    };
    matches!(slot, 0x9a | 0x9c..=0x9e | 0x82..=0x95).then_some(slot)
}

/// The value of Yubico's extension with this last arc.
fn extension(certificate: &Certificate, last: u8) -> Option<&[u8]> {
    let found = certificate
        .extensions()
        .iter()
        .find(|it| it.oid.strip_prefix(YUBICO_PIV) == Some(&[last]));
    found.map(|it| it.value.as_slice())
}

/// `N` octets of an extension: bare, as the documentation says, or in an OCTET STRING, as some 5.7 devices are said to write them. The length tells
/// one from the other.
fn octets<const N: usize>(
    certificate: &Certificate,
    last: u8,
) -> Result<Option<[u8; N]>, AttestationError> {
    let Some(value) = extension(certificate, last) else {
        return Ok(None);
    };
    let mut reader = Reader::new(value);
    let bare = match reader.expect(Tag::OCTET_STRING) {
        Ok(string) if value.len() == N.saturating_add(2) && reader.is_empty() => string.value,
        _ => value,
    };
    bare.try_into()
        .map(Some)
        .map_err(|_| AttestationError::Extensions)
}

/// An INTEGER, not negative, that fills the extension.
fn serial(value: &[u8]) -> Result<u64, AttestationError> {
    let mut reader = Reader::new(value);
    let integer = reader
        .expect(Tag::INTEGER)
        .map_err(|_| AttestationError::Extensions)?;
    reader.finish().map_err(|_| AttestationError::Extensions)?;
    match integer.value {
        // Up to eight octets, and one of sign.
        [first, ..] if *first < 0x80 && integer.value.len() <= 8 => Ok(integer
            .value
            .iter()
            .fold(0, |number, octet| (number << 8) | u64::from(*octet))),
        _ => Err(AttestationError::Extensions),
    }
}

/// The same key, however its algorithm's parameters are written.
fn is_same_key(a: &PublicKeyInfo, b: &PublicKeyInfo) -> bool {
    a.der() == b.der()
        || (a.kind() == b.kind() && a.kind() != KeyKind::Other && a.key_bytes() == b.key_bytes())
}
