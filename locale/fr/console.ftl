# La console des opérateurs et des administrateurs (/console).

console-name = Console
console-skip = Aller au contenu
console-sections = Rubriques de la console
console-signed-in = Connecté :
console-leave = Se déconnecter
console-not-theirs-title = Cette console n’est pas pour vous
console-not-theirs = La console est réservée aux opérateurs de l’assistance et aux administrateurs. Si vous devez y avoir accès, demandez-le à un administrateur.
console-back = Revenir à la console

console-persons = Personnes
console-keys = Clés
console-enrolments = Enrôlements
console-actions = Demandes
console-campaigns = Recertifications
console-budgets = Budgets de lecture
console-alerts = Alertes
console-log = Journal
console-policy = Politique
console-metadata = Modèles de clés

console-unknown-title = Introuvable
console-unknown-text = Il n’y a rien à cette adresse, ou ce n’est pas pour vous : personne ne voit ici les personnes d’un rôle plus élevé que le sien. Vérifiez l’identifiant.
console-changed-title = La lignée a changé
console-changed-text = Quelqu’un s’est ajouté à cette lignée depuis que vous l’avez regardée, ou la page est trop ancienne. Rien n’a été demandé. Revenez à la lignée, regardez-la de nouveau, puis demandez la suspension.
console-limited-title = Trop de demandes
console-limited-text = Vous avez trop de demandes en cours ou refusées. Réglez-les, ou attendez quelques minutes, puis recommencez.
console-malformed-title = Demande incomplète
console-malformed-text = Un champ est vide ou ne convient pas. Rien n’a été demandé. Revenez en arrière et corrigez-le.
console-forbidden-title = Refusé
console-forbidden-text = Ce formulaire n’est pas de votre session, ou cette demande n’est pas permise. Rien n’a été demandé. Rechargez la page et recommencez.
console-unavailable-title = Momentanément indisponible
console-unavailable-text = Le serveur ne répond pas comme il faut. Réessayez dans un instant.

console-any = Tous
console-search = Rechercher
console-show = Afficher
console-nothing-found = Rien ne correspond.
console-first-page = Première page
console-next-page = Page suivante
console-export = Exporter en CSV (inscrit au journal)
console-and-more = { $count ->
    [one] Et { $count } de plus, qui n’est pas affiché.
   *[other] Et { $count } de plus, qui ne sont pas affichés.
}
console-unknown = inconnu
console-never = jamais
console-over = échu

console-person = Personne
console-role = Rôle
console-roles = Rôles
console-state = État
console-since = Depuis
console-until = jusqu’au
console-until-when = Jusqu’à
console-when = Quand
console-what = Quoi
console-where = Où
console-kind = Sorte
console-service = Service
console-change = Changer
console-identifier = Identifiant
console-organisation = Structure (SIRET)
console-requested-by = Demandé par
console-enrolled-by = Enrôlé par
console-first-administrators = Premiers administrateurs, à l’installation

console-search-person = Nom ou identifiant
console-persons-about = Ouvrez une personne pour voir ses rôles, ses clés et ses sessions, et pour la suspendre.
console-live-keys = Clés valides
console-person-state-active = active
console-person-state-inert = sans clé
console-person-state-suspended = suspendue
console-person-state-unknown = inconnu
console-roles-and-rights = Rôles et droits
console-right = Droit
console-a-role = rôle
console-a-fact = fait
console-no-end = sans fin
console-no-rights = Ni rôle ni droit.
console-no-keys = Aucune clé.
console-keys-of = { $have } sur { $wanted }
console-lacking = { $count ->
    [one] { $count } personne a moins de clés que ses rôles n’en demandent.
   *[other] { $count } personnes ont moins de clés que leurs rôles n’en demandent.
}
console-too-few = moins que les rôles n’en demandent
console-keys-lacking = Les rôles de cette personne demandent { $wanted } clés, principale et de secours ; celles qui valent : { $have }. Remettez ce qui manque avant qu’une clé soit perdue.
console-keys-wait = Les rôles de cette personne demandent { $wanted } clés ; celles qui valent : { $have }. Une autre vaudra dès que la personne se sera connectée avec elle.
console-no-sessions = Aucune session ouverte.
console-sessions = Sessions ouvertes
console-session-kind-agent = agent du poste
console-session-kind-browser = pages de Sceau
console-session-kind-gate = application
console-end-session = Demander à la fermer
console-their-actions = Les demandes de cette personne

console-suspend-alone = Suspendre cette personne seule
console-suspend-alone-about = Ses clés ne valent plus rien et ses sessions s’arrêtent. Ceux qu’elle a créés restent. Votre clé scellera la demande.
console-suspend = Demander la suspension
console-restore-about = Cette personne est suspendue. La rétablir demande deux personnes. Ses sessions restent fermées ; elle se connectera de nouveau.
console-restore = Demander à la rétablir seule
console-restore-subtree = Demander à la rétablir avec tous ceux tombés avec elle
console-withdraw = Retirer
console-keep = Garder
console-keep-until = Garder jusqu’au
console-record = Demander l’inscription
console-record-title = Inscrire un fait ou la fin d’un rôle
console-record-about = Un fait, tel que « training », ou « role:manager » pour la fin d’un rôle. Sans date, cela ne finit pas. Votre clé scellera la demande.
console-fact-name = Fait
console-until-day = Jusqu’à ce jour compris

console-lineage = Lignée de
console-lineage-link = Qui descend de cette personne, et ce qui tomberait avec elle
console-lineage-tree = Arbre
console-back-to-person = Revenir à la personne
console-an-account = (compte)
console-relation-created = créé
console-relation-enrolled = enrôlé
console-relation-granted = a reçu un droit
console-relation-is = même personne
console-would-fall = Ce qui tomberait
console-accounts = Comptes
console-open-actions = Demandes en cours
console-suspend-all = Suspendre toute la lignée
console-suspend-all-about = Un seul toucher de votre clé arrête d’un coup tout ce qui est compté ici. Vous verrez encore une fois la demande avant de la sceller. Revenir en arrière demandera deux personnes.
console-suspended-already = Cette personne est déjà suspendue.

console-search-key = Personne, nom de la clé ou modèle
console-keys-about = Le modèle et sa certification sont ceux de la liste de métadonnées en vigueur. Le numéro de série n’est pas transmis au serveur : il est sur la clé et dans le nom que l’assistance lui a donné.
console-key = Clé
console-unnamed = sans nom
console-model = Modèle et certification
console-model-unlisted = modèle absent de la liste en vigueur
console-model-not-certified = non certifié
console-model-certified = certifié FIDO, sans niveau
console-model-certified-l1 = certifié FIDO L1
console-model-certified-l1-plus = certifié FIDO L1+
console-model-certified-l2 = certifié FIDO L2
console-model-certified-l2-plus = certifié FIDO L2+
console-model-certified-l3 = certifié FIDO L3
console-model-certified-l3-plus = certifié FIDO L3+
console-model-retired = retiré par le fabricant
console-card-attested = carte PIV, attestée
console-card-issued = carte PIV, certifiée par son émetteur
console-enrolled = Enrôlée
console-last-use = Dernier usage
console-key-state-live = valide
console-key-state-waiting = attend son premier usage
console-key-state-suspended = suspendue
console-key-state-revoked = révoquée
console-key-reason-sign-count = son compteur est revenu en arrière : peut-être une copie
console-key-reason-person-suspended = avec sa personne
console-key-reason-dormant = inutilisée trop longtemps
console-key-reason-first-use = utilisée une première fois
console-key-reason-lost = perdue ou volée
console-key-reason-damaged = endommagée
console-key-reason-pin-blocked = code PIN bloqué
console-key-reason-replaced = une autre a pris sa place
console-key-reason-left = départ de la personne
console-key-reason-revoked = révoquée
console-key-record = Empreinte de l’enregistrement
console-revoke = Demander la révocation
console-revoke-about = Une clé révoquée ne revient jamais. Pour une clé perdue ou volée, révoquez-la tout de suite, puis enrôlez-en une autre.
console-approvals = Approbations des 90 derniers jours
console-no-approvals = Aucune approbation.

console-enrolment-open = à utiliser
console-enrolment-state-new = invitation prête
console-enrolment-state-opened = commencé
console-enrolment-state-used = terminé
console-enrolment-state-over = échu
console-enrol = Enrôler une clé à l’assistance

console-requester-identifier = Identifiant du demandeur
console-awaited = Attend
console-the-requester = le demandeur
console-missing = { $count ->
    [one] { $count } approbation de :
   *[other] { $count } approbations de :
}
console-action = Demande
console-action-state-pending = en attente
console-action-state-approved = approuvée
console-action-state-executed = exécutée
console-action-state-consumed = utilisée
console-action-state-refused = refusée
console-action-state-denied = non permise
console-action-state-expired = échue

console-campaigns-about = Une campagne donne une fin à un rôle pour tous ceux qui le portent. Chaque réponse est une demande que votre clé scelle. Qui n’est pas gardé à l’échéance perd le rôle.
console-campaigns-none = Aucune campagne depuis un an. « sceau-server facts recertify » en ouvre une.
console-campaign = Rôle { $role }
console-opened = Ouverte
console-due = Échéance
console-fate-open = à décider
console-fate-kept = gardé
console-fate-withdrawn = retiré
console-fate-lapsed = tombé à l’échéance

console-budgets-about = Chaque toucher ouvre tant de dossiers pour tant de minutes. Ensuite, lire encore demande un nouveau toucher.
console-budgets-none = Aucun service derrière la passerelle ne compte les lectures.
console-each-touch = Chaque toucher ouvre
console-lasts = Pendant
console-opened-by = Action qui ouvre la suite
console-records = { $count ->
    [one] { $count } dossier
   *[other] { $count } dossiers
}
console-minutes = { $count ->
    [one] { $count } minute
   *[other] { $count } minutes
}
console-days = { $count ->
    [one] { $count } jour
   *[other] { $count } jours
}
console-read = Lu dans la fenêtre
console-left = Reste
console-touched = Dernier toucher
console-last-read = Dernière lecture
console-needs-touch = un toucher d’abord
console-nobody-read = Personne n’a rien lu dans cette fenêtre.

console-alerts-about = Ce que quelqu’un devrait regarder, du plus récent au plus ancien.
console-looked-through = { $count ->
    [one] { $count } inscription examinée.
   *[other] { $count } inscriptions examinées.
}
console-no-alerts = Aucune alerte ici.
console-severity = Gravité
console-severity-info = information
console-severity-notice = à noter
console-severity-warning = attention
console-severity-alert = alerte
console-says = Contenu

console-log-about = Chaque inscription a sa preuve : ouvrez-la pour la voir et l’emporter. Rien ne peut en être ôté ni changé sans que cela se voie.
console-log-size = Inscriptions
console-log-key = Clé de vérification du journal
console-entry = Inscription
console-entry-number = inscription { $number }
console-proof = Preuve
console-proof-about = Le point de contrôle signé, ci-dessous, engage le journal entier. Le chemin de preuve relie cette inscription à lui. Emportez le fichier et vérifiez-le où vous voulez, sans nous faire confiance et sans réseau :
console-proof-key = La clé de vérification doit vous venir d’ailleurs que de cette page : de votre propre copie, d’un témoin, ou du rapport d’installation.
console-take-proof = Télécharger la preuve (JSON)
console-take-checkpoint = Télécharger le point de contrôle signé
console-checkpoint = Point de contrôle signé
console-inclusion = Chemin de preuve (SHA-256)
console-exact-entry = Inscription exacte, telle qu’elle est hachée

console-policy-about = La politique se change dans les fichiers du serveur, par qui administre la machine, et vaut au démarrage suivant. Chaque changement est inscrit au journal.
console-policy-since = En vigueur depuis
console-policy-by = par le démarrage du serveur
console-policy-long-ago = longtemps : son premier démarrage est plus loin dans le journal que ce qui est examiné ici
console-policy-or-longer = ou plus longtemps
console-policy-count = Règles
console-policy-name = Règle
console-policy-says = Dit
console-policy-file = Fichier
console-policy-text = Texte entier

console-metadata-about = La liste de la FIDO Alliance dit quels modèles de clés sont certifiés ou compromis. Une clé dont le modèle est révoqué est suspendue d’elle-même.
console-metadata-none = Aucune liste n’est configurée : les clés sont jugées d’après les certificats des fabricants que le serveur connaît.
console-metadata-never = aucune liste reçue
console-metadata-number = Numéro de la liste
console-metadata-believed = Reçue
console-metadata-next = Prochaine liste attendue le
console-metadata-grace = Tolérance après cette date
console-metadata-models = Modèles connus de ce serveur
console-blind-metadata-missing = Aucune liste n’est là : aucune clé ne peut être enrôlée ni approuver, sauf pour se connecter, suspendre et révoquer.
console-blind-metadata-stale = La liste est trop ancienne : aucune clé ne peut être enrôlée ni approuver, sauf pour se connecter, suspendre et révoquer. Vérifiez l’accès au réseau du serveur.
