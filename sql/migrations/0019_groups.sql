-- Teams and units: people who take part in projects together; and people who act for others for a time.

ALTER TABLE members VALIDATE CONSTRAINT members_role_fkey;

CREATE TABLE groups (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('team', 'department', 'client', 'region')),
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    colour text,
    -- Units nest; whoever is in one is in those above it too.
    parent_id uuid,
    -- A team of one project.
    project_id uuid,
    version bigint NOT NULL DEFAULT 1,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_by uuid NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, parent_id) REFERENCES groups (tenant_id, id),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE,
    CONSTRAINT groups_teams_are_flat CHECK (kind <> 'team' OR parent_id IS NULL),
    CONSTRAINT groups_units_are_of_the_tenant CHECK (kind = 'team' OR project_id IS NULL)
);
CREATE UNIQUE INDEX groups_name_key ON groups (
    tenant_id, (kind = 'team'), coalesce(parent_id, project_id, '00000000-0000-0000-0000-000000000000'::uuid), lower(name)
);
CREATE INDEX groups_parent_idx ON groups (tenant_id, parent_id) WHERE parent_id IS NOT NULL;

CREATE TABLE group_members (
    tenant_id uuid NOT NULL,
    group_id uuid NOT NULL,
    user_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, group_id, user_id),
    FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, user_id) REFERENCES members (tenant_id, user_id) ON DELETE CASCADE
);
CREATE INDEX group_members_user_idx ON group_members (tenant_id, user_id);

CREATE TABLE project_shares (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    project_id uuid NOT NULL,
    group_id uuid NOT NULL,
    -- NULL: everybody's role in the tenant.
    role text CHECK (role IN ('owner', 'admin', 'manager', 'member', 'viewer', 'client', 'guest')),
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT project_shares_once UNIQUE (tenant_id, project_id, group_id),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, group_id) REFERENCES groups (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX project_shares_group_idx ON project_shares (tenant_id, group_id);

-- A part in a project: direct, with a role and perhaps an end, or through teams and units, or both. `shared_roles` holds
-- what the shares that reach this person say, 'own' for her role in the tenant; NULL where none reaches her. It is
-- written in the transaction of every change of a share, team or unit, so that a command reads one row.
ALTER TABLE project_members ADD COLUMN direct boolean NOT NULL DEFAULT true;
ALTER TABLE project_members ADD COLUMN expires_at timestamptz;
ALTER TABLE project_members ADD COLUMN shared_roles text [];
CREATE VIEW project_parts WITH (security_invoker = true) AS
SELECT
    pm.tenant_id, pm.project_id, pm.user_id, pm.role, pm.shared_roles,
    pm.direct AND (pm.expires_at IS NULL OR pm.expires_at > statement_timestamp()) AS direct
FROM project_members AS pm
WHERE pm.shared_roles IS NOT NULL OR pm.expires_at IS NULL OR pm.expires_at > statement_timestamp();

CREATE TABLE delegations (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    from_id uuid NOT NULL,
    to_id uuid NOT NULL,
    starts_at timestamptz NOT NULL,
    ends_at timestamptz NOT NULL,
    reason text NOT NULL,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    revoked_by uuid,
    revoked_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, from_id) REFERENCES members (tenant_id, user_id),
    FOREIGN KEY (tenant_id, to_id) REFERENCES members (tenant_id, user_id),
    CONSTRAINT delegations_to_another CHECK (from_id <> to_id),
    CONSTRAINT delegations_forwards CHECK (starts_at < ends_at)
);
CREATE INDEX delegations_to_idx ON delegations (tenant_id, to_id) WHERE revoked_at IS NULL;
CREATE INDEX delegations_from_idx ON delegations (tenant_id, from_id) WHERE revoked_at IS NULL;

-- Until when a member may have to be asked for whom she acts: most never, and for them a command reads no more tables.
ALTER TABLE members ADD COLUMN delegated_until timestamptz;

DO $$
DECLARE tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['groups', 'group_members', 'project_shares', 'delegations'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format(
            'CREATE POLICY tenant ON %I TO atrium_app USING (tenant_id = current_tenant())', tenant_table
        );
    END LOOP;
END $$;

-- The members for whom somebody acts just now, each as `rights` in handlers/access.py reads an actor of this room.
CREATE FUNCTION stands_for(tenant uuid, person uuid, room uuid) RETURNS json
LANGUAGE sql STABLE PARALLEL SAFE
AS $$
    SELECT json_agg(json_build_object(
        'delegation_id', d.id, 'user_id', m.user_id, 'role', m.role, 'allowed', m.allowed, 'denied', m.denied,
        'project_role', pm.role, 'direct', pm.direct, 'shared_roles', pm.shared_roles,
        'in_project', pm.user_id IS NOT NULL, 'live', true
    ) ORDER BY d.id)
    FROM delegations AS d
    JOIN members AS m
        ON m.tenant_id = d.tenant_id AND m.user_id = d.from_id AND m.status = 'active'
        AND (m.expires_at IS NULL OR m.expires_at > statement_timestamp())
    JOIN users AS u ON u.id = m.user_id AND u.status = 'active'
    LEFT JOIN project_parts AS pm
        ON pm.tenant_id = d.tenant_id AND pm.project_id = room AND pm.user_id = m.user_id
    WHERE d.tenant_id = tenant AND d.to_id = person AND d.revoked_at IS NULL
        AND d.starts_at <= statement_timestamp() AND d.ends_at > statement_timestamp()
$$;
GRANT EXECUTE ON FUNCTION stands_for(uuid, uuid, uuid) TO atrium_app;

-- The moments at which somebody's rights change by themselves, besides the end of her membership.
CREATE VIEW rights_moments WITH (security_invoker = true) AS
SELECT pm.tenant_id, pm.user_id, pm.expires_at AS at
FROM project_members AS pm WHERE pm.expires_at IS NOT NULL
UNION ALL
SELECT d.tenant_id, d.to_id, d.starts_at FROM delegations AS d WHERE d.revoked_at IS NULL
UNION ALL
SELECT d.tenant_id, d.to_id, d.ends_at FROM delegations AS d WHERE d.revoked_at IS NULL
UNION ALL
SELECT d.tenant_id, d.to_id, m.expires_at
FROM delegations AS d JOIN members AS m ON m.tenant_id = d.tenant_id AND m.user_id = d.from_id
WHERE d.revoked_at IS NULL AND d.ends_at > statement_timestamp() AND m.expires_at IS NOT NULL
UNION ALL
SELECT d.tenant_id, d.to_id, pm.expires_at
FROM delegations AS d JOIN project_members AS pm ON pm.tenant_id = d.tenant_id AND pm.user_id = d.from_id
WHERE d.revoked_at IS NULL AND d.ends_at > statement_timestamp() AND pm.expires_at IS NOT NULL;
