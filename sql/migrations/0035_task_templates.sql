-- Task templates: a task with its subtasks and checklists as one document. Without a project it is for the whole tenant.

CREATE TABLE task_templates (
    tenant_id uuid NOT NULL,
    project_id uuid,
    id uuid NOT NULL,
    name text COLLATE "C" NOT NULL,
    tasks json NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_by uuid NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX task_templates_project_idx ON task_templates (tenant_id, project_id, name, id);

ALTER TABLE task_templates ENABLE ROW LEVEL SECURITY;
ALTER TABLE task_templates FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON task_templates TO atrium_app USING (tenant_id = current_tenant());
