# Le rapport d’incident, en page : dans l’ordre de la notification à la CNIL.

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
report-fill-measures = Mesures prises ou envisagées (à compléter ; les suspensions sont ci-dessous)
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
report-proofs = Chaque ligne de la chronologie est une inscription du journal, dont la présence sous ce point de contrôle signé se vérifie hors ligne, sans notre serveur :
report-covers = { $house }, du { $since } au { $until }. Établi le { $made }.

## sceau-server check-config : la liste de métadonnées
report-metadata = liste FIDO : { $source }, demandée toutes les { $refresh }, signée par { $leaf } ; périmée de plus de { $grace }, elle fait refuser enrôlements et approbations privilégiées
report-metadata-none = aucune liste n’est encore gardée : « sceau-server metadata fetch » en cherche une
report-metadata-kept = liste gardée : n° { $no }, { $models ->
    [one] { $models } modèle
   *[other] { $models } modèles
 }, la suivante au plus tard le { $next }
