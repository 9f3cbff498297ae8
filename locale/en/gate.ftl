# What the gate says itself (docs/gate.md).

## Refusals and delays: what happened, and what to do
gate-sign-in-needed = Sign in with your key first.
gate-approval-needed = This request waits for a key: touch yours when your agent asks for it. Nothing has been executed yet.
gate-answered-elsewhere = The same request has already got the application’s answer, in another window. Do not ask again: reload the page to see where it stands.
gate-denied = The policy forbids this request: nothing was executed. If you need it, ask your administrator.
gate-refused = This request was refused: nothing was executed. Ask the person who refused before you try again.
gate-expired = No key approved this request in time: nothing was executed. Ask again when your key, and whoever must approve, are there.
gate-already-used = This request has been used, and is good only once. Make it anew if you still need it.
gate-already-used-or-ended = This request has been used or has ended. Make it anew if you still need it.
gate-outcome-unknown = The request was sent and the application did not answer: look in the application whether it was done before you ask again.
gate-application-unavailable = The application does not answer. Try again in a moment.
gate-malformed = This request cannot be described exactly: nothing was executed. Go back a page and try again; if it happens again, tell your administrator.
gate-not-allowed = You cannot ask for this: identifier not known here, or a right that is missing. Check that you are signed in under your own name, or ask your administrator.
gate-unknown-action = There is no such request. Go back to the application and start again.
gate-too-late = The time is over: nothing was executed. Make the request anew.
gate-cosignatures-missing = The log’s witnesses have not seen this approval yet: nothing was executed. Try again in a moment; if it goes on, tell your administrator.
gate-already-settled = This request is already settled. Reload the page to see how.
gate-unavailable = Sceau is unavailable: nothing is executed without it. Try again in a moment; if it goes on, tell your administrator.
gate-too-many = Too many requests are waiting already. Answer those that are there, or try again in a moment.
gate-session-suspended = This session was suspended. Ask your administrator.
gate-key-absent = The key of this session is not there any more. Put it back, or sign in again.
gate-sign-in = Sign in with your key.
gate-no-original = The proxy passed no original request on. Tell your administrator: its configuration needs a look.
gate-cross-site = This request comes from another site’s page: nothing was executed. Go through the application itself.
gate-use-the-proxy = This request must go through the gate as a proxy: its body cannot be seen here. For the administrator: bodyless = true on this route if it never has one.
gate-nothing-here = Nothing at this address.
gate-json-needed = A JSON object is needed whose member “person” is an identifier.
gate-answer-not-counted = The application’s answer cannot be counted: it is not shown. Tell your administrator.
gate-answer-too-large = The application’s answer is too large to be counted: it is not shown. Ask for less at a time.
gate-account-suspended = This account was suspended with the lineage that it descends from. Ask your administrator.
gate-account-unknown = Accounts are suspended, and the application does not say which one is yours: try again later.
gate-login-refused = The log-in by ProConnect did not succeed, or not at the level that is asked for: a hardware key is needed. Start again.
gate-login-needed = Log in by ProConnect first, with this person’s account.
gate-body-too-large = The request is too large: nothing was executed. Send less at a time.
gate-body-timeout = The request did not arrive whole: nothing was executed. Check your connection and try again.
gate-upgrade-not-freed = This path takes no WebSocket. For the administrator: give it a route with upgrade = true.
gate-action-of-another-session = This request is not known for this session. Go back to the application and start again.
gate-different-request = The approval stands for another request: nothing was executed. Go back to the application and start again.
gate-unknown-host = There is no application at this address. Check it.
gate-ambiguous = The request can be read in two ways, or in none: nothing was executed. Go back a page and try again; if it happens again, tell your administrator ({ $detail }).
gate-not-canonical = The address is written in a way that Sceau does not accept: nothing was executed. Go back a page and try again; if it happens again, tell your administrator ({ $detail }).

## Metered reading
gate-budget-time = Your last touch is more than { $minutes ->
    [one] { $minutes } minute
   *[other] { $minutes } minutes
 } ago. Touch your key to read { $limit ->
    [one] one more record
   *[other] { $limit } more records
 }.
gate-budget-records = { $used } of { $limit } records { $used ->
    [one] was
   *[other] were
 } read, and this page shows { $wanted ->
    [one] one new one
   *[other] { $wanted } new ones
 }. Touch your key to go on.
gate-budget-too-many = This answer holds { $wanted } records, a touch opens { $limit }. Ask for fewer at a time.

## Signing in
gate-sign-in-title = Sign in with your key
gate-sign-in-identifier = Your identifier
gate-sign-in-button = Sign in
gate-sign-in-wait = Touch your key: your agent asks you to seal this sign-in.
gate-sign-in-refused = The sign-in was refused or has expired. Start again.
gate-sign-in-limited = Not possible now. Check your identifier, or try again in a minute.
gate-sign-in-browser = No agent on this workstation? Seal it in this browser (new tab)
gate-sign-in-proconnect = Log in with ProConnect

## The page of an action
gate-waiting = Waiting for the key
gate-executed = Request executed
gate-failed = The application answered with an error
gate-unknown = Outcome unknown
gate-not-executed = Request not executed
gate-told-pending = The request waits for a key. This page goes on by itself.
gate-told-approved = Request approved.
gate-told-again = Request approved. Go back and send it once more, unchanged: it will then be executed.
gate-told-executed = Request executed.
gate-told-failed = The request was sent, and the application answered with an error: check before you ask again.
gate-told-consumed = The request was sent and the application did not answer: check before you ask again.
gate-told-refused = Request refused or expired: nothing was executed.
gate-continue = Continue
gate-seal-in-browser = No agent on this workstation? Read and seal it in this browser

## What is signed
gate-budget-action = Read up to { $limit ->
    [one] one more record
   *[other] { $limit } more records
 } of { $host }, for { $minutes } min (read so far: { $used })
gate-login-action = Sign in by ProConnect, account { $account } (provider { $provider })
gate-login-action-new = Sign in by ProConnect, account { $account } (provider { $provider }) AND declare that this account is yours, from now on
