# La lignée d’une personne, en texte.

lineage-persons = { $count ->
    [one] { $count } personne
   *[other] { $count } personnes
 }
lineage-accounts = { $count ->
    [one] { $count } compte
   *[other] { $count } comptes
 }
lineage-keys = { $count ->
    [one] { $count } clé
   *[other] { $count } clés
 }
lineage-active = actif
lineage-inert = inerte
lineage-suspended = suspendu
lineage-created = créé
lineage-enrolled = enrôlé
lineage-was-granted-a-right = a reçu un droit
lineage-the-same-person = la même personne
lineage-left-out = { $count ->
    [one] { $count } autre n’est pas montré
   *[other] { $count } autres ne sont pas montrés
 }
lineage-sessions = { $count ->
    [one] { $count } session ouverte
   *[other] { $count } sessions ouvertes
 }
lineage-actions = { $count ->
    [one] { $count } action en cours
   *[other] { $count } actions en cours
 }
