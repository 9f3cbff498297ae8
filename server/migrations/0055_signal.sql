-- Signals to services (docs/signals.md). Who an entry of the log is about, where it is more than one: all whom a suspension stopped, or a restoration brought back.
CREATE TABLE signal_subject (
    idx  BIGINT NOT NULL,
    node TEXT   NOT NULL,
    PRIMARY KEY (idx, node)
);
-- One stream for each receiver; its place in the log is in stream_cursor. `origin`: 'file' or 'receiver', who keeps it. `events`: a JSON list.
CREATE TABLE signal_stream (
    id          TEXT   PRIMARY KEY,
    service     TEXT   NOT NULL UNIQUE,
    origin      TEXT   NOT NULL,
    delivery    TEXT   NOT NULL,
    events      TEXT   NOT NULL,
    description TEXT,
    status      TEXT   NOT NULL,
    reason      TEXT,
    asked_ms    BIGINT NOT NULL
);
-- Subjects that a receiver does not want to hear of.
CREATE TABLE signal_excluded (
    stream TEXT NOT NULL,
    node   TEXT NOT NULL,
    PRIMARY KEY (stream, node)
);
-- What a polling receiver took beyond its place.
CREATE TABLE signal_ack (
    stream TEXT   NOT NULL,
    idx    BIGINT NOT NULL,
    n      BIGINT NOT NULL,
    PRIMARY KEY (stream, idx, n)
);
