//! OCSP answers: one flaw for each check, made by hand; and OpenSSL's responder as a peer that shares nothing with us.

use std::process::Command;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, SigningKey as _};
use sceau_proof::certificate::Certificate;
use sceau_proof::piv::issuer::{self, IssuerError, Revocation, Rule, Statements, questions};
use sceau_proof::piv::ocsp::{Answer, OcspError, Question};
use time::{Duration, OffsetDateTime};

use crate::{Administration, Made, NOW, administration, card_parameters, crl, issue, named, rule};

const HOUR: Duration = Duration::hours(1);

fn element(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
    let contents = contents.concat();
    let length = u16::try_from(contents.len()).unwrap();
    let head = match length {
        0..=0x7f => vec![tag, length as u8],
        0x80..=0xff => vec![tag, 0x81, length as u8],
        _ => [&[tag, 0x82][..], &length.to_be_bytes()].concat(),
    };
    [head, contents].concat()
}

fn time(at: OffsetDateTime) -> Vec<u8> {
    let format = time::macros::format_description!("[year][month][day][hour][minute][second]Z");
    element(0x18, &[at.format(&format).unwrap().as_bytes()])
}

const GOOD: &[u8] = &[0x80, 0];
const UNKNOWN: &[u8] = &[0x82, 0];

fn revoked() -> Vec<u8> {
    element(0xa1, &[&time(NOW - HOUR)])
}

/// The CertID in our own request, which OpenSSL reads below.
fn certificate_id(certificate: &Certificate, issuer: &Certificate) -> Vec<u8> {
    let request = Question::about(certificate, issuer).request(None);
    let mut inner = &request[..];
    for _ in 0..4 {
        let skip = if inner[1] == 0x81 { 3 } else { 2 };
        inner = &inner[skip..];
    }
    inner.to_vec()
}

/// What a responder says, and how it is wrong.
struct Says<'a> {
    by: &'a Made,
    named: &'a Made,
    status: Vec<u8>,
    this_update: OffsetDateTime,
    next_update: Option<OffsetDateTime>,
    nonce: Option<[u8; 32]>,
    certificates: Vec<&'a Made>,
    sign: bool,
}

impl<'a> Says<'a> {
    /// The issuer itself says "good", just now.
    fn good(by: &'a Made) -> Self {
        Self {
            by,
            named: by,
            status: GOOD.to_vec(),
            this_update: NOW - Duration::minutes(1),
            next_update: Some(NOW + HOUR),
            nonce: None,
            certificates: Vec::new(),
            sign: true,
        }
    }

    /// A delegate of the issuer says it.
    fn by_delegate(by: &'a Made) -> Self {
        Self {
            certificates: vec![by],
            ..Self::good(by)
        }
    }

    fn about(&self, certificate: &Certificate, issuer: &Certificate) -> Vec<u8> {
        let next = self.next_update.map(|next| element(0xa0, &[&time(next)]));
        let single = element(
            0x30,
            &[
                &certificate_id(certificate, issuer),
                &self.status,
                &time(self.this_update),
                &next.unwrap_or_default(),
            ],
        );
        let extensions = self.nonce.map(|nonce| {
            let id = [6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 2];
            let extension = element(0x30, &[&id, &element(4, &[&element(4, &[&nonce])])]);
            element(0xa1, &[&element(0x30, &[&extension])])
        });
        let data = element(
            0x30,
            &[
                &element(0xa1, &[self.named.certificate.subject().der()]),
                &time(NOW),
                &element(0x30, &[&single]),
                &extensions.unwrap_or_default(),
            ],
        );
        let mut signature = self.by.key.sign(&data).unwrap();
        if !self.sign {
            let last = signature.last_mut().unwrap();
            *last ^= 1;
        }
        let certificates: Vec<&[u8]> = self
            .certificates
            .iter()
            .map(|it| it.certificate.der())
            .collect();
        let certificates = match certificates.is_empty() {
            true => Vec::new(),
            false => element(0xa0, &[&element(0x30, &certificates)]),
        };
        // ecdsa-with-SHA256
        let algorithm = [0x30, 10, 6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2];
        let basic = element(
            0x30,
            &[
                &data,
                &algorithm,
                &element(3, &[&[0], &signature]),
                &certificates,
            ],
        );
        let kind = [6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
        let typed = element(0x30, &[&kind, &element(4, &[&basic])]);
        element(0x30, &[&[0x0a, 1, 0], &element(0xa0, &[&typed])])
    }
}

fn by_ocsp() -> Rule {
    Rule {
        revocation: Revocation::Ocsp {
            max_age: HOUR,
            crl_max_age: Duration::days(7),
        },
        ..rule()
    }
}

/// Judges the card by what a responder said of it; of its issuer the root's list says nothing bad.
fn judge(house: &Administration, said: &Says<'_>) -> Result<(), IssuerError> {
    let bytes = said.about(&house.card.certificate, &house.issuing.certificate);
    judge_by(house, &[Answer::read(&bytes).unwrap()], NOW)
}

fn judge_by(
    house: &Administration,
    answers: &[Answer],
    at: OffsetDateTime,
) -> Result<(), IssuerError> {
    let lists = house.fresh().into_iter().take(1);
    let lists: Vec<_> = lists.map(|der| issuer::Crl::read(&der).unwrap()).collect();
    let statements = Statements {
        lists: &lists,
        answers,
    };
    issuer::verify(
        &house.card.certificate,
        std::slice::from_ref(&house.issuing.certificate),
        &[&house.root.certificate],
        statements,
        &by_ocsp(),
        at,
    )
    .map(|verified| assert!(verified.revocation_judged()))
}

fn delegate(house: &Administration, change: impl FnOnce(&mut CertificateParams)) -> Made {
    let mut parameters = named("OCSP");
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
    change(&mut parameters);
    issue(&house.issuing, parameters)
}

#[test]
fn the_issuer_or_its_delegate_may_say_that_a_card_is_good() {
    let house = administration();
    assert_eq!(judge(&house, &Says::good(&house.issuing)), Ok(()));
    let appointed = delegate(&house, |_| ());
    assert_eq!(judge(&house, &Says::by_delegate(&appointed)), Ok(()));
    // Without nextUpdate newer answers are always to be had (§4.2.2.1): its age still counts.
    let timeless = Says {
        next_update: None,
        ..Says::good(&house.issuing)
    };
    assert_eq!(judge(&house, &timeless), Ok(()));
}

#[test]
fn without_a_good_answer_nothing_is_accepted() {
    let house = administration();
    assert_eq!(judge_by(&house, &[], NOW), Err(IssuerError::NoOcsp));
    let said = |change: &dyn Fn(&mut Says<'_>)| {
        let mut says = Says::good(&house.issuing);
        change(&mut says);
        judge(&house, &says)
    };
    assert_eq!(said(&|it| it.status = revoked()), Err(IssuerError::Revoked));
    assert_eq!(
        said(&|it| it.status = UNKNOWN.to_vec()),
        Err(IssuerError::OcspUnknown)
    );
    let stale = Err(IssuerError::OcspNotFresh);
    assert_eq!(said(&|it| it.this_update = NOW - HOUR * 2), stale);
    assert_eq!(said(&|it| it.this_update = NOW + HOUR), stale);
    let past = NOW - Duration::seconds(1);
    assert_eq!(said(&|it| it.next_update = Some(past)), stale);
    assert_eq!(said(&|it| it.sign = false), Err(IssuerError::OcspSignature));
    // A revocation counts, however old the answer.
    let old = said(&|it| (it.status, it.this_update) = (revoked(), NOW - HOUR * 99));
    assert_eq!(old, Err(IssuerError::Revoked));
    // An answer about another card is none about this one.
    let other = issue(&house.issuing, {
        let mut parameters = card_parameters();
        parameters.serial_number = Some(vec![0x77].into());
        parameters
    });
    let bytes = Says::good(&house.issuing).about(&other.certificate, &house.issuing.certificate);
    assert_eq!(
        judge_by(&house, &[Answer::read(&bytes).unwrap()], NOW),
        Err(IssuerError::NoOcsp)
    );
}

#[test]
fn only_the_issuer_and_whom_it_appointed_for_this_may_answer() {
    let house = administration();
    let no = Err(IssuerError::OcspResponder);
    let by = |made: &Made| judge(&house, &Says::by_delegate(made));
    // A certificate of the issuer's that is not for OCSP: anybody's card.
    assert_eq!(by(&house.card), no);
    assert_eq!(
        by(&delegate(&house, |it| it.extended_key_usages.clear())),
        no
    );
    let server = ExtendedKeyUsagePurpose::ServerAuth;
    assert_eq!(
        by(&delegate(&house, |it| it.extended_key_usages = vec![server])),
        no
    );
    assert_eq!(by(&delegate(&house, |it| it.not_after = NOW - HOUR)), no);
    // Appointed by the authority above, or by a stranger of the issuer's name.
    let mut parameters = named("OCSP");
    parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::OcspSigning];
    assert_eq!(by(&issue(&house.root, parameters.clone())), no);
    let stranger = administration();
    assert_eq!(by(&issue(&stranger.issuing, parameters)), no);
    // The root is not the card's issuer; a stranger of the issuer's name has another key.
    assert_eq!(judge(&house, &Says::good(&house.root)), no);
    assert_eq!(
        judge(&house, &Says::good(&stranger.issuing)),
        Err(IssuerError::OcspSignature)
    );
    // Another signs in the delegate's name.
    let (appointed, other) = (delegate(&house, |_| ()), delegate(&house, |_| ()));
    let forged = Says {
        by: &other,
        ..Says::by_delegate(&appointed)
    };
    assert_eq!(judge(&house, &forged), Err(IssuerError::OcspSignature));
    // The responder itself is on the issuer's list.
    let said = Says::by_delegate(&appointed);
    let bytes = said.about(&house.card.certificate, &house.issuing.certificate);
    let (from, to) = (NOW - HOUR, NOW + HOUR);
    let lists = [
        house.fresh().remove(0),
        crl(&house.issuing, Some(&appointed), from, to),
    ];
    let lists: Vec<_> = lists
        .iter()
        .map(|it| issuer::Crl::read(it).unwrap())
        .collect();
    let statements = Statements {
        lists: &lists,
        answers: &[Answer::read(&bytes).unwrap()],
    };
    let judged = issuer::verify(
        &house.card.certificate,
        std::slice::from_ref(&house.issuing.certificate),
        &[&house.root.certificate],
        statements,
        &by_ocsp(),
        NOW,
    );
    assert_eq!(judged.map(drop), no);
}

#[test]
fn authorities_above_are_judged_by_an_answer_or_a_list() {
    let house = administration();
    let (card, issuing, root) = (&house.card, &house.issuing, &house.root);
    let about_card = Says::good(issuing).about(&card.certificate, &issuing.certificate);
    let of_issuing = |status: &[u8]| {
        let says = Says {
            status: status.to_vec(),
            ..Says::good(root)
        };
        says.about(&issuing.certificate, &root.certificate)
    };
    let judge = |answers: &[Vec<u8>], lists: &[Vec<u8>]| {
        let answers: Vec<_> = answers.iter().map(|it| Answer::read(it).unwrap()).collect();
        let lists: Vec<_> = lists
            .iter()
            .map(|it| issuer::Crl::read(it).unwrap())
            .collect();
        let statements = Statements {
            lists: &lists,
            answers: &answers,
        };
        let above = [issuing.certificate.clone()];
        let roots = [&root.certificate];
        issuer::verify(
            &card.certificate,
            &above,
            &roots,
            statements,
            &by_ocsp(),
            NOW,
        )
        .map(drop)
    };
    let good = of_issuing(GOOD);
    assert_eq!(judge(&[about_card.clone(), good.clone()], &[]), Ok(()));
    assert_eq!(
        judge(std::slice::from_ref(&about_card), &[]),
        Err(IssuerError::NoOcsp)
    );
    let fallen = of_issuing(&revoked());
    assert_eq!(
        judge(&[about_card.clone(), fallen], &house.fresh()),
        Err(IssuerError::Revoked)
    );
    // A list of the issuer's counts against the card, whatever the responder says.
    let listed = crl(issuing, Some(card), NOW - HOUR * 99, NOW - HOUR * 9);
    assert_eq!(
        judge(&[about_card, good], &[listed]),
        Err(IssuerError::Revoked)
    );
    let asked = questions(
        &card.certificate,
        std::slice::from_ref(&issuing.certificate),
        &[&root.certificate],
        NOW,
    );
    let wanted = [
        Question::about(&card.certificate, &issuing.certificate),
        Question::about(&issuing.certificate, &root.certificate),
    ];
    assert_eq!(asked.unwrap(), wanted);
}

#[test]
fn an_answer_to_another_nonce_does_not_fit() {
    let house = administration();
    let read = |nonce| {
        let says = Says {
            nonce,
            ..Says::good(&house.issuing)
        };
        Answer::read(&says.about(&house.card.certificate, &house.issuing.certificate)).unwrap()
    };
    let (with, without) = (read(Some([7; 32])), read(None));
    assert_eq!(with.fits(&[7; 32], true), Ok(()));
    assert_eq!(with.fits(&[8; 32], false), Err(OcspError::Nonce));
    assert_eq!(without.fits(&[7; 32], false), Ok(()));
    assert_eq!(without.fits(&[7; 32], true), Err(OcspError::Nonce));
}

#[test]
fn truncated_answers_and_other_statuses_are_refused_by_name() {
    let house = administration();
    let appointed = delegate(&house, |_| ());
    let good =
        Says::by_delegate(&appointed).about(&house.card.certificate, &house.issuing.certificate);
    for length in 0..good.len() {
        assert!(Answer::read(&good[..length]).is_err(), "{length}");
    }
    // tryLater, unauthorized
    for status in [3, 6] {
        let answer = Answer::read(&[0x30, 3, 0x0a, 1, status]);
        assert_eq!(answer, Err(OcspError::Status(u32::from(status))));
    }
    assert_eq!(Answer::read(&vec![0x30; 70_000]), Err(OcspError::TooLarge));
}

proptest::proptest! {
    #[test]
    fn hostile_answers_are_refused(at in 0_usize..2000, byte in proptest::prelude::any::<u8>(), junk in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)) {
        static GOOD_ANSWER: std::sync::OnceLock<(Administration, Vec<u8>)> = std::sync::OnceLock::new();
        let (house, good) = GOOD_ANSWER.get_or_init(|| {
            let house = administration();
            let bytes = Says::good(&house.issuing).about(&house.card.certificate, &house.issuing.certificate);
            (house, bytes)
        });
        let mut bad = good.clone();
        let at = at % bad.len();
        bad[at] = byte;
        // Whatever changed: it does not read, does not count, or was not changed at all.
        if let Ok(answer) = Answer::read(&bad) {
            let judged = judge_by(house, std::slice::from_ref(&answer), NOW);
            proptest::prop_assert!(judged.is_err() || Some(answer) == Answer::read(good).ok());
        }
        let _ = Answer::read(&[&good[..at], &junk].concat());
        proptest::prop_assert!(Answer::read(&junk).is_err());
    }
}

/// OpenSSL reads our request, and its responder's answers are judged as meant.
#[test]
fn openssl_answers_our_requests_and_its_answers_are_judged() {
    let house = administration();
    let appointed = delegate(&house, |_| ());
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let pem = |made: &Made| {
        let text = sceau_proof::base64url::encode(made.certificate.der());
        let mut text = text.replace('-', "+").replace('_', "/");
        while !text.len().is_multiple_of(4) {
            text.push('=');
        }
        let lines: Vec<_> = text
            .as_bytes()
            .chunks(64)
            .map(|it| std::str::from_utf8(it).unwrap())
            .collect();
        format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            lines.join("\n")
        )
    };
    write("ca.pem", &pem(&house.issuing));
    write("signer.pem", &pem(&appointed));
    write("signer.key", &appointed.key.serialize_pem());
    let question = Question::about(&house.card.certificate, &house.issuing.certificate);
    let request = folder.path().join("request.der");
    std::fs::write(&request, question.request(Some(&[7; 32]))).unwrap();
    #[allow(
        clippy::disallowed_methods,
        reason = "OpenSSL's responder has no clock but the machine's"
    )]
    let now = OffsetDateTime::now_utc();
    for (line, expected) in [
        (
            "V\t991231235959Z\t\t1234\tunknown\t/CN=Camille Durand\n",
            Ok(()),
        ),
        (
            "R\t991231235959Z\t260101000000Z\t1234\tunknown\t/CN=Camille Durand\n",
            Err(IssuerError::Revoked),
        ),
        (
            "V\t991231235959Z\t\t99\tunknown\t/CN=Other\n",
            Err(IssuerError::OcspUnknown),
        ),
    ] {
        write("index.txt", line);
        let out = Command::new("openssl")
            .args([
                "ocsp",
                "-index",
                "index.txt",
                "-CA",
                "ca.pem",
                "-rsigner",
                "signer.pem",
                "-rkey",
                "signer.key",
            ])
            .args([
                "-reqin",
                "request.der",
                "-respout",
                "answer.der",
                "-nmin",
                "30",
            ])
            .current_dir(folder.path())
            .output();
        let Ok(out) = out else {
            eprintln!("SKIPPED: no openssl command");
            return;
        };
        assert!(out.status.success(), "{out:?}");
        let answer =
            Answer::read(&std::fs::read(folder.path().join("answer.der")).unwrap()).unwrap();
        assert_eq!(answer.fits(&[7; 32], true), Ok(()));
        // The root's list in this house is of NOW: its age is not what is asked here.
        let lists = [crl(&house.root, None, now - HOUR, now + HOUR)];
        let lists: Vec<_> = lists
            .iter()
            .map(|it| issuer::Crl::read(it).unwrap())
            .collect();
        let answers = [answer];
        let statements = Statements {
            lists: &lists,
            answers: &answers,
        };
        let above = [house.issuing.certificate.clone()];
        let roots = [&house.root.certificate];
        let judge = |at| {
            issuer::verify(
                &house.card.certificate,
                &above,
                &roots,
                statements,
                &by_ocsp(),
                at,
            )
            .map(drop)
        };
        assert_eq!(judge(now + Duration::minutes(1)), expected, "{line}");
        if expected.is_ok() {
            assert_eq!(
                judge(now + Duration::minutes(31)),
                Err(IssuerError::OcspNotFresh)
            );
        }
    }
}
