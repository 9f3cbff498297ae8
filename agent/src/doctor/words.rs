//! What is said of each finding, and what to do about it.

use super::{Part, State};
use crate::locale::Language;

/// State; what it is in French and English; what to do in French and English, empty where there is nothing to do.
pub(super) type Words = (
    State,
    &'static str,
    &'static str,
    &'static str,
    &'static str,
);

use State::{Fault, Note, Ok};

/// By code.
pub(super) const ALL: &[(&str, Words)] = &[
    (
        "configured",
        (Ok, "Configuration lue", "Configuration read", "", ""),
    ),
    (
        "configuration-missing",
        (
            Fault,
            "Il n'y a pas de configuration",
            "There is no configuration",
            "Copiez agent.example.toml en ~/.config/sceau/agent.toml (ou /etc/sceau/agent.toml) et mettez-y l'adresse de votre serveur.",
            "Copy agent.example.toml to ~/.config/sceau/agent.toml (or /etc/sceau/agent.toml) and put your server's address there.",
        ),
    ),
    (
        "configuration-unreadable",
        (
            Fault,
            "La configuration ne peut pas être lue",
            "The configuration cannot be read",
            "Rendez le fichier lisible : chmod u+r FICHIER.",
            "Make the file readable: chmod u+r FILE.",
        ),
    ),
    (
        "configuration-malformed",
        (
            Fault,
            "La configuration est mal formée",
            "The configuration is malformed",
            "Corrigez la ligne nommée ; agent.example.toml dit ce que chaque clé veut.",
            "Mend the line that is named; agent.example.toml says what each key wants.",
        ),
    ),
    (
        "configuration-server",
        (
            Fault,
            "L'adresse du serveur ne convient pas",
            "The server's address will not do",
            "server = \"https://NOM\" sans chemin ; http n'est permis que vers cette machine.",
            "server = \"https://NAME\" without a path; http is allowed to this machine only.",
        ),
    ),
    (
        "configuration-rp-id",
        (
            Fault,
            "rp_id ne convient pas",
            "rp_id will not do",
            "rp_id est le nom de domaine du serveur, en minuscules, sans https:// ni port.",
            "rp_id is the server's domain name in lower case, without https:// or port.",
        ),
    ),
    (
        "configuration-pin",
        (
            Fault,
            "Une empreinte de spki_sha256 ne convient pas",
            "A pin in spki_sha256 will not do",
            "Demandez l'empreinte à votre administrateur : 32 octets en base64url, sans « = ».",
            "Ask your administrator for the pin: 32 bytes in base64url, without \"=\".",
        ),
    ),
    (
        "relying-party-elsewhere",
        (
            Fault,
            "rp_id n'est pas le nom du serveur ni son parent : rien de ce qui sera signé ne vaudra",
            "rp_id is neither the server's name nor its parent: nothing that is signed will count",
            "Mettez dans rp_id le nom que donne votre administrateur (souvent celui du serveur).",
            "Put into rp_id the name that your administrator gives (often the server's own).",
        ),
    ),
    (
        "ca-file-unusable",
        (
            Fault,
            "Le fichier d'autorités (ca_file) ne peut pas servir",
            "The file of authorities (ca_file) cannot be used",
            "ca_file doit nommer un fichier PEM lisible avec au moins un certificat ; depuis l'unité systemd, hors du dossier personnel ou dans ~/.config/sceau.",
            "ca_file must name a readable PEM file with at least one certificate; for the systemd unit, outside the home folder or in ~/.config/sceau.",
        ),
    ),
    (
        "server-reached",
        (
            Ok,
            "Le serveur répond et est le bon",
            "The server answers and is the right one",
            "",
            "",
        ),
    ),
    (
        "server-unresolved",
        (
            Fault,
            "Le nom du serveur est inconnu",
            "The server's name is not known",
            "Vérifiez `server` dans la configuration, le réseau et le DNS : getent hosts NOM.",
            "Check `server` in the configuration, the network and DNS: getent hosts NAME.",
        ),
    ),
    (
        "server-silent",
        (
            Fault,
            "Personne ne répond à l'adresse du serveur",
            "Nobody answers at the server's address",
            "Vérifiez le réseau, le pare-feu et le port ; sinon prévenez votre administrateur.",
            "Check the network, the firewall and the port; else tell your administrator.",
        ),
    ),
    (
        "server-untrusted",
        (
            Fault,
            "Ce qui répond n'est pas certifié pour ce nom",
            "What answers is not certified for that name",
            "N'acceptez rien. Si votre serveur a sa propre autorité, mettez-la dans ca_file ; sinon prévenez votre administrateur.",
            "Accept nothing. If your server has an authority of its own, put it into ca_file; else tell your administrator.",
        ),
    ),
    (
        "server-other-key",
        (
            Fault,
            "Ce qui répond n'a pas la clé épinglée",
            "What answers does not have the pinned key",
            "N'acceptez rien. Demandez à votre administrateur si la clé du serveur a changé, et la nouvelle empreinte.",
            "Accept nothing. Ask your administrator whether the server's key has changed, and for the new pin.",
        ),
    ),
    (
        "server-unwell",
        (
            Fault,
            "Le serveur répond qu'il ne va pas bien",
            "The server answers that it is not well",
            "Prévenez votre administrateur.",
            "Tell your administrator.",
        ),
    ),
    (
        "clock-right",
        (
            Ok,
            "L'heure est celle du serveur",
            "The time is the server's",
            "",
            "",
        ),
    ),
    (
        "clock-wrong",
        (
            Fault,
            "L'heure de cette machine diffère de celle du serveur",
            "This machine's time differs from the server's",
            "timedatectl set-ntp true",
            "timedatectl set-ntp true",
        ),
    ),
    (
        "clock-unknown",
        (
            Note,
            "Le serveur ne donne pas l'heure",
            "The server does not tell the time",
            "",
            "",
        ),
    ),
    (
        "runtime-directory-missing",
        (
            Fault,
            "XDG_RUNTIME_DIR n'est pas défini",
            "XDG_RUNTIME_DIR is not set",
            "Ouvrez une vraie session (pas su ni sudo) : logind crée ce dossier.",
            "Log in properly (not by su or sudo): logind makes that folder.",
        ),
    ),
    (
        "agent-running",
        (Ok, "L'agent répond", "The agent answers", "", ""),
    ),
    (
        "agent-absent",
        (
            Fault,
            "L'agent ne tourne pas",
            "The agent is not running",
            "systemctl --user enable --now sceau-agent.socket sceau-agent.service ; journalctl --user -u sceau-agent dit pourquoi il s'est arrêté.",
            "systemctl --user enable --now sceau-agent.socket sceau-agent.service; journalctl --user -u sceau-agent says why it stopped.",
        ),
    ),
    (
        "agent-refuses",
        (
            Fault,
            "L'agent refuse cette connexion",
            "The agent refuses this connection",
            "La socket est celle d'un autre utilisateur : lancez sceau comme la personne dont c'est la session.",
            "The socket is another user's: run sceau as the person whose session it is.",
        ),
    ),
    (
        "agent-of-another-version",
        (
            Fault,
            "L'agent est d'une autre version que cette commande",
            "The agent is of another version than this command",
            "systemctl --user restart sceau-agent.service",
            "systemctl --user restart sceau-agent.service",
        ),
    ),
    (
        "agent-of-another-server",
        (
            Fault,
            "L'agent parle à un autre serveur que celui de la configuration",
            "The agent talks to another server than the configuration's",
            "systemctl --user restart sceau-agent.service",
            "systemctl --user restart sceau-agent.service",
        ),
    ),
    (
        "signed-in",
        (
            Ok,
            "Quelqu'un est connecté",
            "Somebody is signed in",
            "",
            "",
        ),
    ),
    (
        "signed-out",
        (
            Note,
            "Personne n'est connecté",
            "Nobody is signed in",
            "sceau sign-in --person NOM",
            "sceau sign-in --person NAME",
        ),
    ),
    (
        "inbox-lost",
        (
            Fault,
            "L'agent n'est pas relié au serveur",
            "The agent is not connected to the server",
            "Réparez ce qui est dit du serveur ; l'agent se reconnecte de lui-même.",
            "Mend what is said of the server; the agent connects again by itself.",
        ),
    ),
    (
        "session-file-open",
        (
            Fault,
            "Le fichier de session est lisible par d'autres",
            "The session file can be read by others",
            "chmod 600 ~/.local/state/sceau/session, puis reconnectez-vous : le jeton a pu être lu.",
            "chmod 600 ~/.local/state/sceau/session, then sign in anew: the token may have been read.",
        ),
    ),
    (
        "pcscd-answers",
        (Ok, "pcscd répond", "pcscd answers", "", ""),
    ),
    (
        "pcscd-absent",
        (
            Fault,
            "pcscd ne tourne pas",
            "pcscd is not running",
            "sudo apt install pcscd ; sudo systemctl enable --now pcscd.socket",
            "sudo apt install pcscd; sudo systemctl enable --now pcscd.socket",
        ),
    ),
    (
        "pcscd-refuses",
        (
            Fault,
            "pcscd refuse cette session (polkit)",
            "pcscd refuses this session (polkit)",
            "Ouvrez votre session sur ce poste même, au premier plan ; à distance, il faut une règle polkit pour org.debian.pcsc-lite.access_pcsc.",
            "Log in at this very seat, in the foreground; from afar, a polkit rule for org.debian.pcsc-lite.access_pcsc is needed.",
        ),
    ),
    (
        "pcscd-fails",
        (
            Fault,
            "pcscd échoue",
            "pcscd fails",
            "sudo systemctl restart pcscd ; journalctl -u pcscd dit pourquoi.",
            "sudo systemctl restart pcscd; journalctl -u pcscd says why.",
        ),
    ),
    (
        "usb-key",
        (
            Ok,
            "Une clé USB est là, et vous pouvez l'ouvrir",
            "A USB key is there, and you may open it",
            "",
            "",
        ),
    ),
    ("usb-none", (Note, "Aucune clé USB", "No USB key", "", "")),
    (
        "usb-refused",
        (
            Fault,
            "Une clé USB est là, mais vous ne pouvez pas l'ouvrir",
            "A USB key is there, but you may not open it",
            "Règles udev : installez 70-sceau.rules dans /etc/udev/rules.d, puis « sudo udevadm control --reload && sudo udevadm trigger --subsystem-match=hidraw » ; et ouvrez votre session sur ce poste même.",
            "udev rules: install 70-sceau.rules in /etc/udev/rules.d, then \"sudo udevadm control --reload && sudo udevadm trigger --subsystem-match=hidraw\"; and log in at this very seat.",
        ),
    ),
    (
        "key-enrolled",
        (
            Ok,
            "Une clé enrôlée est là",
            "An enrolled key is there",
            "",
            "",
        ),
    ),
    (
        "key-absent",
        (
            Note,
            "Aucune clé",
            "No key",
            "Branchez votre clé, ou posez-la sur le lecteur.",
            "Plug your key in, or put it on the reader.",
        ),
    ),
    (
        "key-unknown",
        (
            Note,
            "Une clé est là, mais n'est pas enrôlée pour vous",
            "A key is there, but is not enrolled for you",
            "Branchez la vôtre, ou enrôlez celle-ci : sceau enroll --invitation-file FICHIER.",
            "Plug yours in, or enrol this one: sceau enroll --invitation-file FILE.",
        ),
    ),
    (
        "key-without-pin",
        (
            Fault,
            "La clé n'a pas de code PIN",
            "The key has no PIN",
            "sceau keys pin set",
            "sceau keys pin set",
        ),
    ),
    (
        "key-locked",
        (
            Fault,
            "Le code PIN de la clé est verrouillé ou bloqué",
            "The key's PIN is locked or blocked",
            "Retirez la clé et remettez-la ; si elle reste bloquée, voyez votre administrateur.",
            "Take the key out and put it back; if it stays blocked, see your administrator.",
        ),
    ),
    (
        "pinentry-there",
        (Ok, "pinentry est là", "pinentry is there", "", ""),
    ),
    (
        "pinentry-absent",
        (
            Fault,
            "pinentry n'est pas installé",
            "pinentry is not installed",
            "sudo apt install pinentry-gnome3 (ou pinentry-qt)",
            "sudo apt install pinentry-gnome3 (or pinentry-qt)",
        ),
    ),
    (
        "pinentry-without-windows",
        (
            Fault,
            "Le pinentry de cette machine n'ouvre pas de fenêtre",
            "This machine's pinentry opens no windows",
            "sudo apt install pinentry-gnome3 (ou pinentry-qt), puis sudo update-alternatives --config pinentry",
            "sudo apt install pinentry-gnome3 (or pinentry-qt), then sudo update-alternatives --config pinentry",
        ),
    ),
    (
        "desktop-served",
        (
            Ok,
            "Les notifications et fenêtres de Sceau sont en place",
            "Sceau's notifications and windows are in place",
            "",
            "",
        ),
    ),
    (
        "desktop-none",
        (
            Note,
            "Pas de bureau dans cette session : les questions viennent au terminal (sceau wait)",
            "No desktop in this session: questions come at the terminal (sceau wait)",
            "",
            "",
        ),
    ),
    (
        "session-bus-absent",
        (
            Fault,
            "Le bus D-Bus de la session ne répond pas",
            "The session's D-Bus does not answer",
            "sudo apt install dbus-user-session, puis rouvrez votre session.",
            "sudo apt install dbus-user-session, then log in again.",
        ),
    ),
    (
        "notification-server-absent",
        (
            Fault,
            "Personne n'affiche les notifications",
            "Nobody shows notifications",
            "Lancez ou installez un serveur de notifications (celui du bureau, ou dunst).",
            "Start or install a notification server (the desktop's own, or dunst).",
        ),
    ),
    (
        "desktop-absent",
        (
            Fault,
            "sceau-desktop ne tourne pas",
            "sceau-desktop is not running",
            "systemctl --user enable --now sceau-desktop.service",
            "systemctl --user enable --now sceau-desktop.service",
        ),
    ),
];

/// The words of a code.
pub(super) fn of(code: &str) -> Words {
    let found = ALL.iter().find(|(other, _)| *other == code);
    found.map_or((Fault, "?", "?", "?", "?"), |(_, words)| *words)
}

/// What a part is called.
pub(super) fn part(part: Part, language: Language) -> &'static str {
    match part {
        Part::Configuration => "configuration",
        Part::Server => language.pick("serveur", "server"),
        Part::Clock => language.pick("heure", "clock"),
        Part::Agent => "agent",
        Part::Session => "session",
        Part::SmartCards => language.pick("cartes", "smart cards"),
        Part::Usb => "USB",
        Part::Keys => language.pick("clés", "keys"),
        Part::Pinentry => "pinentry",
        Part::Desktop => language.pick("bureau", "desktop"),
    }
}
