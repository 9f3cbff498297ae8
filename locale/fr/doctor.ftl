# Ce que « sceau doctor » trouve (found), et ce qu’il y a à faire (todo), par code.

doctor-found-configured = Configuration lue
doctor-found-configuration-missing = Il n’y a pas de configuration
doctor-todo-configuration-missing = Copiez agent.example.toml en ~/.config/sceau/agent.toml (ou /etc/sceau/agent.toml) et mettez-y l’adresse de votre serveur.
doctor-found-configuration-unreadable = La configuration ne peut pas être lue
doctor-todo-configuration-unreadable = Rendez le fichier lisible : chmod u+r FICHIER.
doctor-found-configuration-malformed = La configuration est mal formée
doctor-todo-configuration-malformed = Corrigez la ligne nommée ; agent.example.toml dit ce que chaque clé veut.
doctor-found-configuration-server = L’adresse du serveur ne convient pas
doctor-todo-configuration-server = server = "https://NOM" sans chemin ; http n’est permis que vers cette machine.
doctor-found-configuration-rp-id = rp_id ne convient pas
doctor-todo-configuration-rp-id = rp_id est le nom de domaine du serveur, en minuscules, sans https:// ni port.
doctor-found-configuration-pin = Une empreinte de spki_sha256 ne convient pas
doctor-todo-configuration-pin = Demandez l’empreinte à votre administrateur : 32 octets en base64url, sans « = ».
doctor-found-relying-party-elsewhere = rp_id n’est pas le nom du serveur ni son parent : rien de ce qui sera signé ne vaudra
doctor-todo-relying-party-elsewhere = Mettez dans rp_id le nom que donne votre administrateur (souvent celui du serveur).
doctor-found-ca-file-unusable = Le fichier d’autorités (ca_file) ne peut pas servir
doctor-todo-ca-file-unusable = ca_file doit nommer un fichier PEM lisible avec au moins un certificat ; depuis l’unité systemd, hors du dossier personnel ou dans ~/.config/sceau.
doctor-found-server-reached = Le serveur répond et est le bon
doctor-found-server-unresolved = Le nom du serveur est inconnu
doctor-todo-server-unresolved = Vérifiez `server` dans la configuration, le réseau et le DNS : getent hosts NOM.
doctor-found-server-silent = Personne ne répond à l’adresse du serveur
doctor-todo-server-silent = Vérifiez le réseau, le pare-feu et le port ; sinon prévenez votre administrateur.
doctor-found-server-untrusted = Ce qui répond n’est pas certifié pour ce nom
doctor-todo-server-untrusted = N’acceptez rien. Si votre serveur a sa propre autorité, mettez-la dans ca_file ; sinon prévenez votre administrateur.
doctor-found-server-other-key = Ce qui répond n’a pas la clé épinglée
doctor-todo-server-other-key = N’acceptez rien. Demandez à votre administrateur si la clé du serveur a changé, et la nouvelle empreinte.
doctor-found-server-unwell = Le serveur répond qu’il ne va pas bien
doctor-todo-server-unwell = Prévenez votre administrateur.
doctor-found-clock-right = L’heure est celle du serveur
doctor-found-clock-wrong = L’heure de cette machine diffère de celle du serveur
doctor-todo-clock-wrong = timedatectl set-ntp true
doctor-found-clock-unknown = Le serveur ne donne pas l’heure
doctor-found-runtime-directory-missing = XDG_RUNTIME_DIR n’est pas défini
doctor-todo-runtime-directory-missing = Ouvrez une vraie session (pas su ni sudo) : logind crée ce dossier.
doctor-found-agent-running = L’agent répond
doctor-found-agent-absent = L’agent ne tourne pas
doctor-todo-agent-absent = systemctl --user enable --now sceau-agent.socket sceau-agent.service ; journalctl --user -u sceau-agent dit pourquoi il s’est arrêté.
doctor-found-agent-refuses = L’agent refuse cette connexion
doctor-todo-agent-refuses = La socket est celle d’un autre utilisateur : lancez sceau comme la personne dont c’est la session.
doctor-found-agent-of-another-version = L’agent est d’une autre version que cette commande
doctor-todo-agent-of-another-version = systemctl --user restart sceau-agent.service
doctor-found-agent-of-another-server = L’agent parle à un autre serveur que celui de la configuration
doctor-todo-agent-of-another-server = systemctl --user restart sceau-agent.service
doctor-found-signed-in = Quelqu’un est connecté
doctor-found-signed-out = Personne n’est connecté
doctor-todo-signed-out = sceau sign-in --person NOM
doctor-found-inbox-lost = L’agent n’est pas relié au serveur
doctor-todo-inbox-lost = Réparez ce qui est dit du serveur ; l’agent se reconnecte de lui-même.
doctor-found-session-file-open = Le fichier de session est lisible par d’autres
doctor-todo-session-file-open = chmod 600 ~/.local/state/sceau/session, puis reconnectez-vous : le jeton a pu être lu.
doctor-found-pcscd-answers = pcscd répond
doctor-found-pcscd-absent = pcscd ne tourne pas
doctor-todo-pcscd-absent = sudo apt install pcscd ; sudo systemctl enable --now pcscd.socket
doctor-found-pcscd-refuses = pcscd refuse cette session (polkit)
doctor-todo-pcscd-refuses = Ouvrez votre session sur ce poste même, au premier plan ; à distance, il faut une règle polkit pour org.debian.pcsc-lite.access_pcsc.
doctor-found-pcscd-fails = pcscd échoue
doctor-todo-pcscd-fails = sudo systemctl restart pcscd ; journalctl -u pcscd dit pourquoi.
doctor-found-usb-key = Une clé USB est là, et vous pouvez l’ouvrir
doctor-found-usb-none = Aucune clé USB
doctor-found-usb-refused = Une clé USB est là, mais vous ne pouvez pas l’ouvrir
doctor-todo-usb-refused = Règles udev : installez 70-sceau.rules dans /etc/udev/rules.d, puis « sudo udevadm control --reload && sudo udevadm trigger --subsystem-match=hidraw » ; et ouvrez votre session sur ce poste même.
doctor-found-key-enrolled = Une clé enrôlée est là
doctor-found-key-absent = Aucune clé
doctor-todo-key-absent = Branchez votre clé, ou posez-la sur le lecteur.
doctor-found-key-unknown = Une clé est là, mais n’est pas enrôlée pour vous
doctor-todo-key-unknown = Branchez la vôtre, ou enrôlez celle-ci : sceau enroll --invitation-file FICHIER.
doctor-found-key-without-pin = La clé n’a pas de code PIN
doctor-todo-key-without-pin = sceau keys pin set
doctor-found-key-locked = Le code PIN de la clé est verrouillé ou bloqué
doctor-todo-key-locked = Retirez la clé et remettez-la ; si elle reste bloquée, voyez votre administrateur.
doctor-found-pinentry-there = pinentry est là
doctor-found-pinentry-absent = pinentry n’est pas installé
doctor-todo-pinentry-absent = sudo apt install pinentry-gnome3 (ou pinentry-qt)
doctor-found-pinentry-without-windows = Le pinentry de cette machine n’ouvre pas de fenêtre
doctor-todo-pinentry-without-windows = sudo apt install pinentry-gnome3 (ou pinentry-qt), puis sudo update-alternatives --config pinentry
doctor-found-desktop-served = Les notifications et fenêtres de Sceau sont en place
doctor-found-desktop-none = Pas de bureau dans cette session : les questions viennent au terminal (sceau wait)
doctor-found-session-bus-absent = Le bus D-Bus de la session ne répond pas
doctor-todo-session-bus-absent = sudo apt install dbus-user-session, puis rouvrez votre session.
doctor-found-notification-server-absent = Personne n’affiche les notifications
doctor-todo-notification-server-absent = Lancez ou installez un serveur de notifications (celui du bureau, ou dunst).
doctor-found-desktop-absent = sceau-desktop ne tourne pas
doctor-todo-desktop-absent = systemctl --user enable --now sceau-desktop.service

## Parties, et la fin
doctor-part-server = serveur
doctor-part-clock = heure
doctor-part-cards = cartes
doctor-part-keys = clés
doctor-part-desktop = bureau
doctor-end = { $count ->
    [0] Tout est en ordre.
    [one] Un point à réparer.
   *[other] { $count } points à réparer.
 }
