//! Test manufacturers of PIV cards: a root, optional intermediates, and the F9 certificate that attests slot keys, in
//! the shape of Yubico's (the only one that verifiers know).

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer,
    KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize, SubjectPublicKeyInfo,
    date_time_ymd,
};

use crate::model::{Root, write_secret};

/// The version that cards report and attest.
pub(crate) const FIRMWARE: [u8; 3] = [5, 7, 1];

/// Form factor: USB-A keychain.
const FORM_FACTOR: u8 = 1;

const YUBICO_PIV: &[u64] = &[1, 3, 6, 1, 4, 1, 41482, 3];
const EXT_FIRMWARE: u64 = 3;
const EXT_SERIAL: u64 = 7;
const EXT_POLICIES: u64 = 8;
const EXT_FORM_FACTOR: u64 = 9;

/// Make the root and the attestation certificate of a test manufacturer's PIV cards.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  vkey make-piv-model --out models/piv --intermediates 2\n\n\
    Writes root.pem (for the server's roots), root.key, intermediates.pem, f9.pem and f9.key (what `--piv-attestation` reads)."
)]
pub(crate) struct MakePivModel {
    /// Where to write; made if absent.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Manufacturer: the root's organisation.
    #[arg(long, default_value = "Sceau Test PIV")]
    manufacturer: String,
    /// Certificates between the root and F9 (vendors' newer hierarchies have two).
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=3))]
    intermediates: u8,
    /// Take the root from this model's directory instead of making one.
    #[arg(long, value_name = "DIR")]
    ca: Option<PathBuf>,
    /// Make a root of one's own that bears the same name as this model's root (an impostor).
    #[arg(long, value_name = "DIR", conflicts_with = "ca")]
    impostor_of: Option<PathBuf>,
    /// Sign with RSA-2048 instead of P-256, as most cards do.
    #[arg(long)]
    rsa: bool,
}

/// What a manufacturer puts into a card.
pub(crate) struct PivModel {
    /// DER.
    pub(crate) f9: Vec<u8>,
    key: KeyPair,
}

/// What a card attests of a key.
pub(crate) struct Attested {
    /// Key reference, such as 9C.
    pub(crate) slot: u8,
    /// SubjectPublicKeyInfo, DER.
    pub(crate) spki: Vec<u8>,
    /// The card's serial number.
    pub(crate) serial: u32,
    /// 1 never, 2 once, 3 always.
    pub(crate) pin_policy: u8,
    /// 1 never, 2 always, 3 cached.
    pub(crate) touch_policy: u8,
}

impl PivModel {
    /// Reads `f9.pem` and `f9.key` of a model.
    pub(crate) fn read(folder: &Path) -> anyhow::Result<Self> {
        let read = |name: &str| {
            fs::read_to_string(folder.join(name))
                .with_context(|| format!("reading {name} of {}", folder.display()))
        };
        let (_, pem) = x509_parser::pem::parse_x509_pem(read("f9.pem")?.as_bytes())?;
        Ok(Self {
            f9: pem.contents,
            key: KeyPair::from_pem(&read("f9.key")?)?,
        })
    }

    /// The attestation of a key, DER.
    pub(crate) fn attest(&self, attested: &Attested) -> anyhow::Result<Vec<u8>> {
        let mut params = CertificateParams::default();
        params.distinguished_name =
            common_name(&format!("YubiKey PIV Attestation {:02x}", attested.slot));
        (params.not_before, params.not_after) = validity();
        params.custom_extensions = vec![
            extension(EXT_FIRMWARE, FIRMWARE.to_vec()),
            extension(
                EXT_SERIAL,
                [&[0x02, 0x04], &attested.serial.to_be_bytes()[..]].concat(),
            ),
            extension(
                EXT_POLICIES,
                vec![attested.pin_policy, attested.touch_policy],
            ),
            extension(EXT_FORM_FACTOR, vec![FORM_FACTOR]),
        ];
        let key = SubjectPublicKeyInfo::from_der(&attested.spki)?;
        let issuer = Issuer::from_ca_cert_der(&self.f9.as_slice().into(), &self.key)?;
        Ok(params.signed_by(&key, &issuer)?.der().to_vec())
    }
}

/// Runs `make-piv-model`.
pub(crate) fn make(options: &MakePivModel) -> anyhow::Result<()> {
    fs::create_dir_all(&options.out)?;
    let root = match (&options.ca, &options.impostor_of) {
        (Some(folder), _) => Root::read(folder)?,
        (None, Some(folder)) => Root::make(&Root::read(folder)?.organisation()?)?,
        (None, None) => Root::make(&options.manufacturer)?,
    };
    root.write(&options.out)?;

    let mut issuer = (
        root.certificate.clone(),
        KeyPair::from_pem(&root.key_pem())?,
    );
    let mut intermediates = String::new();
    for number in 1..=options.intermediates {
        let key = new_key(options.rsa)?;
        let name = format!("Sceau Test PIV Intermediate {number}");
        let below = options.intermediates - number + 1;
        let certificate = authority(&name, below, &key, &issuer)?;
        intermediates.push_str(&certificate);
        issuer = (certificate, key);
    }
    let key = new_key(options.rsa)?;
    let f9 = authority("Yubico PIV Attestation", 0, &key, &issuer)?;
    fs::write(options.out.join("intermediates.pem"), intermediates)?;
    fs::write(options.out.join("f9.pem"), f9)?;
    write_secret(&options.out.join("f9.key"), key.serialize_pem().as_bytes())
}

fn new_key(rsa: bool) -> anyhow::Result<KeyPair> {
    Ok(if rsa {
        KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?
    } else {
        KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?
    })
}

fn authority(
    name: &str,
    below: u8,
    key: &KeyPair,
    issuer: &(String, KeyPair),
) -> anyhow::Result<String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    (params.not_before, params.not_after) = validity();
    params.custom_extensions = vec![extension(EXT_FIRMWARE, FIRMWARE.to_vec())];
    let issuer = Issuer::from_ca_cert_pem(&issuer.0, &issuer.1)?;
    Ok(params.signed_by(key, &issuer)?.pem())
}

fn extension(last: u64, content: Vec<u8>) -> CustomExtension {
    CustomExtension::from_oid_content(&[YUBICO_PIV, &[last]].concat(), content)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// As on real cards: from the day of the first one, for 36 years.
fn validity() -> (time::OffsetDateTime, time::OffsetDateTime) {
    (date_time_ymd(2021, 3, 14), date_time_ymd(2052, 4, 17))
}
