-- What the policy decided from, and which policies decided (JSON); NULL of older actions.
ALTER TABLE action ADD COLUMN decided TEXT;
-- SIRET of the person's structure.
ALTER TABLE person ADD COLUMN organisation TEXT;
-- Where a session was opened and an approval given (JSON: session, address, device); NULL when nobody could tell.
ALTER TABLE session ADD COLUMN workstation TEXT;
ALTER TABLE approval ADD COLUMN workstation TEXT;
