-- What services ask for by OAuth, from the request to its one permit. Secrets are kept as SHA-256 alone.
CREATE TABLE oauth_request (
    id            TEXT PRIMARY KEY,
    client        TEXT NOT NULL,
    action        TEXT NOT NULL,
    way           TEXT NOT NULL,
    state         TEXT NOT NULL,
    handle_sha256 BYTEA NOT NULL,
    browser       BYTEA,
    code_sha256   BYTEA,
    pace_ms       BIGINT NOT NULL,
    polled_ms     BIGINT,
    until_ms      BIGINT NOT NULL
);
CREATE UNIQUE INDEX oauth_request_handle ON oauth_request (handle_sha256);
CREATE UNIQUE INDEX oauth_request_code ON oauth_request (code_sha256);
CREATE INDEX oauth_request_end ON oauth_request (until_ms);

-- Assertions by which services said who they are, while they could be shown again.
CREATE TABLE oauth_assertion (
    sha256   BYTEA PRIMARY KEY,
    until_ms BIGINT NOT NULL
);
CREATE INDEX oauth_assertion_end ON oauth_assertion (until_ms);

-- Services' own access tokens, short-lived.
CREATE TABLE oauth_token (
    sha256   BYTEA PRIMARY KEY,
    service  TEXT NOT NULL,
    until_ms BIGINT NOT NULL
);
CREATE INDEX oauth_token_end ON oauth_token (until_ms);
