-- Checkpoints that were offered to witnesses, with what they answered: `cosignatures` are signature lines of the note, one a line.
CREATE TABLE log_checkpoint (
    size         BIGINT PRIMARY KEY,
    root         BYTEA  NOT NULL,
    cosignatures TEXT   NOT NULL,
    made_ms      BIGINT NOT NULL
);
