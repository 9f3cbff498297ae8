# Ce qui ne va pas dans une configuration, un fichier qu’elle nomme ou une ligne de commande : les derniers mots d’une commande qui s’arrête.

## Fichiers et ports
fault-unreadable = { $path } ne peut pas être lu : { $reason }
fault-at-line = ligne { $line } : { $what }
fault-listen = impossible d’écouter sur { $address } : { $reason }

## La configuration de l’agent
fault-agent-rp-id = rp_id n’est pas un nom de domaine en minuscules
fault-agent-pin = spki_sha256 n’est pas 32 octets en base64url, sans « = » : { $pin }
fault-agent-log-key = log_key n’est pas la clé de vérification d’un journal (nom+empreinte+base64)
fault-agent-grace = presence.grace s’écrit 1500ms ou 2s, et vaut au plus 10s
fault-agent-variable = la variable { $name } n’est pas définie
fault-server-no-url = n’est pas une adresse
fault-server-relative = n’est pas une adresse complète (https://NOM)
fault-server-user = ne contient ni nom d’utilisateur ni mot de passe
fault-server-path = ne contient pas de chemin
fault-server-no-host = n’a pas de nom d’hôte
fault-server-plain = http n’est permis que vers cette machine ; prenez https
fault-server-scheme = n’est ni https ni http
fault-agent-runtime = sceau-agent ne peut pas démarrer : { $reason }
fault-agent-readers = les lecteurs ne peuvent pas être suivis : { $reason }
fault-bridge-stranger = n’a pas été lancé par un navigateur pour l’extension de Sceau
fault-bridge-message = ce n’est pas un message de l’extension
fault-desktop-twice = sceau-desktop tourne déjà dans cette session
fault-desktop-bus = bus de session : { $reason }
fault-pkcs11-started = sceau-pkcs11 est lancé par sceau-agent, avec une demande sur son entrée standard

## Demandes qu’une commande ne peut pas faire
fault-request-person = ce n’est pas l’identifiant d’une personne
fault-request-whose = session de qui ? Dites --person, ou mettez « person » dans la configuration
fault-request-has-pin = cette clé a déjà un code PIN : effacez-la d’abord (sceau keys reset)
fault-request-other-key = la clé qui est là porte un autre nom
fault-request-no-such-key = la personne n’a pas cette clé
fault-request-none = ce n’est pas une demande
fault-request-base64url = ce n’est pas du base64url
fault-request-certificate = ce n’est pas un certificat
fault-request-certificate-of-other-key = le certificat est celui d’une autre clé que celle de la carte

## La configuration du serveur
fault-rejected = { $key } : { $problem }
fault-out-of-range = { $key } : est compris entre { $least } et { $most }
fault-not-configured = n’est pas dans la configuration
fault-witness-key = n’est pas la clé de vérification d’un témoin
fault-witness-name = chaque témoin a son propre nom
fault-https-or-loopback = est une adresse https, ou http sur la machine même
fault-cosignatures-too-many = en demande plus qu’il n’y a de témoins
fault-cards-no-root = sans racines ni émetteurs, aucune carte ne pourrait être enrôlée
fault-cards-pin = est une liste prise parmi never, once, always, match-once, match-always
fault-cards-touch = est une liste prise parmi never, always, cached
fault-issuer-name = a de 1 à 100 caractères, sur une ligne
fault-issuer-revocation = ou ocsp dit qui juge des révocations, ou danger_revocation_not_judged = true les remplace
fault-issuer-crl = est une liste de fichiers, ou d’adresses http et https
fault-issuer-ocsp = est une liste d’adresses http ou https
fault-issuer-ocsp-nonce = n’a de sens que si des répondeurs OCSP sont interrogés
fault-longer-than-nothing = est une durée plus longue que zéro
fault-stream-name = chaque flux a son propre nom, de 1 à 64 caractères
fault-stream-secret = nomme le fichier du secret partagé
fault-stream-address = est unix:CHEMIN, udp:HÔTE:PORT, tcp:HÔTE:PORT ou tls:HÔTE:PORT
fault-stream-journald = pour journald est unix:CHEMIN
fault-own-id = chacun a son propre identifiant
fault-redirect-uris = sont des adresses https sans fragment (http pour localhost seulement)
fault-provider-level = est eidas3, ou absent
fault-receiver-service = est l’un des [[service]]
fault-receiver-twice = chacun n’a qu’un flux
fault-receiver-push = n’a de sens qu’avec push
fault-scim-name = chacun a son propre nom, de 1 à 48 caractères
fault-scim-lookup = est le chemin d’un attribut (RFC 7644, § 3.10)
fault-signal-give-up = et alert_after sont des durées plus longues que zéro
fault-presence-kinds = est gate, browser, ou les deux : la session de l’agent porte elle-même les preuves
fault-public-url = est une origine https (http pour localhost seulement)
fault-public-url-origin = est une origine : protocole, hôte et port, rien de plus
fault-host-name = est un nom d’hôte, en minuscules
fault-instance-name = a de 1 à 64 caractères
fault-store-url = ou store.url_file : l’un des deux, pas les deux
fault-tls-pair = va avec server.tls_key, et réciproquement
fault-tls-loopback = sans TLS, seule la machine même est servie (127.0.0.1 ou ::1)
fault-dormancy = « key » et « person » valent au moins 1d
fault-service-own = « sceau » est le serveur lui-même
fault-service-credential = chaque service a un jeton, ou ses propres clés dans [service.oauth]
fault-service-token = est le SHA-256 du jeton, en 64 chiffres hexadécimaux
fault-service-twice = chaque service a son propre identifiant et son propre jeton

## Les commandes du serveur
fault-not-initialised = rien n’est initialisé : { $path } manque ; lancez « sceau-server init » une fois, en tant que root
fault-initialised = le dépôt est déjà initialisé
fault-key-exposed = { $path } peut être lu par d’autres (droits { $mode }) : mettez 0600
fault-key-malformed = { $path } n’est pas { $kind }
fault-key-kind-p256 = une clé privée P-256 (PKCS #8, PEM)
fault-key-kind-before = ce que « keys rotate permit » laisse de la clé d’avant
fault-key-kind-line = une ligne de texte
fault-key-kind-bytes = 32 octets en base64url
fault-key-kind-secret = un secret d’au moins 32 caractères
fault-no-randomness = le système ne donne pas de nombres aléatoires
fault-key-not-made = aucune clé n’a été créée
fault-anchors-none = { $path } ne contient aucune ancre, et aucune source de métadonnées n’est configurée
fault-no-certificate = aucun certificat
fault-metadata-unavailable = la source des métadonnées est injoignable : { $reason }
fault-metadata-refused = les métadonnées sont refusées : { $reason }
fault-gate-host-twice = deux applications réclament l’hôte { $host }
fault-gate-no-application = gate.routes est vide : rien à garder
fault-gate-plain = la passerelle ne parle HTTP en clair que sur la machine même : donnez gate.tls, ou gate.behind_tls = true
fault-client-secret-short = le secret du client { $client } a moins de 32 caractères
fault-person = personne { $person } : { $what }
fault-service = service { $service } : { $what }
fault-service-keys = « keys_file » ou « keys » : l’un des deux, pas les deux
fault-service-key = clé { $number } : { $what }
fault-service-address = redirect_uris : { $uri } n’est pas une adresse https sans fragment (http pour localhost seulement)
fault-service-algorithms = « algorithms » est vide
fault-store-unavailable = le dépôt est injoignable : { $reason }
fault-store-corrupt = le dépôt est abîmé : { $what }
fault-store-schema = le dépôt est à la version { $found } de son schéma, que ce serveur ne connaît pas (la dernière qu’il connaît est { $known }) : prenez un serveur plus récent
fault-store-scheme = l’adresse du dépôt commence par sqlite:CHEMIN ou postgres:ADRESSE
fault-unknown-person = personne inconnue
fault-no-such-person = il n’y a pas de personne { $person }
fault-malformed-value = mal formé : { $what }
fault-clock-went-back = l’horloge est revenue en arrière
fault-unavailable = le dépôt ne répond pas
fault-report-unproven = le journal ne peut pas être prouvé : { $what }
fault-export-stranger = { $path } n’est pas un point de contrôle de ce journal
fault-export-rolled-back = le dossier contient { $held } inscriptions et le dépôt { $stored } : le dépôt est revenu en arrière ; le dossier n’a pas été touché
fault-export-forked = les { $count } premières inscriptions du dépôt ne sont pas celles qui ont été exportées : le journal a bifurqué ; le dossier n’a pas été touché
fault-export-unsigned = le point de contrôle n’a pas été signé
fault-policy = politique
fault-person-siret = siret a 14 chiffres, dont le dernier contrôle les autres
fault-person-email = email n’est pas une adresse
fault-person-names = sub, uid, given_name et usual_name ont de 1 à 255 octets
fault-person-twice = a le même id, sub ou email qu’une autre
fault-service-key-kid = à plusieurs, chacune a son « kid »
fault-service-key-kid-twice = une autre a le même « kid »
fault-service-key-many = trop de clés
fault-service-key-secret = est un secret : seule la partie publique se met ici
fault-service-key-short = une clé RSA a au moins 2048 bits
fault-service-key-jwk = n’est pas un JWK connu ici
fault-service-key-use = n’est pas faite pour signer
fault-service-key-algorithm = ne va avec aucun des « algorithms »
fault-service-key-public = n’est pas une clé publique

## sceau-keys-admin, que lance sceau keys
fault-child-started = sceau-keys-admin est lancé par « sceau keys », avec une demande sur son entrée standard
fault-child-absent = sceau-keys-admin n’est à aucun de ces endroits : { $places }
fault-child-late = la clé n’a pas répondu en { $limit }
fault-child-ended = la réponse de la clé n’a pas pu être lue (le programme d’administration a fini : { $how })
fault-child-malformed = le programme d’administration a répondu autre chose que prévu
