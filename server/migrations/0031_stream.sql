-- How far each stream of entries has been delivered, and which instance delivers it until when.
CREATE TABLE stream_cursor (
    name     TEXT   PRIMARY KEY,
    next_idx BIGINT NOT NULL,
    holder   TEXT   NOT NULL,
    until_ms BIGINT NOT NULL
);
