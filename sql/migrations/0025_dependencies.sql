-- Dependencies between tasks of one project: which one waits for which, how, and how much later. One row an edge; what a
-- task blocks is read from the other side.

CREATE TABLE dependencies (
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    id uuid NOT NULL,
    task_id uuid NOT NULL,
    depends_on_id uuid NOT NULL,
    type text NOT NULL DEFAULT 'finish_start',
    lag_minutes bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 1,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT dependencies_pair_key UNIQUE (tenant_id, task_id, depends_on_id),
    CONSTRAINT dependencies_type_check CHECK (type IN ('finish_start', 'start_start', 'finish_finish', 'start_finish')),
    CONSTRAINT dependencies_self_check CHECK (task_id <> depends_on_id),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, task_id) REFERENCES tasks (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, depends_on_id) REFERENCES tasks (tenant_id, id) ON DELETE CASCADE
);
-- The board's, the schedule's, and what goes with a project.
CREATE INDEX dependencies_project_idx ON dependencies (tenant_id, project_id);
-- What a task blocks, and what goes with it.
CREATE INDEX dependencies_blocks_idx ON dependencies (tenant_id, depends_on_id);

ALTER TABLE dependencies ENABLE ROW LEVEL SECURITY;
ALTER TABLE dependencies FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON dependencies TO atrium_app USING (tenant_id = current_tenant());
