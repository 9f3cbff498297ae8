# The enrolment at a help desk, in the browser (/desk).

## What the page says, by step, by code or by error of the browser
desk-said-begins = One moment…
desk-said-denied = The policy of the house does not allow this enrolment:
desk-said-malformed = Check identifier, name and roles: somebody who is known keeps theirs.
desk-said-elsewhere = This enrolment was asked for in another window: it goes on there. Otherwise ask for another one.
desk-said-touch = The person follows the browser: they choose the PIN alone (look away), then touch the key. Its make and model must be told.
desk-said-done = The key is enrolled. It will count after its person’s own first sign-in.
desk-said-registration-refused = This key is not accepted. Take another one and try again.
desk-said-expired = The invitation has expired. Ask for another enrolment.
desk-said-InvalidStateError = This key is somebody’s already: yours, or one that you handed out. Take another one.
desk-said-NotAllowedError = The key did not answer, or somebody cancelled. Try again.
desk-said-unauthenticated = You are not signed in any more. Reload the page.
desk-said-limited = Too many attempts. Wait a minute.
desk-said-failed = It did not work. Try again.

## For whom
desk-title = Hand out a key
desk-look = Look at the person and at their identity document. Its kind alone is recorded, never its number. Your key seals the request on the next page.
desk-person = The person’s identifier
desk-name = Name (of somebody new)
desk-roles = Roles of somebody new, apart by spaces (optional)
desk-shown = Document shown
desk-choose = Choose…
desk-which = Key
desk-go-on = Go on with my key
desk-document-identity-card = National identity card
desk-document-passport = Passport
desk-document-residence-permit = Residence permit
desk-document-driving-licence = Driving licence
desk-document-staff-card = Staff card
desk-key-main = Main key
desk-key-spare = Spare key

## The person takes the seat
desk-seat = The person takes the seat
desk-for = For
desk-identifier = Identifier
desk-checked-on = Identity checked on
desk-step-out = Take your key out.
desk-step-in = The person takes the seat and puts theirs in.
desk-step-pin = They choose the PIN alone: look away.
desk-enrol = Enrol the person’s key
desk-to-receipt = Receipt to print and have signed
desk-one-of-two = This person’s roles want two keys, main and spare: they can sign in for the first time once both are enrolled.
desk-another = Hand out another key

## The receipt
desk-receipt = Receipt for a security key
desk-handed-to = Handed to
desk-model = Model
desk-aaguid = AAGUID
desk-registered = Key in the register
desk-handed-on = Handed on
desk-handed-by = By
desk-rule-pin = The PIN is known to me alone. I do not write it down, and give it to nobody, not even to the help desk.
desk-rule-first-use = The key counts only after my own first sign-in with it.
desk-rule-read = Before I touch the key I read what is asked. If it is not me, I refuse.
desk-rule-lost = Key lost, stolen or damaged: I tell the help desk at once.
desk-sign-person = The person (date, signature)
desk-sign-desk = The help desk (date, signature)
desk-print = Print

## The paths of a help desk, at the terminal (sceau desk)
desk-path-counts = counts
desk-path-waits = waits for its person's first use
desk-path-suspended = suspended
desk-path-revoked = revoked
desk-path-used = used on
desk-path-no-key = no key
desk-path-begun = The hand-out of this key was begun: { $key }.
desk-path-ask-go-on = Go on with it (n: another key is concerned)? [y/n]
desk-path-nothing-to-revoke = There is no key to revoke.
desk-path-now-revoked = Revoked; the sessions that it had opened have ended.
desk-path-until-first-use = The old key counts until the first use of the new one, and is then revoked by itself.
desk-path-which-one = Which key (number)?
desk-path-spare-counts = In between, the person's other key counts.
desk-path-last-one = This is the last key that counts: before the first use of another one, nobody signs in as
desk-path-others-too = Others have to seal it still: run the same command again afterwards.
desk-path-nothing-done = Nothing was done.
desk-path-ask-reset = Reset this very key, to hand it out again (n: another key)? [y/n]
desk-path-put-blocked = Take your key out, put the blocked key in, then Enter:
desk-path-ask-retry = Try again? [y/n]
desk-path-danger = EVERYTHING on this key, for every service, and its PIN will be lost for good.
desk-path-type-name = To erase everything, type
desk-path-not-erased = Nothing was erased.
desk-path-replug = Take it out, put it back, then Enter at once (and touch it):
desk-path-empty = The key is empty.
desk-path-ask-another = Hand out another key now? [y/n]
desk-path-ask-spare = This person’s roles want two keys, and there is one alone. Hand out a spare one too? [y/n]
desk-path-first-sign-in = It counts for nothing before its person has signed in with it:
desk-path-papers = Look at the person and at their document; which document (number)?
desk-path-all-of-it = All of this is suspended; the person's keys are revoked.
desk-path-alone = The person alone is suspended, and their keys are revoked; what descends from them stays (--cascade: it falls too).
desk-path-left = Suspended; sessions ended, keys revoked.
desk-path-pin = PIN
desk-path-for-the-way = for the way; the key insists that I change it at the first use
desk-path-slip-title = PIN for the way
desk-path-slip-once = This PIN serves once: the key insists on another one, which I choose alone, before it serves for anything.
desk-path-slip-opened = The slip was open, or the PIN is refused: I do not use the key, and tell the help desk.
desk-path-slip-at = PIN for the way, in a sealed slip for the person alone (print it, then erase this file)
desk-path-no-force = This key cannot be made to insist on another PIN: the person chose theirs.
desk-path-own-pin = This PIN was for the way only: type it once more, then choose your own.
