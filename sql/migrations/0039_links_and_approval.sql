-- Links between tasks, of one project or of two; and what is asked of people: approval.

CREATE TABLE task_links (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    task_id uuid NOT NULL,
    other_id uuid NOT NULL,
    type text NOT NULL,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT task_links_pair_key UNIQUE (tenant_id, task_id, other_id, type),
    CONSTRAINT task_links_type_check CHECK (type IN ('relates', 'duplicates', 'causes', 'clones')),
    CONSTRAINT task_links_self_check CHECK (task_id <> other_id),
    FOREIGN KEY (tenant_id, task_id) REFERENCES tasks (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, other_id) REFERENCES tasks (tenant_id, id) ON DELETE CASCADE
);
-- The links of a task from its other end.
CREATE INDEX task_links_other_idx ON task_links (tenant_id, other_id);

ALTER TABLE task_links ENABLE ROW LEVEL SECURITY;
ALTER TABLE task_links FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON task_links TO atrium_app USING (tenant_id = current_tenant());

-- The newest approval that was asked for a task.
CREATE TABLE approvals (
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    task_id uuid NOT NULL,
    approver_ids uuid [] NOT NULL,
    note text NOT NULL,
    requested_by uuid NOT NULL,
    requested_at timestamptz NOT NULL,
    answer text NOT NULL DEFAULT '',
    answered_by uuid,
    answered_at timestamptz,
    PRIMARY KEY (tenant_id, task_id),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, task_id) REFERENCES tasks (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX approvals_project_idx ON approvals (tenant_id, project_id);

ALTER TABLE approvals ENABLE ROW LEVEL SECURITY;
ALTER TABLE approvals FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON approvals TO atrium_app USING (tenant_id = current_tenant());
