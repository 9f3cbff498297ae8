-- Who of our persons an identity at an identity provider is; each was sealed by that person's own key (docs/decisions.md).
CREATE TABLE identity (
    issuer     TEXT NOT NULL,
    idp_id     TEXT NOT NULL,
    sub        TEXT NOT NULL,
    person     TEXT NOT NULL REFERENCES person (id),
    action     TEXT NOT NULL,
    created_ms BIGINT NOT NULL,
    PRIMARY KEY (issuer, idp_id, sub)
);
CREATE INDEX identity_person ON identity (person);
