# Ce que la passerelle dit elle-même (docs/gate.md).

## Refus et attentes : ce qui est arrivé, et que faire
gate-sign-in-needed = Connectez-vous d’abord avec votre clé.
gate-approval-needed = Cette demande attend une clé : touchez la vôtre quand votre agent le demande. Rien n’est encore exécuté.
gate-answered-elsewhere = La même demande a déjà reçu la réponse de l’application, dans une autre fenêtre. Ne la refaites pas : rechargez la page pour voir où elle en est.
gate-denied = La politique de sécurité interdit cette demande : rien n’a été exécuté. Si vous en avez besoin, adressez-vous à votre administrateur.
gate-refused = Cette demande a été refusée : rien n’a été exécuté. Voyez avec la personne qui a refusé avant de recommencer.
gate-expired = Aucune clé n’a approuvé cette demande à temps : rien n’a été exécuté. Refaites-la quand votre clé, et la personne qui doit approuver, sont là.
gate-already-used = Cette demande a déjà servi, et ne sert qu’une fois. Refaites-la si vous en avez encore besoin.
gate-already-used-or-ended = Cette demande a déjà servi, ou elle est close. Refaites-la si vous en avez encore besoin.
gate-outcome-unknown = La demande est partie et l’application n’a pas répondu : vérifiez dans l’application si elle est faite avant de recommencer.
gate-application-unavailable = L’application ne répond pas. Réessayez dans un instant.
gate-malformed = Cette demande ne peut pas être décrite exactement : rien n’a été exécuté. Revenez à la page d’avant et recommencez ; si cela se répète, prévenez votre administrateur.
gate-not-allowed = Vous ne pouvez pas demander cela : identifiant inconnu ici, ou droit manquant. Vérifiez que vous êtes connecté sous votre nom, sinon adressez-vous à votre administrateur.
gate-unknown-action = Il n’y a pas de telle demande. Revenez à l’application et recommencez.
gate-too-late = Le temps est écoulé : rien n’a été exécuté. Refaites la demande.
gate-cosignatures-missing = Les témoins du journal n’ont pas encore vu cette approbation : rien n’a été exécuté. Réessayez dans un instant ; si cela dure, prévenez votre administrateur.
gate-already-settled = Cette demande est déjà close. Rechargez la page pour voir comment.
gate-unavailable = Sceau est indisponible : rien n’est exécuté sans lui. Réessayez dans un instant ; si cela dure, prévenez votre administrateur.
gate-too-many = Trop de demandes attendent déjà. Répondez à celles qui sont en cours, ou réessayez dans un instant.
gate-session-suspended = Cette session a été suspendue. Adressez-vous à votre administrateur.
gate-key-absent = La clé de cette session n’est plus là. Remettez-la, ou connectez-vous de nouveau.
gate-sign-in = Connectez-vous avec votre clé.
gate-no-original = Le proxy n’a pas transmis la demande. Prévenez votre administrateur : sa configuration est à revoir.
gate-cross-site = Cette demande vient de la page d’un autre site : rien n’a été exécuté. Passez par l’application elle-même.
gate-use-the-proxy = Cette demande doit passer par Sceau comme proxy : ici son corps n’est pas visible. Pour l’administrateur : bodyless = true sur cette route si elle n’en a jamais.
gate-nothing-here = Rien à cette adresse.
gate-json-needed = Il faut un objet JSON dont le membre « person » est un identifiant.
gate-answer-not-counted = La réponse de l’application ne peut pas être comptée : elle n’est pas montrée. Prévenez votre administrateur.
gate-answer-too-large = La réponse de l’application est trop grande pour être comptée : elle n’est pas montrée. Demandez-en moins à la fois.
gate-account-suspended = Ce compte a été suspendu avec la lignée dont il descend. Adressez-vous à votre administrateur.
gate-account-unknown = Des comptes sont suspendus, et l’application ne dit pas lequel est le vôtre : réessayez plus tard.
gate-login-refused = La connexion par ProConnect n’a pas abouti, ou pas au niveau demandé : une clé matérielle est nécessaire. Recommencez.
gate-login-needed = Connectez-vous d’abord par ProConnect, avec le compte de cette personne.
gate-body-too-large = La demande est trop grande : rien n’a été exécuté. Envoyez moins à la fois.
gate-body-timeout = La demande n’est pas arrivée entière : rien n’a été exécuté. Vérifiez votre connexion et recommencez.
gate-upgrade-not-freed = Ce chemin n’accepte pas de WebSocket. Pour l’administrateur : une route avec upgrade = true.
gate-action-of-another-session = Cette demande n’est pas connue pour cette session. Revenez à l’application et recommencez.
gate-different-request = L’approbation porte sur une autre demande : rien n’a été exécuté. Revenez à l’application et recommencez.
gate-unknown-host = Il n’y a pas d’application à cette adresse. Vérifiez-la.
gate-ambiguous = La demande peut se lire de deux façons, ou pas du tout : rien n’a été exécuté. Revenez à la page d’avant et recommencez ; si cela se répète, prévenez votre administrateur ({ $detail }).
gate-not-canonical = L’adresse est écrite d’une manière que Sceau n’accepte pas : rien n’a été exécuté. Revenez à la page d’avant et recommencez ; si cela se répète, prévenez votre administrateur ({ $detail }).

## Lectures comptées
gate-budget-time = Votre dernier toucher date de plus de { $minutes ->
    [one] { $minutes } minute
   *[other] { $minutes } minutes
 }. Touchez votre clé pour lire { $limit ->
    [one] un enregistrement
   *[other] { $limit } enregistrements
 } de plus.
gate-budget-records = { $used ->
    [one] { $used } enregistrement lu
   *[other] { $used } enregistrements lus
 } sur { $limit }, et cette page en montre { $wanted ->
    [one] un nouveau
   *[other] { $wanted } nouveaux
 }. Touchez votre clé pour continuer.
gate-budget-too-many = Cette réponse contient { $wanted } enregistrements, un toucher en ouvre { $limit }. Demandez-en moins à la fois.

## Connexion
gate-sign-in-title = Se connecter avec sa clé
gate-sign-in-identifier = Votre identifiant
gate-sign-in-button = Se connecter
gate-sign-in-wait = Touchez votre clé : votre agent vous demande de sceller cette connexion.
gate-sign-in-refused = Connexion refusée ou expirée. Recommencez.
gate-sign-in-limited = Impossible pour le moment. Vérifiez votre identifiant, ou réessayez dans une minute.
gate-sign-in-browser = Pas d’agent sur ce poste ? Sceller dans ce navigateur (nouvel onglet)
gate-sign-in-proconnect = Se connecter avec ProConnect

## La page d’une demande
gate-waiting = En attente de la clé
gate-executed = Demande exécutée
gate-failed = L’application a répondu par une erreur
gate-unknown = Issue inconnue
gate-not-executed = Demande non exécutée
gate-told-pending = La demande attend une clé. Cette page continue d’elle-même.
gate-told-approved = Demande approuvée.
gate-told-again = Demande approuvée. Revenez en arrière et envoyez-la encore une fois, sans rien changer : elle sera alors exécutée.
gate-told-executed = Demande exécutée.
gate-told-failed = La demande a été transmise, et l’application a répondu par une erreur : vérifiez avant de recommencer.
gate-told-consumed = La demande est partie et l’application n’a pas répondu : vérifiez avant de recommencer.
gate-told-refused = Demande refusée ou expirée : rien n’a été exécuté.
gate-continue = Continuer
gate-seal-in-browser = Pas d’agent sur ce poste ? Lire et sceller dans ce navigateur

## Ce qui est signé
gate-budget-action = Lire jusqu’à { $limit ->
    [one] un enregistrement
   *[other] { $limit } enregistrements
 } de plus sur { $host }, pendant { $minutes } min (déjà lus : { $used })
gate-login-action = Se connecter par ProConnect, compte { $account } (fournisseur { $provider })
gate-login-action-new = Se connecter par ProConnect, compte { $account } (fournisseur { $provider }) ET déclarer que ce compte est le vôtre, désormais
