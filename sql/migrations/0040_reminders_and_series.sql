-- Reminders of tasks. An alarm (0026) says when; what it is about stands here.

CREATE TABLE reminders (
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    task_id uuid NOT NULL,
    id uuid NOT NULL,
    audience text NOT NULL,
    before_minutes bigint,
    at timestamptz,
    fires_at timestamptz,
    fired_at timestamptz,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT reminders_audience_check CHECK (audience IN ('me', 'all')),
    CONSTRAINT reminders_when_check CHECK ((before_minutes IS NULL) <> (at IS NULL)),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, task_id) REFERENCES tasks (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX reminders_task_idx ON reminders (tenant_id, task_id);
CREATE INDEX reminders_project_idx ON reminders (tenant_id, project_id);

ALTER TABLE reminders ENABLE ROW LEVEL SECURITY;
ALTER TABLE reminders FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON reminders TO atrium_app USING (tenant_id = current_tenant());

-- Series of tasks that recur; tasks.series_id says to which one a task belongs.
CREATE TABLE series (
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    id uuid NOT NULL,
    rule text NOT NULL,
    time_zone text NOT NULL,
    mode text NOT NULL,
    task_id uuid NOT NULL,
    column_id uuid NOT NULL,
    begins_at timestamptz NOT NULL,
    occurs_at timestamptz NOT NULL,
    made bigint NOT NULL DEFAULT 1,
    ended_at timestamptz,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT series_mode_check CHECK (mode IN ('on_completion', 'on_schedule')),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, task_id) REFERENCES tasks (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX series_project_idx ON series (tenant_id, project_id);
CREATE INDEX series_task_idx ON series (tenant_id, task_id);

ALTER TABLE series ENABLE ROW LEVEL SECURITY;
ALTER TABLE series FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON series TO atrium_app USING (tenant_id = current_tenant());
