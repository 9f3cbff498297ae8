//! What people read, in French and English: failures, prompts' fixed words, and actions through [`sceau_proof::words`].

use std::borrow::Cow;
use std::path::Path;

use sceau_locale::foreign;
use sceau_proof::action::{Action, Language as Tongue};
use sceau_proof::{display, words};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use crate::agent::Failure;
use crate::ceremony::Unfit;
use crate::locale::Language;
use crate::log::BreachKind;
use crate::prompt::{Line, Shown};
use crate::reader::AuthenticatorError;
use crate::server::ServerError;

/// Text from elsewhere on one line of at most `limit` characters, safe to show.
#[must_use]
pub fn one_line(text: &str, limit: usize) -> String {
    display::show(text, limit).text
}

/// An instant of JSON (RFC 3339), as people write it. What is none is shown as it stands.
#[must_use]
pub fn instant(text: &str, language: Language) -> String {
    OffsetDateTime::parse(text, &Rfc3339).map_or_else(
        |_| one_line(text, 40),
        |at| sceau_locale::instant(language, at),
    )
}

/// The day of such an instant, in UTC.
#[must_use]
pub fn day(text: &str, language: Language) -> String {
    OffsetDateTime::parse(text, &Rfc3339).map_or_else(
        |_| one_line(text, 40),
        |at| sceau_locale::day(language, at.to_offset(UtcOffset::UTC).date()),
    )
}

/// A file that cannot be read, and why; `reason` in the system's or a library's words.
#[must_use]
pub fn unreadable(path: &Path, reason: &str, language: Language) -> String {
    let values = [
        ("path", one_line(&path.display().to_string(), 300).into()),
        ("reason", foreign(language, reason).into()),
    ];
    language.text_with("fault-unreadable", &values)
}

/// A file, and why it does not serve: `reason` in the system's or a library's words.
#[must_use]
pub fn of_file(path: &Path, reason: impl std::fmt::Display, language: Language) -> String {
    let reason = foreign(language, &reason.to_string());
    language.labelled(&one_line(&path.display().to_string(), 300), reason)
}

/// An action in words, for a prompt.
///
/// # Errors
/// [`Unfit::NotShowable`]: it cannot be shown whole, so it may not be signed.
pub fn shown(action: &Action, language: Language, waiting: usize) -> Result<Shown, Unfit> {
    let words = words::describe(action, language.pick(Tongue::French, Tongue::English));
    if !words.complete {
        return Err(Unfit::NotShowable);
    }
    let line = |line: words::Line| Line {
        label: line.label,
        value: line.value,
        technical: line.technical,
    };
    Ok(Shown {
        id: action.id().to_string(),
        title: words.sentence,
        lines: words.lines.into_iter().map(line).collect(),
        warnings: words.warnings,
        waiting,
    })
}

/// A failure's stable code, in kebab-case.
#[must_use]
pub fn code(failure: &Failure) -> &'static str {
    match failure {
        Failure::Misuse(_) => "bad-request",
        Failure::SignedOut => "signed-out",
        Failure::NothingPending => "nothing-pending",
        Failure::Declined { .. } => "declined",
        Failure::Withdrawn(_) => "withdrawn",
        Failure::Unfit(unfit) => match unfit {
            Unfit::Invalid(_) => "invalid-action",
            Unfit::Expired => "expired",
            Unfit::NotShowable => "not-showable",
            Unfit::Conflict => "conflicting-action",
            Unfit::AlreadySettled => "already-settled",
            Unfit::NotWhatWasAsked => "not-what-was-asked",
            Unfit::NoKey => "no-key",
            Unfit::RelyingParty => "wrong-relying-party",
            Unfit::Answer(_) => "odd-answer",
        },
        Failure::Authenticator(error) => match error {
            AuthenticatorError::Gone => "authenticator-gone",
            AuthenticatorError::Busy => "authenticator-busy",
            AuthenticatorError::Denied | AuthenticatorError::NodeDenied => "access-denied",
            AuthenticatorError::NotFido => "not-fido",
            AuthenticatorError::NotPiv => "not-piv",
            AuthenticatorError::NoCard => "no-card",
            AuthenticatorError::SeveralCards => "several-cards",
            AuthenticatorError::Reset => "card-reset",
            AuthenticatorError::CardsNotTaken => "cards-not-taken",
            AuthenticatorError::NoCardKey => "no-card-key",
            AuthenticatorError::NoAttestation => "no-attestation",
            AuthenticatorError::Module => "pkcs11-module",
            AuthenticatorError::NotAdministered => "not-administered",
            AuthenticatorError::CardPinBlocked => "pin-blocked",
            AuthenticatorError::WrongPuk => "wrong-puk",
            AuthenticatorError::PukBlocked => "puk-blocked",
            AuthenticatorError::WrongManagementKey => "wrong-management-key",
            AuthenticatorError::WrongPin => "wrong-pin",
            AuthenticatorError::PinLocked => "pin-locked",
            AuthenticatorError::PinBlocked => "pin-blocked",
            AuthenticatorError::PinNotSet => "pin-not-set",
            AuthenticatorError::PinChangeRequired => "pin-change-required",
            AuthenticatorError::PinUnfit => "pin-unfit",
            AuthenticatorError::NoUserVerification => "no-user-verification",
            AuthenticatorError::NoCredential => "no-credential",
            AuthenticatorError::AlreadyEnrolled => "already-enrolled",
            AuthenticatorError::NotTouched => "not-touched",
            AuthenticatorError::Cancelled => "cancelled",
            AuthenticatorError::Silent => "authenticator-silent",
            AuthenticatorError::Protocol(_)
            | AuthenticatorError::Reader(_)
            | AuthenticatorError::NoThread => "authenticator-failed",
        },
        Failure::Server(error) => match error {
            ServerError::Refused { .. } => "server-refused",
            ServerError::Unavailable(_) => "server-unavailable",
            ServerError::Untrusted(_) => "server-untrusted",
            ServerError::Malformed(_) => "server-malformed",
        },
        Failure::LogBreach(_) => "log-breach",
        Failure::File(_) => "file",
        Failure::Somebodys => "somebodys",
        Failure::TooManyToTell => "too-many-to-tell",
    }
}

/// The server's own code (docs/api.md), where it is the server that said no: what follows differs, although every such failure has one code here.
#[must_use]
pub fn problem(failure: &Failure) -> Option<&str> {
    match failure {
        Failure::Server(ServerError::Refused { code, .. }) => Some(code),
        _ => None,
    }
}

/// The exit code of a command that failed so: 1 no or refused, 2 malformed request, 3 unavailable.
#[must_use]
pub fn exit_code(failure: &Failure) -> u8 {
    match failure {
        Failure::Misuse(_) => 2,
        Failure::Server(ServerError::Unavailable(_) | ServerError::Malformed(_))
        | Failure::File(_) => 3,
        Failure::Authenticator(
            AuthenticatorError::Gone
            | AuthenticatorError::Busy
            | AuthenticatorError::Denied
            | AuthenticatorError::NodeDenied
            | AuthenticatorError::Silent
            | AuthenticatorError::Reset
            | AuthenticatorError::NoCard
            | AuthenticatorError::Protocol(_)
            | AuthenticatorError::Reader(_)
            | AuthenticatorError::Module
            | AuthenticatorError::NoThread,
        ) => 3,
        Failure::Authenticator(AuthenticatorError::SeveralCards) => 2,
        _ => 1,
    }
}

/// A failure in words.
#[must_use]
pub fn message(failure: &Failure, language: Language) -> String {
    let say = |name: &str| language.text(name).into_owned();
    match failure {
        Failure::Misuse(what) => language.labelled(&say("reason-malformed"), say(what)),
        Failure::SignedOut => say("reason-signed-out"),
        Failure::NothingPending => say("reason-nothing-pending"),
        Failure::Declined { reported: true } => say("reason-declined"),
        Failure::Declined { reported: false } => say("reason-stopped"),
        Failure::Withdrawn(state) => match state.as_str() {
            "expired" => say("reason-expired"),
            other => format!(
                "{} ({}).",
                say("reason-settled-elsewhere"),
                one_line(other, 32)
            ),
        },
        Failure::Unfit(unfit) => unfit_message(unfit, language),
        Failure::Authenticator(error) => authenticator_message(*error, language),
        Failure::Server(ServerError::Refused {
            status,
            code,
            detail,
        }) => {
            // Why a key was not enrolled, in the reader's language where the word is known.
            let word = detail.as_deref().and_then(|it| it.split_once(": "));
            let known = word
                .filter(|_| language == Language::Fr && code == "registration-refused")
                .and_then(|(word, _)| Some((word, why_not_enrolled(word, language)?)));
            let translated = known.map(|(word, words)| language.labelled(word, words));
            // Why an approval does not count: in words, and what to do.
            let not_counted = detail
                .as_deref()
                .filter(|_| code == "not-an-approver")
                .and_then(|reason| language.known(&format!("because-approver-{reason}")));
            if let (Some(words), Some(reason)) = (not_counted, &detail) {
                return format!("{words} ({status} {})", one_line(reason, 60));
            }
            // What the server says itself it says in English: a French reader sees that it is quoted.
            let quoted = |detail: &str| match language == Language::Fr && detail.contains(' ') {
                true => language.quoted(&one_line(detail, 300)),
                false => one_line(detail, 300),
            };
            let detail = match (&translated, &detail) {
                (Some(words), _) => format!(" — {}", one_line(words, 300)),
                (None, Some(detail)) => format!(" — {}", quoted(detail)),
                (None, None) => String::new(),
            };
            let what = language
                .known(&format!("problem-{code}"))
                .unwrap_or_else(|| language.text("reason-server-refused"));
            format!("{what} ({status} {}){detail}", one_line(code, 60))
        }
        Failure::Server(ServerError::Unavailable(why)) => format!(
            "{} ({})",
            say("reason-server-unavailable"),
            one_line(why, 200)
        ),
        Failure::Server(ServerError::Untrusted(why)) => format!(
            "{} ({})",
            say("reason-server-untrusted"),
            one_line(why, 200)
        ),
        Failure::Server(ServerError::Malformed(why)) => {
            format!("{} ({why})", say("reason-server-malformed"))
        }
        Failure::LogBreach(kind) => breach_message(*kind, language).into_owned(),
        Failure::File(why) => one_line(why, 300),
        Failure::Somebodys => say("reason-somebodys"),
        Failure::TooManyToTell => say("reason-too-many-to-tell"),
    }
}

/// What a refused registration's word means.
fn why_not_enrolled(word: &str, language: Language) -> Option<Cow<'static, str>> {
    language
        .known(&format!("because-card-{word}"))
        .or_else(|| sceau_proof::attestation::words(word, language.code()).map(Cow::Borrowed))
}

/// What was seen of the server's log, and what to do.
#[must_use]
pub fn breach_message(kind: BreachKind, language: Language) -> Cow<'static, str> {
    match kind {
        BreachKind::Forked => language.text("reason-log-forked"),
        BreachKind::RolledBack => language.text("reason-log-rolled-back"),
        BreachKind::KeyChanged => language.text("reason-log-key-changed"),
        BreachKind::NotLogged => language.text("reason-not-logged"),
    }
}

fn unfit_message(unfit: &Unfit, language: Language) -> String {
    let say = |name: &str| language.text(name).into_owned();
    match unfit {
        Unfit::Invalid(why) => format!(
            "{} ({})",
            say("reason-invalid-action"),
            one_line(&why.to_string(), 200)
        ),
        Unfit::Expired => say("reason-expired"),
        Unfit::NotShowable => say("reason-not-showable"),
        Unfit::Conflict => say("reason-conflicting-action"),
        Unfit::AlreadySettled => say("reason-already-settled"),
        Unfit::NotWhatWasAsked => say("reason-not-what-was-asked"),
        Unfit::NoKey => say("reason-no-key"),
        Unfit::RelyingParty => say("reason-wrong-relying-party"),
        Unfit::Answer(why) => format!("{} ({why})", say("reason-odd-answer")),
    }
}

fn authenticator_message(error: AuthenticatorError, language: Language) -> String {
    use AuthenticatorError as E;
    let say = |name: &str| language.text(name).into_owned();
    match error {
        E::Gone => say("reason-authenticator-gone"),
        E::Busy => say("reason-authenticator-busy"),
        E::Denied => say("reason-access-denied"),
        E::NodeDenied => say("reason-node-denied"),
        E::NotFido => say("reason-not-fido"),
        E::NotPiv => say("reason-not-piv"),
        E::NoCard => say("reason-no-card"),
        E::SeveralCards => say("reason-several-cards"),
        E::Reset => say("reason-card-reset"),
        E::CardsNotTaken => say("reason-cards-not-taken"),
        E::NoCardKey => say("reason-no-card-key"),
        E::NoAttestation => say("reason-no-attestation"),
        E::Module => say("reason-pkcs11-module"),
        E::NotAdministered => say("reason-not-administered"),
        E::CardPinBlocked => say("reason-card-pin-blocked"),
        E::WrongPuk => say("reason-wrong-puk"),
        E::PukBlocked => say("reason-puk-blocked"),
        E::WrongManagementKey => say("reason-wrong-management-key"),
        E::WrongPin => say("reason-wrong-pin"),
        E::PinLocked => say("reason-pin-locked"),
        E::PinBlocked => say("reason-pin-blocked"),
        E::PinNotSet => say("reason-pin-not-set"),
        E::PinChangeRequired => say("reason-pin-change-required"),
        E::PinUnfit => say("reason-pin-unfit"),
        E::NoUserVerification => say("reason-no-user-verification"),
        E::NoCredential => say("reason-no-credential"),
        E::AlreadyEnrolled => say("reason-already-enrolled"),
        E::NotTouched => say("reason-not-touched"),
        E::Cancelled => say("reason-cancelled"),
        E::Silent => say("reason-authenticator-silent"),
        E::Protocol(why) => format!("{} ({why})", say("reason-authenticator-failed")),
        E::Reader(why) => format!("{} ({why:#x})", say("reason-reader-failed")),
        E::NoThread => say("reason-no-thread"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_of_json_are_read_by_people() {
        let late = "2026-03-01T00:30:00+01:00";
        assert_eq!(day(late, Language::Fr), "28 février 2026");
        assert_eq!(instant(late, Language::Fr), "28 février 2026 à 23:30 UTC");
        assert_eq!(instant(late, Language::En), "28 February 2026, 23:30 UTC");
        assert_eq!(instant("soon\n", Language::En), one_line("soon\n", 40));
    }

    #[test]
    fn a_refused_enrolment_is_explained_in_the_readers_language() {
        let refused = Failure::Server(ServerError::Refused {
            status: 422,
            code: "registration-refused".to_owned(),
            detail: Some("unknown-root: no known anchor signed the chain".to_owned()),
        });
        let shown = message(&refused, Language::Fr);
        assert!(
            shown.ends_with("unknown-root : aucune racine connue n’a signé la chaîne"),
            "{shown}"
        );
        let shown = message(&refused, Language::En);
        assert!(
            shown.ends_with("unknown-root: no known anchor signed the chain"),
            "{shown}"
        );
    }
}
