-- Who begot whom. A node is `person/<id>` or `account/<service>/<id>`; an edge says by which executed action the child came to be, got a right,
-- had a key enrolled, or is another name of its parent (relation `is`). Edges are never removed.
CREATE TABLE lineage_edge (
    parent   TEXT   NOT NULL,
    child    TEXT   NOT NULL,
    relation TEXT   NOT NULL,
    action   TEXT,
    at_ms    BIGINT NOT NULL,
    PRIMARY KEY (parent, child, relation)
);
CREATE INDEX lineage_edge_child ON lineage_edge (child);
CREATE INDEX lineage_edge_action ON lineage_edge (action);

INSERT INTO lineage_edge (parent, child, relation, action, at_ms)
    SELECT 'person/' || parent, 'person/' || id, 'created', NULL, created_ms FROM person WHERE parent IS NOT NULL;

-- Accounts that a service made when an action was executed there; persons of ours or not.
CREATE TABLE service_account (
    node       TEXT PRIMARY KEY,
    service    TEXT NOT NULL,
    id         TEXT NOT NULL,
    display    TEXT NOT NULL,
    state      TEXT NOT NULL,
    created_ms BIGINT NOT NULL
);
CREATE INDEX service_account_state ON service_account (service, state);

-- What a `person.suspend` stopped, until it is restored.
CREATE TABLE suspension (
    node   TEXT PRIMARY KEY,
    action TEXT NOT NULL,
    at_ms  BIGINT NOT NULL
);
CREATE INDEX suspension_action ON suspension (action);

-- How often something was ended that may be in use right now (sessions, persons): instances that serve streams look at it.
ALTER TABLE log_head ADD COLUMN ended BIGINT NOT NULL DEFAULT 0;
