# Les pages du serveur : demandes (/actions), enrôlement (/enrol).

## Ce qu’il advient d’une demande, par état ou par code de refus
page-told-pending = En attente d’une clé.
page-told-waiting = Votre approbation compte. D’autres personnes doivent encore approuver.
page-told-approved = Demande approuvée.
page-told-executed = Demande approuvée et exécutée.
page-told-consumed = Demande approuvée et utilisée ; son issue n’est pas connue ici.
page-told-refused = Demande refusée : rien n’a été fait.
page-told-denied = La politique de la maison ne permet pas cette demande : rien n’a été fait.
page-told-expired = Le temps est écoulé : rien n’a été fait. Refaites la demande là où vous l’aviez faite.
page-told-begins = Un instant…
page-told-touch = Touchez votre clé quand elle clignote. Vous pouvez aussi répondre dans votre agent.
page-told-stepped-back = Rien n’a été signé. La demande attend toujours votre réponse.
page-told-no-key = La clé n’a pas répondu. Branchez-la et réessayez, ou répondez dans votre agent. Clé perdue ou bloquée : appelez l’assistance.
page-told-changed = La demande n’est pas celle qui est affichée. Rien n’a été signé : rechargez la page et prévenez l’assistance.
page-told-signed-out = La connexion a été refusée ou a expiré. Recommencez.
page-told-unauthenticated = Vous n’êtes plus connecté. Rechargez la page.
page-told-unknown-person = Cet identifiant ne permet pas de se connecter ici. Vérifiez-le.
page-told-malformed = Ce n’est pas un identifiant. Vérifiez-le.
page-told-not-verified = La réponse de la clé n’a pas été acceptée. Rien n’a été fait : prévenez l’assistance.
page-told-not-an-approver = Vous ne pouvez pas approuver cette demande avec cette clé.
page-told-already-settled = La demande est déjà réglée. Rechargez la page.
page-told-limited = Trop d’essais. Attendez une minute.
page-told-unavailable = Le serveur ne répond pas comme il faut. Réessayez dans un instant.

## Ce que dit la page d’enrôlement, par étape, par code ou par erreur du navigateur
page-enrolment-begins = Un instant…
page-enrolment-ready = Invitation reconnue. Branchez la clé à enrôler.
page-enrolment-touch = Suivez votre navigateur : code PIN, puis touchez la clé. Acceptez que sa marque et son modèle soient communiqués.
page-enrolment-done = La clé est enrôlée. Vous pouvez fermer cette page.
page-enrolment-registration-refused = Cette clé n’est pas acceptée.
page-enrolment-not-found = Cette invitation n’existe pas. Vérifiez que vous l’avez entière.
page-enrolment-malformed = Cette invitation n’existe pas. Vérifiez que vous l’avez entière.
page-enrolment-already-settled = Cette invitation a déjà servi. Demandez-en une autre à l’assistance.
page-enrolment-expired = Cette invitation a expiré. Demandez-en une autre à l’assistance.
page-enrolment-forbidden = Cette personne est suspendue : aucune clé ne peut être enrôlée.
page-enrolment-limited = Trop d’essais. Attendez une minute.
page-enrolment-unavailable = Le serveur ne répond pas comme il faut. Réessayez dans un instant.
page-enrolment-InvalidStateError = Cette clé est déjà enrôlée pour cette personne.
page-enrolment-NotAllowedError = La clé n’a pas répondu, ou vous avez annulé. Branchez-la et réessayez.
page-enrolment-SecurityError = Cette page n’est pas à l’adresse de votre organisation. Arrêtez-vous et prévenez l’assistance.
page-enrolment-failed = Cela n’a pas marché. Réessayez, ou appelez l’assistance.

## Demander, lire, répondre
page-signed-in = Connecté :
page-sign-out = Se déconnecter
page-needs-javascript = Cette page a besoin de JavaScript. Vous pouvez aussi répondre dans votre agent.
page-sign-in-title = Se connecter avec sa clé
page-sign-in-why = Pour lire cette demande, montrez que vous êtes là : votre clé de sécurité, branchée à cet ordinateur.
page-sign-in-identifier = Votre identifiant
page-sign-in-go-on = Continuer avec ma clé
page-check-address = Vérifiez l’adresse de cette page :
page-unknown-title = Demande inconnue
page-unknown = Il n’y a pas de demande à cette adresse, ou elle ne vous concerne pas. Vérifiez le lien, et que vous êtes connecté sous votre nom.
page-suspended-title = Session suspendue
page-suspended = Quelqu’un a signalé que cette session n’est pas la sienne, ou la personne est suspendue. Appelez l’assistance.
page-absent-title = Clé absente
page-absent = Cette session a besoin de votre clé, qui ne se montre pas. Rebranchez-la, puis rechargez la page.
page-unavailable-title = Momentanément indisponible
page-not-whole = Cette demande est trop longue pour être montrée entière : elle ne peut pas être approuvée ici.
page-exact-parameters = Paramètres exacts : tout ce que la clé signe
page-approve = Approuver avec ma clé
page-step-back = Revenir en arrière
page-without-key = Sans clé sous la main, répondez dans votre agent, ou laissez passer le temps : sans votre clé, rien ne se fait.
page-refuse-not-me = Ce n’est pas moi : refuser
page-refuse-mistake = C’est une erreur : refuser
page-back = Revenir au service
page-enrol-title = Enrôler une clé
page-enrol-invitation = L’invitation que l’assistance vous a remise
page-continue = Continuer
page-enrol-whose = Cette clé sera celle de
page-enrol-if-not-you = Si ce n’est pas vous, arrêtez-vous et prévenez l’assistance.
page-enrol-label = Nom de cette clé (facultatif)
page-enrol-make = Enrôler cette clé
page-asked-by = Demandé par
page-for-service = Pour le service
page-target = Objet
page-service-says = Le service dit
page-since = Depuis
page-valid-until = Valable jusqu’à

## Le fournisseur d’identité (docs/provider.md)
page-provider-title = Se connecter avec sa clé
page-provider-service = Service :
page-provider-who = Votre adresse professionnelle ou votre identifiant
page-provider-continue = Continuer
page-provider-touch = Touchez votre clé
page-provider-told-pending = Votre agent vous demande de sceller cette connexion. Comparez le nombre, puis touchez votre clé.
page-provider-told-approved = Scellé. Vous continuez…
page-provider-told-refused = Cette connexion a été refusée. Revenez au service et recommencez ; si ce n’est pas vous qui l’avez refusée, prévenez l’assistance.
page-provider-told-denied = La politique ne permet pas cette connexion. Si vous en avez besoin, adressez-vous à votre administrateur.
page-provider-told-expired = Le temps est écoulé. Revenez au service et recommencez.
page-provider-told-used = Cette connexion a déjà servi. Revenez au service.
page-provider-here = Ma clé est branchée ici : l’utiliser dans ce navigateur
page-provider-failed = La clé n’a pas répondu. Réessayez, ou utilisez votre agent.
page-provider-lower = Sans clé, le service apprend un niveau plus faible et peut refuser.
page-provider-lower-continue = Continuer sans clé
page-provider-notice = Connexion
page-provider-unanswerable = Cette demande ne vient pas d’un service connu. Revenez au service et recommencez.
page-provider-not-allowed = Votre rôle ne permet pas de vous connecter à ce service. Si vous en avez besoin, adressez-vous à votre administrateur.
page-provider-signed-out = Vous êtes déconnecté.

## Ce qui est signé
page-provider-action = Se connecter par ProConnect à « { $service } ». Votre navigateur affiche le nombre { $number } : s’il en affiche un autre, refusez.

## Ce qu’une suspension arrêtera, sur sa page
page-falls = Ce qui tombera
page-falls-whole = { $what } : d’un seul toucher, dans le même instant.
page-falls-alone = { $what }. Ceux que cette personne a créés restent.
page-falls-leaves = Elle part : ses clés seront révoquées, et ne reviendront jamais.
page-falls-grown = La lignée a grandi depuis que cela a été demandé : qui s’y est ajouté tombera aussi. Si cela vous étonne, appelez l’autre administrateur avant de sceller.
