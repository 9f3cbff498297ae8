# What the commands of "sceau" say that they have done.

## sceau keys
command-keys-none = no such USB key is plugged in (administration is by USB)
command-keys-several = several keys: say which with --key
command-keys-terminal = a terminal is needed
command-keys-stopped = Stopped; nothing was done.
command-keys-reset-unsaid = nothing was erased: say --really-reset to erase everything
command-keys-reset-late = The key was not put back in time; nothing was erased.
command-keys-failed = Administration failed
command-keys-pin-of-key = PIN of the key
command-keys-finger-again = Touch the sensor again
command-keys-erase = Erase everything on
command-keys-erase-warning = Every key on it, for every service, and the PIN will be lost for good.
command-keys-erase-type = To go on, type
command-keys-reset-replug = Take the key out, put it back, then touch it…
command-keys-reset-touch = Touch the key…
command-keys-pin-set = PIN set.
command-keys-pin-changed = PIN changed.
command-keys-room = Room for more
command-keys-finger-enrolled = Finger enrolled.
command-keys-empty = The key is empty.
command-keys-new-pin = New PIN:
command-keys-once-more = The same once more:
command-keys-two-differ = The two differ.

## sceau card
command-card-pin-changed = PIN changed.
command-card-pin-unblocked = PIN unblocked and replaced.
command-card-puk-changed = PUK changed.
command-card-certificate-stored = Certificate stored.
command-card-management-key-changed = Management key changed.
command-card-management-key-once = Here it is, once; keep it safe:
command-card-factory-warning =
    !!! WARNING: this card still has the factory's management key, which everybody knows:
    !!! whoever holds it for a moment can replace its keys and certificates. Run "sceau card management-key --random".
command-card-key-made = Key made on the card
command-card-attested = The card attests it: "sceau enroll --card" enrols it.
command-card-not-attested = The card does not attest it: it needs a certificate of your authority ("--csr", then "sceau card import").
command-card-no-certificate = No certificate.
command-card-issued-by = issued by
command-card-other-key = ! of another key than the slot's
command-card-card = Card
command-card-expires-soon = ! expires soon: ask for another one
command-card-expired = ! expired
command-card-certificate-valid-until = Certificate valid until
command-card-touch = , touch
command-card-slots = Slots
command-card-blocked = blocked ("sceau card pin unblock")
command-card-tries-left = tries left
command-card-typed-on-the-reader = , typed on the reader
command-card-pin = PIN
command-card-serial = Card's serial
command-card-factory-management-key = ! factory management key: "sceau card management-key"
command-card-no = no
command-card-enrolled = Enrolled

## The receipt that the person signs
command-receipt-main-key = main key
command-receipt-spare-key = spare key
command-receipt-handed-to = Handed to
command-receipt-identifier = Identifier
command-receipt-identity-checked-on = Identity checked on
command-receipt-key = Key
command-receipt-model = Model
command-receipt-serial-number = Serial number
command-receipt-firmware = Firmware
command-receipt-register = Key in the register
command-receipt-handed-on-by = Handed on, by
command-receipt-pin-mine = The PIN is known to me alone. I do not write it down, and give it to nobody, not even to the help desk.
command-receipt-first-use = The key counts only after my own first sign-in with it.
command-receipt-read = Before I touch the key I read what is asked. If it is not me, I refuse.
command-receipt-lost = Key lost, stolen or damaged: I tell the help desk at once.
command-receipt-sign-person = The person (date, signature)
command-receipt-sign-desk = The help desk (date, signature)
command-receipt-title = Receipt for a security key

## sceau enroll --batch
command-batch-already = Keys enrolled already
command-batch-pace = The server limits the pace: one moment…
command-batch-others = Others have to seal it still: run this again later.
command-batch-swap = Take your key out, put the person's in, then Enter (s: skip):
command-batch-done-before = This key was enrolled before the last interruption; its receipt is written now.
command-batch-somebodys = This key is somebody’s already: put it aside, and take another one.
command-batch-not-new = This key is not new: somebody has set its PIN.
command-batch-ask-erase = Erase all of it and hand it out (n: take another key; k: keep it, its person knows the PIN)? [y/n/k]
command-batch-own = This key is your own: take it out, and put the person’s in.
command-batch-handed-out = This key was handed out already:
command-batch-look-away = The person reads, then chooses the PIN alone: look away.
command-batch-enrolled = Enrolled; receipt

## The other commands
command-no-agent = sceau-agent does not answer: start it ("systemctl --user start sceau-agent"), or see "sceau doctor"
command-terminal = a terminal is needed: the PIN is never read from anywhere else.
command-goes-on = The same command goes on from here.
command-keys-enrolled = { $done ->
    [one] { $done } key enrolled
   *[other] { $done } keys enrolled
 }; { $left ->
    [0] none left.
    [one] one left.
   *[other] { $left } left.
 }
command-key-enrolled = Key enrolled
command-signed-in = Signed in
command-signed-out = Signed out.
command-log-consistent = { $count ->
    [one] Server’s log: consistent, { $count } entry.
   *[other] Server’s log: consistent, { $count } entries.
 }
command-log-unseen = Server's log: not seen yet.
command-sealed = Sealed
command-refused = Refused
command-put-off = Put off
command-person = Person
command-server = Server
command-keys-present = Keys present
command-piv-cards-present = PIV cards present
command-no-pcscd = pcscd does not answer (is the pcscd package installed? is it running?)
command-awaiting = Awaiting your seal
command-no-key = No key.
command-keys-own = Your keys that count
command-keys-spare = Your roles want { $wanted } keys. Ask the help desk for a spare one; a key that you were handed counts after sceau sign-in with it.
command-serial = Serial
command-seen-over-usb = The same key, seen over USB too
command-yes = yes
command-pin-set = PIN set
command-document-identity-card = national identity card
command-document-passport = passport
command-document-residence-permit = residence permit
command-document-driving-licence = driving licence
command-document-staff-card = staff card

## Lists, invitations, service
command-list-line = Line { $line } of the list: { $what }.
command-list-person = "person" must be an identifier (letters without accents, digits, . _ @ + -), of 64 at most
command-list-display = "display" must be a name, of 200 bytes at most
command-list-twice = this person is in the list twice
command-list-keys = "keys" is 1 or 2
command-list-too-many = too many persons for one list: split it
command-list-journal = { $path } is not a journal of enrolments: move this file away if it is not yours.
command-list-busy = Another enrolment goes on with this list: finish it, or wait.
command-batch-interrupted = Interrupted.
command-agent-malformed = sceau-agent answers something unexpected: it may be of another version. Restart it.
command-not-an-invitation = { $path } holds no invitation: it is one word, without spaces. Ask the help desk for it again.
