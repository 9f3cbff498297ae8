# The incident report as a page: in the order of the notification to the CNIL.

report-title = Incident report
report-heading-nature = 1. Nature of the breach (notification within 72 hours)
report-finding = Finding
report-number = Number
report-accounts-concerned = Accounts concerned (the person and those they made)
report-actions-asked-for = Actions asked for
report-of-which-done = of which done
report-approvals-given-to-others = Approvals given to others
report-records-read = Records read, as counted by the gate
report-suspensions-and-revocations = Suspensions and revocations
report-alerts = Alerts
report-fill-categories = Categories of data and of persons concerned, likely consequences (to be filled in by the data protection officer)
report-fill-measures = Measures taken or planned (to be filled in; suspensions are below)
report-heading-accounts = 2. Accounts and keys
report-account = Account
report-name = Name
report-state = State
report-made-by = Made by
report-account-made-on = Made on
report-keys = Keys
report-heading-actions = 3. Actions asked for
report-when = When
report-by = By
report-action = Action
report-on = On
report-approved-by = Approved by
report-heading-approvals = 4. Approvals given to others
report-asked-for-by = Asked for by
report-heading-timeline = 5. Time line
report-entry = Entry
report-who = Who
report-data = Data
report-heading-proofs = 6. Proofs
report-proofs = Each line of the time line is an entry of the log; that it is under this signed checkpoint can be checked offline, without our server:
report-covers = { $house }, from { $since } to { $until }. Made on { $made }.

## sceau-server check-config
report-listens = listens on { $address } ({ $tls ->
    [yes] TLS
   *[no] plain, loopback
 }), relying party { $party }, origins { $origins }
report-services = { $count ->
    [0] services: none
   *[other] services: { $services }
 }
report-oauth = by OAuth, issuer { $issuer }: { $services }
report-policy = policy (one forbid denies; of the permits that apply the strictest of each holds; anything else is denied):
report-models = keys that may be enrolled ({ $anchors ->
    [one] { $anchors } anchor
   *[other] { $anchors } anchors
 }, { $list ->
    [yes] metadata
   *[no] no metadata
 }):
report-cards = cards that may be enrolled:
report-cards-attested = attested by one of { $roots } roots, PIN { $pin }, touch { $touch }
report-cards-firmware = firmware { $firmware } or newer
report-cards-edition = edition { $edition }
report-cards-serials = { $count ->
    [one] { $count } serial number
   *[other] { $count } serial numbers
 }
report-cards-crl = not revoked by a list at most { $age } old
report-cards-ocsp = not revoked by a responder's answer at most { $age } old
report-cards-unjudged = DANGER: revocation not judged
report-cards-any-policy = any
report-cards-issued = certified by { $issuer } (policies { $policies }), { $revocation }; not attested: seals only what `key = "attested-or-issued"` allows
report-gate = gate: { $hosts }
report-warning = warning: { $text }
report-warning-no-keys = keys are not there yet: run `sceau-server init`
report-warning-no-durability = store.danger_no_durability is set: what was answered may be lost in a power cut
report-warning-no-provider-key = the provider's key is not there yet: `serve` makes it
report-warning-no-signal-key = the key of signals is not there yet: `serve` makes it
report-warning-no-policy = there is no policy: everything is denied, signing in too
report-warning-blind = without a current metadata list enrolments and privileged approvals are refused
report-warning-pin-never = piv.pin allows `never`: whoever holds such a card approves; it seals only what `verification = "touch"` allows
report-warning-pin-once = piv.pin allows `{ $word }`: an approval does not show that the PIN was typed for it; such a card seals only what `verification = "touch"` allows
report-warning-touch-never = piv.touch allows `never`: a program that knows the PIN approves without anybody's hand
report-warning-touch-cached = piv.touch allows `cached`: one touch lets a program approve for 15 seconds
report-warning-issuer-unjudged = piv.issuer `{ $issuer }`: danger_revocation_not_judged is set: revoked cards pass
report-warning-issuer-any-policy = piv.issuer `{ $issuer }` demands no certificate policy: every signing certificate under it counts as a card's
report-metadata = FIDO list: { $source }, asked every { $refresh }, signed by { $leaf }; when overdue by more than { $grace }, enrolments and privileged approvals are refused
report-metadata-none = no list is kept yet: "sceau-server metadata fetch" fetches one
report-metadata-kept = list kept: no { $no }, { $models ->
    [one] { $models } model
   *[other] { $models } models
 }, the next by { $next }
report-metadata-fetched = metadata no { $no }, { $models ->
    [one] { $models } model
   *[other] { $models } models
 }, the next by { $next }, in { $file }
report-facts-recorded = { $count } recorded
report-facts-held = { $count ->
    [one] { $count } person holds it until then
   *[other] { $count } persons hold it until then
 }
report-campaign = opened on { $opened }, due on { $due }: { $kept } kept, { $withdrawn } withdrawn, { $lapsed } lapsed, { $open } open
report-fate-open = open
report-fate-kept = kept
report-fate-withdrawn = withdrawn
report-fate-lapsed = lapsed
