-- Values of custom fields, by key, and the fields that a project has for its tasks beside those of the tenant. A field
-- that is gone keeps its row: its key keeps its type, and values that tasks still have come back with it.

ALTER TABLE tasks ADD COLUMN fields jsonb NOT NULL DEFAULT '{}';
ALTER TABLE projects ADD COLUMN fields jsonb NOT NULL DEFAULT '{}';
ALTER TABLE tenants ADD COLUMN fields jsonb NOT NULL DEFAULT '{}';

CREATE TABLE project_fields (
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    id uuid NOT NULL,
    key text NOT NULL,
    name text NOT NULL,
    type text NOT NULL,
    options text [] NOT NULL DEFAULT '{}',
    required boolean NOT NULL DEFAULT false,
    currency text,
    formula text,
    version bigint NOT NULL DEFAULT 1,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_by uuid NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT project_fields_key_key UNIQUE (tenant_id, project_id, key),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE
);

ALTER TABLE project_fields ENABLE ROW LEVEL SECURITY;
ALTER TABLE project_fields FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON project_fields TO atrium_app USING (tenant_id = current_tenant());
-- What is due in a while, or late, over all projects of a tenant. A task without a due date costs nothing here.

-- The table is large where a tenant is: writes of tasks wait for some seconds.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX tasks_due_idx ON tasks (tenant_id, due_at, id)
WHERE deleted_at IS NULL AND archived_at IS NULL AND due_at IS NOT NULL;
