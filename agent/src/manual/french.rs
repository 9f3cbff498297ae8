//! The command lines' help in French, for man pages.

use clap::Command;

/// English help and its French; both as clap has them, without a final full stop.
const WORDS: &[(&str, &str)] = &[
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
        "Montrer une action et la sceller : code PIN et toucher",
    ),
    (
        "Refuse one action. \"not-me\" also suspends the session that asks",
        "Refuser une action. « not-me » suspend aussi la session qui demande",
    ),
    (
        "Enrol the key that is plugged in, by invitation; or, at a help desk, a box of keys for a list of persons",
        "Enrôler la clé branchée, sur invitation ; ou, à l'assistance, une boîte de clés pour une liste de personnes",
    ),
    (
        "List of persons (CSV): each request is sealed by your own key, then each key is put in; its person chooses the PIN",
        "Liste de personnes (CSV) : votre clé scelle chaque demande, puis chaque clé est mise ; sa personne choisit le code PIN",
    ),
    (
        "Where the receipts to sign go",
        "Où vont les reçus à signer",
    ),
    (
        "PIV cards: PIN, PUK, keys, certificates",
        "Cartes PIV : codes PIN et PUK, clés, certificats",
    ),
    ("Sign in with a key", "Se connecter par une clé"),
    (
        "Draw who descends from a person: whom they created, enrolled, gave rights to, and by which action",
        "Dessiner qui descend d'une personne : qui elle a créé, enrôlé, à qui elle a donné des droits, et par quelle action",
    ),
    ("Whom", "Qui"),
    (
        "Write a picture for a report",
        "Écrire une image pour un rapport",
    ),
    (
        "Suspend a person; with --cascade everything that descends from them too. It is shown first, then one touch seals all of it",
        "Suspendre une personne ; avec --cascade tout ce qui en descend aussi. C'est montré d'abord, puis un seul toucher scelle le tout",
    ),
    (
        "Everything that descends from them: persons, accounts, keys, sessions, open actions",
        "Tout ce qui en descend : personnes, comptes, clés, sessions, actions en cours",
    ),
    (
        "Bring back a suspended person; your policy says who else must seal it",
        "Rétablir une personne suspendue ; votre politique dit qui d'autre doit le sceller",
    ),
    (
        "Everyone who fell by the same suspension and descends from them",
        "Tous ceux qui sont tombés par la même suspension et en descendent",
    ),
    (
        "Record what is known of a person for a time, or when a role of theirs ends; your policy says who else must seal it",
        "Inscrire ce qu'on sait d'une personne pour un temps, ou la fin d'un de ses rôles ; votre politique dit qui d'autre doit le sceller",
    ),
    (
        "A word (training), or role:NAME for the end of a role that they hold",
        "Un mot (training), ou role:NOM pour la fin d'un rôle qu'elle tient",
    ),
    (
        "Until when: a day, through its end, or an instant. Without it, it does not end by itself",
        "Jusqu'à quand : un jour, inclus, ou un instant. Sans lui, cela ne finit pas de soi-même",
    ),
    ("It ends now", "Cela finit maintenant"),
    (
        "When the usual way is barred: a quorum of keys lends you a role for minutes; everyone is alerted, and it is reviewed afterwards",
        "Quand la voie ordinaire est barrée : un quorum de clés vous prête un rôle pour quelques minutes ; tous sont alertés, et c'est revu ensuite",
    ),
    (
        "Ask for it and seal it; the others of the quorum approve it with `sceau approve`",
        "Le demander et le sceller ; les autres du quorum l'approuvent par « sceau approve »",
    ),
    ("The role that you need", "Le rôle dont vous avez besoin"),
    (
        "For how many minutes, at most 240",
        "Pour combien de minutes, 240 au plus",
    ),
    ("Why, in a sentence", "Pourquoi, en une phrase"),
    (
        "Seal the review of an opening; until then it is not opened again",
        "Sceller la revue d'une ouverture ; jusque-là on n'ouvre plus",
    ),
    (
        "The review; the oldest that awaits you when absent",
        "La revue ; sinon la plus ancienne qui vous attend",
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
    ("Print the outcome as JSON", "Écrire l'issue en JSON"),
    ("Print each outcome as JSON", "Écrire chaque issue en JSON"),
    (
        "The action; the oldest that awaits you when absent",
        "L'action ; sinon la plus ancienne qui vous attend",
    ),
    ("The action", "L'action"),
    ("Why", "Pourquoi"),
    ("In your words", "Dans vos mots"),
    (
        "File that holds the invitation, or - for standard input",
        "Fichier qui contient l'invitation, ou - pour l'entrée standard",
    ),
    ("A name for the key", "Un nom pour la clé"),
    (
        "Enrol the PIV card, though FIDO2 keys are there",
        "Enrôler la carte PIV, bien que des clés FIDO2 soient là",
    ),
    (
        "Part of the name of the reader; needed when there are several cards",
        "Partie du nom du lecteur ; nécessaire quand il y a plusieurs cartes",
    ),
    (
        "Who; as configured when absent",
        "Qui ; sinon comme configuré",
    ),
    (
        "Say what the key says of itself",
        "Dire ce que la clé dit d'elle-même",
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
        "Effacer la clé pour toujours : tous les identifiants de tous les services, et le code PIN",
    ),
    (
        "The first PIN, or another one",
        "Le premier code PIN, ou un autre",
    ),
    ("Which key", "Quelle clé"),
    ("Enrol a finger", "Ajouter un doigt"),
    (
        "Without it nothing is erased",
        "Sans cela, rien n'est effacé",
    ),
    (
        "Follows security keys and the server's inbox; people talk to it with `sceau`",
        "Suit les clés de sécurité et la boîte de réception du serveur ; on lui parle par `sceau`",
    ),
    (
        "Configuration file, instead of $XDG_CONFIG_HOME/sceau/agent.toml",
        "Fichier de configuration, au lieu de $XDG_CONFIG_HOME/sceau/agent.toml",
    ),
    (
        "What to log on standard error: error, warn, info, debug",
        "Que journaliser sur la sortie d'erreur : error, warn, info, debug",
    ),
    (
        "Serve this user's processes instead of one's own; for sceau-agent@.service",
        "Servir les processus de cet utilisateur plutôt que les siens ; pour sceau-agent@.service",
    ),
    (
        "Shows what awaits the person, and asks for the PIN: notifications and pinentry, over the agent's socket",
        "Montre ce qui attend la personne et demande le code PIN : notifications et pinentry, par la socket de l'agent",
    ),
    (
        "The pinentry to ask with, instead of the session's own",
        "Le pinentry à employer, au lieu de celui de la session",
    ),
    (
        "Hands an action over from the server's approval page to the agent; browsers start it by themselves",
        "Remet à l'agent une action de la page d'approbation du serveur ; les navigateurs le lancent d'eux-mêmes",
    ),
    (
        "Write the extension for the configured server into this folder",
        "Écrire dans ce dossier l'extension faite pour le serveur configuré",
    ),
];

/// The French of a help text, if there is one.
fn french(text: &str) -> Option<String> {
    let bare = text.trim_end_matches('.');
    if let Some((_, french)) = WORDS.iter().find(|(english, _)| *english == bare) {
        return Some((*french).to_owned());
    }
    let examples = text
        .replace("Examples:", "Exemples :")
        .replace("Example:", "Exemple :")
        .replace("Example configuration", "Exemple de configuration")
        .replace(
            "Exit codes: 0 done, 1 no or refused, 2 usage or malformed input, 3 unavailable.",
            "Codes de retour : 0 fait, 1 non ou refusé, 2 usage ou entrée mal formée, 3 indisponible.",
        );
    (examples != text).then_some(examples)
}

/// The command with its help in French.
pub(super) fn translated(mut command: Command) -> Command {
    if let Some(about) = command.get_about().and_then(|it| french(&it.to_string())) {
        command = command.about(about);
    }
    if let Some(long) = command
        .get_long_about()
        .and_then(|it| french(&it.to_string()))
    {
        command = command.long_about(long);
    }
    if let Some(after) = command
        .get_after_help()
        .and_then(|it| french(&it.to_string()))
    {
        command = command.after_help(after);
    }
    command = command.mut_args(|argument| {
        let help = argument.get_help().and_then(|it| french(&it.to_string()));
        match help {
            Some(help) => argument.help(help),
            None => argument,
        }
    });
    command.mut_subcommands(translated)
}

/// A page's headings in French.
pub(super) fn headings(page: &str) -> String {
    let mut text = page.to_owned();
    for (english, french) in [
        (".SH NAME", ".SH NOM"),
        (".SH SUBCOMMANDS", ".SH SOUS\\-COMMANDES"),
        (".SH EXTRA", ".SH EXEMPLES"),
    ] {
        text = text.replace(english, french);
    }
    text
}
