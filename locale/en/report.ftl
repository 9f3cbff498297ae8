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

## sceau-server check-config: the metadata list
report-metadata = FIDO list: { $source }, asked every { $refresh }, signed by { $leaf }; when overdue by more than { $grace }, enrolments and privileged approvals are refused
report-metadata-none = no list is kept yet: "sceau-server metadata fetch" fetches one
report-metadata-kept = list kept: no { $no }, { $models ->
    [one] { $models } model
   *[other] { $models } models
 }, the next by { $next }
