//! Reasons in words. The log and the lists keep codes, which stay the same whatever language somebody reads; here each is said in the reader's, with
//! its code beside it in small: a help desk is asked by one, and auditors look for the other.
//!
//! The same code may mean something else of another thing (a signature that is wrong is an approval's, a list's, a new key's), so the entry's type
//! decides which words come first. What the policies of the house give as reasons is said in their own words, as they are now.

use std::borrow::Cow;

use sceau_locale::Language;

use super::markup::Html;
use crate::desk::Desk;

/// Why a key does not count: the server's own reasons, or those of trust, cards and policy.
pub(super) fn of_key(language: Language, code: &str) -> Option<Cow<'static, str>> {
    language
        .known(&format!("console-key-reason-{code}"))
        .or_else(|| crate::piv::words(code, language.code()))
}

/// Why something of this type of entry came to be; `None` where the code is of the house's policies, or of somebody else's.
fn words(language: Language, kind: &str, code: &str) -> Option<Cow<'static, str>> {
    let subject = kind.split('.').next().unwrap_or(kind);
    let said = |subject: &str| language.known(&format!("why-{subject}-{code}"));
    let because = || language.known(&format!("because-{code}"));
    let own = said(subject);
    match subject {
        "action" | "oauth" => own.or_else(because),
        "approval" => own
            .or_else(|| language.known(&format!("because-approver-{code}")))
            .or_else(|| of_key(language, code)),
        "presence" => own.or_else(|| said("approval")),
        "alert" => own
            .or_else(|| said("approval").filter(|_| kind == "alert.metadata"))
            .or_else(|| of_key(language, code).filter(|_| kind == "alert.key-fallen"))
            .or_else(because),
        "key" | "enrolment" | "person" => own.or_else(|| of_key(language, code)),
        // Its chain is judged as those of new keys are.
        "metadata" => own
            .or_else(|| sceau_proof::attestation::words(code, language.code()).map(Cow::Borrowed)),
        _ => own,
    }
    .or_else(|| language.known(&format!("problem-{code}")))
}

/// A reason of an entry of this type: in words, with its code beside; the code alone where there are no words.
pub(super) fn reason(desk: &Desk, language: Language, kind: &str, code: &str) -> Html {
    let words = words(language, kind, code);
    let words = words.or_else(|| desk.policy_reason(code, language).map(Cow::Owned));
    match words {
        Some(words) => Html::text(words).then(Html::small(Html::code(code))),
        None => Html::code(code),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::Path;

    use super::*;

    fn has_both(kind: &str, code: &str) -> bool {
        let said = |language| words(language, kind, code);
        let (french, english) = (said(Language::Fr), said(Language::En));
        french.is_some() && english.is_some() && french != english
    }

    fn both(kind: &str, code: &str) {
        assert!(has_both(kind, code), "{kind} {code}");
    }

    #[test]
    fn whatever_a_verifier_says_of_an_approval_has_words() {
        for (code, _) in sceau_proof::assertion::REASONS {
            both("approval.rejected", code);
            both("presence.rejected", code);
        }
    }

    #[test]
    fn a_code_means_what_its_entry_is_about() {
        let said = |kind, code| words(Language::En, kind, code).unwrap();
        let of_approval = said("approval.rejected", "signature-invalid");
        let of_list = said("metadata.refused", "signature-invalid");
        let of_key = said("enrolment.refused", "signature-invalid");
        assert!(of_approval != of_list && of_list != of_key && of_key != of_approval);
        assert_ne!(
            said("session.refused", "person-suspended"),
            said("key.suspended", "person-suspended")
        );
        assert_eq!(words(Language::En, "action.denied", "vault-closed"), None);
    }

    fn sources(folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|it| it == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap();
                // On one line, so that a call is found however it is set.
                found.push(code.split_whitespace().collect::<Vec<_>>().join(" "));
            }
        }
    }

    /// What follows `call` up to the next quotation mark, wherever `call` stands.
    fn literals<'t>(text: &'t str, call: &'t str) -> impl Iterator<Item = &'t str> {
        let found = text.split(call).skip(1);
        found.filter_map(|rest| rest.split_once('"').map(|(literal, _)| literal))
    }

    #[test]
    fn every_reason_that_the_server_writes_itself_has_words() {
        let mut texts = Vec::new();
        sources(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut texts,
        );
        let mut found = BTreeSet::new();
        for text in &texts {
            for (kind, call) in [
                ("approval.rejected", "NotAnApprover(\""),
                ("approval.rejected", "Checked::Failed(\""),
                ("approval.rejected", "=> Some(\"key-"),
                ("action.outcome-unknown", "failure: \""),
                ("login.refused", "ProviderError::Unavailable(\""),
            ] {
                let begun = call.rsplit('"').next().unwrap();
                let codes = literals(text, call).map(|rest| format!("{begun}{rest}"));
                found.extend(codes.map(|code| (kind.to_owned(), code)));
            }
            // An entry that is begun and given its reason in one breath.
            for begun in [".entry(\"", "about(tx, \"", "tell(tx, \""] {
                for rest in text.split(begun).skip(1) {
                    let (kind, rest) = rest.split_once('"').unwrap();
                    let statement = rest.split(';').next().unwrap();
                    let codes = literals(statement, ".datum(\"reason\", \"");
                    found.extend(codes.map(|code| (kind.to_owned(), code.to_owned())));
                }
            }
        }
        assert!(found.len() > 25, "{found:?}");
        found.retain(|(kind, code)| !has_both(kind, code));
        assert!(found.is_empty(), "without words: {found:?}");
    }

    #[test]
    fn every_type_of_entry_that_the_server_writes_has_words() {
        let mut texts = Vec::new();
        sources(
            &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
            &mut texts,
        );
        let calls = [
            "entry(\"",
            "said(tx, \"",
            "about(tx, \"",
            "tell(tx, \"",
            "note(\"",
            "write(\"",
        ];
        let kinds: BTreeSet<&str> = texts
            .iter()
            .flat_map(|text| calls.into_iter().flat_map(|call| literals(text, call)))
            .filter(|kind| kind.contains('.') && !kind.contains([' ', '{', '/']))
            .collect();
        assert!(kinds.len() > 60, "{kinds:?}");
        let without = kinds.into_iter().filter(|kind| {
            let name = format!("noted-{}", kind.replace('.', "-"));
            let [french, english] = [Language::Fr, Language::En].map(|it| it.known(&name));
            french.is_none() || english.is_none()
        });
        assert_eq!(without.collect::<Vec<_>>(), Vec::<&str>::new());
    }

    #[test]
    fn reasons_of_closed_lists_have_words() {
        use crate::presence::{Goodbye, Why};
        use crate::reading::Spent;
        for spent in [Spent::Time, Spent::Records, Spent::TooMany] {
            both("reading.refused", spent.as_str());
        }
        for why in [Why::Refused, Why::NotSilent, Why::U2f, Why::Card] {
            both("presence.unable", why.as_str());
        }
        both("presence.lost", Goodbye::Removed.as_str());
        for code in [
            "lost",
            "damaged",
            "pin-blocked",
            "replaced",
            "left",
            "revoked",
            "dormant",
        ] {
            both("key.revoked", code);
        }
        for code in ["too-many-pending", "too-many-asked", "too-many-refused"] {
            both("alert.limited", code);
        }
        for code in ["person-inert", "person-suspended"] {
            both("session.refused", code);
        }
        for code in ["not-me", "mistake", "other"] {
            both("action.refused", code);
            both("alert.refused", code);
        }
    }
}
