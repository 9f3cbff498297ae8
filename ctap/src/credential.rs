//! `authenticatorMakeCredential` (§6.1): one request, one reply. Which options to send is decided in [`crate::ceremony`].

use aws_lc_rs::digest::{SHA256, digest};

use crate::cbor::{self, Item, Writer};
use crate::command;
use crate::device::{Device, Progress};
use crate::error::{Error, ReplyError};
use crate::pin_protocol::{PinProtocol, PinUvAuthToken};

/// Longest credential id of any authenticator (WebAuthn L3 §6.5.1.1).
pub const MAX_CREDENTIAL_ID: usize = 1023;

/// The relying party, as sent to the authenticator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelyingParty<'a> {
    /// The RP id; configuration, never taken from a peer.
    pub id: &'a str,
    /// Shown by authenticators with a display.
    pub name: Option<&'a str>,
}

/// The user account, as sent to the authenticator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User<'a> {
    /// The user handle, 1 to 64 bytes.
    pub id: &'a [u8],
    /// Account name.
    pub name: Option<&'a str>,
    /// Display name.
    pub display_name: Option<&'a str>,
}

/// `credProtect` policy (§12.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredProtect {
    /// User verification optional.
    Optional,
    /// Optional when the credential id is given.
    OptionalWithList,
    /// Always required.
    Required,
}

/// Parameters of one `authenticatorMakeCredential`.
#[derive(Clone)]
pub struct MakeCredential<'a> {
    /// SHA-256 of clientDataJSON.
    pub client_data_hash: &'a [u8; 32],
    /// For whom.
    pub rp: RelyingParty<'a>,
    /// The account.
    pub user: User<'a>,
    /// COSE algorithms, most wanted first.
    pub algorithms: &'a [i64],
    /// Credential ids that must not be on this authenticator.
    pub exclude: &'a [&'a [u8]],
    /// `credProtect`, when the authenticator has it.
    pub cred_protect: Option<CredProtect>,
    /// The `minPinLength` extension: the authenticator tells its minimum in the extensions of the authenticator data.
    pub min_pin_length: bool,
    /// Store a discoverable credential.
    pub rk: bool,
    /// Verify the user by the CTAP 2.0 `uv` option (built-in verification without tokens).
    pub uv: bool,
    /// `pinUvAuthParam` is computed with this token.
    pub token: Option<&'a PinUvAuthToken>,
    /// Enterprise attestation: 1 (vendor-facilitated) or 2 (platform-managed).
    pub enterprise_attestation: Option<u8>,
}

impl MakeCredential<'_> {
    /// The parameters in canonical CBOR.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let extensions = usize::from(self.cred_protect.is_some())
            .saturating_add(usize::from(self.min_pin_length));
        let options = usize::from(self.rk).saturating_add(usize::from(self.uv));
        let members = [
            !self.exclude.is_empty(),
            extensions > 0,
            options > 0,
            self.token.is_some(),
            self.token.is_some(),
            self.enterprise_attestation.is_some(),
        ];
        let mut m = Writer::new();
        m.map(
            members
                .iter()
                .filter(|present| **present)
                .count()
                .saturating_add(4),
        );
        m.unsigned(0x01).bytes(self.client_data_hash);
        m.unsigned(0x02)
            .map(if self.rp.name.is_some() { 2 } else { 1 })
            .text("id")
            .text(self.rp.id);
        if let Some(name) = self.rp.name {
            m.text("name").text(name);
        }
        self.user.write(m.unsigned(0x03));
        m.unsigned(0x04).array(self.algorithms.len());
        for algorithm in self.algorithms {
            m.map(2)
                .text("alg")
                .integer(*algorithm)
                .text("type")
                .text("public-key");
        }
        if !self.exclude.is_empty() {
            write_descriptors(m.unsigned(0x05), self.exclude);
        }
        if extensions > 0 {
            m.unsigned(0x06).map(extensions);
            if let Some(policy) = self.cred_protect {
                m.text("credProtect").unsigned(policy.number());
            }
            if self.min_pin_length {
                m.text("minPinLength").bool(true);
            }
        }
        if options > 0 {
            m.unsigned(0x07).map(options);
            if self.rk {
                m.text("rk").bool(true);
            }
            if self.uv {
                m.text("uv").bool(true);
            }
        }
        if let Some(token) = self.token {
            m.unsigned(0x08)
                .bytes(&token.authenticate(&[self.client_data_hash]));
            m.unsigned(0x09).unsigned(token.protocol().number());
        }
        if let Some(level) = self.enterprise_attestation {
            m.unsigned(0x0a).unsigned(level.into());
        }
        m.into_bytes()
    }
}

impl User<'_> {
    fn write(&self, m: &mut Writer) {
        let names = usize::from(self.name.is_some())
            .saturating_add(usize::from(self.display_name.is_some()));
        m.map(names.saturating_add(1)).text("id").bytes(self.id);
        if let Some(name) = self.name {
            m.text("name").text(name);
        }
        if let Some(name) = self.display_name {
            m.text("displayName").text(name);
        }
    }
}

impl CredProtect {
    fn number(self) -> u64 {
        match self {
            Self::Optional => 1,
            Self::OptionalWithList => 2,
            Self::Required => 3,
        }
    }
}

/// Writes PublicKeyCredentialDescriptors.
pub(crate) fn write_descriptors(m: &mut Writer, ids: &[&[u8]]) {
    m.array(ids.len());
    for id in ids {
        m.map(2)
            .text("id")
            .bytes(id)
            .text("type")
            .text("public-key");
    }
}

/// The `pinUvAuthParam` that says "touch me, then tell that a PIN is (not) set" to CTAP 2.0 keys; see [`touch`].
fn empty_pin_auth(protocol: PinProtocol) -> Vec<u8> {
    let mut m = Writer::new();
    m.map(6).unsigned(0x01).bytes(&[0; 32]);
    m.unsigned(0x02).map(1).text("id").text("touch.invalid");
    m.unsigned(0x03)
        .map(2)
        .text("id")
        .bytes(&[1])
        .text("name")
        .text("touch");
    m.unsigned(0x04)
        .array(1)
        .map(2)
        .text("alg")
        .integer(-7)
        .text("type")
        .text("public-key");
    m.unsigned(0x08)
        .bytes(&[])
        .unsigned(0x09)
        .unsigned(protocol.number());
    m.into_bytes()
}

/// Waits for a touch on a CTAP 2.0 key, which has no `authenticatorSelection`: makeCredential with an empty `pinUvAuthParam` (§6.1.2
/// step 1) ends in an error after the touch and creates nothing.
pub fn touch(
    device: &mut dyn Device,
    protocol: PinProtocol,
    progress: Progress<'_>,
) -> Result<(), Error> {
    use crate::error::Status;
    match device.call(
        command::MAKE_CREDENTIAL,
        &empty_pin_auth(protocol),
        progress,
    ) {
        Err(Error::Status(
            Status::PIN_NOT_SET | Status::PIN_INVALID | Status::PIN_AUTH_INVALID,
        )) => Ok(()),
        Err(error) => Err(error),
        Ok(_) => Err(ReplyError::Invalid("makeCredential").into()),
    }
}

/// What the authenticator made: a claim, for the server to verify.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCredential {
    /// Attestation statement format.
    pub format: String,
    /// Authenticator data, verbatim.
    pub authenticator_data: Vec<u8>,
    /// The attestation statement's CBOR, verbatim.
    pub attestation_statement: Vec<u8>,
    /// The credential id, from the authenticator data.
    pub credential_id: Vec<u8>,
    /// Enterprise attestation was used.
    pub enterprise: bool,
}

impl NewCredential {
    /// The WebAuthn attestation object (WebAuthn L3 §6.5.4): members `fmt`, `attStmt`, `authData` in canonical order, contents verbatim.
    #[must_use]
    pub fn attestation_object(&self) -> Vec<u8> {
        let mut m = Writer::new();
        m.map(3)
            .text("fmt")
            .text(&self.format)
            .text("attStmt")
            .raw(&self.attestation_statement);
        m.text("authData").bytes(&self.authenticator_data);
        m.into_bytes()
    }

    /// Reads the reply's CBOR and checks that it is for `rp_id` and bears a credential.
    pub fn read(reply: &[u8], rp_id: &str) -> Result<Self, Error> {
        let reply = cbor::read(reply)?;
        let format = reply
            .at(0x01)
            .ok_or(ReplyError::Missing("fmt"))?
            .text()
            .ok_or(ReplyError::Invalid("fmt"))?;
        if format.len() > 32 {
            return Err(ReplyError::TooLarge("fmt").into());
        }
        let data = reply
            .at(0x02)
            .ok_or(ReplyError::Missing("authData"))?
            .bytes()
            .ok_or(ReplyError::Invalid("authData"))?;
        let statement = match reply.at(0x03) {
            Some(item) if item.map().is_some() => item.raw,
            // CTAP 2.2 lets format `none` go without a statement; the attestation object still needs the empty one.
            None if format == "none" => &[0xa0],
            None => return Err(ReplyError::Missing("attStmt").into()),
            Some(_) => return Err(ReplyError::Invalid("attStmt").into()),
        };
        let credential_id = AuthenticatorData::read(data, rp_id)?
            .credential_id
            .ok_or(ReplyError::Invalid("authData"))?;
        Ok(Self {
            format: format.to_owned(),
            authenticator_data: data.to_vec(),
            attestation_statement: statement.to_vec(),
            credential_id: credential_id.to_vec(),
            enterprise: reply.at(0x04).and_then(Item::bool) == Some(true),
        })
    }
}

/// Sends the request, waits for the touch, reads the reply.
pub fn make_credential(
    device: &mut dyn Device,
    request: &MakeCredential<'_>,
    progress: Progress<'_>,
) -> Result<NewCredential, Error> {
    let reply = device.call(command::MAKE_CREDENTIAL, &request.encode(), progress)?;
    NewCredential::read(&reply, request.rp.id)
}

/// The outer shape of authenticator data (WebAuthn L3 §6.1), enough to refuse what is broken or for someone else. Verification is the server's.
pub(crate) struct AuthenticatorData<'b> {
    pub(crate) flags: u8,
    pub(crate) credential_id: Option<&'b [u8]>,
}

impl<'b> AuthenticatorData<'b> {
    pub(crate) fn read(data: &'b [u8], rp_id: &str) -> Result<Self, ReplyError> {
        let invalid = ReplyError::Invalid("authData");
        let (rp_id_hash, rest) = data.split_first_chunk::<32>().ok_or(invalid)?;
        let ([flags, _counter @ ..], mut rest) = rest.split_first_chunk::<5>().ok_or(invalid)?;
        if rp_id_hash != digest(&SHA256, rp_id.as_bytes()).as_ref() {
            return Err(ReplyError::Invalid("rpIdHash"));
        }
        let mut credential_id = None;
        if flags & 0x40 != 0 {
            let (_aaguid, after) = rest.split_first_chunk::<16>().ok_or(invalid)?;
            let (length, after) = after.split_first_chunk::<2>().ok_or(invalid)?;
            let length = usize::from(u16::from_be_bytes(*length));
            if length == 0 || length > MAX_CREDENTIAL_ID {
                return Err(ReplyError::Invalid("credentialId"));
            }
            let (id, after) = after.split_at_checked(length).ok_or(invalid)?;
            let (key, after) = cbor::read_prefix(after)?;
            if key.map().is_none() {
                return Err(ReplyError::Invalid("credentialPublicKey"));
            }
            credential_id = Some(id);
            rest = after;
        }
        if flags & 0x80 != 0 {
            let (extensions, after) = cbor::read_prefix(rest)?;
            if extensions.map().is_none() {
                return Err(ReplyError::Invalid("extensions"));
            }
            rest = after;
        }
        if rest.is_empty() {
            Ok(Self {
                flags: *flags,
                credential_id,
            })
        } else {
            Err(invalid)
        }
    }
}
