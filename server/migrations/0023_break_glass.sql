-- Openings of the glass: who got which role for how long, and by which action it was reviewed afterwards.
CREATE TABLE break_glass (
    action    TEXT PRIMARY KEY REFERENCES action (id),
    person    TEXT   NOT NULL REFERENCES person (id),
    role      TEXT   NOT NULL,
    opened_ms BIGINT NOT NULL,
    until_ms  BIGINT NOT NULL,
    review    TEXT
);
