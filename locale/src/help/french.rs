//! The command lines' help in French, by its English, which is what their sources say (clap's doc comments): a sentence that changes there loses its
//! French here, and a test says so. Both without a final full stop; a paragraph at a time.

/// English, French.
pub(super) const WORDS: &[(&str, &str)] = &[
    (
        "Exit code 1: it is not, and nothing more is sealed from here until --forget",
        "Code de retour 1 : il ne l’est pas, et rien n’est plus scellé d’ici jusqu’à --forget",
    ),
    (
        "Seals privileged actions with a physical key",
        "Scelle des actions privilégiées par une clé physique",
    ),
    (
        "List the authenticators that are there, or administer one",
        "Montrer les authentificateurs présents, ou en administrer un",
    ),
    (
        "Say who is signed in, whether the server is reached, and what awaits you",
        "Dire qui est connecté, si le serveur est joint, et ce qui vous attend",
    ),
    (
        "Show one action and seal it: PIN and touch",
        "Montrer une action et la sceller : code PIN et toucher",
    ),
    (
        "Refuse one action. \"not-me\" also suspends the session that asks",
        "Refuser une action. « not-me » suspend aussi la session qui demande",
    ),
    (
        "Enrol the key that is plugged in, by invitation; or, at a help desk, a box of keys for a list of persons",
        "Enrôler la clé branchée, sur invitation ; ou, à l’assistance, une boîte de clés pour une liste de personnes",
    ),
    (
        "List of persons (CSV): each request is sealed by your own key, then each key is put in; its person chooses the PIN",
        "Liste de personnes (CSV) : votre clé scelle chaque demande, puis chaque clé est mise ; sa personne choisit le code PIN",
    ),
    (
        "Where the receipts to sign go",
        "Où vont les reçus à signer",
    ),
    (
        "PIV cards: PIN, PUK, keys, certificates",
        "Cartes PIV : codes PIN et PUK, clés, certificats",
    ),
    (
        "The key's serial number (or its name) must be typed, and the key pulled and put back",
        "Il faut écrire le numéro de série de la clé (ou son nom), la retirer et la remettre",
    ),
    (
        "Interrupted, the same command goes on. Exit code 1: something is left to do, or was refused",
        "Interrompue, la même commande reprend. Code de retour 1 : il reste à faire, ou c’est refusé",
    ),
    ("National identity card", "Carte nationale d’identité"),
    ("Passport", "Passeport"),
    ("Residence permit", "Titre de séjour"),
    ("Driving licence", "Permis de conduire"),
    ("The administration's own card", "Carte d’agent"),
    ("Sign in with a key", "Se connecter par une clé"),
    (
        "With --batch: give each key that can insist on another PIN one for the way, on a slip for its person alone",
        "Avec --batch : donner à chaque clé qui sait en exiger un autre un code PIN provisoire, sous pli pour sa personne seule",
    ),
    (
        "The help desk's paths: a key is lost, damaged, blocked or to be replaced, or somebody leaves. Your own key seals what is done",
        "Les parcours de l’assistance : une clé est perdue, abîmée, bloquée ou à remplacer, ou quelqu’un part. Votre clé scelle ce qui est fait",
    ),
    ("What happened", "Ce qui est arrivé"),
    (
        "A key was lost or stolen: it is revoked at once, and its sessions end. Then a replacement",
        "Une clé est perdue ou volée : elle est révoquée aussitôt et ses sessions finissent. Puis une autre clé",
    ),
    (
        "A key does not work any more: it is revoked; the spare one works in between. Then a replacement",
        "Une clé ne marche plus : elle est révoquée ; celle de secours sert entre-temps. Puis une autre clé",
    ),
    (
        "A key's PIN is blocked: it is revoked and reset, which erases it, and enrolled anew; or another one is",
        "Le code PIN d’une clé est bloqué : elle est révoquée, remise à zéro (ce qui l’efface) et enrôlée de nouveau ; ou une autre l’est",
    ),
    (
        "Another key in the place of one that works: the old one is revoked by itself when the new one is used for the first time",
        "Une autre clé à la place d’une qui marche : l’ancienne est révoquée d’elle-même à la première utilisation de la nouvelle",
    ),
    (
        "Somebody leaves: they are suspended, their sessions end, their keys are revoked. Whom they begot is shown first",
        "Quelqu’un part : suspension, fin des sessions, révocation des clés. Sa descendance est montrée d’abord",
    ),
    (
        "Everything that descends from them falls too",
        "Tout ce qui descend de la personne tombe aussi",
    ),
    (
        "Which key, where the person has several",
        "Quelle clé, quand la personne en a plusieurs",
    ),
    (
        "What the person shows to say who they are: the kind alone is recorded",
        "Ce que la personne montre pour dire qui elle est : seule la nature du document est inscrite",
    ),
    ("No other key today", "Pas d’autre clé aujourd’hui"),
    (
        "Give the new key a PIN for the way, which it insists on changing at the first use, where it can",
        "Donner à la nouvelle clé, si elle le sait, un code PIN provisoire qu’elle exige de changer à la première utilisation",
    ),
    ("Who", "Qui"),
    (
        "Draw who descends from a person: whom they created, enrolled, gave rights to, and by which action",
        "Dessiner qui descend d’une personne : qui elle a créé, enrôlé, à qui elle a donné des droits, et par quelle action",
    ),
    ("Whom", "Qui"),
    (
        "Write a picture for a report",
        "Écrire une image pour un rapport",
    ),
    (
        "Suspend a person; with --cascade everything that descends from them too. It is shown first, then one touch seals all of it",
        "Suspendre une personne ; avec --cascade tout ce qui en descend aussi. C’est montré d’abord, puis un seul toucher scelle le tout",
    ),
    (
        "Everything that descends from them: persons, accounts, keys, sessions, open actions",
        "Tout ce qui en descend : personnes, comptes, clés, sessions, actions en cours",
    ),
    (
        "Bring back a suspended person; your policy says who else must seal it",
        "Rétablir une personne suspendue ; votre politique dit qui d’autre doit le sceller",
    ),
    (
        "Everyone who fell by the same suspension and descends from them",
        "Tous ceux qui sont tombés par la même suspension et en descendent",
    ),
    (
        "Record what is known of a person for a time, or when a role of theirs ends; your policy says who else must seal it",
        "Inscrire ce qu’on sait d’une personne pour un temps, ou la fin d’un de ses rôles ; votre politique dit qui d’autre doit le sceller",
    ),
    (
        "A word (training), or role:NAME for the end of a role that they hold",
        "Un mot (training), ou role:NOM pour la fin d’un rôle qu’elle tient",
    ),
    (
        "Until when: a day, through its end, or an instant. Without it, it does not end by itself",
        "Jusqu’à quand : un jour, inclus, ou un instant. Sans lui, cela ne finit pas de soi-même",
    ),
    ("It ends now", "Cela finit maintenant"),
    (
        "When the usual way is barred: a quorum of keys lends you a role for minutes; everyone is alerted, and it is reviewed afterwards",
        "Quand la voie ordinaire est barrée : un quorum de clés vous prête un rôle pour quelques minutes ; tous sont alertés, et c’est revu ensuite",
    ),
    (
        "Ask for it and seal it; the others of the quorum approve it with `sceau approve`",
        "Le demander et le sceller ; les autres du quorum l’approuvent par « sceau approve »",
    ),
    ("The role that you need", "Le rôle dont vous avez besoin"),
    (
        "For how many minutes, at most 240",
        "Pour combien de minutes, 240 au plus",
    ),
    ("Why, in a sentence", "Pourquoi, en une phrase"),
    (
        "Seal the review of an opening; until then it is not opened again",
        "Sceller la revue d’une ouverture ; jusque-là on n’ouvre plus",
    ),
    (
        "The review; the oldest that awaits you when absent",
        "La revue ; sinon la plus ancienne qui vous attend",
    ),
    ("Sign out", "Se déconnecter"),
    (
        "Stay, and show each action as it arrives",
        "Rester, et montrer chaque action à son arrivée",
    ),
    (
        "Check this workstation, and say what to do",
        "Vérifier ce poste, et dire quoi faire",
    ),
    ("Print JSON", "Écrire du JSON"),
    ("Print the outcome as JSON", "Écrire l’issue en JSON"),
    ("Print each outcome as JSON", "Écrire chaque issue en JSON"),
    (
        "The action; the oldest that awaits you when absent",
        "L’action ; sinon la plus ancienne qui vous attend",
    ),
    ("The action", "L’action"),
    ("Why", "Pourquoi"),
    ("In your words", "Dans vos mots"),
    (
        "File that holds the invitation, or - for standard input",
        "Fichier qui contient l’invitation, ou - pour l’entrée standard",
    ),
    ("A name for the key", "Un nom pour la clé"),
    (
        "Enrol the PIV card, though FIDO2 keys are there",
        "Enrôler la carte PIV, bien que des clés FIDO2 soient là",
    ),
    (
        "Part of the name of the reader; needed when there are several cards",
        "Partie du nom du lecteur ; nécessaire quand il y a plusieurs cartes",
    ),
    (
        "Who; as configured when absent",
        "Qui ; sinon comme configuré",
    ),
    (
        "Say what the key says of itself",
        "Dire ce que la clé dit d’elle-même",
    ),
    (
        "Set or change the key's PIN",
        "Choisir ou changer le code PIN de la clé",
    ),
    (
        "List the discoverable credentials on the key",
        "Montrer les identifiants que la clé garde",
    ),
    (
        "List the fingers that the key knows, or enrol one, where it has a sensor",
        "Montrer les doigts que la clé connaît, ou en ajouter un, là où elle a un capteur",
    ),
    (
        "Erase everything on the key for good: every credential for every service, and the PIN",
        "Effacer la clé pour toujours : tous les identifiants de tous les services, et le code PIN",
    ),
    (
        "The first PIN, or another one",
        "Le premier code PIN, ou un autre",
    ),
    ("Which key", "Quelle clé"),
    ("Enrol a finger", "Ajouter un doigt"),
    (
        "Without it nothing is erased",
        "Sans cela, rien n’est effacé",
    ),
    (
        "Follows security keys and the server's inbox; people talk to it with `sceau`",
        "Suit les clés de sécurité et la boîte de réception du serveur ; on lui parle par `sceau`",
    ),
    (
        "Configuration file, instead of $XDG_CONFIG_HOME/sceau/agent.toml",
        "Fichier de configuration, au lieu de $XDG_CONFIG_HOME/sceau/agent.toml",
    ),
    (
        "What to log on standard error: error, warn, info, debug",
        "Que journaliser sur la sortie d’erreur : error, warn, info, debug",
    ),
    (
        "Serve this user's processes instead of one's own; for sceau-agent@.service",
        "Servir les processus de cet utilisateur plutôt que les siens ; pour sceau-agent@.service",
    ),
    (
        "Shows what awaits the person, and asks for the PIN: notifications and pinentry, over the agent's socket",
        "Montre ce qui attend la personne et demande le code PIN : notifications et pinentry, par la socket de l’agent",
    ),
    (
        "The pinentry to ask with, instead of the session's own",
        "Le pinentry à employer, au lieu de celui de la session",
    ),
    (
        "Hands an action over from the server's approval page to the agent; browsers start it by themselves",
        "Remet à l’agent une action de la page d’approbation du serveur ; les navigateurs le lancent d’eux-mêmes",
    ),
    (
        "Write the extension for the configured server into this folder",
        "Écrire dans ce dossier l’extension faite pour le serveur configuré",
    ),
    (
        "Serial number, or device node",
        "Numéro de série, ou nœud du périphérique",
    ),
    ("The key has none yet", "La clé n’en a pas encore"),
    ("The key has one", "La clé en a un"),
    (
        "The person did not ask for this: the session that did is suspended",
        "La personne n’a rien demandé : la session qui l’a fait est suspendue",
    ),
    ("Asked for by mistake", "Demandée par erreur"),
    ("Something else", "Autre chose"),
    (
        "Change or unblock the PIN",
        "Changer ou débloquer le code PIN",
    ),
    (
        "Change it: the current one is asked for",
        "Le changer : l’actuel est demandé",
    ),
    (
        "Unblock it: the PUK is asked for, and a new PIN",
        "Le débloquer : le code PUK est demandé, et un nouveau code PIN",
    ),
    ("Change the PUK", "Changer le code PUK"),
    (
        "Show the certificates on the card",
        "Montrer les certificats de la carte",
    ),
    (
        "Print JSON, with the certificates in PEM",
        "Écrire du JSON, avec les certificats en PEM",
    ),
    (
        "Make a key in slot 9C on the card; with --csr, also a request for its certificate",
        "Créer une clé dans le compartiment 9C de la carte ; avec --csr, aussi la demande de son certificat",
    ),
    ("What kind of key", "Quel genre de clé"),
    ("ECDSA on P-256", "ECDSA sur P-256"),
    ("ECDSA on P-384", "ECDSA sur P-384"),
    ("RSA of 2048 bits", "RSA de 2048 bits"),
    ("RSA of 3072 bits", "RSA de 3072 bits"),
    ("RSA of 4096 bits", "RSA de 4096 bits"),
    (
        "When it waits for a touch; \"unset\" for cards that know no touch",
        "Quand elle attend un toucher ; « unset » pour les cartes qui n’en connaissent pas",
    ),
    ("Never", "Jamais"),
    ("For every signature", "À chaque signature"),
    (
        "Unless it was touched within 15 seconds. Refused for privileged actions by the default policy",
        "Sauf si elle a été touchée il y a moins de 15 secondes. La politique par défaut le refuse pour les actions privilégiées",
    ),
    (
        "As the card pleases: for cards that know no touch",
        "Comme la carte veut : pour celles qui ne connaissent pas le toucher",
    ),
    (
        "Write a certificate request (PKCS #10, PEM) to this file",
        "Écrire une demande de certificat (PKCS #10, PEM) dans ce fichier",
    ),
    (
        "The request's common name",
        "Le nom (common name) de la demande",
    ),
    (
        "Use the management key that cards ship with, instead of asking for it",
        "Employer la clé d’administration d’usine, au lieu de la demander",
    ),
    (
        "Store the certificate that was issued for the key in slot 9C",
        "Ranger le certificat émis pour la clé du compartiment 9C",
    ),
    ("The certificate, PEM or DER", "Le certificat, PEM ou DER"),
    (
        "Print the card's attestation of slot 9C, as `sceau-verify piv` reads it",
        "Écrire l’attestation du compartiment 9C par la carte, telle que « sceau-verify piv » la lit",
    ),
    (
        "Replace the management key",
        "Remplacer la clé d’administration",
    ),
    (
        "The new key's algorithm; as before when absent",
        "L’algorithme de la nouvelle clé ; sinon comme avant",
    ),
    (
        "Triple DES: for cards that know nothing else",
        "Triple DES : pour les cartes qui ne connaissent rien d’autre",
    ),
    (
        "Draw it at random and print it, once. Otherwise it is typed",
        "La tirer au sort et l’afficher, une seule fois. Sinon elle est tapée",
    ),
    (
        "Authenticate with the management key that cards ship with, instead of asking for it",
        "S’authentifier par la clé d’administration d’usine, au lieu de la demander",
    ),
    (
        "Say what this workstation has seen of the server's log: its key, how far it goes, and whether it is still what it was",
        "Dire ce que ce poste a vu du journal du serveur : sa clé, jusqu’où il va, et s’il est encore ce qu’il était",
    ),
    (
        "Forget checkpoint, key and breach: what the server shows next is believed. Only when the administrator says so",
        "Oublier point de contrôle, clé et rupture : ce que le serveur montrera ensuite sera cru. Seulement si l’administrateur le dit",
    ),
    (
        "Privileged actions sealed by a physical, genuine key: the server",
        "Des actions privilégiées scellées par une clé physique et authentique : le serveur",
    ),
    (
        "Make the store, the signing keys, and invitations for the first two administrators",
        "Créer la base, les clés de signature, et les invitations des deux premiers administrateurs",
    ),
    (
        "The configuration (TOML). Every key may also be given as SCEAU_SECTION__KEY",
        "La configuration (TOML). Chaque clé peut aussi être donnée par SCEAU_SECTION__CLÉ",
    ),
    (
        "A first administrator, `ID=Name`; give two. Two persons are needed so that neither can act alone",
        "Un premier administrateur, « ID=Nom » ; donnez-en deux. Il en faut deux pour qu’aucun n’agisse seul",
    ),
    (
        "Where the invitations are written, each in a file that only its owner reads; beside the configuration when not given",
        "Où vont les invitations, chacune dans un fichier que seul son propriétaire lit ; sinon à côté de la configuration",
    ),
    (
        "Serve the API, and the gate when `[gate]` is configured",
        "Servir l’API, et la passerelle quand « [gate] » est configuré",
    ),
    (
        "Read and check the configuration and every file that it names; explain the policy",
        "Lire et vérifier la configuration et chaque fichier qu’elle nomme ; expliquer la politique",
    ),
    (
        "What is known of persons for a time",
        "Ce qu’on sait des personnes pour un temps",
    ),
    (
        "Record a file of `person,fact,until` lines, all or none; each change is logged. A fact is a word (`training`) or `role:NAME`, whose end it is",
        "Inscrire un fichier de lignes « personne,fait,jusqu’à », toutes ou aucune ; chaque changement va au journal. Un fait est un mot (« training ») ou « role:NOM », dont c’est la fin",
    ),
    ("The file", "Le fichier"),
    (
        "List what ends soon, soonest first. Exit code 1: something has ended already",
        "Montrer ce qui finit bientôt, le plus proche d’abord. Code de retour 1 : quelque chose est déjà fini",
    ),
    ("Within so many days", "D’ici tant de jours"),
    (
        "Open a recertification: whoever holds the role holds it for so many days more, unless a sealed facts.record prolongs it",
        "Ouvrir une recertification : qui tient le rôle le tient encore tant de jours, sauf si un facts.record scellé le prolonge",
    ),
    ("The role", "Le rôle"),
    (
        "How long managers have to decide",
        "De combien de jours les responsables disposent pour décider",
    ),
    (
        "List the recertifications of the last days, and what became of everyone. Exit code 1: somebody awaits a decision",
        "Montrer les recertifications des derniers jours, et ce qu’il est advenu de chacun. Code de retour 1 : quelqu’un attend une décision",
    ),
    (
        "Opened within so many days",
        "Ouvertes depuis tant de jours",
    ),
    (
        "List active persons and live keys without a use for so many days. Exit code 1: there are some",
        "Montrer les personnes actives et les clés vivantes sans usage depuis tant de jours. Code de retour 1 : il y en a",
    ),
    ("For so many days", "Depuis tant de jours"),
    (
        "Enrolled keys, and the server's own",
        "Les clés enrôlées, et celles du serveur",
    ),
    (
        "List every enrolled key with its model, anchor, standing, age and last use, judged now: FIDO2 keys by the configured policy and the kept metadata, cards by `[piv]`, for which lists of revoked certificates and OCSP responders are asked",
        "Montrer chaque clé enrôlée avec son modèle, sa racine, son état, son âge et son dernier usage, jugée maintenant : les clés FIDO2 par la politique configurée et les métadonnées gardées, les cartes par « [piv] », pour lequel listes de révocation et répondeurs OCSP sont interrogés",
    ),
    (
        "Put a new signing key in the place of the old one; restart the server then",
        "Mettre une nouvelle clé de signature à la place de l’ancienne ; redémarrez ensuite le serveur",
    ),
    ("The key that signs permits", "La clé qui signe les permis"),
    (
        "The key that signs the log's checkpoints",
        "La clé qui signe les points de contrôle du journal",
    ),
    (
        "The old key may be in other hands: nothing more is signed with it",
        "L’ancienne clé est peut-être en d’autres mains : plus rien n’est signé avec elle",
    ),
    (
        "Log key: the old one signs no more beside the new one",
        "Clé du journal : l’ancienne ne signe plus à côté de la nouvelle",
    ),
    (
        "The log: export it as static files",
        "Le journal : l’exporter en fichiers statiques",
    ),
    (
        "Write the log as static files (tiles, entries, checkpoint) that any web server can host. Repeat it to bring the folder up to date",
        "Écrire le journal en fichiers statiques (tuiles, inscriptions, point de contrôle) que tout serveur web peut héberger. À répéter pour mettre le dossier à jour",
    ),
    ("Where to", "Où"),
    ("The FIDO metadata list", "La liste de métadonnées FIDO"),
    (
        "Fetch the list from the configured source, verify it, and write it to a file; what is refused is not written",
        "Chercher la liste à la source configurée, la vérifier, et l’écrire dans un fichier ; ce qui est refusé n’est pas écrit",
    ),
    (
        "Where to write it; the configured cache when not given",
        "Où l’écrire ; sinon le cache configuré",
    ),
    (
        "Test the policy, compare it with another, explain a decision",
        "Éprouver la politique, la comparer à une autre, expliquer une décision",
    ),
    (
        "Run a table of expected decisions",
        "Passer une table de décisions attendues",
    ),
    ("The table (TOML)", "La table (TOML)"),
    (
        "Folder or file of policies, in the place of the configuration's",
        "Dossier ou fichier de politiques, à la place de ceux de la configuration",
    ),
    (
        "Show which decisions on the stored actions of the last 30 days would have been others",
        "Montrer quelles décisions sur les actions des 30 derniers jours auraient été autres",
    ),
    (
        "Policies in force: a path, `configured` or `recorded`",
        "Politiques en vigueur : un chemin, « configured » ou « recorded »",
    ),
    (
        "Policies that would be: a path or `configured`",
        "Politiques envisagées : un chemin, ou « configured »",
    ),
    ("How far back", "Depuis combien de temps"),
    (
        "Say which policies decided about an action, from which facts",
        "Dire quelles politiques ont décidé d’une action, d’après quels faits",
    ),
    ("Reports from the log", "Rapports tirés du journal"),
    (
        "Write what a person, and the accounts that they begot, did since a moment: accounts, keys, actions, approvals, records read, suspensions, time line, with the proof of each line. `incident.json`, `incident.fr.html`, `incident.en.html`",
        "Écrire ce qu’une personne, et les comptes qu’elle a engendrés, ont fait depuis un moment : comptes, clés, actions, approbations, lectures, suspensions, chronologie, avec la preuve de chaque ligne. « incident.json », « incident.fr.html », « incident.en.html »",
    ),
    ("Whom it is about", "De qui il s’agit"),
    ("From when on (RFC 3339)", "Depuis quand (RFC 3339)"),
    (
        "Until when; now when not given",
        "Jusqu’à quand ; sinon maintenant",
    ),
    ("Where the files go", "Où vont les fichiers"),
    (
        "Follow logs, cosign what extends all that was cosigned before, and say when a log goes back or shows two histories",
        "Suivre des journaux, cosigner ce qui prolonge tout ce qui a été cosigné, et dire quand un journal revient en arrière ou montre deux histoires",
    ),
    (
        "Make the key and the state folder; print the verifier key, for logs and auditors",
        "Créer la clé et le dossier d’état ; afficher la clé de vérification, pour les journaux et les auditeurs",
    ),
    ("The configuration (TOML)", "La configuration (TOML)"),
    (
        "Answer `POST /add-checkpoint`, and follow the logs that have an address, until SIGTERM or SIGINT",
        "Répondre à « POST /add-checkpoint », et suivre les journaux qui ont une adresse, jusqu’à SIGTERM ou SIGINT",
    ),
    (
        "Follow the logs once, without listening. Exit code 1 when one is not what it was, or cannot be read. For timers",
        "Suivre les journaux une fois, sans écouter. Code de retour 1 quand l’un n’est plus ce qu’il était, ou ne peut être lu. Pour les minuteurs",
    ),
    (
        "Checks what Sceau signed, without asking any server",
        "Vérifie ce que Sceau a signé, sans interroger aucun serveur",
    ),
    (
        "What is printed is JSON anyway; accepted because every command of Sceau takes it",
        "La sortie est en JSON de toute façon ; admis parce que toute commande de Sceau l’admet",
    ),
    (
        "Verifies a FIDO2 assertion (WebAuthn L3 §7.2)",
        "Vérifie une assertion FIDO2 (WebAuthn L3 §7.2)",
    ),
    (
        "The case, or `-` for standard input",
        "Le cas, ou « - » pour l’entrée standard",
    ),
    (
        "Verifies a FIDO2 registration (WebAuthn L3 §7.1): statement, trust, policy",
        "Vérifie un enregistrement FIDO2 (WebAuthn L3 §7.1) : attestation, confiance, politique",
    ),
    (
        "The time of the judgement (RFC 3339). Without it nothing is trusted",
        "L’instant du jugement (RFC 3339). Sans lui, rien n’est digne de confiance",
    ),
    (
        "A folder of certificates (PEM or DER) that may vouch for authenticators; `anchors.toml` in it binds them to models",
        "Un dossier de certificats (PEM ou DER) qui peuvent garantir des authentificateurs ; « anchors.toml » les lie à des modèles",
    ),
    ("A FIDO metadata BLOB", "Un BLOB de métadonnées FIDO"),
    (
        "The root of the BLOB's signer (PEM)",
        "La racine du signataire du BLOB (PEM)",
    ),
    (
        "The name that the BLOB's signer must bear",
        "Le nom que le signataire du BLOB doit porter",
    ),
    (
        "A model policy (TOML), or `default` for the shipped one",
        "Une politique de modèles (TOML), ou « default » pour celle qui est livrée",
    ),
    (
        "A role of the person whose key it is; repeatable",
        "Un rôle de la personne à qui est la clé ; peut se répéter",
    ),
    (
        "Verifies a FIDO metadata BLOB (MDS3) and tells the standing of a model",
        "Vérifie un BLOB de métadonnées FIDO (MDS3) et dit l’état d’un modèle",
    ),
    (
        "The BLOB (a compact JWS), or `-` for standard input",
        "Le BLOB (un JWS compact), ou « - » pour l’entrée standard",
    ),
    (
        "The root that must end the signer's chain (PEM)",
        "La racine où doit finir la chaîne du signataire (PEM)",
    ),
    (
        "The time of the judgement (RFC 3339)",
        "L’instant du jugement (RFC 3339)",
    ),
    (
        "The highest number seen so far: a lower one is refused",
        "Le plus grand numéro vu jusqu’ici : un plus petit est refusé",
    ),
    (
        "The name that the signer's certificate must bear",
        "Le nom que le certificat du signataire doit porter",
    ),
    (
        "A model whose standing is asked",
        "Un modèle dont on demande l’état",
    ),
    (
        "Reads an action strictly and prints its digest, challenge and canonical bytes",
        "Lit une action strictement et écrit son condensat, son défi et ses octets canoniques",
    ),
    (
        "The action document, or `-` for standard input",
        "Le document de l’action, ou « - » pour l’entrée standard",
    ),
    (
        "Checks an evidence bundle (docs/evidence.md)",
        "Vérifie un dossier de preuve (docs/evidence.md)",
    ),
    (
        "The bundle, or `-` for standard input",
        "Le dossier de preuve, ou « - » pour l’entrée standard",
    ),
    (
        "The log's verifier key (`name+hash+base64`), or a file that holds it",
        "La clé de vérification du journal (« nom+condensat+base64 »), ou un fichier qui la contient",
    ),
    (
        "A witness that must have cosigned the checkpoint: its verifier key, or a file that holds it. May be repeated",
        "Un témoin qui doit avoir cosigné le point de contrôle : sa clé de vérification, ou un fichier qui la contient. Peut se répéter",
    ),
    (
        "Folder of manufacturers' roots; without it the origin of the keys is not judged",
        "Dossier des racines des fabricants ; sans lui l’origine des clés n’est pas jugée",
    ),
    (
        "When the keys' attestations must have been valid (RFC 3339); without it, at their enrolment",
        "Quand les attestations des clés devaient être valables (RFC 3339) ; sinon à leur enrôlement",
    ),
    (
        "Checks a whole log (docs/log.md)",
        "Vérifie un journal entier (docs/log.md)",
    ),
    (
        "Folder or URL of the log's static files (`checkpoint`, `tile/…`)",
        "Dossier ou URL des fichiers statiques du journal (« checkpoint », « tile/… »)",
    ),
    (
        "An earlier checkpoint of this log that was verified then: only what came since is read, and what came before must not have changed",
        "Un point de contrôle antérieur de ce journal, vérifié alors : seul ce qui est venu depuis est lu, et ce qui précède ne doit pas avoir changé",
    ),
    (
        "Verifies a PIV key attestation",
        "Vérifie l’attestation d’une clé PIV",
    ),
    (
        "Folder of trusted certificates (`.pem`, `.crt`, `.cer`, `.der`): roots, and intermediates that they issued",
        "Dossier de certificats de confiance (« .pem », « .crt », « .cer », « .der ») : racines, et intermédiaires qu’elles ont émis",
    ),
    (
        "When the chain must be valid (RFC 3339). Without it, there must have been a time when all of it was",
        "Quand la chaîne doit être valable (RFC 3339). Sinon, il doit y avoir eu un moment où elle l’était tout entière",
    ),
    (
        "Looks for permits without a log entry",
        "Cherche des permis sans inscription au journal",
    ),
    (
        "The permits that a service accepted, one compact JWS a line; or `-` for standard input",
        "Les permis qu’un service a acceptés, un JWS compact par ligne ; ou « - » pour l’entrée standard",
    ),
    (
        "Folder or URL of the log's static files",
        "Dossier ou URL des fichiers statiques du journal",
    ),
    (
        "Checks the proofs of an incident report (docs/alerts.md)",
        "Vérifie les preuves d’un rapport d’incident (docs/alerts.md)",
    ),
    (
        "`incident.json`, or `-` for standard input",
        "« incident.json », ou « - » pour l’entrée standard",
    ),
    (
        "Exit code 1: a key that counts would not be accepted now; at the next metadata list it is suspended",
        "Code de retour 1 : une clé qui compte ne serait plus acceptée ; à la prochaine liste de métadonnées elle est suspendue",
    ),
    (
        "Columns: person, key, state, verdict, model, AAGUID, anchor, status in metadata (of a card: why its revocation cannot be known now), age, last use, approvals of the last 90 days",
        "Colonnes : personne, clé, état, verdict, modèle, AAGUID, racine, état dans les métadonnées (d’une carte : pourquoi sa révocation ne peut être connue), âge, dernier usage, approbations des 90 derniers jours",
    ),
    (
        "The folder is a whole log at every moment, and holds no personal data. Exit code 1: the folder holds a longer log, or another history, than the store; it is left as it is, as evidence",
        "Le dossier est à tout moment un journal entier, sans donnée personnelle. Code de retour 1 : il contient un journal plus long que la base, ou une autre histoire ; il est laissé tel quel, comme preuve",
    ),
    (
        "The production list: source = \"https://mds3.fidoalliance.org/\". Exit code 1: refused, 3: unavailable",
        "La liste de production : source = \"https://mds3.fidoalliance.org/\". Code de retour 1 : refusée, 3 : indisponible",
    ),
    (
        "Exit code 1: a case came out otherwise. docs/policy.md says how a table is written; server/policy/tests.toml is the one of the shipped set",
        "Code de retour 1 : un cas a tourné autrement. docs/policy.md dit comment s’écrit une table ; server/policy/tests.toml est celle du jeu livré",
    ),
    (
        "Each action is decided again from the facts that were recorded when it was asked for. OLD and NEW are folders or files of policies, `configured` (those of the configuration) or, as OLD, `recorded` (what was decided then). Exit code 1: some decisions differ",
        "Chaque action est jugée de nouveau d’après les faits notés quand elle a été demandée. OLD et NEW sont des dossiers ou fichiers de politiques, « configured » (celles de la configuration) ou, pour OLD, « recorded » (ce qui fut décidé). Code de retour 1 : des décisions diffèrent",
    ),
    (
        "The files hold personal data: they are for the data protection officer and the authority",
        "Les fichiers contiennent des données personnelles : ils sont pour le délégué à la protection des données et l’autorité",
    ),
    (
        "document: identity-card, passport, residence-permit, driving-licence, staff-card (the kind alone, never its number)",
        "document : identity-card, passport, residence-permit, driving-licence, staff-card (la nature du document, jamais son numéro)",
    ),
    (
        "keys: 1, or 2 (main and spare), which whoever has a role gets when it is not said. Interrupted, the same command goes on",
        "keys : 1, ou 2 (principale et secours) ; non dit, qui a un rôle en reçoit deux. Interrompue, la même commande reprend",
    ),
    (
        "Nobody unblocks the PIN of a FIDO2 key; of a PIV card: sceau card pin unblock",
        "Personne ne débloque le code PIN d’une clé FIDO2 ; celui d’une carte PIV : sceau card pin unblock",
    ),
    (
        "Exit codes: 0 done, 1 no or refused, 2 usage or malformed input, 3 unavailable",
        "Codes de retour : 0 fait, 1 non ou refusé, 2 usage ou entrée mal formée, 3 indisponible",
    ),
    (
        "Exit codes: 0 yes or done, 1 no, 2 usage or malformed input, 3 unavailable",
        "Codes de retour : 0 oui ou fait, 1 non, 2 usage ou entrée mal formée, 3 indisponible",
    ),
    (
        "Exit codes: 0 yes or done, 1 a log is not what it was, 2 usage or malformed input, 3 unavailable",
        "Codes de retour : 0 oui ou fait, 1 un journal n’est plus ce qu’il était, 2 usage ou entrée mal formée, 3 indisponible",
    ),
    (
        "Exit status: 0 yes, 1 no, 2 usage or malformed input, 3 unavailable",
        "Codes de retour : 0 oui, 1 non, 2 usage ou entrée mal formée, 3 indisponible",
    ),
];

/// What clap says itself, a line at a time: `{}` stands for anything, and keeps its place.
pub(super) const CLAP: &[(&str, &str)] = &[
    ("Usage: {}", "Utilisation : {}"),
    ("Commands:", "Commandes :"),
    ("Options:", "Options :"),
    ("Arguments:", "Arguments :"),
    ("Possible values:", "Valeurs possibles :"),
    (
        "{}Print help (see a summary with '-h')",
        "{}Montrer cette aide (résumé : « -h »)",
    ),
    (
        "{}Print help (see more with '--help')",
        "{}Montrer cette aide (en entier : « --help »)",
    ),
    ("{}Print help", "{}Montrer cette aide"),
    ("{}Print version", "{}Montrer la version"),
    (
        "{}Print this message or the help of the given subcommand(s)",
        "{}Montrer cette aide, ou celle d’une commande",
    ),
    (
        "error: unexpected argument '{}' found",
        "erreur : argument inattendu « {} »",
    ),
    (
        "error: unrecognized subcommand '{}'",
        "erreur : commande inconnue « {} »",
    ),
    (
        "error: the following required arguments were not provided:",
        "erreur : il manque :",
    ),
    (
        "error: invalid value '{}' for '{}': {}",
        "erreur : valeur « {} » refusée pour « {} » : {}",
    ),
    (
        "error: invalid value '{}' for '{}'",
        "erreur : valeur « {} » refusée pour « {} »",
    ),
    (
        "error: a value is required for '{}' but none was supplied",
        "erreur : il faut une valeur pour « {} »",
    ),
    (
        "error: the argument '{}' cannot be used with '{}'",
        "erreur : « {} » ne va pas avec « {} »",
    ),
    (
        "error: the argument '{}' cannot be used multiple times",
        "erreur : « {} » ne peut être donné qu’une fois",
    ),
    (
        "error: '{}' requires a subcommand but one was not provided",
        "erreur : « {} » a besoin d’une commande",
    ),
    ("error: {}", "erreur : {}"),
    (
        "  tip: a similar argument exists: '{}'",
        "  peut-être « {} » ?",
    ),
    (
        "  tip: a similar subcommand exists: '{}'",
        "  peut-être « {} » ?",
    ),
    ("  tip: {}", "  conseil : {}"),
    (
        "For more information, try '{}'.",
        "Pour en savoir plus : « {} ».",
    ),
];

/// The same within a line, where it is followed by something of the command's.
pub(super) const WITHIN: &[(&str, &str)] = &[
    ("[default:", "[défaut :"),
    ("[possible values:", "[valeurs :"),
    ("[env:", "[environnement :"),
    ("[aliases:", "[alias :"),
    (" [COMMAND]", " [COMMANDE]"),
    (" <COMMAND>", " <COMMANDE>"),
    (
        "# optional: instead of the system's authorities",
        "# facultatif : à la place des autorités du système",
    ),
    (
        "# optional: who signs in here",
        "# facultatif : qui se connecte ici",
    ),
    ("The list: person,", "La liste : person,"),
    ("Examples:", "Exemples :"),
    ("Example:", "Exemple :"),
    ("Example configuration", "Exemple de configuration"),
];
