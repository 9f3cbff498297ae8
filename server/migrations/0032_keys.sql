-- Every key that signed permits or checkpoints here, by its name (the RFC 7638 thumbprint; the verifier key): bundles of old permits need it.
CREATE TABLE signing_key (
    name     TEXT   PRIMARY KEY,
    kind     TEXT   NOT NULL,
    body     TEXT   NOT NULL,
    since_ms BIGINT NOT NULL
);

-- The configuration that each instance started with last.
CREATE TABLE configuration (
    instance TEXT  PRIMARY KEY,
    sha256   BYTEA NOT NULL
);
