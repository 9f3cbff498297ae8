-- Sessions whose key must stay (docs/presence.md). `until_ms`: the last proof holds until then; `lost_ms`: since when there is none; `prover`: the agent's
-- session that gave the last one; `delayed`: the key was busy with a touch since then; `waived`: why policy does without proofs.
CREATE TABLE presence (
    session      TEXT PRIMARY KEY REFERENCES session (id),
    person       TEXT NOT NULL REFERENCES person (id),
    enrolled_key TEXT NOT NULL REFERENCES enrolled_key (id),
    until_ms     BIGINT NOT NULL,
    lost_ms      BIGINT,
    prover       TEXT,
    delayed      BIGINT NOT NULL DEFAULT 0,
    waived       TEXT
);
CREATE INDEX presence_person ON presence (person);
CREATE INDEX presence_key ON presence (enrolled_key);
CREATE INDEX presence_until ON presence (until_ms);

-- Nonces that wait for their one answer, as SHA-256; `sessions` is a JSON list, `sign_count` the key's counter when the nonce was given out.
CREATE TABLE presence_nonce (
    nonce_sha256 BYTEA PRIMARY KEY,
    agent        TEXT NOT NULL REFERENCES session (id),
    enrolled_key TEXT NOT NULL REFERENCES enrolled_key (id),
    sessions     TEXT NOT NULL,
    sign_count   BIGINT NOT NULL,
    issued_ms    BIGINT NOT NULL,
    expires_ms   BIGINT NOT NULL
);
CREATE INDEX presence_nonce_expires ON presence_nonce (expires_ms);

-- What is known of a key's silent proofs: `counted`, `uncounted`, `unable-<why>`; NULL: nothing yet.
ALTER TABLE enrolled_key ADD COLUMN presence TEXT;
