//! What the words of a card's refused registration mean, in French and English: enrolment happens under the eyes of a help-desk.
//! docs/piv.md lists them; a test holds it to that.

use std::borrow::Cow;

use sceau_locale::Language;

/// The words; what each means is in the catalogue, `because-card-WORD`.
const WORDS: [&str; 29] = [
    "cards-not-enrolled",
    "no-attestation",
    "slot-not-9c",
    "weak-key-generation",
    "pin-policy-never",
    "pin-policy-once",
    "pin-policy-match-once",
    "pin-policy-always",
    "pin-policy-match-always",
    "touch-policy-never",
    "touch-policy-cached",
    "touch-policy-always",
    "firmware-too-old",
    "edition-not-certified",
    "serial-not-listed",
    "signature-malformed",
    "unsupported-key",
    "key-usage",
    "policy-missing",
    "certificate-revoked",
    "crl-missing",
    "crl-not-fresh",
    "crl-signature-invalid",
    "ocsp-missing",
    "ocsp-not-fresh",
    "ocsp-responder-not-authorized",
    "ocsp-signature-invalid",
    "certificate-unknown",
    "leaf-is-authority",
];

/// What a word means, in `fr` or `en`; what attestation knows already it says (`unknown-root`, `signature-invalid`, …).
#[must_use]
pub fn words(reason: &str, lang: &str) -> Option<Cow<'static, str>> {
    match known(reason) {
        Some(word) => Language::from_locale(lang).known(&format!("because-card-{word}")),
        None => sceau_proof::attestation::words(reason, lang).map(Cow::Borrowed),
    }
}

/// One of our own words, for good.
pub(super) fn known(reason: &str) -> Option<&'static str> {
    WORDS.into_iter().find(|word| *word == reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_lists_every_word() {
        let document = include_str!("../../../docs/piv.md");
        for word in WORDS {
            for language in ["fr", "en"] {
                assert!(words(word, language).is_some(), "{word}");
            }
            let family = word.rsplit_once("-policy-").map_or(word, |(kind, _)| kind);
            assert!(
                document.contains(&format!("`{word}`"))
                    || document.contains(&format!("`{family}-policy-…`")),
                "{word}"
            );
        }
    }
}
