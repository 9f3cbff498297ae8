-- Recertification campaigns: who held a role when it was opened, and what became of each: `open`, `kept` or `withdrawn` by a sealed action, `lapsed`.
CREATE TABLE campaign (
    id        TEXT   PRIMARY KEY,
    role      TEXT   NOT NULL,
    opened_ms BIGINT NOT NULL,
    due_ms    BIGINT NOT NULL,
    closed_ms BIGINT
);

CREATE TABLE campaign_holder (
    campaign TEXT NOT NULL REFERENCES campaign (id),
    person   TEXT NOT NULL REFERENCES person (id),
    outcome  TEXT NOT NULL,
    action   TEXT,
    at_ms    BIGINT,
    PRIMARY KEY (campaign, person)
);
CREATE INDEX campaign_holder_person ON campaign_holder (person, outcome);
