-- Projects under programs and portfolios, with an owner, settings, progress and an archive; what they may cost; and who is
-- planned for how much on which.

ALTER TABLE projects
ADD COLUMN type text NOT NULL DEFAULT 'standard' CHECK (type IN ('standard', 'template', 'portfolio', 'program')),
ADD COLUMN parent_id uuid,
ADD COLUMN owner_id uuid,
-- The client, department or region that it is for: no foreign key, for teams of a project point the other way, and
-- tables that point to each other cannot be emptied one after the other.
ADD COLUMN unit_id uuid,
-- What it was made from.
ADD COLUMN template_id uuid,
ADD COLUMN completed_at timestamptz,
ADD COLUMN archived_at timestamptz,
-- When it was given up for good: it is in the trash no more, and its rows go some at a time.
ADD COLUMN purged_at timestamptz,
-- In percent, as last reckoned; see handlers/work/progress.py.
ADD COLUMN progress bigint NOT NULL DEFAULT 0 CHECK (progress BETWEEN 0 AND 100),
ADD COLUMN progress_by text NOT NULL DEFAULT 'count' CHECK (progress_by IN ('count', 'estimate')),
-- What differs from the defaults in handlers/work/project_settings.py.
ADD COLUMN settings jsonb NOT NULL DEFAULT '{}',
-- How often the budget was set: those who may see it read it again when this grows.
ADD COLUMN budget_version bigint NOT NULL DEFAULT 0;

ALTER TABLE projects ADD CONSTRAINT projects_parent_fkey
FOREIGN KEY (tenant_id, parent_id) REFERENCES projects (tenant_id, id) NOT VALID;

-- A list of projects is short, even where it is long: writes wait for a moment.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX projects_parent_idx ON projects (tenant_id, parent_id) WHERE parent_id IS NOT NULL;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX projects_unit_idx ON projects (tenant_id, unit_id) WHERE unit_id IS NOT NULL;
-- The trash.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX projects_deleted_idx ON projects (tenant_id, deleted_at, id) WHERE deleted_at IS NOT NULL;
-- Few tasks are in the trash: of a million it is made in about a second, for which writes wait.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX tasks_deleted_idx ON tasks (tenant_id, deleted_at, id) WHERE deleted_at IS NOT NULL;

-- Money is in the minor units of its currency: cents.
CREATE TABLE budgets (
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    minutes bigint CHECK (minutes >= 0),
    amount bigint CHECK (amount >= 0),
    currency text,
    hourly_rate bigint CHECK (hourly_rate >= 0),
    updated_by uuid NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, project_id),
    CONSTRAINT budgets_money_has_a_currency CHECK (currency IS NOT NULL OR (amount IS NULL AND hourly_rate IS NULL)),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE allocations (
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    minutes_per_week bigint NOT NULL CHECK (minutes_per_week > 0),
    start_on date NOT NULL,
    end_on date,
    version bigint NOT NULL DEFAULT 1,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_by uuid NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT allocations_forwards CHECK (end_on >= start_on),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, user_id) REFERENCES members (tenant_id, user_id) ON DELETE CASCADE
);
CREATE INDEX allocations_project_idx ON allocations (tenant_id, project_id, start_on, id);
CREATE INDEX allocations_user_idx ON allocations (tenant_id, user_id, start_on);

DO $$
DECLARE tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['budgets', 'allocations'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format(
            'CREATE POLICY tenant ON %I TO atrium_app USING (tenant_id = current_tenant())', tenant_table
        );
    END LOOP;
END $$;

-- A guest's part counts only where the project is open to guests. Subqueries, so that each is one look at a key: the
-- project is looked at for guests alone.
CREATE OR REPLACE VIEW project_parts WITH (security_invoker = true) AS
SELECT
    pm.tenant_id, pm.project_id, pm.user_id, pm.role, pm.shared_roles,
    pm.direct AND (pm.expires_at IS NULL OR pm.expires_at > statement_timestamp()) AS direct
FROM project_members AS pm
WHERE
    (pm.shared_roles IS NOT NULL OR pm.expires_at IS NULL OR pm.expires_at > statement_timestamp())
    AND CASE
        WHEN (
            SELECT m.role = 'guest' FROM members AS m WHERE m.tenant_id = pm.tenant_id AND m.user_id = pm.user_id
        ) THEN (
            SELECT coalesce((p.settings ->> 'allow_guest_access')::boolean, true) FROM projects AS p
            WHERE p.tenant_id = pm.tenant_id AND p.id = pm.project_id
        )
        ELSE true
    END;
