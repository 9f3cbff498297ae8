# Why something was refused, ended or not believed, as the log says it by code: why-SUBJECT-CODE, where SUBJECT begins the entry's type. Reasons
# of refused actions are in because.ftl, those of keys in console.ftl, those of new keys and cards in because.ftl and with the verdicts themselves.

## An approval that did not count
why-approval-response-malformed = the key’s answer is not of its form
why-approval-credential-mismatch = another key answered than the one that was asked
why-approval-client-data-too-long = what was signed with the key’s answer is too long
why-approval-client-data-not-utf8 = what was signed with the key’s answer is no text
why-approval-client-data-not-json = what was signed with the key’s answer cannot be read
why-approval-client-data-duplicate-member = what was signed with the key’s answer says something twice
why-approval-client-data-member = what was signed with the key’s answer lacks something
why-approval-type-mismatch = the key’s answer is not that to an approval
why-approval-challenge-mismatch = the key signed something else than this action
why-approval-origin-mismatch = it was signed at another site or by another program than ours
why-approval-cross-origin = it was signed in another site’s frame
why-approval-top-origin = it was signed in a page that may not frame ours
why-approval-authenticator-data-truncated = the key’s data are cut off
why-approval-authenticator-data-trailing-bytes = the key’s data are longer than they say
why-approval-credential-id-length = the key names itself by a name of impossible length
why-approval-credential-public-key-malformed = the key shows a public key that cannot be read
why-approval-extensions-malformed = the key’s additions cannot be read
why-approval-rp-id-mismatch = the key answered for another server
why-approval-user-not-present = nobody touched the key
why-approval-user-not-verified = neither PIN nor finger was checked
why-approval-backup-state-inconsistent = the key says of itself that it was copied, and that it cannot be
why-approval-backup-eligibility-changed = the key says something else of being copied than when it was enrolled
why-approval-unsupported-algorithm = signatures of this kind are not verified
why-approval-public-key-malformed = the enrolled public key cannot be read
why-approval-signature-invalid = the signature is not this key’s
why-approval-sign-count-regression = the key’s counter did not go up: perhaps a copy
why-approval-sign-count = the key’s counter went back: perhaps a copy; the key is suspended
why-approval-signature-malformed = the card’s signature is not of its form
why-approval-unsupported-key = keys of this kind sign no approvals
why-approval-key-of-another = the key is somebody else’s
why-approval-key-suspended = the key is suspended
why-approval-key-revoked = the key is revoked
why-approval-key-waiting = the key waits for its person’s own first sign-in
why-approval-key-kind = a card’s answer for a key, or a key’s for a card
why-approval-metadata-missing = the server has no list of key models
why-approval-metadata-stale = the server’s list of key models is overdue
why-approval-self-approval = by whoever asked for it
why-approval-descendant = by somebody whose account or key came from whoever asks
why-approval-role = by somebody without a role that may approve it
why-approval-not-requester = by somebody else than whoever asked for it
why-approval-not-active = by somebody who is not active
why-approval-already-approved = by somebody who had approved it already
why-approval-same-workstation = from the workstation where it was asked for or approved already
why-approval-workstation-unknown = from a workstation that the server does not know
why-approval-key-without-presence = by a key that has to stay plugged in and had not shown itself

## A sign-in that was refused; a session that ended
why-session-person-inert = the person has no key of their own yet
why-session-person-suspended = the person is suspended
why-session-identity-of-another = this identity at ProConnect is somebody else’s
why-session-signed-out = the person signed out
why-session-by-action = ended by a sealed action
why-session-not-me = the person said of a request of it: this is not me
why-session-presence = its key no longer showed itself

## A key that has to stay plugged in
why-presence-away = gone for longer than is allowed
why-presence-missed = a proof that was due did not come
why-presence-removed = taken out
why-presence-key-unable = the key cannot show itself
why-presence-key-suspended = the key was suspended
why-presence-refused = the key refuses to be asked in silence
why-presence-not-silent = the key wants a touch each time
why-presence-u2f = a U2F key cannot be asked in silence
why-presence-card = a card cannot be asked in silence

## Reading
why-reading-time = the last touch is too long ago
why-reading-records = as many records were read as one touch opens
why-reading-more-than-a-touch-opens = more records at once than a touch opens

## Alerts
why-alert-too-many-pending = too many requests wait for an answer
why-alert-too-many-asked = too many requests in a short time
why-alert-too-many-refused = too many requests were refused
why-alert-unreachable = it cannot be reached
why-alert-silent = it has not answered for long
why-alert-rolled-back = it has seen a later log than this one
why-alert-forked = it has seen another log than this one

## Actions, beside because.ftl
why-action-person-suspended = The person who asked was suspended with a lineage.
why-action-session-suspended = The session that asked was suspended.
why-action-request-expired = The service that asked did not wait for the answer.
why-action-code-replayed = The service’s code was presented twice: perhaps it was stolen.
why-action-upstream-late = The application’s answer did not come in time: nobody knows whether it was done. Look there.
why-action-upstream-lost = The connection to the application broke: nobody knows whether it was done. Look there.
why-action-forward-auth = Another proxy sent it on and does not report: nobody knows whether it was done. Look there.
why-action-not-reported = The service did not report what became of it. Look there.
why-alert-too-many-begotten = more than one action may beget
why-oauth-expired = nobody answered in time
why-provider-role = the person holds none of the roles that this service wants

## A log-in at ProConnect that was not believed
why-login-token-malformed = its token cannot be read
why-login-token-algorithm = its token is signed in a way that is not taken
why-login-token-key-unknown = its token is signed by an unknown key
why-login-token-signature = its token’s signature is wrong
why-login-issuer-other = its token comes from somebody else
why-login-audience-other = its token was made for another service
why-login-token-time = its token is too old, or of the future
why-login-nonce-other = its token answers another log-in
why-login-acr-too-low = the level is too low
why-login-amr-missing = it does not say how the person logged in
why-login-idp-not-listed = its identity provider is not in the list
why-login-subject-other = it speaks of two different persons
why-login-provider-refused = the provider refused
why-login-discovery-malformed = the provider’s description of itself cannot be read
why-login-keys-malformed = the provider’s keys cannot be read
why-login-assertion-not-signed = we could not sign for the provider who we are
why-login-interrupted = it was interrupted
why-login-no-randomness = the system gave no randomness
why-login-too-many-log-ins = too many are under way
why-login-unavailable = the server did not answer as it should
why-login-provider-unreachable = the provider cannot be reached
why-login-evidence-missing = its identity provider gave no evidence of the touch
why-login-evidence-of-another = its evidence is of another log-in
why-login-state-other = it answers another browser’s log-in
why-login-log-in-unknown = nobody began it here, or too long ago

## A list of key models that was not taken
why-metadata-too-large = it is too large
why-metadata-not-a-jws = it is not a signed list
why-metadata-header-malformed = its header cannot be read
why-metadata-algorithm-none = it is not signed
why-metadata-algorithm-unsupported = it is signed in a way that is not taken
why-metadata-x5u-refused = it wants its certificates fetched from elsewhere
why-metadata-x5c-missing = it brings no certificates
why-metadata-certificate-malformed = a certificate of it cannot be read
why-metadata-leaf-name-mismatch = its signer is not the FIDO Alliance
why-metadata-signature-invalid = its signature is wrong
why-metadata-payload-malformed = what it says cannot be read
why-metadata-rollback = it is older than the one in force
