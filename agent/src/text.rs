//! What people read, in French and English: failures, prompts' fixed words, and actions through [`sceau_proof::words`].

use sceau_proof::action::{Action, Language as Tongue};
use sceau_proof::{display, words};

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
    let pick = |fr: &str, en: &str| language.pick(fr, en).to_owned();
    match failure {
        Failure::Misuse(what) => format!(
            "{}: {what}",
            pick("demande mal formée", "malformed request")
        ),
        Failure::SignedOut => pick(
            "Personne n'est connecté : lancez « sceau sign-in ».",
            "Nobody is signed in: run \"sceau sign-in\".",
        ),
        Failure::NothingPending => pick("Rien n'attend votre sceau.", "Nothing awaits your seal."),
        Failure::Declined { reported: true } => pick("Refusé.", "Refused."),
        Failure::Declined { reported: false } => pick(
            "Abandonné ; rien n'a été signé, l'action reste en attente.",
            "Stopped; nothing was signed, the action stays pending.",
        ),
        Failure::Withdrawn(state) => match state.as_str() {
            "expired" => pick(
                "L'action a expiré ; rien n'a été signé.",
                "The action has expired; nothing was signed.",
            ),
            other => format!(
                "{} ({}).",
                pick(
                    "L'action a été réglée ailleurs",
                    "The action was settled elsewhere"
                ),
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
                .and_then(|(word, _)| Some((word, sceau_proof::attestation::words(word, "fr")?)));
            let translated = known.map(|(word, words)| format!("{word} : {words}"));
            let detail = translated
                .as_deref()
                .or(detail.as_deref())
                .map(|detail| format!(" — {}", one_line(detail, 300)))
                .unwrap_or_default();
            format!(
                "{} ({status} {}){detail}",
                pick("Le serveur a refusé", "The server refused"),
                one_line(code, 60)
            )
        }
        Failure::Server(ServerError::Unavailable(why)) => format!(
            "{} ({})",
            pick("Le serveur est injoignable", "The server cannot be reached"),
            one_line(why, 200)
        ),
        Failure::Server(ServerError::Untrusted(why)) => format!(
            "{} ({})",
            pick(
                "Ce n'est pas le serveur configuré ; rien n'a été signé",
                "This is not the configured server; nothing was signed"
            ),
            one_line(why, 200)
        ),
        Failure::Server(ServerError::Malformed(why)) => format!(
            "{} ({why})",
            pick(
                "La réponse du serveur est illisible",
                "The server's answer cannot be read"
            )
        ),
        Failure::LogBreach(kind) => breach_message(*kind, language).to_owned(),
        Failure::File(why) => one_line(why, 300),
    }
}

/// What was seen of the server's log, and what to do.
#[must_use]
pub fn breach_message(kind: BreachKind, language: Language) -> &'static str {
    match kind {
        BreachKind::Forked => language.pick(
            "Le journal du serveur montre deux histoires différentes. Rien n'est plus scellé depuis ce poste : prévenez l'administrateur. `sceau log` montre la preuve.",
            "The server's log shows two different histories. Nothing more is sealed from this workstation: tell the administrator. `sceau log` shows the proof.",
        ),
        BreachKind::RolledBack => language.pick(
            "Le journal du serveur est revenu en arrière. Rien n'est plus scellé depuis ce poste : prévenez l'administrateur. `sceau log` montre la preuve.",
            "The server's log went back. Nothing more is sealed from this workstation: tell the administrator. `sceau log` shows the proof.",
        ),
        BreachKind::KeyChanged => language.pick(
            "Le journal du serveur n'est plus signé par sa clé. Rien n'est plus scellé depuis ce poste : demandez à l'administrateur si la clé a été remplacée.",
            "The server's log is no longer signed by its key. Nothing more is sealed from this workstation: ask the administrator whether the key was replaced.",
        ),
        BreachKind::NotLogged => language.pick(
            "Le serveur a pris une approbation sans l'inscrire à son journal. Rien n'est plus scellé depuis ce poste : prévenez l'administrateur.",
            "The server took an approval and did not write it into its log. Nothing more is sealed from this workstation: tell the administrator.",
        ),
    }
}

fn unfit_message(unfit: &Unfit, language: Language) -> String {
    let pick = |fr: &str, en: &str| language.pick(fr, en).to_owned();
    match unfit {
        Unfit::Invalid(why) => format!(
            "{} ({})",
            pick(
                "Ce n'est pas une action valide",
                "This is not a valid action"
            ),
            one_line(&why.to_string(), 200)
        ),
        Unfit::Expired => pick(
            "L'action a expiré ; rien n'a été signé.",
            "The action has expired; nothing was signed.",
        ),
        Unfit::NotShowable => pick(
            "Cette action est trop longue pour être montrée en entier : elle ne peut pas être scellée.",
            "This action is too long to be shown whole: it cannot be sealed.",
        ),
        Unfit::Conflict => pick(
            "Le serveur a montré deux actions différentes sous un même numéro ; rien n'a été signé.",
            "The server showed two different actions under one id; nothing was signed.",
        ),
        Unfit::AlreadySettled => pick(
            "L'action est déjà réglée.",
            "The action is settled already.",
        ),
        Unfit::NotWhatWasAsked => pick(
            "Le serveur a répondu par une autre action que celle demandée ; rien n'a été signé.",
            "The server answered with another action than the one asked for; nothing was signed.",
        ),
        Unfit::NoKey => pick(
            "Aucune de vos clés ne peut sceller cette action ici.",
            "None of your keys can seal this action here.",
        ),
        Unfit::RelyingParty => pick(
            "Le serveur parle au nom d'un autre service que celui configuré ; rien n'a été signé.",
            "The server speaks for another relying party than the configured one; nothing was signed.",
        ),
        Unfit::Answer(why) => format!(
            "{} ({why})",
            pick(
                "La clé a répondu autre chose que demandé ; rien n'a été transmis",
                "The key answered something else; nothing was reported"
            )
        ),
    }
}

fn authenticator_message(error: AuthenticatorError, language: Language) -> String {
    use AuthenticatorError as E;
    let pick = |fr: &str, en: &str| language.pick(fr, en).to_owned();
    match error {
        E::Gone => pick(
            "La clé a été retirée ; rien n'a été signé, l'action reste en attente.",
            "The key was removed; nothing was signed, the action stays pending.",
        ),
        E::Busy => pick(
            "Un autre programme se réserve la clé.",
            "Another program keeps the key for itself.",
        ),
        E::Denied => pick(
            "Le système refuse l'accès à la clé.",
            "The system refuses access to the key.",
        ),
        E::NodeDenied => pick(
            "Votre session n'a pas accès à la clé USB. Installez les règles udev de Sceau (70-sceau.rules dans /etc/udev/rules.d, puis « udevadm control --reload ») et rebranchez la clé ; ou ouvrez votre session sur ce poste même, au premier plan.",
            "Your session has no access to the USB key. Install Sceau's udev rules (70-sceau.rules in /etc/udev/rules.d, then \"udevadm control --reload\") and plug the key in again; or log in at this very seat, in the foreground.",
        ),
        E::NotFido => pick(
            "Cette carte n'est pas une clé FIDO2.",
            "This card is not a FIDO2 key.",
        ),
        E::NotPiv => pick(
            "Cette carte n'a pas d'application PIV.",
            "This card has no PIV application.",
        ),
        E::NoCard => pick(
            "Aucune carte PIV dans les lecteurs.",
            "No PIV card in the readers.",
        ),
        E::SeveralCards => pick(
            "Plusieurs cartes PIV sont là : dites laquelle par --reader.",
            "Several PIV cards are there: say which by --reader.",
        ),
        E::Reset => pick(
            "Un autre programme réinitialise la carte sans cesse ; rien n'a été signé.",
            "Another program keeps resetting the card; nothing was signed.",
        ),
        E::CardsNotTaken => pick(
            "Ce serveur n'enrôle pas de cartes PIV.",
            "This server enrols no PIV cards.",
        ),
        E::NoCardKey => pick(
            "Cette carte n'a pas de clé dans le compartiment 9C : « sceau card generate » en crée une.",
            "This card has no key in slot 9C: \"sceau card generate\" makes one.",
        ),
        E::NoAttestation => pick(
            "Cette carte n'atteste pas sa clé et n'en a pas de certificat : rien ne montre que la clé vit sur une carte.",
            "This card neither attests its key nor has a certificate for it: nothing shows that the key lives on a card.",
        ),
        E::Module => pick(
            "Le module PKCS #11 de la carte a échoué ; rien n'a été signé. Le journal de l'agent dit pourquoi.",
            "The card's PKCS #11 module failed; nothing was signed. The agent's log says why.",
        ),
        E::NotAdministered => pick(
            "Cette carte est lue par le module de son fabricant : elle s'administre avec les outils de celui-ci.",
            "This card is read by its vendor's module: it is administered with the vendor's tools.",
        ),
        E::CardPinBlocked => pick(
            "Code PIN de la carte bloqué : plus d'essai. Rien n'a été signé. Le service d'assistance le débloque par « sceau card pin unblock » (code PUK).",
            "The card's PIN is blocked: no tries left. Nothing was signed. The help-desk unblocks it with \"sceau card pin unblock\" (PUK).",
        ),
        E::WrongPuk => pick("Code PUK faux.", "Wrong PUK."),
        E::PukBlocked => pick(
            "Code PUK bloqué : plus d'essai. La carte doit être remplacée ou remise à zéro.",
            "PUK blocked: no tries left. The card must be replaced or reset.",
        ),
        E::WrongManagementKey => pick("Clé d'administration fausse.", "Wrong management key."),
        E::WrongPin => pick("Code PIN faux.", "Wrong PIN."),
        E::PinLocked => pick(
            "Trois codes PIN faux de suite : clé verrouillée. Retirez-la puis remettez-la. Votre administrateur est prévenu.",
            "Three wrong PINs in a row: the key is locked. Take it out and put it back. Your administrator is told.",
        ),
        E::PinBlocked => pick(
            "Code PIN bloqué : plus d'essai. Voyez votre administrateur.",
            "PIN blocked: no tries left. See your administrator.",
        ),
        E::PinNotSet => pick("Cette clé n'a pas de code PIN.", "This key has no PIN."),
        E::PinChangeRequired => pick(
            "Le code PIN de cette clé doit d'abord être changé.",
            "This key's PIN must be changed first.",
        ),
        E::PinUnfit => pick(
            "Ce code PIN est trop court, trop long ou refusé par la clé.",
            "This PIN is too short, too long, or refused by the key.",
        ),
        E::NoUserVerification => pick(
            "Cette clé ne sait pas vérifier son porteur.",
            "This key cannot verify its user.",
        ),
        E::NoCredential => pick(
            "Cette clé n'est pas enrôlée pour vous.",
            "This key is not enrolled for you.",
        ),
        E::AlreadyEnrolled => pick(
            "Cette clé est déjà enrôlée.",
            "This key is enrolled already.",
        ),
        E::NotTouched => pick(
            "La clé n'a pas été touchée à temps ; rien n'a été signé.",
            "The key was not touched in time; nothing was signed.",
        ),
        E::Cancelled => pick(
            "Annulé ; rien n'a été signé.",
            "Cancelled; nothing was signed.",
        ),
        E::Silent => pick("La clé ne répond pas.", "The key does not answer."),
        E::Protocol(why) => format!("{} ({why})", pick("La clé a échoué", "The key failed")),
        E::Reader(why) => format!(
            "{} ({why:#x})",
            pick("Le lecteur a échoué", "The reader failed")
        ),
        E::NoThread => pick(
            "Le système est à court de ressources.",
            "The system is out of resources.",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_enrolment_is_explained_in_the_readers_language() {
        let refused = Failure::Server(ServerError::Refused {
            status: 422,
            code: "registration-refused".to_owned(),
            detail: Some("unknown-root: no known anchor signed the chain".to_owned()),
        });
        let shown = message(&refused, Language::Fr);
        assert!(
            shown.ends_with("unknown-root : aucune racine connue n'a signé la chaîne"),
            "{shown}"
        );
        let shown = message(&refused, Language::En);
        assert!(
            shown.ends_with("unknown-root: no known anchor signed the chain"),
            "{shown}"
        );
    }
}
