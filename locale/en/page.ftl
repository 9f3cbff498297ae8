# The server's pages: actions (/actions), enrolment (/enrol).

## What becomes of an action, by state or by the code of a refusal
page-told-pending = Waiting for a key.
page-told-waiting = Your approval counts. Other people still have to approve.
page-told-approved = Request approved.
page-told-executed = Request approved and executed.
page-told-consumed = Request approved and used; its outcome is not known here.
page-told-refused = Request refused: nothing was done.
page-told-denied = The policy of the house does not allow this request: nothing was done.
page-told-expired = The time is over: nothing was done. Ask again where you asked before.
page-told-begins = One moment…
page-told-touch = Touch your key when it blinks. You may also answer in your agent.
page-told-stepped-back = Nothing was signed. The request still waits for your answer.
page-told-no-key = The key did not answer. Plug it in and try again, or answer in your agent. Key lost or blocked: call the help desk.
page-told-changed = The request is not the one that is shown. Nothing was signed: reload the page and tell the help desk.
page-told-signed-out = The sign-in was refused or has expired. Start again.
page-told-unauthenticated = You are not signed in any more. Reload the page.
page-told-unknown-person = This identifier cannot sign in here. Check it.
page-told-malformed = This is not an identifier. Check it.
page-told-not-verified = The key’s answer was not accepted. Nothing was done: tell the help desk.
page-told-not-an-approver = You cannot approve this request with this key.
page-told-already-settled = The request is settled already. Reload the page.
page-told-limited = Too many attempts. Wait a minute.
page-told-unavailable = The server does not answer as it should. Try again in a moment.

## What the enrolment page says, by step, by code, or by the browser's error
page-enrolment-begins = One moment…
page-enrolment-ready = The invitation is known. Plug in the key to enrol.
page-enrolment-touch = Follow your browser: PIN, then touch the key. Allow its make and model to be told.
page-enrolment-done = The key is enrolled. You may close this page.
page-enrolment-registration-refused = This key is not accepted.
page-enrolment-not-found = There is no such invitation. Check that you have all of it.
page-enrolment-malformed = There is no such invitation. Check that you have all of it.
page-enrolment-already-settled = This invitation was used already. Ask the help desk for another one.
page-enrolment-expired = This invitation has expired. Ask the help desk for another one.
page-enrolment-forbidden = This person is suspended: no key can be enrolled.
page-enrolment-limited = Too many attempts. Wait a minute.
page-enrolment-unavailable = The server does not answer as it should. Try again in a moment.
page-enrolment-InvalidStateError = This key is enrolled already for this person.
page-enrolment-NotAllowedError = The key did not answer, or you cancelled. Plug it in and try again.
page-enrolment-SecurityError = This page is not at your organisation’s address. Stop, and tell the help desk.
page-enrolment-failed = It did not work. Try again, or call the help desk.

## Asking, reading, answering
page-signed-in = Signed in:
page-sign-out = Sign out
page-needs-javascript = This page needs JavaScript. You may also answer in your agent.
page-sign-in-title = Sign in with your key
page-sign-in-why = To read this request, show that you are there: your security key, plugged into this computer.
page-sign-in-identifier = Your identifier
page-sign-in-go-on = Go on with my key
page-check-address = Check the address of this page:
page-unknown-title = Unknown request
page-unknown = There is no request at this address, or it does not concern you. Check the link, and that you are signed in under your own name.
page-suspended-title = Session suspended
page-suspended = Someone said that this session is not theirs, or the person is suspended. Call the help desk.
page-absent-title = Key absent
page-absent = This session needs your key, which does not show itself. Plug it in again, then reload the page.
page-unavailable-title = Unavailable for now
page-not-whole = This request is too long to be shown whole: it cannot be approved here.
page-exact-parameters = Exact parameters: all that the key signs
page-approve = Approve with my key
page-step-back = Step back
page-without-key = Without a key at hand, answer in your agent, or let the time pass: without your key nothing is done.
page-refuse-not-me = This is not me: refuse
page-refuse-mistake = A mistake: refuse
page-back = Back to the service
page-enrol-title = Enrol a key
page-enrol-invitation = The invitation that the help desk gave you
page-continue = Go on
page-enrol-whose = This key will belong to
page-enrol-if-not-you = If this is not you, stop and tell the help desk.
page-enrol-label = Name of this key (optional)
page-enrol-make = Enrol this key
page-asked-by = Requested by
page-for-service = For the service
page-target = Target
page-service-says = The service says
page-since = Since
page-valid-until = Valid until

## The identity provider (docs/provider.md)
page-provider-title = Sign in with your key
page-provider-service = Service:
page-provider-who = Your professional address or identifier
page-provider-continue = Continue
page-provider-touch = Touch your key
page-provider-told-pending = Your agent asks you to seal this sign-in. Compare the number, then touch your key.
page-provider-told-approved = Sealed. Going on…
page-provider-told-refused = This sign-in was refused. Go back to the service and start again; if it was not you who refused it, tell the help desk.
page-provider-told-denied = Policy does not allow this sign-in. If you need it, ask your administrator.
page-provider-told-expired = The time is over. Go back to the service and start again.
page-provider-told-used = This sign-in was used already. Go back to the service.
page-provider-here = My key is plugged in here: use it in this browser
page-provider-failed = The key did not answer. Try again, or use your agent.
page-provider-lower = Without a key the service is told a lower level, and may refuse.
page-provider-lower-continue = Continue without a key
page-provider-notice = Sign-in
page-provider-unanswerable = This request does not come from a known service. Go back to the service and start again.
page-provider-not-allowed = Your role does not allow you to sign in to this service. If you need it, ask your administrator.
page-provider-signed-out = You are signed out.

## What is signed
page-provider-action = Sign in to “{ $service }” through ProConnect. Your browser shows the number { $number }: if it shows another one, refuse.

## What a suspension will stop, on its page
page-falls = What will fall
page-falls-whole = { $what }: by one touch, in the same moment.
page-falls-alone = { $what }. Those whom this person created stay.
page-falls-leaves = They leave: their keys will be revoked, and never come back.
page-falls-grown = The lineage has grown since this was asked for: who was added falls too. If that surprises you, call the other administrator before you seal.
