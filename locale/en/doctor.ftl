# What "sceau doctor" finds (found), and what there is to do (todo), by code.

doctor-found-configured = Configuration read
doctor-found-configuration-missing = There is no configuration
doctor-todo-configuration-missing = Copy agent.example.toml to ~/.config/sceau/agent.toml (or /etc/sceau/agent.toml) and put your server's address there.
doctor-found-configuration-unreadable = The configuration cannot be read
doctor-todo-configuration-unreadable = Make the file readable: chmod u+r FILE.
doctor-found-configuration-malformed = The configuration is malformed
doctor-todo-configuration-malformed = Mend the line that is named; agent.example.toml says what each key wants.
doctor-found-configuration-server = The server's address will not do
doctor-todo-configuration-server = server = "https://NAME" without a path; http is allowed to this machine only.
doctor-found-configuration-rp-id = rp_id will not do
doctor-todo-configuration-rp-id = rp_id is the server's domain name in lower case, without https:// or port.
doctor-found-configuration-pin = A pin in spki_sha256 will not do
doctor-todo-configuration-pin = Ask your administrator for the pin: 32 bytes in base64url, without "=".
doctor-found-relying-party-elsewhere = rp_id is neither the server's name nor its parent: nothing that is signed will count
doctor-todo-relying-party-elsewhere = Put into rp_id the name that your administrator gives (often the server's own).
doctor-found-ca-file-unusable = The file of authorities (ca_file) cannot be used
doctor-todo-ca-file-unusable = ca_file must name a readable PEM file with at least one certificate; for the systemd unit, outside the home folder or in ~/.config/sceau.
doctor-found-server-reached = The server answers and is the right one
doctor-found-server-unresolved = The server's name is not known
doctor-todo-server-unresolved = Check `server` in the configuration, the network and DNS: getent hosts NAME.
doctor-found-server-silent = Nobody answers at the server's address
doctor-todo-server-silent = Check the network, the firewall and the port; else tell your administrator.
doctor-found-server-untrusted = What answers is not certified for that name
doctor-todo-server-untrusted = Accept nothing. If your server has an authority of its own, put it into ca_file; else tell your administrator.
doctor-found-server-other-key = What answers does not have the pinned key
doctor-todo-server-other-key = Accept nothing. Ask your administrator whether the server's key has changed, and for the new pin.
doctor-found-server-unwell = The server answers that it is not well
doctor-todo-server-unwell = Tell your administrator.
doctor-found-clock-right = The time is the server's
doctor-found-clock-wrong = This machine's time differs from the server's
doctor-todo-clock-wrong = timedatectl set-ntp true
doctor-found-clock-unknown = The server does not tell the time
doctor-found-runtime-directory-missing = XDG_RUNTIME_DIR is not set
doctor-todo-runtime-directory-missing = Log in properly (not by su or sudo): logind makes that folder.
doctor-found-agent-running = The agent answers
doctor-found-agent-absent = The agent is not running
doctor-todo-agent-absent = systemctl --user enable --now sceau-agent.socket sceau-agent.service; journalctl --user -u sceau-agent says why it stopped.
doctor-found-agent-refuses = The agent refuses this connection
doctor-todo-agent-refuses = The socket is another user's: run sceau as the person whose session it is.
doctor-found-agent-of-another-version = The agent is of another version than this command
doctor-todo-agent-of-another-version = systemctl --user restart sceau-agent.service
doctor-found-agent-of-another-server = The agent talks to another server than the configuration's
doctor-todo-agent-of-another-server = systemctl --user restart sceau-agent.service
doctor-found-signed-in = Somebody is signed in
doctor-found-signed-out = Nobody is signed in
doctor-todo-signed-out = sceau sign-in --person NAME
doctor-found-inbox-lost = The agent is not connected to the server
doctor-todo-inbox-lost = Mend what is said of the server; the agent connects again by itself.
doctor-found-session-file-open = The session file can be read by others
doctor-todo-session-file-open = chmod 600 ~/.local/state/sceau/session, then sign in anew: the token may have been read.
doctor-found-pcscd-answers = pcscd answers
doctor-found-pcscd-absent = pcscd is not running
doctor-todo-pcscd-absent = sudo apt install pcscd; sudo systemctl enable --now pcscd.socket
doctor-found-pcscd-refuses = pcscd refuses this session (polkit)
doctor-todo-pcscd-refuses = Log in at this very seat, in the foreground; from afar, a polkit rule for org.debian.pcsc-lite.access_pcsc is needed.
doctor-found-pcscd-fails = pcscd fails
doctor-todo-pcscd-fails = sudo systemctl restart pcscd; journalctl -u pcscd says why.
doctor-found-usb-key = A USB key is there, and you may open it
doctor-found-usb-none = No USB key
doctor-found-usb-refused = A USB key is there, but you may not open it
doctor-todo-usb-refused = udev rules: install 70-sceau.rules in /etc/udev/rules.d, then "sudo udevadm control --reload && sudo udevadm trigger --subsystem-match=hidraw"; and log in at this very seat.
doctor-found-key-enrolled = An enrolled key is there
doctor-found-key-absent = No key
doctor-todo-key-absent = Plug your key in, or put it on the reader.
doctor-found-key-unknown = A key is there, but is not enrolled for you
doctor-todo-key-unknown = Plug yours in, or enrol this one: sceau enroll --invitation-file FILE.
doctor-found-key-without-pin = The key has no PIN
doctor-todo-key-without-pin = sceau keys pin set
doctor-found-key-locked = The key's PIN is locked or blocked
doctor-todo-key-locked = Take the key out and put it back; if it stays blocked, see your administrator.
doctor-found-pinentry-there = pinentry is there
doctor-found-pinentry-absent = pinentry is not installed
doctor-todo-pinentry-absent = sudo apt install pinentry-gnome3 (or pinentry-qt)
doctor-found-pinentry-without-windows = This machine's pinentry opens no windows
doctor-todo-pinentry-without-windows = sudo apt install pinentry-gnome3 (or pinentry-qt), then sudo update-alternatives --config pinentry
doctor-found-desktop-served = Sceau's notifications and windows are in place
doctor-found-desktop-none = No desktop in this session: questions come at the terminal (sceau wait)
doctor-found-session-bus-absent = The session's D-Bus does not answer
doctor-todo-session-bus-absent = sudo apt install dbus-user-session, then log in again.
doctor-found-notification-server-absent = Nobody shows notifications
doctor-todo-notification-server-absent = Start or install a notification server (the desktop's own, or dunst).
doctor-found-desktop-absent = sceau-desktop is not running
doctor-todo-desktop-absent = systemctl --user enable --now sceau-desktop.service

## Parts, and the end
doctor-part-server = server
doctor-part-clock = clock
doctor-part-cards = smart cards
doctor-part-keys = keys
doctor-part-desktop = desktop
doctor-end = { $count ->
    [0] Everything is in order.
    [one] One thing to mend.
   *[other] { $count } things to mend.
 }
