-- Cards beside FIDO2 credentials. `handle` is what no two keys share: the credential id, or the SHA-256 of a card's public key; `public_key` a
-- COSE_Key, or a card's SubjectPublicKeyInfo; `aaguid` is empty for cards.
ALTER TABLE enrolled_key RENAME COLUMN credential_id TO handle;
ALTER TABLE enrolled_key RENAME COLUMN public_key_cose TO public_key;
ALTER TABLE enrolled_key ADD COLUMN attested BIGINT NOT NULL DEFAULT 1;
ALTER TABLE enrolled_key ADD COLUMN pin_each_time BIGINT NOT NULL DEFAULT 0;

-- Where a card was used; for a card `client_data_json` and `authenticator_data` are empty. NULL for FIDO2.
ALTER TABLE approval ADD COLUMN origin TEXT;
