# What is wrong with a configuration, a file that it names, or a command line: a command's last words before it ends.

## Files and listeners
fault-unreadable = cannot read { $path }: { $reason }
fault-at-line = line { $line }: { $what }
fault-listen = cannot listen on { $address }: { $reason }

## The agent's configuration
fault-agent-rp-id = rp_id is not a lower-case domain name
fault-agent-pin = spki_sha256 is not 32 bytes in base64url without padding: { $pin }
fault-agent-log-key = log_key is not a log's verifier key (name+hash+base64)
fault-agent-grace = presence.grace is written 1500ms or 2s, and is at most 10s
fault-agent-variable = { $name } is not set
fault-server-no-url = not a URL
fault-server-relative = not an absolute URL
fault-server-user = no user name or password belongs in it
fault-server-path = no path belongs in it
fault-server-no-host = no host
fault-server-plain = plain http is for this machine only; use https
fault-server-scheme = neither https nor http
fault-agent-runtime = sceau-agent cannot start: { $reason }
fault-agent-readers = readers cannot be followed: { $reason }
fault-bridge-stranger = not started by a browser for Sceau's extension
fault-bridge-message = not a message of the extension
fault-desktop-twice = sceau-desktop runs already in this session
fault-desktop-bus = session bus: { $reason }
fault-pkcs11-started = sceau-pkcs11 is started by sceau-agent, with a request on its standard input

## Requests that a command cannot make
fault-request-person = not a person's identifier
fault-request-whose = whose session: say --person, or set `person` in the configuration
fault-request-has-pin = this key has a PIN already: reset it first (sceau keys reset)
fault-request-other-key = the key that is there has another name
fault-request-no-such-key = the person has no such key
fault-request-none = not a request
fault-request-base64url = not base64url
fault-request-certificate = not a certificate
fault-request-certificate-of-other-key = the certificate is of another key than the card's

## The server's configuration
fault-rejected = { $key }: { $problem }
fault-out-of-range = { $key }: is between { $least } and { $most }
fault-not-configured = is not configured
fault-witness-key = is not a witness's verifier key
fault-witness-name = each witness has its own name
fault-https-or-loopback = is an https address, or http on loopback
fault-cosignatures-too-many = are more than there are witnesses
fault-cards-no-root = without roots and issuers no card could enrol
fault-cards-pin = lists some of never, once, always, match-once, match-always
fault-cards-touch = lists some of never, always, cached
fault-issuer-name = has 1 to 100 characters on one line
fault-issuer-revocation = or ocsp says who judges revocation, or danger_revocation_not_judged = true stands in their place
fault-issuer-crl = lists files, or http and https addresses
fault-issuer-ocsp = lists http or https addresses
fault-issuer-ocsp-nonce = is for those that ask responders
fault-longer-than-nothing = is longer than nothing
fault-stream-name = each stream has its own name of 1 to 64 characters
fault-stream-secret = names the file of the shared secret
fault-stream-address = is unix:PATH, udp:HOST:PORT, tcp:HOST:PORT or tls:HOST:PORT
fault-stream-journald = of journald is unix:PATH
fault-own-id = each has its own id
fault-redirect-uris = are https addresses without a fragment (plain http for localhost alone)
fault-provider-level = is eidas3, or absent
fault-receiver-service = is one of the [[service]]s
fault-receiver-twice = each has one stream
fault-receiver-push = is for what is pushed
fault-scim-name = each has its own name of 1 to 48 characters
fault-scim-lookup = is an attribute's path (RFC 7644 §3.10)
fault-signal-give-up = and alert_after are longer than nothing
fault-presence-kinds = is gate, browser, or both: the agent's own session carries the proofs
fault-public-url = is an https origin (plain http for localhost alone)
fault-public-url-origin = is an origin: scheme, host and port, nothing more
fault-host-name = is a lower-case host name
fault-instance-name = has 1 to 64 characters
fault-store-url = or store.url_file: one of them, not both
fault-tls-pair = needs server.tls_key, and the other way round
fault-tls-loopback = without TLS only loopback is served
fault-dormancy = `key` and `person` are at least 1d
fault-service-own = `sceau` is the server itself
fault-service-credential = each service has a token, or its own keys in [service.oauth]
fault-service-token = is the SHA-256 of the token, 64 hexadecimal digits
fault-service-twice = each service has its own id and token

## The server's commands
fault-not-initialised = not initialised: { $path } is missing; run `sceau-server init` once, as root
fault-initialised = the store is initialised already
fault-key-exposed = { $path } may be read by others (mode { $mode }); make it 0600
fault-key-malformed = { $path } is not { $kind }
fault-key-kind-p256 = a P-256 private key (PKCS#8 PEM)
fault-key-kind-before = what `keys rotate permit` leaves of the key before
fault-key-kind-line = one line of text
fault-key-kind-bytes = 32 bytes, base64url
fault-key-kind-secret = a secret of at least 32 characters
fault-no-randomness = the system gives no random numbers
fault-key-not-made = no key was made
fault-anchors-none = { $path } holds no anchor, and no metadata is configured
fault-no-certificate = no certificate
fault-metadata-unavailable = the metadata source is unavailable: { $reason }
fault-metadata-refused = metadata is refused: { $reason }
fault-gate-host-twice = two applications claim the host { $host }
fault-gate-no-application = gate.routes is empty: nothing to guard
fault-gate-plain = the gate speaks plain HTTP only on loopback: give gate.tls, or gate.behind_tls = true
fault-client-secret-short = the secret of client { $client } has less than 32 characters
fault-person = person { $person }: { $what }
fault-service = service { $service }: { $what }
fault-service-keys = `keys_file` or `keys`: one of them, not both
fault-service-key = key { $number }: { $what }
fault-service-address = redirect_uris: { $uri } is no https address without a fragment (plain http for localhost alone)
fault-service-algorithms = `algorithms` is empty
fault-store-unavailable = store unavailable: { $reason }
fault-store-corrupt = store corrupt: { $what }
fault-store-schema = store has schema change { $found }, which this server does not know (its newest is { $known })
fault-store-scheme = store URL must begin with sqlite: or postgres:
fault-unknown-person = unknown person
fault-no-such-person = there is no person { $person }
fault-malformed-value = malformed: { $what }
fault-clock-went-back = clock went back
fault-unavailable = unavailable
fault-report-unproven = the log cannot be proven: { $what }
fault-export-stranger = { $path } is not a checkpoint of this log
fault-export-rolled-back = the folder holds { $held } entries and the store { $stored }: the store went back; the folder was left as it is
fault-export-forked = the store's first { $count } entries are not those that were exported: the log forked; the folder was left as it is
fault-export-unsigned = the checkpoint was not signed
fault-policy = policy
fault-person-siret = siret has 14 digits, of which the last checks the others
fault-person-email = email is no address
fault-person-names = sub, uid, given_name and usual_name have 1 to 255 bytes
fault-person-twice = shares its id, sub or email with another
fault-service-key-kid = one of several needs a `kid`
fault-service-key-kid-twice = another one has the same `kid`
fault-service-key-many = too many keys
fault-service-key-secret = is a secret: here stands the public half alone
fault-service-key-short = an RSA key has at least 2048 bits
fault-service-key-jwk = is no JWK that is known here
fault-service-key-use = is not for signatures
fault-service-key-algorithm = fits none of `algorithms`
fault-service-key-public = is no public key

## sceau-keys-admin, the child of sceau keys
fault-child-started = sceau-keys-admin is started by "sceau keys", with a request on its standard input
fault-child-absent = sceau-keys-admin is in none of these places: { $places }
fault-child-late = the key did not answer within { $limit }
fault-child-ended = the key's answer could not be read (the administration process ended: { $how })
fault-child-malformed = the administration process answered something else
