-- What is known of a person for a time: training, clearances. `until_ms` is when it stops being so; NULL means that it does not by itself.
CREATE TABLE fact (
    person   TEXT   NOT NULL REFERENCES person (id),
    name     TEXT   NOT NULL,
    until_ms BIGINT,
    source   TEXT   NOT NULL,
    at_ms    BIGINT NOT NULL,
    PRIMARY KEY (person, name)
);

-- When a role stops being held; NULL means that it does not by itself.
ALTER TABLE person_role ADD COLUMN until_ms BIGINT;
CREATE INDEX person_role_until ON person_role (until_ms);
