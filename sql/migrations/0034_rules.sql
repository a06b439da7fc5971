-- Rules of projects: what they wait for, what they do, and what they did. What all of a project's rules wait for stands in
-- the row of its room, which every command reads anyway: a project without rules pays nothing for them.

ALTER TABLE rooms ADD COLUMN triggers text [];

CREATE TABLE rules (
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    owner_id uuid NOT NULL,
    enabled boolean NOT NULL DEFAULT true,
    enabled_at timestamptz NOT NULL,
    trigger text NOT NULL,
    definition json NOT NULL,
    next_at timestamptz,
    minute_at timestamptz,
    minute_runs bigint NOT NULL DEFAULT 0,
    hour_at timestamptz,
    hour_runs bigint NOT NULL DEFAULT 0,
    told_at timestamptz,
    version bigint NOT NULL DEFAULT 1,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_by uuid NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE
) WITH (fillfactor = 50);
CREATE INDEX rules_project_idx ON rules (tenant_id, project_id, created_at, id);

-- A history, and so without a key into tasks: it outlives them.
CREATE TABLE rule_runs (
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    id uuid NOT NULL,
    rule_id uuid NOT NULL,
    task_id uuid,
    at timestamptz NOT NULL,
    trigger text NOT NULL,
    cause_id uuid,
    outcome text NOT NULL,
    reason text,
    message text,
    actions json NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT rule_runs_outcome_check CHECK (outcome IN ('did', 'skipped', 'failed')),
    FOREIGN KEY (tenant_id, rule_id) REFERENCES rules (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX rule_runs_rule_idx ON rule_runs (tenant_id, rule_id, at, id);
CREATE INDEX rule_runs_project_idx ON rule_runs (tenant_id, project_id, at, id);
-- What retention takes away, of all tenants.
CREATE INDEX rule_runs_at_idx ON rule_runs (at);

-- For which due date a rule has acted on a task.
CREATE TABLE rule_dues (
    tenant_id uuid NOT NULL,
    rule_id uuid NOT NULL,
    task_id uuid NOT NULL,
    due_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, rule_id, task_id),
    FOREIGN KEY (tenant_id, rule_id) REFERENCES rules (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, task_id) REFERENCES tasks (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX rule_dues_task_idx ON rule_dues (tenant_id, task_id);

ALTER TABLE rules ENABLE ROW LEVEL SECURITY;
ALTER TABLE rules FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON rules TO atrium_app USING (tenant_id = current_tenant());
ALTER TABLE rule_runs ENABLE ROW LEVEL SECURITY;
ALTER TABLE rule_runs FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON rule_runs TO atrium_app USING (tenant_id = current_tenant());
CREATE POLICY definer ON rule_runs TO CURRENT_USER USING (true);
ALTER TABLE rule_dues ENABLE ROW LEVEL SECURITY;
ALTER TABLE rule_dues FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON rule_dues TO atrium_app USING (tenant_id = current_tenant());

-- Retention of what rules did.
CREATE FUNCTION purge_rule_runs(older_than timestamptz) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH gone AS (DELETE FROM rule_runs WHERE at < older_than RETURNING 1)
    SELECT count(*) FROM gone
$$;
REVOKE EXECUTE ON FUNCTION purge_rule_runs(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION purge_rule_runs(timestamptz) TO atrium_app;
