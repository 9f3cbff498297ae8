//! A card office in one command: keys generated on the card, certificates of the holder issued and written.
//!
//! It speaks APDUs to the same firmware as `vkey vpcd` does, without a reader, with the card's default management key.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use clap::{Args, ValueEnum};
use des::TdesEde3;
use des::cipher::{BlockEncrypt as _, KeyInit as _};
use rand::RngCore as _;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose,
    SubjectPublicKeyInfo, date_time_ymd,
};

use super::{NEVER, PIN_ALWAYS, Shim, TOUCH_ALWAYS, TOUCH_CACHED, tlv};
use crate::card::Card;
use crate::firmware::{Application, Device, Settings};
use crate::model::Root;
use crate::touch::Mode;

const SELECT_PIV: &[u8] = &[
    0x00, 0xa4, 0x04, 0x00, 0x0b, 0xa0, 0x00, 0x00, 0x03, 0x08, 0x00, 0x00, 0x10, 0x00, 0x01, 0x00,
    0x00,
];
/// 01…08 three times: what cards leave the factory with.
const MANAGEMENT_KEY: [u8; 24] = [
    1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3, 4, 5, 6, 7, 8,
];

/// Make a PIV card: keys generated on it, the holder's certificates written.
#[derive(Args, Debug)]
#[command(
    after_help = "Example:\n  vkey make-card --state carol --holder 'Carol Petit' --issuer models/card-office --slot 9a --slot 9c --touch always\n\n\
    The card's PIN is 123456, its PUK 12345678, its management key 3DES 0102…08 three times. The issuer directory is made if absent\n\
    (root.pem, root.key). Certificates are also written to STATE/piv/certificate-SLOT.pem."
)]
pub(crate) struct MakeCard {
    /// Where the card's memory lives; made if absent.
    #[arg(long, value_name = "DIR")]
    state: PathBuf,
    /// Name of the holder: the certificates' common name.
    #[arg(long)]
    holder: String,
    /// Directory of the issuing authority.
    #[arg(long, value_name = "DIR")]
    issuer: PathBuf,
    /// Slots to fill; 9c if none is given.
    #[arg(long = "slot", value_enum)]
    slots: Vec<Slot>,
    /// Keys' algorithm.
    #[arg(long, value_enum, default_value = "p256")]
    algorithm: Algorithm,
    /// Keys' touch policy.
    #[arg(long, value_enum, default_value = "never")]
    touch: TouchPolicy,
    /// Write certificates gzip-compressed, as some card offices do.
    #[arg(long)]
    gzip: bool,
    /// Certificates end on this day (YYYY-MM-DD).
    #[arg(long, default_value = "2055-01-01", value_parser = parse_day)]
    not_after: Day,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Slot {
    #[value(name = "9a")]
    Authentication,
    #[value(name = "9c")]
    Signature,
    #[value(name = "9d")]
    KeyManagement,
    #[value(name = "9e")]
    CardAuthentication,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Algorithm {
    P256,
    P384,
    Rsa2048,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum TouchPolicy {
    Never,
    Always,
    Cached,
}

#[derive(Clone, Copy, Debug)]
struct Day(i32, u8, u8);

impl Slot {
    fn reference(self) -> u8 {
        match self {
            Self::Authentication => 0x9a,
            Self::Signature => 0x9c,
            Self::KeyManagement => 0x9d,
            Self::CardAuthentication => 0x9e,
        }
    }

    fn object(self) -> [u8; 3] {
        match self {
            Self::Authentication => [0x5f, 0xc1, 0x05],
            Self::Signature => [0x5f, 0xc1, 0x0a],
            Self::KeyManagement => [0x5f, 0xc1, 0x0b],
            Self::CardAuthentication => [0x5f, 0xc1, 0x01],
        }
    }

    fn pin_policy(self) -> u8 {
        match self {
            Self::Signature => PIN_ALWAYS,
            Self::CardAuthentication => NEVER,
            Self::Authentication | Self::KeyManagement => super::ONCE,
        }
    }
}

/// Runs `make-card`.
pub(crate) fn make(options: &MakeCard) -> anyhow::Result<()> {
    let _lock = crate::lock(&options.state)?;
    let state = options.state.join("piv");
    fs::create_dir_all(&state)?;
    let issuer = issuer(&options.issuer)?;
    let mut card = Terminal::open(&state)?;
    card.command(SELECT_PIV)?;
    card.authenticate()?;
    card.put_data(&[0x5f, 0xc1, 0x02], &card_holder_identifier())?;
    let slots = if options.slots.is_empty() {
        vec![Slot::Signature]
    } else {
        options.slots.clone()
    };
    for slot in slots {
        // Doors open by 9E: it never waits for a hand, whatever the other keys do.
        let touch = match slot {
            Slot::CardAuthentication => TouchPolicy::Never,
            _ => options.touch,
        };
        let public_key = card.generate(slot, options.algorithm, touch)?;
        let spki = tlv::spki(&public_key).context("an unknown public key")?;
        let certificate = certify(options, slot, &spki, &issuer)?;
        fs::write(
            state.join(format!("certificate-{:02x}.pem", slot.reference())),
            certificate.pem(),
        )?;
        let content = if options.gzip {
            gzip(certificate.der())?
        } else {
            certificate.der().to_vec()
        };
        card.put_data(
            &slot.object(),
            &tlv::certificate_object(&content, options.gzip),
        )?;
    }
    Ok(())
}

fn issuer(folder: &Path) -> anyhow::Result<Root> {
    if folder.join("root.pem").exists() {
        return Root::read(folder);
    }
    fs::create_dir_all(folder)?;
    let root = Root::make("Sceau Test Card Office")?;
    root.write(folder)?;
    Ok(root)
}

fn certify(
    options: &MakeCard,
    slot: Slot,
    spki: &[u8],
    issuer: &Root,
) -> anyhow::Result<rcgen::Certificate> {
    let mut params = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CountryName, "FR");
    subject.push(DnType::OrganizationName, issuer.organisation()?);
    subject.push(DnType::CommonName, options.holder.as_str());
    params.distinguished_name = subject;
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = match slot {
        Slot::Signature => vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::ContentCommitment,
        ],
        Slot::KeyManagement => vec![KeyUsagePurpose::KeyAgreement],
        Slot::Authentication | Slot::CardAuthentication => vec![KeyUsagePurpose::DigitalSignature],
    };
    if matches!(slot, Slot::Authentication) {
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    }
    params.not_before = date_time_ymd(2021, 1, 1);
    params.not_after = date_time_ymd(
        options.not_after.0,
        options.not_after.1,
        options.not_after.2,
    );
    Ok(params.signed_by(&SubjectPublicKeyInfo::from_der(spki)?, &issuer.issuer()?)?)
}

/// CHUID (SP 800-73-4 part 1, table 9): FASC-N of a non-federal issuer, a random GUID, expiry, no signature.
fn card_holder_identifier() -> Vec<u8> {
    let fasc_n = [
        0xd4, 0xe7, 0x39, 0xda, 0x73, 0x9c, 0xed, 0x39, 0xce, 0x73, 0x9d, 0x83, 0x68, 0x58, 0x21,
        0x08, 0x42, 0x10, 0x84, 0x21, 0xc8, 0x42, 0x10, 0xc3, 0xeb,
    ];
    let mut guid = [0; 16];
    rand::rngs::OsRng.fill_bytes(&mut guid);
    let content = [
        tlv::encode(&[0x30], &fasc_n),
        tlv::encode(&[0x34], &guid),
        tlv::encode(&[0x35], b"20550101"),
        tlv::encode(&[0x3e], &[]),
        tlv::encode(&[0xfe], &[]),
    ]
    .concat();
    tlv::encode(&[0x53], &content)
}

/// A reader without a reader.
struct Terminal(Card);

impl Terminal {
    fn open(state: &Path) -> anyhow::Result<Self> {
        let device = Device::new(Settings {
            application: Application::Piv,
            state: state.to_owned(),
            attestation: None,
            touch: Mode::Approve,
            presence_timeout: Duration::from_secs(1),
            is_bus_powered: false,
            u2f_only: false,
        });
        let shim = Shim::open(
            state.to_owned(),
            None,
            0,
            device.touch.clone(),
            Duration::from_secs(1),
        )?;
        let mut card = Card::new(device, false, Some(shim), Default::default());
        card.power_on()?;
        Ok(Self(card))
    }

    /// Sends a command and collects the whole answer.
    fn command(&mut self, command: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut data = Vec::new();
        let mut answer = self.0.transmit(command).context("the card is silent")?;
        loop {
            let Some((part, status)) = answer.split_last_chunk::<2>() else {
                bail!("an answer without status")
            };
            data.extend(part);
            match status {
                [0x90, 0x00] => return Ok(data),
                [0x61, length] => {
                    answer = self
                        .0
                        .transmit(&[0, 0xc0, 0, 0, *length])
                        .context("the card is silent")?
                }
                [high, low] => bail!(
                    "{:02x} gave status {high:02x}{low:02x}",
                    command.get(1).unwrap_or(&0)
                ),
            }
        }
    }

    fn extended(&mut self, ins: u8, p1: u8, p2: u8, data: &[u8]) -> anyhow::Result<Vec<u8>> {
        let length = u16::try_from(data.len())?.to_be_bytes();
        self.command(&[&[0, ins, p1, p2, 0], &length[..], data, &[0, 0]].concat())
    }

    /// External authentication with the management key (SP 800-73-4 part 2, appendix A.1.2).
    fn authenticate(&mut self) -> anyhow::Result<()> {
        let answer = self.extended(0x87, 0x03, 0x9b, &[0x7c, 0x02, 0x81, 0x00])?;
        let challenge = tlv::find(&answer, &[0x7c, 0x81]).context("no challenge")?;
        ensure!(
            challenge.len() == 8,
            "a challenge of {} bytes",
            challenge.len()
        );
        let mut block = *des::cipher::Block::<TdesEde3>::from_slice(challenge);
        TdesEde3::new(&MANAGEMENT_KEY.into()).encrypt_block(&mut block);
        let response = tlv::encode(&[0x7c], &tlv::encode(&[0x82], &block));
        self.extended(0x87, 0x03, 0x9b, &response).map(drop)
    }

    fn generate(
        &mut self,
        slot: Slot,
        algorithm: Algorithm,
        touch: TouchPolicy,
    ) -> anyhow::Result<Vec<u8>> {
        let algorithm = match algorithm {
            Algorithm::P256 => 0x11,
            Algorithm::P384 => 0x14,
            Algorithm::Rsa2048 => 0x07,
        };
        let touch = match touch {
            TouchPolicy::Never => NEVER,
            TouchPolicy::Always => TOUCH_ALWAYS,
            TouchPolicy::Cached => TOUCH_CACHED,
        };
        let template = [
            0x80,
            1,
            algorithm,
            0xaa,
            1,
            slot.pin_policy(),
            0xab,
            1,
            touch,
        ];
        let answer = self.extended(0x47, 0, slot.reference(), &tlv::encode(&[0xac], &template))?;
        Ok(tlv::find(&answer, &[0x7f, 0x49])
            .context("no public key")?
            .to_vec())
    }

    fn put_data(&mut self, object: &[u8; 3], content: &[u8]) -> anyhow::Result<()> {
        self.extended(
            0xdb,
            0x3f,
            0xff,
            &[&tlv::encode(&[0x5c], object), content].concat(),
        )
        .map(drop)
    }
}

fn gzip(content: &[u8]) -> anyhow::Result<Vec<u8>> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(content)?;
    Ok(encoder.finish()?)
}

fn parse_day(text: &str) -> Result<Day, String> {
    let numbers: Vec<&str> = text.split('-').collect();
    match numbers.as_slice() {
        [year, month, day] => match (year.parse(), month.parse(), day.parse()) {
            (Ok(year), Ok(month @ 1..=12), Ok(day @ 1..=28)) => Ok(Day(year, month, day)),
            _ => Err("a day is YYYY-MM-DD, at most the 28th".to_owned()),
        },
        _ => Err("a day is YYYY-MM-DD".to_owned()),
    }
}
