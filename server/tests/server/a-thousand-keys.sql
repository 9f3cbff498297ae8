-- A thousand keys more of the model of the newest key, newer than it, of somebody who has no other (SQLite). Nobody holds them.
INSERT INTO person (id, display, state, parent, created_ms) VALUES ('stock', 'Stock', 'inert', NULL, 0);
CREATE TEMP TABLE seed AS
    WITH RECURSIVE numbers (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < 1000)
    SELECT newest.* FROM numbers,
        (SELECT * FROM enrolled_key WHERE kind = 'fido2' AND state <> 'revoked' ORDER BY created_ms DESC, id DESC LIMIT 1) AS newest;
UPDATE seed SET id = printf('00000000-0000-7000-8000-%012x', rowid), person = 'stock', handle = randomblob(48), created_ms = created_ms + 1;
INSERT INTO enrolled_key SELECT * FROM seed;
DROP TABLE seed;
