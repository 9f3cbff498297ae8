# The console of operators and administrators (/console).

console-name = Console
console-skip = Skip to the content
console-sections = Sections of the console
console-signed-in = Signed in:
console-leave = Sign out
console-not-theirs-title = This console is not for you
console-not-theirs = The console is for operators of the help desk and for administrators. If you need it, ask an administrator.
console-back = Back to the console

console-persons = Persons
console-keys = Keys
console-enrolments = Enrolments
console-actions = Requests
console-campaigns = Recertifications
console-budgets = Reading budgets
console-alerts = Alerts
console-log = Log
console-policy = Policy
console-metadata = Key models

console-unknown-title = Not found
console-unknown-text = There is nothing at this address, or it is not for you: nobody sees persons of a higher role than their own here. Check the identifier.
console-changed-title = The lineage has changed
console-changed-text = Somebody was added to this lineage since you looked at it, or the page is too old. Nothing was asked for. Go back to the lineage, look again, then ask for the suspension.
console-limited-title = Too many requests
console-limited-text = Too many of your requests are open or were refused. Settle them, or wait a few minutes, then try again.
console-malformed-title = Incomplete request
console-malformed-text = A field is empty or not as it should be. Nothing was asked for. Go back and correct it.
console-forbidden-title = Refused
console-forbidden-text = This form is not of your session, or this request is not allowed. Nothing was asked for. Reload the page and try again.
console-unavailable-title = Unavailable for now
console-unavailable-text = The server does not answer as it should. Try again in a moment.

console-any = All
console-search = Search
console-show = Show
console-nothing-found = Nothing matches.
console-first-page = First page
console-next-page = Next page
console-export = Export as CSV (noted in the log)
console-and-more = { $count ->
    [one] And { $count } more that is not shown.
   *[other] And { $count } more that are not shown.
}
console-unknown = unknown
console-never = never
console-over = over

console-person = Person
console-role = Role
console-roles = Roles
console-state = State
console-since = Since
console-until = until
console-until-when = Until
console-when = When
console-what = What
console-where = Where
console-kind = Kind
console-service = Service
console-change = Change
console-identifier = Identifier
console-organisation = Organisation (SIRET)
console-requested-by = Requested by
console-enrolled-by = Enrolled by
console-first-administrators = First administrators, at the installation

console-search-person = Name or identifier
console-persons-about = Open a person to see their roles, keys and sessions, and to suspend them.
console-live-keys = Live keys
console-person-state-active = active
console-person-state-inert = no key yet
console-person-state-suspended = suspended
console-person-state-unknown = unknown
console-roles-and-rights = Roles and rights
console-right = Right
console-a-role = role
console-a-fact = fact
console-no-end = no end
console-no-rights = Neither role nor right.
console-no-keys = No key.
console-keys-of = { $have } of { $wanted }
console-lacking = { $count ->
    [one] { $count } person has fewer keys than their roles ask for.
   *[other] { $count } persons have fewer keys than their roles ask for.
}
console-too-few = fewer than their roles ask for
console-keys-lacking = This person’s roles want { $wanted } keys, main and spare; so many count: { $have }. Hand out what is missing before a key is lost.
console-keys-wait = This person’s roles want { $wanted } keys; so many count: { $have }. Another one counts once the person has signed in with it.
console-no-sessions = No open session.
console-sessions = Open sessions
console-session-kind-agent = workstation’s agent
console-session-kind-browser = Sceau’s pages
console-session-kind-gate = application
console-end-session = Ask to end it
console-their-actions = This person’s requests

console-suspend-alone = Suspend this person alone
console-suspend-alone-about = Their keys stop counting and their sessions end. Whomever they created stays. Your key will seal the request.
console-suspend = Ask for the suspension
console-restore-about = This person is suspended. Bringing them back takes two persons. Their sessions stay closed; they will sign in again.
console-restore = Ask to bring them back alone
console-restore-subtree = Ask to bring them back with all who fell with them
console-withdraw = Withdraw
console-keep = Keep
console-keep-until = Keep until
console-record = Ask to record it
console-record-title = Record a fact or the end of a role
console-record-about = A fact, such as “training”, or “role:manager” for the end of a role. Without a day it does not end. Your key will seal the request.
console-fact-name = Fact
console-until-day = Through this day

console-lineage = Lineage of
console-lineage-link = Who descends from this person, and what would fall with them
console-lineage-tree = Tree
console-back-to-person = Back to the person
console-an-account = (account)
console-relation-created = created
console-relation-enrolled = enrolled
console-relation-granted = was granted a right
console-relation-is = same person
console-would-fall = What would fall
console-accounts = Accounts
console-open-actions = Open requests
console-suspend-all = Suspend the whole lineage
console-suspend-all-about = One touch of your key stops all that is counted here at once. You will see the request once more before you seal it. Going back will take two persons.
console-suspended-already = This person is suspended already.

console-search-key = Person, name of the key, or model
console-keys-about = Model and certification are those of the metadata list in force. Serial numbers are not told to the server: they are on the key, and in the name that the help desk gave it.
console-key = Key
console-unnamed = unnamed
console-model = Model and certification
console-model-unlisted = model not in the list in force
console-model-not-certified = not certified
console-model-certified = FIDO certified, no level
console-model-certified-l1 = FIDO certified L1
console-model-certified-l1-plus = FIDO certified L1+
console-model-certified-l2 = FIDO certified L2
console-model-certified-l2-plus = FIDO certified L2+
console-model-certified-l3 = FIDO certified L3
console-model-certified-l3-plus = FIDO certified L3+
console-model-retired = retired by its maker
console-card-attested = PIV card, attested
console-card-issued = PIV card, certified by its issuer
console-enrolled = Enrolled
console-last-use = Last use
console-key-state-live = live
console-key-state-waiting = waits for its first use
console-key-state-suspended = suspended
console-key-state-revoked = revoked
console-key-reason-sign-count = its counter went back: perhaps a copy
console-key-reason-person-suspended = with its person
console-key-reason-dormant = unused for too long
console-key-reason-first-use = first used by its person
console-key-reason-lost = lost or stolen
console-key-reason-damaged = damaged
console-key-reason-pin-blocked = PIN blocked
console-key-reason-replaced = another one took its place
console-key-reason-left = its person left
console-key-reason-revoked = revoked
console-key-record = Digest of the record
console-revoke = Ask for the revocation
console-revoke-about = A revoked key never comes back. Revoke a lost or stolen key at once, then enrol another one.
console-approvals = Approvals of the last 90 days
console-no-approvals = No approval.

console-enrolment-open = may be used
console-enrolment-state-new = invitation ready
console-enrolment-state-opened = begun
console-enrolment-state-used = done
console-enrolment-state-over = over
console-enrol = Enrol a key at the help desk

console-requester-identifier = Identifier of the requester
console-awaited = Waits for
console-the-requester = the requester
console-missing = { $count ->
    [one] { $count } approval of:
   *[other] { $count } approvals of:
}
console-action = Request
console-action-state-pending = waiting
console-action-state-approved = approved
console-action-state-executed = executed
console-action-state-consumed = used
console-action-state-refused = refused
console-action-state-denied = not allowed
console-action-state-expired = expired

console-campaigns-about = A campaign gives a role an end for everyone who holds it. Each answer is a request that your key seals. Whoever is not kept by the due day loses the role.
console-campaigns-none = No campaign within a year. “sceau-server facts recertify” opens one.
console-campaign = Role { $role }
console-opened = Opened
console-due = Due
console-fate-open = to be decided
console-fate-kept = kept
console-fate-withdrawn = withdrawn
console-fate-lapsed = fell when it was due

console-budgets-about = Each touch opens so many records for so many minutes. Reading on takes another touch.
console-budgets-none = No service behind the gate counts what is read.
console-each-touch = Each touch opens
console-lasts = For
console-opened-by = Action that opens the next slice
console-records = { $count ->
    [one] { $count } record
   *[other] { $count } records
}
console-minutes = { $count ->
    [one] { $count } minute
   *[other] { $count } minutes
}
console-days = { $count ->
    [one] { $count } day
   *[other] { $count } days
}
console-read = Read in the window
console-left = Left
console-touched = Last touch
console-last-read = Last read
console-needs-touch = a touch first
console-nobody-read = Nobody read anything in this window.

console-alerts-about = What somebody should look at, newest first.
console-looked-through = { $count ->
    [one] { $count } entry looked through.
   *[other] { $count } entries looked through.
}
console-no-alerts = No alert here.
console-severity = Severity
console-severity-info = information
console-severity-notice = notice
console-severity-warning = warning
console-severity-alert = alert
console-says = Says

console-log-about = Each entry has its proof: open it to see it and take it along. Nothing can be removed or changed without being seen.
console-log-size = Entries
console-log-key = Verifier key of the log
console-entry = Entry
console-entry-number = entry { $number }
console-proof = Proof
console-proof-about = The signed checkpoint, below, commits to the whole log. The proof path ties this entry to it. Take the file along and check it wherever you like, without trusting us and without a network:
console-proof-key = The verifier key must come to you from elsewhere than this page: from your own copy, from a witness, or from the report of the installation.
console-take-proof = Download the proof (JSON)
console-take-checkpoint = Download the signed checkpoint
console-checkpoint = Signed checkpoint
console-inclusion = Proof path (SHA-256)
console-exact-entry = The exact entry, as it is hashed

console-policy-about = The policy is changed in the server’s files, by whoever administers the machine, and holds from the next start. Each change is noted in the log.
console-policy-since = In force since
console-policy-by = by the start of the server
console-policy-long-ago = long ago: its first start is further back in the log than is looked through here
console-policy-or-longer = or for longer
console-policy-count = Rules
console-policy-name = Rule
console-policy-says = Says
console-policy-file = File
console-policy-text = Whole text

console-metadata-about = The list of the FIDO Alliance says which models of keys are certified or compromised. A key whose model is revoked is suspended by itself.
console-metadata-none = No list is configured: keys are judged by the makers’ certificates that the server knows.
console-metadata-never = no list received
console-metadata-number = Number of the list
console-metadata-believed = Received
console-metadata-next = Next list expected on
console-metadata-grace = Grace after that day
console-metadata-models = Models that this server knows
console-blind-metadata-missing = There is no list: no key can be enrolled or approve anything, but for signing in, suspending and revoking.
console-blind-metadata-stale = The list is too old: no key can be enrolled or approve anything, but for signing in, suspending and revoking. Check the server’s access to the network.
