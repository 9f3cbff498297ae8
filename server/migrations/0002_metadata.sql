-- The metadata list that is in force for every instance of this store: its number never goes back.
CREATE TABLE metadata_list (
    id             BIGINT PRIMARY KEY,
    no             BIGINT NOT NULL,
    payload_sha256 BYTEA  NOT NULL,
    next_update    TEXT   NOT NULL,
    believed_ms    BIGINT NOT NULL
);

-- Which approvals a key gave, for review when it falls.
CREATE INDEX approval_key ON approval (enrolled_key, at_ms);
