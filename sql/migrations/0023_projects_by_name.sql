-- The list of projects is read by name; ten thousand of them need not be sorted for each page.

-- A list of projects is short, even where it is long: writes wait for a moment.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX projects_name_idx ON projects (tenant_id, name, id) WHERE deleted_at IS NULL;
