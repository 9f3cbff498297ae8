# Ce que les commandes « sceau » disent avoir fait.

## sceau keys
command-keys-none = aucune clé USB de ce nom n’est branchée (l’administration se fait par USB)
command-keys-several = plusieurs clés : dites laquelle par --key
command-keys-terminal = il faut un terminal
command-keys-stopped = Abandonné ; rien n’a été fait.
command-keys-reset-unsaid = rien n’a été effacé : dites --really-reset pour tout effacer
command-keys-reset-late = La clé n’a pas été rebranchée à temps ; rien n’a été effacé.
command-keys-failed = L’administration n’a pas abouti
command-keys-pin-of-key = Code PIN de la clé
command-keys-finger-again = Posez le doigt encore
command-keys-erase = Tout effacer sur
command-keys-erase-warning = Toutes les clés qu’elle contient, pour tous les services, et le code PIN seront perdus pour toujours.
command-keys-erase-type = Pour continuer, tapez
command-keys-reset-replug = Retirez la clé, remettez-la, puis touchez-la…
command-keys-reset-touch = Touchez la clé…
command-keys-pin-set = Code PIN défini.
command-keys-pin-changed = Code PIN changé.
command-keys-room = Place pour d’autres
command-keys-finger-enrolled = Doigt enregistré.
command-keys-empty = La clé est vide.
command-keys-new-pin = Nouveau code PIN :
command-keys-once-more = Le même, encore une fois :
command-keys-two-differ = Les deux diffèrent.

## sceau card
command-card-pin-changed = Code PIN changé.
command-card-pin-unblocked = Code PIN débloqué et remplacé.
command-card-puk-changed = Code PUK changé.
command-card-certificate-stored = Certificat rangé.
command-card-management-key-changed = Clé d’administration changée.
command-card-management-key-once = La voici, une seule fois ; gardez-la en lieu sûr :
command-card-factory-warning =
    !!! ATTENTION : cette carte garde la clé d’administration d’usine, que tout le monde connaît :
    !!! qui la tient un instant peut y remplacer clés et certificats. Lancez « sceau card management-key --random ».
command-card-key-made = Clé créée sur la carte
command-card-attested = La carte l’atteste : « sceau enroll --card » l’enrôle.
command-card-not-attested = La carte ne l’atteste pas : il lui faut un certificat de votre autorité (« --csr », puis « sceau card import »).
command-card-no-certificate = Aucun certificat.
command-card-issued-by = émis par
command-card-other-key = ! d’une autre clé que celle du compartiment
command-card-card = Carte
command-card-expires-soon = ! expire bientôt : demandez-en une autre
command-card-expired = ! expiré
command-card-certificate-valid-until = Certificat valable jusqu’au
command-card-touch = , toucher
command-card-slots = Compartiments
command-card-blocked = bloqué (« sceau card pin unblock »)
command-card-tries-left = essais restants
command-card-typed-on-the-reader = , à taper sur le lecteur
command-card-pin = Code PIN
command-card-serial = Numéro de la carte
command-card-factory-management-key = ! clé d’administration d’usine : « sceau card management-key »
command-card-no = non
command-card-enrolled = Enrôlée

## Le reçu que la personne signe
command-receipt-main-key = clé principale
command-receipt-spare-key = clé de secours
command-receipt-handed-to = Remise à
command-receipt-identifier = Identifiant
command-receipt-identity-checked-on = Identité vérifiée sur
command-receipt-key = Clé
command-receipt-model = Modèle
command-receipt-serial-number = Numéro de série
command-receipt-firmware = Micrologiciel
command-receipt-register = Clé au registre
command-receipt-handed-on-by = Remise le, par
command-receipt-pin-mine = Le code PIN n’est connu que de moi. Je ne l’écris pas, je ne le donne à personne, pas même à l’assistance.
command-receipt-first-use = La clé ne compte qu’après ma première connexion avec elle.
command-receipt-read = Avant de toucher la clé, je lis ce qui est demandé. Si ce n’est pas moi, je refuse.
command-receipt-lost = Clé perdue, volée ou abîmée : je préviens l’assistance aussitôt.
command-receipt-sign-person = La personne (date, signature)
command-receipt-sign-desk = L’assistance (date, signature)
command-receipt-title = Reçu d’une clé de sécurité

## sceau enroll --batch
command-batch-already = Clés déjà enrôlées
command-batch-pace = Le serveur limite le rythme : un instant…
command-batch-others = D’autres personnes doivent encore sceller : relancez plus tard.
command-batch-swap = Retirez votre clé, mettez celle de la personne, puis Entrée (p : passer) :
command-batch-done-before = Cette clé avait été enrôlée avant la dernière interruption ; son reçu est écrit maintenant.
command-batch-somebodys = Cette clé est déjà à quelqu’un : mettez-la de côté et prenez-en une autre.
command-batch-not-new = Cette clé n’est pas neuve : quelqu’un a choisi son code PIN.
command-batch-ask-erase = L’effacer entièrement pour la remettre (n : une autre clé ; g : la garder, la personne connaît le code) ? [o/n/g]
command-batch-own = C’est votre propre clé : retirez-la et mettez celle de la personne.
command-batch-handed-out = Cette clé a déjà été remise :
command-batch-look-away = La personne lit, puis choisit elle-même son code PIN : tournez-vous.
command-batch-enrolled = Enrôlée ; reçu

## Les autres commandes
command-no-agent = sceau-agent ne répond pas : lancez-le (« systemctl --user start sceau-agent »), ou voyez « sceau doctor »
command-terminal = il faut un terminal : le code PIN n’est jamais lu ailleurs.
command-goes-on = La même commande reprendra où elle en était.
command-keys-enrolled = { $done ->
    [one] { $done } clé enrôlée
   *[other] { $done } clés enrôlées
 } ; { $left ->
    [0] il n’en reste pas.
    [one] il en reste une.
   *[other] il en reste { $left }.
 }
command-key-enrolled = Clé enrôlée
command-signed-in = Connecté
command-signed-out = Déconnecté.
command-log-consistent = { $count ->
    [one] Journal du serveur : cohérent, { $count } inscription.
   *[other] Journal du serveur : cohérent, { $count } inscriptions.
 }
command-log-unseen = Journal du serveur : pas encore vu.
command-sealed = Scellée
command-refused = Refusée
command-put-off = Remise à plus tard
command-person = Personne
command-server = Serveur
command-keys-present = Clés présentes
command-piv-cards-present = Cartes PIV présentes
command-no-pcscd = pcscd ne répond pas (paquet pcscd installé ? service lancé ?)
command-awaiting = En attente de votre sceau
command-no-key = Aucune clé.
command-keys-own = Vos clés qui valent
command-keys-spare = Vos rôles demandent { $wanted } clés. Demandez au support une clé de secours ; une clé qui vous a été remise vaut après un sceau sign-in avec elle.
command-serial = Numéro de série
command-seen-over-usb = La même clé, vue aussi par USB
command-yes = oui
command-pin-set = Code PIN
command-document-identity-card = carte nationale d’identité
command-document-passport = passeport
command-document-residence-permit = titre de séjour
command-document-driving-licence = permis de conduire
command-document-staff-card = carte d’agent

## Listes, invitations, service
command-list-line = Ligne { $line } de la liste : { $what }.
command-list-person = « person » doit être un identifiant (lettres sans accent, chiffres, . _ @ + -), de 64 au plus
command-list-display = « display » doit être un nom, de 200 octets au plus
command-list-twice = cette personne est deux fois dans la liste
command-list-keys = « keys » est 1 ou 2
command-list-too-many = trop de personnes pour une seule liste : partagez-la
command-list-journal = { $path } n’est pas un journal d’enrôlement : écartez ce fichier si ce n’est pas le vôtre.
command-list-busy = Un autre enrôlement se sert déjà de cette liste : finissez-le, ou attendez.
command-batch-interrupted = Interrompu.
command-agent-malformed = sceau-agent répond autre chose que prévu : il est peut-être d’une autre version. Redémarrez-le.
command-not-an-invitation = { $path } ne contient pas d’invitation : elle tient en un mot, sans espace. Demandez-la de nouveau à l’assistance.
