-- Times are milliseconds since 1970 UTC, identifiers text, digests and signed bytes BYTEA (BLOB on SQLite), JSON text.

CREATE TABLE log_head (
    id      BIGINT PRIMARY KEY,
    batch   BIGINT NOT NULL,
    size    BIGINT NOT NULL,
    edge    BYTEA  NOT NULL,
    last_ms BIGINT NOT NULL
);

CREATE TABLE log_entry (
    idx      BIGINT PRIMARY KEY,
    action   TEXT,
    body     BYTEA NOT NULL,
    leaf     BYTEA NOT NULL,
    openings TEXT
);
CREATE INDEX log_entry_action ON log_entry (action);

CREATE TABLE log_node (
    level BIGINT NOT NULL,
    idx   BIGINT NOT NULL,
    hash  BYTEA  NOT NULL,
    PRIMARY KEY (level, idx)
);

CREATE TABLE person (
    id         TEXT PRIMARY KEY,
    display    TEXT NOT NULL,
    state      TEXT NOT NULL,
    parent     TEXT REFERENCES person (id),
    created_ms BIGINT NOT NULL
);

CREATE TABLE person_role (
    person TEXT NOT NULL REFERENCES person (id),
    role   TEXT NOT NULL,
    PRIMARY KEY (person, role)
);
CREATE INDEX person_role_role ON person_role (role);

CREATE TABLE action (
    id          TEXT PRIMARY KEY,
    kind        TEXT NOT NULL,
    service     TEXT NOT NULL,
    requester   TEXT NOT NULL REFERENCES person (id),
    session     TEXT,
    document    BYTEA NOT NULL,
    sha256      BYTEA NOT NULL,
    state       TEXT NOT NULL,
    requirement TEXT,
    refusal     TEXT,
    denial      TEXT,
    permit      TEXT,
    execution   TEXT,
    instance    TEXT,
    result      TEXT,
    started_ms  BIGINT,
    created_ms  BIGINT NOT NULL,
    expires_ms  BIGINT NOT NULL
);
CREATE INDEX action_state ON action (state, expires_ms);
CREATE INDEX action_requester ON action (requester, created_ms);

CREATE TABLE action_role (
    action TEXT NOT NULL REFERENCES action (id),
    role   TEXT NOT NULL,
    PRIMARY KEY (action, role)
);
CREATE INDEX action_role_role ON action_role (role);

CREATE TABLE enrolled_key (
    id              TEXT PRIMARY KEY,
    person          TEXT NOT NULL REFERENCES person (id),
    kind            TEXT NOT NULL,
    credential_id   BYTEA NOT NULL UNIQUE,
    public_key_cose BYTEA NOT NULL,
    aaguid          TEXT NOT NULL,
    label           TEXT NOT NULL,
    transports      TEXT NOT NULL,
    sign_count      BIGINT NOT NULL,
    backup_eligible BIGINT NOT NULL,
    state           TEXT NOT NULL,
    state_reason    TEXT,
    record          BYTEA NOT NULL,
    record_sha256   BYTEA NOT NULL,
    attestation     TEXT NOT NULL,
    created_ms      BIGINT NOT NULL,
    used_ms         BIGINT
);
CREATE INDEX enrolled_key_person ON enrolled_key (person);

CREATE TABLE approval (
    action             TEXT NOT NULL REFERENCES action (id),
    person             TEXT NOT NULL REFERENCES person (id),
    enrolled_key       TEXT NOT NULL REFERENCES enrolled_key (id),
    seq                BIGINT NOT NULL,
    at_ms              BIGINT NOT NULL,
    client_data_json   BYTEA NOT NULL,
    authenticator_data BYTEA NOT NULL,
    signature          BYTEA NOT NULL,
    entry              BIGINT NOT NULL,
    PRIMARY KEY (action, person)
);

CREATE TABLE session (
    id           TEXT PRIMARY KEY,
    token_sha256 BYTEA NOT NULL UNIQUE,
    person       TEXT NOT NULL REFERENCES person (id),
    kind         TEXT NOT NULL,
    state        TEXT NOT NULL,
    action       TEXT NOT NULL REFERENCES action (id),
    created_ms   BIGINT NOT NULL,
    expires_ms   BIGINT NOT NULL
);
CREATE INDEX session_action ON session (action);
CREATE INDEX session_person ON session (person, state);

CREATE TABLE invitation (
    id            TEXT PRIMARY KEY,
    person        TEXT NOT NULL REFERENCES person (id),
    secret_sha256 BYTEA UNIQUE,
    state         TEXT NOT NULL,
    enroll_action TEXT,
    action        TEXT,
    created_ms    BIGINT NOT NULL,
    expires_ms    BIGINT NOT NULL
);
CREATE INDEX invitation_enroll_action ON invitation (enroll_action);

-- Responses that were genuine and yet refused (a counter that went back): kept for those who investigate.
CREATE TABLE flagged (
    entry        BIGINT PRIMARY KEY REFERENCES log_entry (idx),
    action       TEXT NOT NULL REFERENCES action (id),
    enrolled_key TEXT NOT NULL REFERENCES enrolled_key (id),
    response     BYTEA NOT NULL
);

CREATE TABLE policy_text (
    sha256 BYTEA PRIMARY KEY,
    body   BYTEA NOT NULL
);
