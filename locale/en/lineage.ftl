# A person's lineage, as text.

lineage-persons = { $count ->
    [one] { $count } person
   *[other] { $count } persons
 }
lineage-accounts = { $count ->
    [one] { $count } account
   *[other] { $count } accounts
 }
lineage-keys = { $count ->
    [one] { $count } key
   *[other] { $count } keys
 }
lineage-active = active
lineage-inert = inert
lineage-suspended = suspended
lineage-created = created
lineage-enrolled = enrolled
lineage-was-granted-a-right = was granted a right
lineage-the-same-person = the same person
lineage-left-out = { $count ->
    [one] { $count } more is not shown
   *[other] { $count } more are not shown
 }
lineage-sessions = { $count ->
    [one] { $count } live session
   *[other] { $count } live sessions
 }
lineage-actions = { $count ->
    [one] { $count } open action
   *[other] { $count } open actions
 }
