//! Test manufacturers: a root, and the attestation certificate that a model's keys carry.
//!
//! Certificates meet WebAuthn L3 §8.2.1 (packed attestation certificate requirements) unless a flaw is asked for.

use std::fs;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};

/// id-fido-gen-ce-aaguid.
const AAGUID_OID: &[u64] = &[1, 3, 6, 1, 4, 1, 45724, 1, 1, 4];

/// Trussed's header of a private P-256 key: flags, kind.
const TRUSSED_P256: [u8; 4] = [0x00, 0x02, 0x00, 0x05];

/// Make the root and the attestation certificate of a test manufacturer's model.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  vkey make-model --name 'Sceau Test Model A' --aaguid 5cea0000-0000-4000-8000-00000000000a --out models/a\n\n\
    Writes root.pem (for the server's anchors), root.key, leaf.der, leaf.pem, leaf.key (what `--attestation` reads) and model.json.\n\
    A second model of the same manufacturer: --ca models/a."
)]
pub struct MakeModel {
    /// Name of the model: the certificates' common name.
    #[arg(long)]
    name: String,
    /// AAGUID of the model.
    #[arg(long, value_parser = parse_aaguid)]
    aaguid: Aaguid,
    /// Where to write; made if absent.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Manufacturer: the certificates' organisation.
    #[arg(long, default_value = "Sceau Test Manufacturer")]
    manufacturer: String,
    /// Take the root from this model's directory instead of making one.
    #[arg(long, value_name = "DIR")]
    ca: Option<PathBuf>,
    /// Make a root of one's own that bears the same name as this model's root (an impostor).
    #[arg(long, value_name = "DIR", conflicts_with = "ca")]
    impostor_of: Option<PathBuf>,
    /// Flaw: the leaf is no longer valid.
    #[arg(long)]
    expired: bool,
    /// Flaw: the leaf is not yet valid.
    #[arg(long, conflicts_with = "expired")]
    not_yet_valid: bool,
    /// Flaw: no AAGUID extension (the firmware then reports its built-in AAGUID).
    #[arg(long)]
    without_aaguid: bool,
    /// Flaw: the AAGUID extension is critical.
    #[arg(long)]
    critical_aaguid: bool,
    /// Flaw: another organisational unit than "Authenticator Attestation".
    #[arg(long, value_name = "TEXT", default_value = "Authenticator Attestation")]
    unit: String,
    /// Flaw: the leaf says that it is a certificate authority.
    #[arg(long)]
    leaf_is_ca: bool,
}

/// Sixteen bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aaguid([u8; 16]);

impl std::fmt::Display for Aaguid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let dash = if matches!(index, 4 | 6 | 8 | 10) {
                "-"
            } else {
                ""
            };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

/// What a manufacturer puts into a key.
#[derive(Clone)]
pub struct Attestation {
    /// DER.
    pub certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Attestation {
    /// Reads `leaf.der` and `leaf.key` (32 bytes, the P-256 scalar) of a model.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let read = |name: &str| {
            fs::read(folder.join(name))
                .with_context(|| format!("reading {name} of {}", folder.display()))
        };
        let (certificate, key) = (read("leaf.der")?, read("leaf.key")?);
        anyhow::ensure!(
            key.len() == 32,
            "leaf.key is a P-256 scalar of 32 bytes, not {}",
            key.len()
        );
        Ok(Self { certificate, key })
    }

    /// The key as Trussed stores it.
    pub fn trussed_key(&self) -> Vec<u8> {
        [&TRUSSED_P256[..], &self.key].concat()
    }
}

/// A root with its key.
pub struct Root {
    /// PEM.
    pub certificate: String,
    key: KeyPair,
}

impl Root {
    /// A new root of this manufacturer.
    pub fn make(manufacturer: &str) -> anyhow::Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name(manufacturer, None, &format!("{manufacturer} Root"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2060, 1, 1);
        let certificate = params.self_signed(&key)?.pem();
        Ok(Self { certificate, key })
    }

    /// The root kept in a model's directory.
    pub fn read(folder: &Path) -> anyhow::Result<Self> {
        let read = |name: &str| {
            fs::read_to_string(folder.join(name))
                .with_context(|| format!("reading {name} of {}", folder.display()))
        };
        Ok(Self {
            certificate: read("root.pem")?,
            key: KeyPair::from_pem(&read("root.key")?)?,
        })
    }

    /// Writes `root.pem` and `root.key`.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        fs::write(folder.join("root.pem"), &self.certificate)?;
        write_secret(
            &folder.join("root.key"),
            self.key.serialize_pem().as_bytes(),
        )
    }

    /// Its private key, PKCS #8 PEM.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }

    /// The issuer that signs certificates under this root.
    pub fn issuer(&self) -> anyhow::Result<Issuer<'_, &KeyPair>> {
        Ok(Issuer::from_ca_cert_pem(&self.certificate, &self.key)?)
    }

    /// The organisation in its name.
    pub fn organisation(&self) -> anyhow::Result<String> {
        let (_, pem) = x509_parser::pem::parse_x509_pem(self.certificate.as_bytes())?;
        let certificate = pem.parse_x509()?;
        let organisation = certificate
            .subject()
            .iter_organization()
            .next()
            .context("the root has no organisation")?;
        Ok(organisation.as_str()?.to_owned())
    }
}

/// Runs `make-model`.
pub fn make(options: &MakeModel) -> anyhow::Result<()> {
    fs::create_dir_all(&options.out)?;
    let root = match (&options.ca, &options.impostor_of) {
        (Some(folder), _) => Root::read(folder)?,
        (None, Some(folder)) => Root::make(&Root::read(folder)?.organisation()?)?,
        (None, None) => Root::make(&options.manufacturer)?,
    };
    root.write(&options.out)?;

    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = name(&root.organisation()?, Some(&options.unit), &options.name);
    params.is_ca = if options.leaf_is_ca {
        IsCa::Ca(BasicConstraints::Constrained(0))
    } else {
        IsCa::ExplicitNoCa
    };
    params.use_authority_key_identifier_extension = true;
    (params.not_before, params.not_after) = if options.expired {
        (date_time_ymd(2021, 1, 1), date_time_ymd(2022, 1, 1))
    } else if options.not_yet_valid {
        (date_time_ymd(2058, 1, 1), date_time_ymd(2059, 1, 1))
    } else {
        (date_time_ymd(2021, 1, 1), date_time_ymd(2055, 1, 1))
    };
    if !options.without_aaguid {
        let content = [&[0x04, 0x10][..], &options.aaguid.0].concat();
        let mut extension = CustomExtension::from_oid_content(AAGUID_OID, content);
        extension.set_criticality(options.critical_aaguid);
        params.custom_extensions.push(extension);
    }
    let leaf = params.signed_by(&key, &root.issuer()?)?;

    fs::write(options.out.join("leaf.der"), leaf.der())?;
    fs::write(options.out.join("leaf.pem"), leaf.pem())?;
    write_secret(
        &options.out.join("leaf.key"),
        &p256_scalar(&key.serialize_der())?,
    )?;
    let quoted = options.name.replace(['"', '\\'], "'");
    fs::write(
        options.out.join("model.json"),
        format!(
            "{{\"name\":\"{quoted}\",\"aaguid\":\"{}\"}}\n",
            options.aaguid
        ),
    )?;
    Ok(())
}

/// A distinguished name of the shape that WebAuthn asks of attestation certificates.
pub fn name(organisation: &str, unit: Option<&str>, common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, "FR");
    name.push(DnType::OrganizationName, organisation);
    if let Some(unit) = unit {
        name.push(DnType::OrganizationalUnitName, unit);
    }
    name.push(DnType::CommonName, common);
    name
}

/// The private scalar within a PKCS #8 structure of a P-256 key (RFC 5915: `INTEGER 1, OCTET STRING (32)`).
fn p256_scalar(pkcs8: &[u8]) -> anyhow::Result<Vec<u8>> {
    const HEADER: [u8; 5] = [0x02, 0x01, 0x01, 0x04, 0x20];
    let at = pkcs8
        .windows(HEADER.len())
        .position(|window| window == HEADER)
        .context("not a P-256 private key")?;
    let scalar = pkcs8
        .get(at + HEADER.len()..at + HEADER.len() + 32)
        .context("a short P-256 private key")?;
    Ok(scalar.to_vec())
}

/// Writes a file that only its owner reads.
pub fn write_secret(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    use std::io::Write as _;
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)?;
    Ok(file.write_all(content)?)
}

fn parse_aaguid(text: &str) -> Result<Aaguid, String> {
    let digits: String = text.chars().filter(|character| *character != '-').collect();
    if digits.len() != 32 || !digits.is_ascii() {
        return Err("an AAGUID has 32 hexadecimal digits".to_owned());
    }
    let mut bytes = [0; 16];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * index..2 * index + 2], 16)
            .map_err(|error| error.to_string())?;
    }
    Ok(Aaguid(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints_an_aaguid() {
        let text = "01020304-0506-0708-090a-0b0c0d0e0f10";
        assert_eq!(
            parse_aaguid(text).map(|aaguid| aaguid.to_string()),
            Ok(text.to_owned())
        );
        assert!(parse_aaguid("0102").is_err());
        assert!(parse_aaguid("zz020304-0506-0708-090a-0b0c0d0e0f10").is_err());
    }

    #[test]
    fn finds_the_scalar_of_a_generated_key() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        assert_eq!(p256_scalar(&key.serialize_der()).unwrap().len(), 32);
        assert!(p256_scalar(&[0; 40]).is_err());
    }
}
