# L’enrôlement à l’assistance, dans le navigateur (/desk).

## Ce que dit la page, par étape, par code ou par erreur du navigateur
desk-said-begins = Un instant…
desk-said-denied = La politique de la maison ne permet pas cet enrôlement :
desk-said-malformed = Vérifiez l’identifiant, le nom et les rôles : une personne connue garde les siens.
desk-said-elsewhere = Cet enrôlement a été demandé dans une autre fenêtre : c’est là qu’il continue. Sinon, demandez-en un autre.
desk-said-touch = La personne suit le navigateur : elle choisit son code PIN seule (tournez-vous), puis touche sa clé. La marque et le modèle doivent être communiqués.
desk-said-done = La clé est enrôlée. Elle comptera après la première connexion de la personne.
desk-said-registration-refused = Cette clé n’est pas acceptée. Prenez-en une autre et recommencez.
desk-said-expired = L’invitation a expiré. Demandez un autre enrôlement.
desk-said-InvalidStateError = Cette clé est déjà à quelqu’un : la vôtre, ou une que vous avez remise. Prenez-en une autre.
desk-said-NotAllowedError = La clé n’a pas répondu, ou quelqu’un a annulé. Recommencez.
desk-said-unauthenticated = Vous n’êtes plus connecté. Rechargez la page.
desk-said-limited = Trop d’essais. Attendez une minute.
desk-said-failed = Cela n’a pas marché. Recommencez.

## Pour qui
desk-title = Remettre une clé
desk-look = Regardez la personne et son document d’identité. Seule la nature du document est inscrite, jamais son numéro. Votre clé scelle la demande à la page suivante.
desk-person = Identifiant de la personne
desk-name = Nom (d’une nouvelle personne)
desk-roles = Rôles d’une nouvelle personne, séparés par des espaces (facultatif)
desk-shown = Document présenté
desk-choose = Choisir…
desk-which = Clé
desk-go-on = Continuer avec ma clé
desk-document-identity-card = Carte nationale d’identité
desk-document-passport = Passeport
desk-document-residence-permit = Titre de séjour
desk-document-driving-licence = Permis de conduire
desk-document-staff-card = Carte d’agent
desk-key-main = Clé principale
desk-key-spare = Clé de secours

## La personne prend place
desk-seat = La personne prend place
desk-for = Pour
desk-identifier = Identifiant
desk-checked-on = Identité vérifiée sur
desk-step-out = Retirez votre clé.
desk-step-in = La personne prend place et met la sienne.
desk-step-pin = Elle choisit son code PIN seule : tournez-vous.
desk-enrol = Enrôler la clé de la personne
desk-to-receipt = Reçu à imprimer et à faire signer
desk-one-of-two = Les rôles de cette personne demandent deux clés, principale et de secours : sa première connexion ne sera possible qu’une fois les deux enrôlées.
desk-another = Remettre une autre clé

## Le reçu
desk-receipt = Reçu d’une clé de sécurité
desk-handed-to = Remise à
desk-model = Modèle
desk-aaguid = AAGUID
desk-registered = Clé au registre
desk-handed-on = Remise le
desk-handed-by = Par
desk-rule-pin = Le code PIN n’est connu que de moi. Je ne l’écris pas, je ne le donne à personne, pas même à l’assistance.
desk-rule-first-use = La clé ne compte qu’après ma première connexion avec elle.
desk-rule-read = Avant de toucher la clé, je lis ce qui est demandé. Si ce n’est pas moi, je refuse.
desk-rule-lost = Clé perdue, volée ou abîmée : je préviens l’assistance aussitôt.
desk-sign-person = La personne (date, signature)
desk-sign-desk = L’assistance (date, signature)
desk-print = Imprimer

## Les parcours de l’assistance, au terminal (sceau desk)
desk-path-counts = valable
desk-path-waits = attend sa première utilisation
desk-path-suspended = suspendue
desk-path-revoked = révoquée
desk-path-used = utilisée le
desk-path-no-key = aucune clé
desk-path-begun = La remise de cette clé avait été commencée : { $key }.
desk-path-ask-go-on = La reprendre (n : il s’agit d’une autre clé) ? [o/n]
desk-path-nothing-to-revoke = Pas de clé à révoquer.
desk-path-now-revoked = Révoquée ; les sessions qu’elle avait ouvertes sont finies.
desk-path-until-first-use = L’ancienne clé vaut jusqu’à la première utilisation de la nouvelle, puis elle est révoquée d’elle-même.
desk-path-which-one = Quelle clé (numéro) ?
desk-path-spare-counts = Entre-temps, l’autre clé de la personne vaut.
desk-path-last-one = C’est la dernière clé qui vaille : avant la première utilisation d’une autre, personne ne se connecte comme
desk-path-others-too = D’autres personnes doivent encore sceller : relancez la même commande ensuite.
desk-path-nothing-done = Rien n’a été fait.
desk-path-ask-reset = Remettre cette même clé à zéro pour la remettre à la personne (n : une autre clé) ? [o/n]
desk-path-put-blocked = Retirez votre clé, mettez la clé bloquée, puis Entrée :
desk-path-ask-retry = Réessayer ? [o/n]
desk-path-danger = TOUT ce que cette clé contient, pour tous les services, et son code PIN seront perdus pour toujours.
desk-path-type-name = Pour tout effacer, tapez
desk-path-not-erased = Rien n’a été effacé.
desk-path-replug = Retirez-la, remettez-la, puis aussitôt Entrée (et touchez-la) :
desk-path-empty = La clé est vide.
desk-path-ask-another = Remettre une autre clé maintenant ? [o/n]
desk-path-ask-spare = Les rôles de cette personne demandent deux clés, et il n’y en a qu’une. Lui en remettre une de secours ? [o/n]
desk-path-first-sign-in = Elle ne vaut rien avant que la personne se connecte avec elle :
desk-path-papers = Regardez la personne et son document ; quel document (numéro) ?
desk-path-all-of-it = Tout cela est suspendu ; les clés de la personne sont révoquées.
desk-path-alone = Seule la personne est suspendue, et ses clés sont révoquées ; ce qui descend d’elle demeure (--cascade : tombe aussi).
desk-path-left = Suspendue ; sessions finies, clés révoquées.
desk-path-pin = Code PIN
desk-path-for-the-way = provisoire ; la clé exige que je le change à la première utilisation
desk-path-slip-title = Code PIN provisoire
desk-path-slip-once = Ce code ne sert qu’une fois : la clé en exige un autre, que je choisis seul, avant de servir à quoi que ce soit.
desk-path-slip-opened = Pli ouvert, ou code refusé : je n’utilise pas la clé et je préviens l’assistance.
desk-path-slip-at = Code PIN provisoire, sous pli pour la personne seule (imprimez-le, puis effacez ce fichier)
desk-path-no-force = Cette clé ne sait pas exiger un autre code PIN : la personne a choisi le sien.
desk-path-own-pin = Ce code PIN n’était que pour le transport : tapez-le encore une fois, puis choisissez le vôtre.
