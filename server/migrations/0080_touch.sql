-- Keys that know touch alone (U2F). Every FIDO2 key that was enrolled before had to verify its user; cards have `pin_each_time` for it.
ALTER TABLE enrolled_key ADD COLUMN verifies_user BIGINT NOT NULL DEFAULT 1;
