-- Comments on tasks. They are read page by page and never with the board; the task carries how many there are.

CREATE TABLE comments (
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    task_id uuid NOT NULL,
    id uuid NOT NULL,
    parent_id uuid,
    author_id uuid NOT NULL,
    body text NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    edited_at timestamptz,
    deleted_at timestamptz,
    deleted_by uuid,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, task_id) REFERENCES tasks (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, parent_id) REFERENCES comments (tenant_id, id)
);
-- The page of a task, from either end.
CREATE INDEX comments_task_idx ON comments (tenant_id, task_id, created_at, id) WHERE deleted_at IS NULL;
-- What foreign keys ask for when a project or a comment is removed for good.
CREATE INDEX comments_project_idx ON comments (tenant_id, project_id);
CREATE INDEX comments_parent_idx ON comments (tenant_id, parent_id) WHERE parent_id IS NOT NULL;

ALTER TABLE comments ENABLE ROW LEVEL SECURITY;
ALTER TABLE comments FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON comments TO atrium_app USING (tenant_id = current_tenant());

ALTER TABLE tasks ADD COLUMN comment_count bigint NOT NULL DEFAULT 0;
