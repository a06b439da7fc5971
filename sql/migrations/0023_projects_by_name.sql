-- The list of projects is read by name; ten thousand of them need not be sorted for each page.

CREATE INDEX projects_name_idx ON projects (tenant_id, name, id) WHERE deleted_at IS NULL;
