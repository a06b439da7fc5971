-- Sprints: time-boxed sets of a project's tasks; the order in which tasks are taken up; and what happened to what a sprint
-- holds, from which its burndown and the project's velocity are reckoned.

CREATE TABLE sprints (
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    goal text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'planned' CHECK (status IN ('planned', 'active', 'completed')),
    start_on date,
    end_on date,
    capacity_minutes bigint CHECK (capacity_minutes >= 0),
    -- [{"user_id": …, "minutes": …}]
    capacities jsonb NOT NULL DEFAULT '[]',
    started_at timestamptz,
    completed_at timestamptz,
    version bigint NOT NULL DEFAULT 1,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_by uuid NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT sprints_dates_check CHECK (end_on >= start_on),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX sprints_project_idx ON sprints (tenant_id, project_id, created_at, id);

-- How what a sprint counts of a task changed. The sums of a task's facts are what is counted of it now, those of a
-- sprint's facts what the sprint holds and what of it is done. There is no key to tasks: what a sprint came to stays
-- when a task is gone for good.
CREATE TABLE sprint_facts (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    project_id uuid NOT NULL,
    sprint_id uuid NOT NULL,
    task_id uuid NOT NULL,
    at timestamptz NOT NULL,
    -- Whether the sprint had started: what is added or taken away from then on is a change of its scope.
    begun boolean NOT NULL,
    tasks bigint NOT NULL,
    minutes bigint NOT NULL,
    done_tasks bigint NOT NULL,
    done_minutes bigint NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, sprint_id) REFERENCES sprints (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX sprint_facts_sprint_idx ON sprint_facts (tenant_id, sprint_id, at);
CREATE INDEX sprint_facts_task_idx ON sprint_facts (tenant_id, task_id);

ALTER TABLE sprints ENABLE ROW LEVEL SECURITY;
ALTER TABLE sprints FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sprints TO atrium_app USING (tenant_id = current_tenant());
ALTER TABLE sprint_facts ENABLE ROW LEVEL SECURITY;
ALTER TABLE sprint_facts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON sprint_facts TO atrium_app USING (tenant_id = current_tenant());

ALTER TABLE tasks ADD COLUMN sprint_id uuid;
-- NULL: by its number (handlers/work/positions.py).
ALTER TABLE tasks ADD COLUMN backlog_position text COLLATE "C";
-- The columns are new and empty: there is nothing to check, and nothing to put into the indexes but to look once.
-- squawk-ignore adding-foreign-key-constraint, constraint-missing-not-valid
ALTER TABLE tasks ADD CONSTRAINT tasks_sprint_fkey FOREIGN KEY (tenant_id, sprint_id) REFERENCES sprints (tenant_id, id);
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX tasks_sprint_idx ON tasks (tenant_id, sprint_id) WHERE sprint_id IS NOT NULL;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX tasks_backlog_idx ON tasks (tenant_id, project_id, backlog_position) WHERE backlog_position IS NOT NULL;
