-- An import that an API key began ends with that key.

ALTER TABLE member_imports ADD COLUMN key_id uuid;
