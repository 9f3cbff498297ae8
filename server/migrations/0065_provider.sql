-- Sign-ins for the federation, from the person's name to the code's one use. Secrets are kept as SHA-256 alone.
CREATE TABLE provider_login (
    id            TEXT PRIMARY KEY,
    browser       BYTEA NOT NULL,
    client        TEXT NOT NULL,
    person        TEXT,
    action        TEXT,
    request       TEXT NOT NULL,
    state         TEXT NOT NULL,
    outcome       TEXT,
    code_sha256   BYTEA,
    access_sha256 BYTEA,
    created_ms    BIGINT NOT NULL,
    until_ms      BIGINT NOT NULL
);
CREATE UNIQUE INDEX provider_login_code ON provider_login (code_sha256);
CREATE UNIQUE INDEX provider_login_access ON provider_login (access_sha256);
CREATE INDEX provider_login_end ON provider_login (until_ms);

-- Browsers that signed in with a key, for what needs no new gesture.
CREATE TABLE provider_browser (
    browser     BYTEA PRIMARY KEY,
    person      TEXT NOT NULL,
    enrolled_key TEXT NOT NULL,
    pin         BIGINT NOT NULL,
    signed_ms   BIGINT NOT NULL,
    until_ms    BIGINT NOT NULL
);
