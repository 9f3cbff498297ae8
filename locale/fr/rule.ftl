# Ce qu’une règle de la politique demande, et ce qui a été décidé, en mots : console, check-config, policy test, diff et explain.

rule-says = { $action } : { $what }
rule-says-why = { $action } : { $what } (« { $why } »)
rule-forbidden = interdit ({ $reason })
rule-denied = non permise ({ $reason })
rule-free = permis sans clé
rule-or = ou
rule-and = et
rule-sealed = scellé par { $by }
rule-requester = la personne qui demande
rule-others = { $count ->
    [one] une autre personne ({ $roles })
   *[other] { $count } autres personnes ({ $roles })
 }
rule-in-all = { $others }, { $count } en tout
rule-requester-also = la personne qui demande, et { $others }
rule-verified-pin = avec code PIN et toucher
rule-verified-touch = d’un toucher
rule-key-attested-hardware = par une clé matérielle attestée
rule-key-attested-or-issued = par une clé attestée, ou la carte d’un émetteur connu
rule-key-fido2 = par une clé FIDO2 attestée
rule-key-fido-l1 = par une clé certifiée FIDO L1 au moins
rule-key-fido-l2 = par une clé certifiée FIDO L2 au moins
rule-key-fido-l3 = par une clé certifiée FIDO L3
rule-key-piv-touch = par une carte PIV qui veut un toucher
rule-within = sous { $time }
rule-fresh = utilisé sous { $time }
rule-other-workstation = depuis des postes différents
rule-witnessed = { $count ->
    [one] après un témoin du journal
   *[other] après { $count } témoins du journal
 }

## sceau-server policy explain
rule-explained = { $action } pour { $service }, demandée par { $person } : { $state ->
    [pending] en attente
    [approved] approuvée
    [executed] exécutée
    [consumed] utilisée
    [refused] refusée
    [denied] non permise
    [expired] échue
   *[other] { $state }
 }
rule-explained-none = aucune règle n’a décidé : rien ne le permet, ou les règles propres du serveur l’interdisent
rule-explained-by = selon { $policy } : { $says }
rule-explained-words = en mots : « { $words } »
rule-explained-facts = d’après ces faits :
rule-explained-unkept = son texte n’est pas gardé
rule-explained-unknown = action inconnue : { $action }

## sceau-server policy test, diff
rule-expected = attendu
rule-got = obtenu
rule-decided-by = (selon { $policies })
rule-tested = { $cases } cas, { $failed ->
    [0] aucun échec
    [one] { $failed } échec
   *[other] { $failed } échecs
 }
rule-untested = aucun cas n’a été décidé par : { $policies }
rule-compared = { $action }  { $at }  { $kind } pour { $service }, demandée par { $person }
rule-old = avant : { $decision }
rule-new = après : { $decision }
rule-compared-all = { $count ->
    [one] { $count } action
   *[other] { $count } actions
 } en { $time }, dont { $changed ->
    [0] aucune n’aurait été décidée autrement
    [one] { $changed } aurait été décidée autrement
   *[other] { $changed } auraient été décidées autrement
 }
rule-compared-unknown = ({ $count ->
    [one] { $count } plus ancienne n’a pas de faits gardés
   *[other] { $count } plus anciennes n’ont pas de faits gardés
 })
