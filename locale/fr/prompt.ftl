# Ce qui est demandé et montré sur le poste : fenêtres, notifications, terminal.

## Fenêtres
prompt-waiting-behind = { $count ->
    [one] Une autre demande attend derrière celle-ci.
   *[other] { $count } autres demandes attendent derrière celle-ci.
 }
prompt-page = Page { $page } sur { $count }
prompt-seal-title = Sceau : sceller cette action ?
prompt-button-seal = _Sceller
prompt-button-next = S_uite
prompt-button-refuse = _Refuser
prompt-button-later = _Plus tard
prompt-refuse-title = Sceau : refuser cette action ?
prompt-refuse-why = Si vous n’avez rien demandé, dites-le : la session qui demande est suspendue et votre administrateur est prévenu.
prompt-button-not-me = _Ce n’est pas moi
prompt-button-mistake = C’est une _erreur
prompt-button-back = _Retour
prompt-tries-left = { $count ->
    [one] Plus qu’un essai.
   *[other] Il reste { $count } essais.
 }
prompt-key = Clé
prompt-pin-title = Sceau : code PIN
prompt-button-stop = _Abandonner
prompt-pin-field = Code PIN :
prompt-wrong-pin = Code PIN faux.
prompt-pin-unfit = Ce code PIN ne convient pas ; rien n’a été envoyé.
prompt-button-type-again = _Retaper

## Pendant la cérémonie
prompt-nothing-sealed-title = Sceau : rien n’a été scellé
prompt-sealed = L’action est scellée.
prompt-refused = L’action est refusée.
prompt-no-window = Aucune fenêtre n’a pu s’ouvrir ; lancez « sceau approve » dans un terminal.
prompt-touch-your-key = Touchez votre clé
prompt-insert-your-key = Branchez votre clé
prompt-card-wanted = Une carte est attendue.
prompt-insert-your-card = Insérez votre carte
prompt-pin-on-reader = Tapez le code PIN sur le lecteur
prompt-withdrawn = L’action a été réglée ailleurs, ou a expiré ; rien n’a été signé ici.

## Notifications
prompt-notification-see = Voir
prompt-notification-refuse = Refuser
prompt-notification-awaits = Une action attend votre sceau
prompt-quiet-title = Sceau fait silence

## Au terminal
prompt-queued = Une autre demande est en cours…
prompt-insert-key-to-enrol = Branchez ou présentez la clé à enrôler…
prompt-insert-or-present = Branchez ou présentez votre clé
prompt-unclear-key = Cette clé ne donne pas de réponse utilisable : retirez-la et remettez-la, ou prenez une autre de vos clés
prompt-only-one-key = Plusieurs clés sont là : ne laissez que celle à enrôler…
prompt-touch-to-choose = Plusieurs clés sont là : touchez celle à enrôler…
prompt-insert-card = Introduisez la carte…
prompt-touch-the-key = Touchez la clé
prompt-processing = La clé travaille…
prompt-reporting = Envoi au serveur…
prompt-pin-of-key = Code PIN de la clé
prompt-wrong = Faux.
prompt-unfit = Cela ne convient pas (trop court, trop long, ou caractère refusé) ; rien n’a été envoyé.
prompt-once-more = Le même, encore une fois :
prompt-two-differ = Les deux diffèrent.
prompt-wrong-pin-on-reader = Code PIN faux
prompt-type-again = Le retaper sur le lecteur ? [o]ui, [n]on :
prompt-slot-used = Le compartiment 9C contient déjà une clé ; elle serait détruite pour toujours, et avec elle son enrôlement
prompt-replace = La remplacer ? [o]ui, [n]on :
prompt-new-pin = Nouveau code PIN :
prompt-seal-question = Sceller cette action ? [o]ui, [n]on (refuser), [p]lus tard :
prompt-refuse-question = Pourquoi ? [1] ce n’est pas moi (la session qui demande est suspendue), [2] c’est une erreur, [3] autre raison :
prompt-tries-left-inline = essais restants : { $count }
prompt-pin-of-card = Code PIN de la carte
prompt-new-pin-of-card = Nouveau code PIN, de 6 à 8 caractères
prompt-puk-of-card = Code PUK de la carte
prompt-new-puk-of-card = Nouveau code PUK, de 6 à 8 caractères
prompt-management-key = Clé d’administration, en hexadécimal
prompt-new-management-key = Nouvelle clé d’administration, en hexadécimal
prompt-pin-unfit-key = Ce code PIN ne convient pas (trop court, trop long, ou refusé par la clé).

## État du service
prompt-status-signed-out = Personne n’est connecté
prompt-status-connecting = Connexion au serveur
prompt-status-connected = Relié au serveur ; rien n’attend
prompt-status-waiting = { $count ->
    [one] Relié au serveur ; une action vous attend
   *[other] Relié au serveur ; { $count } actions vous attendent
 }
prompt-status-lost = Le serveur est injoignable
prompt-quiet = Beaucoup d’actions que vous ne scellez pas : plus de fenêtres pendant { $minutes ->
    [one] une minute
   *[other] { $minutes } minutes
 }. Quelqu’un cherche peut-être à vous lasser : prévenez votre administrateur. « sceau status » montre ce qui attend.
prompt-first-pin =
    Cette clé ({ $key }) n’a pas encore de code PIN ; il faut en choisir un, d’au moins { $count } caractères.
    Une ligne vide abandonne.
