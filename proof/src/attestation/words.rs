//! The verdicts' words in sentences that a help-desk can read, in French and English: why a key was not enrolled, or no longer counts.
//!
//! English is each verdict's own list of reasons; here are the French, and the words that only a server gives. Pure tables.

use super::REASONS as STATEMENT;
use crate::{attestation::trust, model};

/// Words of a server that asks for more than the three verdicts.
const SERVER: &[(&str, &str)] = &[
    (
        "second-verifier-disagrees",
        "the second, independent verifier does not agree",
    ),
    ("credential-known", "this key is enrolled already"),
    (
        "metadata-missing",
        "the list of models is not there yet: nothing can be believed without it",
    ),
    (
        "model-revoked",
        "the model's revocation is in effect: keys of it no longer count",
    ),
    (
        "record-malformed",
        "what was stored at enrolment cannot be judged any more",
    ),
];

const FRENCH: &[(&str, &str)] = &[
    (
        "client-data-malformed",
        "les données du client (clientDataJSON) sont illisibles ou incomplètes",
    ),
    ("type-mismatch", "ce n’est pas la réponse d’un enrôlement"),
    (
        "challenge-mismatch",
        "la clé a signé un autre défi que celui de cet enrôlement",
    ),
    (
        "origin-mismatch",
        "l’enrôlement vient d’une autre origine que celles attendues",
    ),
    (
        "cross-origin",
        "l’enrôlement a eu lieu dans un cadre d’une autre origine",
    ),
    (
        "top-origin",
        "la page englobante n’a pas le droit de nous encadrer",
    ),
    (
        "attestation-object-malformed",
        "la réponse de la clé (attestationObject) est illisible",
    ),
    (
        "authenticator-data-malformed",
        "les données de la clé (authData) sont incohérentes",
    ),
    ("rp-id-mismatch", "la clé a répondu pour un autre service"),
    ("user-not-present", "personne n’a touché la clé"),
    (
        "user-not-verified",
        "ni code PIN ni empreinte n’ont été vérifiés par la clé",
    ),
    (
        "backup-state-inconsistent",
        "la clé se dit sauvegardée sans pouvoir l’être",
    ),
    ("no-credential", "la clé n’a créé aucun identifiant"),
    (
        "credential-key-malformed",
        "la clé publique est incohérente",
    ),
    (
        "credential-algorithm-unsupported",
        "la clé signe avec un algorithme inconnu",
    ),
    ("unsupported-format", "format d’attestation inconnu"),
    (
        "unsupported-format-android-safetynet",
        "format SafetyNet, dont le service a pris fin",
    ),
    (
        "unsupported-format-compound",
        "attestations composées, non admises",
    ),
    (
        "statement-malformed",
        "l’attestation est incomplète ou contient ce qu’elle ne devrait pas",
    ),
    (
        "statement-algorithm-unsupported",
        "l’attestation est signée avec un algorithme que nous ne vérifions pas",
    ),
    (
        "statement-algorithm-mismatch",
        "l’algorithme annoncé n’est pas celui de la clé qui signe l’attestation",
    ),
    (
        "ecdaa-unsupported",
        "attestation ECDAA, retirée de WebAuthn",
    ),
    (
        "certificate-malformed",
        "un certificat de l’attestation est illisible",
    ),
    (
        "certificate-requirements",
        "le certificat d’attestation ne respecte pas les règles de son format",
    ),
    (
        "certificate-aaguid-mismatch",
        "le certificat d’attestation est celui d’un autre modèle",
    ),
    (
        "certificate-key-mismatch",
        "le certificat atteste une autre clé que celle-ci",
    ),
    (
        "signature-invalid",
        "la signature de l’attestation est fausse",
    ),
    (
        "nonce-mismatch",
        "apple : le nonce n’est pas celui de cet enrôlement",
    ),
    (
        "tpm-structure-invalid",
        "tpm : structure illisible, ou qui n’est pas une certification",
    ),
    ("tpm-key-mismatch", "tpm : ce n’est pas la clé annoncée"),
    ("tpm-name-mismatch", "tpm : un autre objet a été certifié"),
    (
        "tpm-extra-data-mismatch",
        "tpm : certifié pour un autre enrôlement",
    ),
    (
        "android-key-description-invalid",
        "android-key : description de la clé absente ou illisible",
    ),
    (
        "android-challenge-mismatch",
        "android-key : décrit pour un autre enrôlement",
    ),
    (
        "android-all-applications",
        "android-key : toute application peut se servir de la clé",
    ),
    (
        "android-authorization-invalid",
        "android-key : clé importée, ou qui ne sert pas qu’à signer",
    ),
    ("path-to-anchor", "la chaîne mène à une racine de confiance"),
    (
        "path-to-metadata-root",
        "la chaîne mène à une racine que la liste FIDO donne pour ce modèle",
    ),
    (
        "no-trust-source",
        "ni racines ni liste FIDO ne sont configurées",
    ),
    ("time-not-given", "sans heure, aucune confiance"),
    ("revoked", "la liste FIDO révoque ce modèle"),
    (
        "attestation-key-compromise",
        "liste FIDO : des clés d’attestation de ce modèle ont fuité",
    ),
    (
        "user-verification-bypass",
        "liste FIDO : le code PIN de ce modèle se contourne",
    ),
    (
        "user-key-remote-compromise",
        "liste FIDO : les clés de ce modèle s’extraient à distance",
    ),
    (
        "user-key-physical-compromise",
        "liste FIDO : qui tient ce modèle peut en extraire les clés",
    ),
    (
        "status-unknown",
        "liste FIDO : statut inconnu, donc inacceptable",
    ),
    ("status-missing", "liste FIDO : aucun statut en vigueur"),
    ("no-attestation", "la clé ne prouve pas ce qu’elle est"),
    (
        "self-attestation",
        "la clé se porte garante d’elle-même : aucun fabricant ne l’atteste",
    ),
    ("model-unknown", "modèle inconnu de la liste FIDO"),
    (
        "attestation-type-not-of-model",
        "ce modèle ne fait pas ce genre d’attestation, selon la liste FIDO",
    ),
    (
        "aaguid-not-of-anchor",
        "cette racine ne peut pas se porter garante de ce modèle",
    ),
    ("unknown-root", "aucune racine connue n’a signé la chaîne"),
    (
        "chain-signature-invalid",
        "un certificat n’est pas signé par son émetteur",
    ),
    (
        "issuer-not-authority",
        "un émetteur n’a pas le droit de signer des certificats",
    ),
    (
        "critical-extension-unknown",
        "un certificat a une extension critique inconnue",
    ),
    (
        "certificate-validity-malformed",
        "les dates d’un certificat sont illisibles",
    ),
    (
        "certificate-not-yet-valid",
        "un certificat n’est pas encore valable",
    ),
    ("certificate-expired", "un certificat de la chaîne a expiré"),
    ("chain-too-long", "trop de certificats"),
    ("no-certificate", "aucun certificat"),
    ("accepted", "toutes les règles sont respectées"),
    (
        "attestation-type-refused",
        "ce genre d’attestation n’est pas admis : aucun fabricant ne se porte garant de la clé",
    ),
    ("format-refused", "ce format d’attestation n’est pas admis"),
    ("algorithm-refused", "cet algorithme n’est pas admis"),
    (
        "algorithm-not-verifiable",
        "les signatures de cet algorithme ne pourraient pas être vérifiées",
    ),
    (
        "user-verification-missing",
        "ni code PIN ni empreinte n’ont été demandés",
    ),
    (
        "backup-eligible",
        "clé synchronisable : elle peut quitter son support",
    ),
    ("weak-signature", "SHA-1 dans l’attestation"),
    ("not-trusted", "aucune confiance n’a pu être établie"),
    (
        "trust-not-evaluated",
        "ni racines ni liste FIDO ne sont configurées",
    ),
    ("model-denied", "modèle interdit par notre politique"),
    (
        "model-not-listed",
        "modèle absent de ceux que notre politique autorise",
    ),
    ("anchor-denied", "racine interdite par notre politique"),
    (
        "anchor-not-listed",
        "racine absente de celles que notre politique autorise",
    ),
    (
        "key-protection-too-low",
        "selon la liste FIDO, ce modèle garde ses clés en logiciel, ou on ne sait où",
    ),
    (
        "certification-too-low",
        "la certification FIDO de ce modèle est sous le minimum exigé",
    ),
    ("model-retired", "le fabricant a retiré ce modèle"),
    (
        "metadata-stale",
        "la liste FIDO est périmée au-delà du délai toléré : rien n’est admis sans elle",
    ),
    (
        "second-verifier-disagrees",
        "le second vérificateur, indépendant, n’est pas d’accord",
    ),
    ("credential-known", "cette clé est déjà enrôlée"),
    (
        "metadata-missing",
        "la liste FIDO n’est pas encore là : rien n’est admis sans elle",
    ),
    (
        "model-revoked",
        "la révocation de ce modèle est en vigueur : ses clés ne comptent plus",
    ),
    (
        "record-malformed",
        "ce qui fut gardé à l’enrôlement ne peut plus être jugé",
    ),
];

fn find(table: &[(&str, &'static str)], word: &str) -> Option<&'static str> {
    table
        .iter()
        .find(|(known, _)| *known == word)
        .map(|(_, sentence)| *sentence)
}

/// What a reason means: in French when `lang` is `fr`, in English otherwise; `None` for a word that no verdict gives.
#[must_use]
pub fn words(word: &str, lang: &str) -> Option<&'static str> {
    if lang == "fr" {
        return find(FRENCH, word);
    }
    [SERVER, STATEMENT, trust::REASONS, model::REASONS]
        .iter()
        .find_map(|table| find(table, word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_has_a_sentence_in_both_languages() {
        let tables = [SERVER, STATEMENT, trust::REASONS, model::REASONS];
        for (word, _) in tables.iter().copied().flatten() {
            let (french, english) = (words(word, "fr"), words(word, "en"));
            assert!(french.is_some() && english.is_some(), "{word}");
            assert_ne!(french, english, "{word}");
        }
        for (word, _) in FRENCH {
            assert!(words(word, "en").is_some(), "{word} is no verdict's");
        }
        assert_eq!(words("nonsense", "fr"), None);
    }
}
