# What is asked and shown on the workstation: windows, notifications, terminal.

## Windows
prompt-waiting-behind = { $count ->
    [one] One more waits behind this one.
   *[other] { $count } more wait behind this one.
 }
prompt-page = Page { $page } of { $count }
prompt-seal-title = Sceau: seal this action?
prompt-button-seal = _Seal
prompt-button-next = _Next
prompt-button-refuse = _Refuse
prompt-button-later = _Later
prompt-refuse-title = Sceau: refuse this action?
prompt-refuse-why = If you asked for nothing, say so: the session that asks is suspended and your administrator is told.
prompt-button-not-me = _Not me
prompt-button-mistake = A _mistake
prompt-button-back = _Back
prompt-tries-left = Tries left: { $count }.
prompt-key = Key
prompt-pin-title = Sceau: PIN
prompt-button-stop = _Stop
prompt-pin-field = PIN:
prompt-wrong-pin = Wrong PIN.
prompt-pin-unfit = This PIN will not do; nothing was sent.
prompt-button-type-again = _Type again

## During the ceremony
prompt-nothing-sealed-title = Sceau: nothing was sealed
prompt-sealed = The action is sealed.
prompt-refused = The action is refused.
prompt-no-window = No window could be opened; run "sceau approve" in a terminal.
prompt-touch-your-key = Touch your key
prompt-insert-your-key = Insert your key
prompt-card-wanted = A card is wanted.
prompt-insert-your-card = Insert your card
prompt-pin-on-reader = Type the PIN on the reader
prompt-withdrawn = The action was settled elsewhere, or has expired; nothing was signed here.

## Notifications
prompt-notification-see = See
prompt-notification-refuse = Refuse
prompt-notification-awaits = An action awaits your seal
prompt-quiet-title = Sceau goes quiet

## On the terminal
prompt-queued = Another request is being dealt with…
prompt-insert-key-to-enrol = Plug in or present the key to enrol…
prompt-insert-or-present = Plug in or present your key
prompt-unclear-key = This key gives no answer that can be used: pull it out and put it in again, or use another of yours
prompt-only-one-key = Several keys are there: leave only the one to enrol…
prompt-touch-to-choose = Several keys are there: touch the one to enrol…
prompt-insert-card = Insert the card…
prompt-touch-the-key = Touch the key
prompt-processing = The key is working…
prompt-reporting = Sending to the server…
prompt-pin-of-key = PIN of the key
prompt-wrong = Wrong.
prompt-unfit = This will not do (too short, too long, or a character that it cannot have); nothing was sent.
prompt-once-more = The same once more:
prompt-two-differ = The two differ.
prompt-wrong-pin-on-reader = Wrong PIN
prompt-type-again = Type it on the reader again? [y]es, [n]o:
prompt-slot-used = Slot 9C holds a key already; it would be destroyed for good, and its enrolment with it
prompt-replace = Replace it? [y]es, [n]o:
prompt-new-pin = New PIN:
prompt-seal-question = Seal this action? [y]es, [n]o (refuse), [l]ater:
prompt-refuse-question = Why? [1] it was not me (the session that asks is suspended), [2] it is a mistake, [3] another reason:
prompt-tries-left-inline = tries left: { $count }
prompt-pin-of-card = PIN of the card
prompt-new-pin-of-card = New PIN, 6 to 8 characters
prompt-puk-of-card = PUK of the card
prompt-new-puk-of-card = New PUK, 6 to 8 characters
prompt-management-key = Management key, in hexadecimal
prompt-new-management-key = New management key, in hexadecimal
prompt-pin-unfit-key = This PIN will not do (too short, too long, or refused by the key).

## State of the service
prompt-status-signed-out = Nobody is signed in
prompt-status-connecting = Connecting to the server
prompt-status-connected = Connected; nothing awaits
prompt-status-waiting = { $count ->
    [one] Connected; one action awaits
   *[other] Connected; { $count } actions await
 }
prompt-status-lost = The server is not reached
prompt-quiet = Many actions that you do not seal: no more windows for { $minutes ->
    [one] one minute
   *[other] { $minutes } minutes
 }. Somebody may be trying to tire you out: tell your administrator. "sceau status" lists what waits.
prompt-first-pin =
    This key ({ $key }) has no PIN yet; choose one of at least { $count } characters.
    An empty line stops.
