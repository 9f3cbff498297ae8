-- What a person has read of late at a service: one row for each record that was counted, by a keyed hash of its identifier. Rows older than the
-- budget's window are dropped; with `records` 0 a row notes that something was logged already.
CREATE TABLE reading (
    service TEXT   NOT NULL,
    person  TEXT   NOT NULL REFERENCES person (id),
    mark    BYTEA  NOT NULL,
    records BIGINT NOT NULL,
    at_ms   BIGINT NOT NULL,
    PRIMARY KEY (service, person, mark)
);
CREATE INDEX reading_at ON reading (service, person, at_ms);

-- The key of these hashes, for each person and service one of its own: rows of two persons cannot be matched.
CREATE TABLE reading_key (
    service TEXT  NOT NULL,
    person  TEXT  NOT NULL REFERENCES person (id),
    secret  BYTEA NOT NULL,
    PRIMARY KEY (service, person)
);
