//! `authenticatorGetInfo` (§6.4): what an authenticator says of itself. Unverified; only attestation proves what it is.
//!
//! Tolerant of what is new (unknown members, options, extensions, versions are ignored), strict about what is known: a known member of a
//! wrong type is an error, and every list is bounded. Absent options have the meaning that §6.4 gives to absence.

use crate::cbor::{self, Item};
use crate::command;
use crate::device::{Device, unattended};
use crate::error::{Error, Refused, ReplyError};
use crate::pin_protocol::PinProtocol;

/// Most items kept of any list in the reply.
const MAX_LIST: usize = 32;
/// Longest text kept.
const MAX_TEXT: usize = 64;

/// The AAGUID: identifies a model, claimed here, proven only by attestation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Aaguid(pub [u8; 16]);

impl std::fmt::Display for Aaguid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (position, byte) in self.0.iter().enumerate() {
            if matches!(position, 4 | 6 | 8 | 10) {
                f.write_str("-")?;
            }
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

/// An option that is `true`, `false` (supported, not configured) or absent (not supported).
pub type Tristate = Option<bool>;

/// The options of §6.4 that change what a client does. Absent means what the specification says of absence.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(
    clippy::struct_excessive_bools,
    reason = "the specification's own option names"
)]
pub struct Options {
    /// Attached to the client for good (a platform authenticator).
    pub plat: bool,
    /// Can store discoverable credentials.
    pub rk: bool,
    /// Has a PIN set (`Some(true)`), could have (`Some(false)`), cannot (`None`).
    pub client_pin: Tristate,
    /// Can test user presence; absent means yes.
    pub up: bool,
    /// Built-in user verification configured, supported but not configured, or absent.
    pub uv: Tristate,
    /// Supports `pinUvAuthToken` with permissions.
    pub pin_uv_auth_token: bool,
    /// `getPinUvAuthTokenUsingPinWithPermissions` cannot be used for make/get credential.
    pub no_mc_ga_permissions_with_client_pin: bool,
    /// Large blobs.
    pub large_blobs: bool,
    /// Enterprise attestation: enabled, supported but disabled, absent.
    pub ep: Tristate,
    /// Biometric enrolment: provisioned, supported without enrolments, absent.
    pub bio_enroll: Tristate,
    /// The same, preview of CTAP 2.1.
    pub user_verification_mgmt_preview: Tristate,
    /// `uv` may be used to authorise biometric enrolment.
    pub uv_bio_enroll: Tristate,
    /// `authenticatorConfig`.
    pub authnr_cfg: bool,
    /// `uv` may be used to authorise `authenticatorConfig`.
    pub uv_acfg: Tristate,
    /// Credential management.
    pub cred_mgmt: bool,
    /// Credential management, preview of CTAP 2.1.
    pub credential_mgmt_preview: bool,
    /// Read-only persistent credential-management tokens (CTAP 2.2).
    pub per_cred_mgmt_ro: bool,
    /// `setMinPINLength`.
    pub set_min_pin_length: bool,
    /// Non-discoverable credentials can be made without user verification.
    pub make_cred_uv_not_rqd: bool,
    /// User verification is required for everything.
    pub always_uv: Tristate,
}

/// One reply to `authenticatorGetInfo`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthenticatorInfo {
    /// `FIDO_2_0`, `FIDO_2_1`, `U2F_V2`, …
    pub versions: Vec<String>,
    /// Extension identifiers.
    pub extensions: Vec<String>,
    /// The model, claimed.
    pub aaguid: Aaguid,
    /// Options.
    pub options: Options,
    /// Largest message in bytes; 1024 when absent.
    pub max_msg_size: usize,
    /// PIN/UV protocols in the authenticator's order of preference.
    pub pin_uv_auth_protocols: Vec<u64>,
    /// Most credentials in one list; absent: no limit stated, send one at a time to be safe.
    pub max_credential_count_in_list: Option<usize>,
    /// Longest credential id.
    pub max_credential_id_length: Option<usize>,
    /// `usb`, `nfc`, `ble`, `internal`, …
    pub transports: Vec<String>,
    /// COSE algorithms for `public-key`, in order of preference; empty when not told.
    pub algorithms: Vec<i64>,
    /// Largest serialised large-blob array.
    pub max_serialized_large_blob_array: Option<u64>,
    /// The PIN must be changed before a token is given.
    pub force_pin_change: bool,
    /// Fewest code points of a new PIN; 4 when absent.
    pub min_pin_length: usize,
    /// Firmware version, vendor's own numbering.
    pub firmware_version: Option<u64>,
    /// Longest `credBlob`.
    pub max_cred_blob_length: Option<u64>,
    /// Most RP ids in `setMinPINLength`.
    pub max_rpids_for_set_min_pin_length: Option<u64>,
    /// Platform-performed UV attempts preferred.
    pub preferred_platform_uv_attempts: Option<u64>,
    /// User-verification methods (FIDO registry bits).
    pub uv_modality: Option<u64>,
    /// Certifications, name and level.
    pub certifications: Vec<(String, u64)>,
    /// Discoverable credentials that still fit, estimated.
    pub remaining_discoverable_credentials: Option<u64>,
    /// Vendor prototype configuration commands.
    pub vendor_prototype_config_commands: Vec<u64>,
    /// Attestation formats (CTAP 2.2), in order of preference.
    pub attestation_formats: Vec<String>,
    /// UV attempts since the last PIN (CTAP 2.2).
    pub uv_count_since_last_pin_entry: Option<u64>,
    /// Reset needs a long touch (CTAP 2.2).
    pub long_touch_for_reset: bool,
    /// Transports on which reset works (CTAP 2.2).
    pub transports_for_reset: Vec<String>,
    /// The PIN complexity policy is enforced (CTAP 2.2).
    pub pin_complexity_policy: Option<bool>,
    /// Longest PIN (CTAP 2.2); 63 when absent.
    pub max_pin_length: usize,
}

/// Asks the authenticator what it is.
pub fn info(device: &mut dyn Device) -> Result<AuthenticatorInfo, Error> {
    let reply = device.call(command::GET_INFO, &[], &mut unattended)?;
    AuthenticatorInfo::read(&reply)
}

impl AuthenticatorInfo {
    /// Reads the reply's CBOR.
    pub fn read(reply: &[u8]) -> Result<Self, Error> {
        let item = cbor::read(reply)?;
        if item.map().is_none() {
            return Err(ReplyError::Invalid("getInfo").into());
        }
        let read = Members(&item);
        let versions = read.texts(0x01, "versions")?;
        if versions.is_empty() {
            return Err(ReplyError::Missing("versions").into());
        }
        let aaguid = item.at(0x03).ok_or(ReplyError::Missing("aaguid"))?;
        let aaguid = aaguid
            .bytes()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(ReplyError::Invalid("aaguid"))?;
        Ok(Self {
            versions,
            extensions: read.texts(0x02, "extensions")?,
            aaguid: Aaguid(aaguid),
            options: Options::read(item.at(0x04))?,
            // §6.4: the minimum that every authenticator takes; what it states below that is not believed.
            max_msg_size: read.size(0x05, "maxMsgSize")?.unwrap_or(1024).max(1024),
            pin_uv_auth_protocols: read.numbers(0x06, "pinUvAuthProtocols")?,
            // Zero is forbidden (§6.4); one is what it must mean for anything to work.
            max_credential_count_in_list: read
                .size(0x07, "maxCredentialCountInList")?
                .map(|count| count.max(1)),
            max_credential_id_length: read.size(0x08, "maxCredentialIdLength")?,
            transports: read.texts(0x09, "transports")?,
            algorithms: read.algorithms()?,
            max_serialized_large_blob_array: read.number(0x0b, "maxSerializedLargeBlobArray")?,
            force_pin_change: read.bool(0x0c, "forcePINChange")?.unwrap_or(false),
            min_pin_length: read.size(0x0d, "minPINLength")?.unwrap_or(4).clamp(4, 63),
            firmware_version: read.number(0x0e, "firmwareVersion")?,
            max_cred_blob_length: read.number(0x0f, "maxCredBlobLength")?,
            max_rpids_for_set_min_pin_length: read.number(0x10, "maxRPIDsForSetMinPINLength")?,
            preferred_platform_uv_attempts: read.number(0x11, "preferredPlatformUvAttempts")?,
            uv_modality: read.number(0x12, "uvModality")?,
            certifications: read.certifications()?,
            remaining_discoverable_credentials: read
                .number(0x14, "remainingDiscoverableCredentials")?,
            vendor_prototype_config_commands: read
                .numbers(0x15, "vendorPrototypeConfigCommands")?,
            attestation_formats: read.texts(0x16, "attestationFormats")?,
            uv_count_since_last_pin_entry: read.number(0x17, "uvCountSinceLastPinEntry")?,
            long_touch_for_reset: read.bool(0x18, "longTouchForReset")?.unwrap_or(false),
            transports_for_reset: read.texts(0x1a, "transportsForReset")?,
            pin_complexity_policy: read.bool(0x1b, "pinComplexityPolicy")?,
            max_pin_length: read.size(0x1d, "maxPINLength")?.unwrap_or(63).clamp(4, 63),
        })
    }

    /// The PIN/UV protocol to use: the authenticator's first that we know.
    pub fn pin_protocol(&self) -> Result<PinProtocol, Refused> {
        PinProtocol::choose(&self.pin_uv_auth_protocols).ok_or(Refused::NoCommonProtocol)
    }

    /// Whether `version` is among the versions.
    #[must_use]
    pub fn has_version(&self, version: &str) -> bool {
        self.versions.iter().any(|v| v == version)
    }

    /// Whether `extension` is among the extensions.
    #[must_use]
    pub fn has_extension(&self, extension: &str) -> bool {
        self.extensions.iter().any(|e| e == extension)
    }
}

impl Options {
    fn read(item: Option<&Item<'_>>) -> Result<Self, ReplyError> {
        let invalid = ReplyError::Invalid("options");
        if item.is_some_and(|item| item.map().is_none()) {
            return Err(invalid);
        }
        let option = |name: &str| match item.and_then(|item| item.named(name)) {
            None => Ok(None),
            Some(value) => value.bool().map(Some).ok_or(invalid),
        };
        let yes = |name: &str| option(name).map(|value| value == Some(true));
        Ok(Self {
            plat: yes("plat")?,
            rk: yes("rk")?,
            client_pin: option("clientPin")?,
            up: option("up")?.unwrap_or(true),
            uv: option("uv")?,
            pin_uv_auth_token: yes("pinUvAuthToken")?,
            no_mc_ga_permissions_with_client_pin: yes("noMcGaPermissionsWithClientPin")?,
            large_blobs: yes("largeBlobs")?,
            ep: option("ep")?,
            bio_enroll: option("bioEnroll")?,
            user_verification_mgmt_preview: option("userVerificationMgmtPreview")?,
            uv_bio_enroll: option("uvBioEnroll")?,
            authnr_cfg: yes("authnrCfg")?,
            uv_acfg: option("uvAcfg")?,
            cred_mgmt: yes("credMgmt")?,
            credential_mgmt_preview: yes("credentialMgmtPreview")?,
            per_cred_mgmt_ro: yes("perCredMgmtRO")?,
            set_min_pin_length: yes("setMinPINLength")?,
            make_cred_uv_not_rqd: yes("makeCredUvNotRqd")?,
            always_uv: option("alwaysUv")?,
        })
    }
}

/// The reply's members by their number.
struct Members<'a, 'b>(&'a Item<'b>);

impl Members<'_, '_> {
    fn number(&self, key: i64, name: &'static str) -> Result<Option<u64>, ReplyError> {
        self.0
            .at(key)
            .map(|item| item.unsigned().ok_or(ReplyError::Invalid(name)))
            .transpose()
    }

    /// A number that we use as a size; absurdly large ones are as good as no limit.
    fn size(&self, key: i64, name: &'static str) -> Result<Option<usize>, ReplyError> {
        Ok(self
            .number(key, name)?
            .map(|n| usize::try_from(n).unwrap_or(usize::MAX)))
    }

    fn bool(&self, key: i64, name: &'static str) -> Result<Option<bool>, ReplyError> {
        self.0
            .at(key)
            .map(|item| item.bool().ok_or(ReplyError::Invalid(name)))
            .transpose()
    }

    fn list(&self, key: i64, name: &'static str) -> Result<&[Item<'_>], ReplyError> {
        let Some(item) = self.0.at(key) else {
            return Ok(&[]);
        };
        let items = item.array().ok_or(ReplyError::Invalid(name))?;
        if items.len() > MAX_LIST {
            Err(ReplyError::TooLarge(name))
        } else {
            Ok(items)
        }
    }

    fn texts(&self, key: i64, name: &'static str) -> Result<Vec<String>, ReplyError> {
        self.list(key, name)?
            .iter()
            .map(|item| text(item, name))
            .collect()
    }

    fn numbers(&self, key: i64, name: &'static str) -> Result<Vec<u64>, ReplyError> {
        self.list(key, name)?
            .iter()
            .map(|item| item.unsigned().ok_or(ReplyError::Invalid(name)))
            .collect()
    }

    /// `algorithms`: PublicKeyCredentialParameters of type `public-key`; other types are skipped.
    fn algorithms(&self) -> Result<Vec<i64>, ReplyError> {
        let invalid = ReplyError::Invalid("algorithms");
        let mut algorithms = Vec::new();
        for item in self.list(0x0a, "algorithms")? {
            if item.named("type").and_then(Item::text).ok_or(invalid)? == "public-key" {
                algorithms.push(item.named("alg").and_then(Item::integer).ok_or(invalid)?);
            }
        }
        Ok(algorithms)
    }

    fn certifications(&self) -> Result<Vec<(String, u64)>, ReplyError> {
        let name = "certifications";
        let Some(item) = self.0.at(0x13) else {
            return Ok(Vec::new());
        };
        let members = item.map().ok_or(ReplyError::Invalid(name))?;
        if members.len() > MAX_LIST {
            return Err(ReplyError::TooLarge(name));
        }
        let pair = |(key, value): &(Item<'_>, Item<'_>)| {
            Ok((
                text(key, name)?,
                value.unsigned().ok_or(ReplyError::Invalid(name))?,
            ))
        };
        members.iter().map(pair).collect()
    }
}

fn text(item: &Item<'_>, name: &'static str) -> Result<String, ReplyError> {
    let text = item.text().ok_or(ReplyError::Invalid(name))?;
    if text.len() > MAX_TEXT {
        Err(ReplyError::TooLarge(name))
    } else {
        Ok(text.to_owned())
    }
}
