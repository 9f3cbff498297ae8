# Le rapport d’incident, en page : dans l’ordre de la notification à la CNIL.

report-title = Rapport d’incident
report-heading-nature = 1. Nature de la violation (notification sous 72 heures)
report-finding = Constat
report-number = Nombre
report-accounts-concerned = Comptes concernés (la personne et ceux qu’elle a créés)
report-actions-asked-for = Actions demandées
report-of-which-done = dont exécutées
report-approvals-given-to-others = Approbations données à d’autres
report-records-read = Enregistrements lus, comptés par la passerelle
report-suspensions-and-revocations = Suspensions et révocations
report-alerts = Alertes
report-fill-categories = Catégories de données et de personnes concernées, conséquences probables (à compléter par le délégué à la protection des données)
report-fill-measures = Mesures prises ou envisagées (à compléter ; les suspensions sont ci-dessous)
report-heading-accounts = 2. Comptes et clés
report-account = Compte
report-name = Nom
report-state = État
report-made-by = Créé par
report-account-made-on = Créé le
report-keys = Clés
report-heading-actions = 3. Actions demandées
report-when = Quand
report-by = Par
report-action = Action
report-on = Sur
report-approved-by = Approuvée par
report-heading-approvals = 4. Approbations données à d’autres
report-asked-for-by = Demandée par
report-heading-timeline = 5. Chronologie
report-entry = Inscription
report-who = Qui
report-data = Données
report-heading-proofs = 6. Preuves
report-proofs = Chaque ligne de la chronologie est une inscription du journal, dont la présence sous ce point de contrôle signé se vérifie hors ligne, sans notre serveur :
report-covers = { $house }, du { $since } au { $until }. Établi le { $made }.

## sceau-server check-config
report-listens = écoute sur { $address } ({ $tls ->
    [yes] TLS
   *[no] en clair, sur la machine seule
 }), partie utilisatrice { $party }, origines { $origins }
report-services = { $count ->
    [0] services : aucun
   *[other] services : { $services }
 }
report-oauth = par OAuth, émetteur { $issuer } : { $services }
report-policy = politique (un seul « forbid » interdit ; des « permit » qui s’appliquent, le plus strict de chacun vaut ; tout le reste est refusé) :
report-models = clés que l’on peut enrôler ({ $anchors ->
    [one] { $anchors } racine
   *[other] { $anchors } racines
 }, { $list ->
    [yes] liste de métadonnées
   *[no] sans liste de métadonnées
 }) :
report-cards = cartes que l’on peut enrôler :
report-cards-attested = attestées par l’une de { $roots } racines, code PIN { $pin }, toucher { $touch }
report-cards-firmware = micrologiciel { $firmware } ou plus récent
report-cards-edition = édition { $edition }
report-cards-serials = { $count ->
    [one] { $count } numéro de série
   *[other] { $count } numéros de série
 }
report-cards-crl = non révoquées d’après une liste de moins de { $age }
report-cards-ocsp = non révoquées d’après une réponse OCSP de moins de { $age }
report-cards-unjudged = DANGER : la révocation n’est pas jugée
report-cards-any-policy = toutes
report-cards-issued = certifiées par { $issuer } (politiques : { $policies }), { $revocation } ; non attestées : ne scellent que ce que « key = "attested-or-issued" » permet
report-gate = passerelle : { $hosts }
report-warning = attention : { $text }
report-warning-no-keys = les clés ne sont pas encore là : lancez « sceau-server init »
report-warning-no-durability = store.danger_no_durability est mis : une coupure de courant peut perdre ce qui a été répondu
report-warning-no-provider-key = la clé du fournisseur d’identité n’est pas encore là : « serve » la crée
report-warning-no-signal-key = la clé des signaux n’est pas encore là : « serve » la crée
report-warning-no-policy = il n’y a aucune règle : tout est refusé, même de se connecter
report-warning-blind = sans liste de métadonnées à jour, enrôlements et approbations privilégiées sont refusés
report-warning-pin-never = piv.pin admet « never » : qui tient une telle carte approuve ; elle ne scelle que ce que « verification = "touch" » permet
report-warning-pin-once = piv.pin admet « { $word } » : une approbation ne montre pas que le code PIN a été tapé pour elle ; une telle carte ne scelle que ce que « verification = "touch" » permet
report-warning-touch-never = piv.touch admet « never » : un programme qui connaît le code PIN approuve sans la main de personne
report-warning-touch-cached = piv.touch admet « cached » : un toucher laisse un programme approuver pendant 15 secondes
report-warning-issuer-unjudged = piv.issuer « { $issuer } » : danger_revocation_not_judged est mis : des cartes révoquées passent
report-warning-issuer-any-policy = piv.issuer « { $issuer } » n’exige aucune politique de certificat : tout certificat de signature sous lui vaut celui d’une carte
report-metadata = liste FIDO : { $source }, demandée toutes les { $refresh }, signée par { $leaf } ; périmée de plus de { $grace }, elle fait refuser enrôlements et approbations privilégiées
report-metadata-none = aucune liste n’est encore gardée : « sceau-server metadata fetch » en cherche une
report-metadata-kept = liste gardée : n° { $no }, { $models ->
    [one] { $models } modèle
   *[other] { $models } modèles
 }, la suivante au plus tard le { $next }
report-metadata-fetched = métadonnées n° { $no }, { $models ->
    [one] { $models } modèle
   *[other] { $models } modèles
 }, les suivantes au plus tard le { $next }, dans { $file }
report-facts-recorded = { $count ->
    [one] { $count } inscription faite
   *[other] { $count } inscriptions faites
 }
report-facts-held = { $count ->
    [one] { $count } personne le tient jusque-là
   *[other] { $count } personnes le tiennent jusque-là
 }
report-campaign = ouverte le { $opened }, à finir le { $due } : { $kept } gardés, { $withdrawn } retirés, { $lapsed } échus, { $open } en attente
report-fate-open = en attente
report-fate-kept = gardé
report-fate-withdrawn = retiré
report-fate-lapsed = échu
