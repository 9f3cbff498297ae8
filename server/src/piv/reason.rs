//! What the words of a card's refused registration mean, in French and English: enrolment happens under the eyes of a help-desk.
//! docs/piv.md lists them; a test holds it to that.

/// Word, French, English.
const WORDS: [(&str, &str, &str); 29] = [
    (
        "cards-not-enrolled",
        "ce serveur n’enrôle pas de cartes",
        "this server enrols no cards",
    ),
    (
        "no-attestation",
        "ni le fabricant de la carte ni un émetteur configuré ne dit où vit sa clé",
        "neither the card's maker nor a configured issuer says where its key lives",
    ),
    (
        "slot-not-9c",
        "la clé n’est pas dans l’emplacement 9c, qui seul signe les approbations",
        "the key is not in slot 9c, which alone signs approvals",
    ),
    (
        "weak-key-generation",
        "ce micrologiciel fabrique des clés RSA que l’on peut calculer (CVE-2017-15361)",
        "this firmware makes RSA keys that can be computed (CVE-2017-15361)",
    ),
    (
        "pin-policy-never",
        "la carte signe sans code PIN ; refaire la clé avec la règle PIN « always »",
        "the card signs without a PIN; make the key anew with PIN policy `always`",
    ),
    (
        "pin-policy-once",
        "la carte ne demande pas le code PIN à chaque signature ; refaire la clé avec la règle PIN « always »",
        "the card does not ask for the PIN at each signature; make the key anew with PIN policy `always`",
    ),
    (
        "pin-policy-match-once",
        "la carte ne demande pas le doigt ou le code à chaque signature ; refaire la clé avec la règle « match-always »",
        "the card does not ask for finger or PIN at each signature; make the key anew with policy `match-always`",
    ),
    (
        "pin-policy-always",
        "la règle PIN de la clé n’est pas admise ici",
        "the key's PIN policy is not wanted here",
    ),
    (
        "pin-policy-match-always",
        "la règle PIN de la clé n’est pas admise ici",
        "the key's PIN policy is not wanted here",
    ),
    (
        "touch-policy-never",
        "la carte signe sans qu’on la touche : un programme pourrait approuver seul ; refaire la clé avec la règle de toucher « always »",
        "the card signs without a touch: a program could approve by itself; make the key anew with touch policy `always`",
    ),
    (
        "touch-policy-cached",
        "un seul toucher vaut quinze secondes de signatures ; refaire la clé avec la règle de toucher « always »",
        "one touch allows fifteen seconds of signatures; make the key anew with touch policy `always`",
    ),
    (
        "touch-policy-always",
        "la règle de toucher de la clé n’est pas admise ici",
        "the key's touch policy is not wanted here",
    ),
    (
        "firmware-too-old",
        "le micrologiciel de la carte est trop ancien",
        "the card's firmware is too old",
    ),
    (
        "edition-not-certified",
        "la carte n’est pas de l’édition certifiée demandée",
        "the card is not of the certified edition that is wanted",
    ),
    (
        "serial-not-listed",
        "la carte n’est pas dans la liste de celles que l’on peut enrôler",
        "the card is not in the list of those that may be enrolled",
    ),
    (
        "signature-malformed",
        "la signature de la carte n’a pas la forme attendue",
        "the card's signature is not of its form",
    ),
    (
        "unsupported-key",
        "ce genre de clé ne signe pas d’approbations",
        "keys of this kind do not sign approvals",
    ),
    (
        "key-usage",
        "le certificat ne permet pas à sa clé de signer",
        "the certificate does not let its key sign",
    ),
    (
        "policy-missing",
        "le certificat n’affirme aucune des politiques demandées",
        "the certificate asserts none of the policies that are demanded",
    ),
    (
        "certificate-revoked",
        "le certificat a été révoqué",
        "the certificate was revoked",
    ),
    (
        "crl-missing",
        "aucune liste de révocation de l’émetteur n’est disponible",
        "no list of revoked certificates of the issuer is at hand",
    ),
    (
        "crl-not-fresh",
        "la liste de révocation est trop ancienne",
        "the list of revoked certificates is too old",
    ),
    (
        "crl-signature-invalid",
        "la liste de révocation n’est pas signée par l’émetteur",
        "the list of revoked certificates is not signed by the issuer",
    ),
    (
        "ocsp-missing",
        "aucun répondeur OCSP n’a répondu au sujet de ce certificat",
        "no OCSP responder gave an answer about this certificate",
    ),
    (
        "ocsp-not-fresh",
        "la réponse OCSP est trop ancienne",
        "the OCSP answer is too old",
    ),
    (
        "ocsp-responder-not-authorized",
        "le répondeur OCSP n’a pas été désigné par l’émetteur",
        "the OCSP responder was not appointed by the issuer",
    ),
    (
        "ocsp-signature-invalid",
        "la réponse OCSP n’est pas signée par le répondeur qu’elle nomme",
        "the OCSP answer is not signed by the responder that it names",
    ),
    (
        "certificate-unknown",
        "le répondeur OCSP ne connaît pas ce certificat",
        "the OCSP responder does not know this certificate",
    ),
    (
        "leaf-is-authority",
        "le certificat est celui d’une autorité",
        "the certificate is an authority's",
    ),
];

/// What a word means, in `fr` or `en`; what attestation knows already it says (`unknown-root`, `signature-invalid`, …).
#[must_use]
pub fn words(reason: &str, lang: &str) -> Option<&'static str> {
    let ours = WORDS.iter().find(|(word, ..)| *word == reason);
    match ours {
        Some((_, french, english)) => Some(if lang == "fr" { french } else { english }),
        None => sceau_proof::attestation::words(reason, lang),
    }
}

/// One of our own words, for good.
pub(super) fn known(reason: &str) -> Option<&'static str> {
    WORDS
        .iter()
        .find_map(|(word, ..)| (*word == reason).then_some(*word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_lists_every_word() {
        let document = include_str!("../../../docs/piv.md");
        for (word, ..) in WORDS {
            let family = word.rsplit_once("-policy-").map_or(word, |(kind, _)| kind);
            assert!(
                document.contains(&format!("`{word}`"))
                    || document.contains(&format!("`{family}-policy-…`")),
                "{word}"
            );
        }
    }
}
