-- Imports of members: a table that somebody sent, carried out in portions by whichever node holds the lease.

ALTER TABLE invitations ADD COLUMN name text NOT NULL DEFAULT '';

CREATE TABLE member_imports (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    mode text NOT NULL CHECK (mode IN ('invite', 'add')),
    dry_run boolean NOT NULL,
    role text NOT NULL CHECK (role IN ('owner', 'admin', 'manager', 'member', 'viewer', 'client', 'guest')),
    message text NOT NULL,
    -- The table as it was sent; empty once the import is over.
    file text NOT NULL,
    state text NOT NULL CHECK (state IN ('running', 'done', 'cancelled', 'failed')),
    total bigint NOT NULL,
    -- Rows that are dealt with. Raised in the transaction that deals with them, so that none is applied twice.
    done bigint NOT NULL DEFAULT 0,
    invited bigint NOT NULL DEFAULT 0,
    added bigint NOT NULL DEFAULT 0,
    failed bigint NOT NULL DEFAULT 0,
    problem text,
    lease_until timestamptz NOT NULL,
    created_by uuid NOT NULL,
    -- What the credential was limited to that it was begun with; NULL where it was not.
    scopes text [],
    created_at timestamptz NOT NULL,
    finished_at timestamptz,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX member_imports_running_key ON member_imports (tenant_id) WHERE state = 'running';
CREATE INDEX member_imports_due_idx ON member_imports (lease_until) WHERE state = 'running';
CREATE INDEX member_imports_finished_idx ON member_imports (finished_at) WHERE state <> 'running';

CREATE TABLE member_import_errors (
    tenant_id uuid NOT NULL,
    import_id uuid NOT NULL,
    line bigint NOT NULL,
    field text NOT NULL,
    message text NOT NULL,
    value text NOT NULL,
    PRIMARY KEY (tenant_id, import_id, line, field),
    FOREIGN KEY (tenant_id, import_id) REFERENCES member_imports (tenant_id, id) ON DELETE CASCADE
);

ALTER TABLE member_imports ENABLE ROW LEVEL SECURITY;
ALTER TABLE member_imports FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON member_imports TO atrium_app USING (tenant_id = current_tenant());
ALTER TABLE member_import_errors ENABLE ROW LEVEL SECURITY;
ALTER TABLE member_import_errors FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON member_import_errors TO atrium_app USING (tenant_id = current_tenant());

CREATE POLICY definer ON member_imports TO CURRENT_USER USING (true);

-- Work that nobody is at: a lease that runs out makes it due again, for its node has died.
CREATE FUNCTION lease_member_import(lease interval)
RETURNS TABLE (tenant_id uuid, import_id uuid, created_by uuid, scopes text [], slug text, name text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH due AS (
        SELECT i.tenant_id, i.id FROM member_imports AS i
        WHERE i.state = 'running' AND i.lease_until <= now()
        ORDER BY i.lease_until
        LIMIT 1
        FOR UPDATE SKIP LOCKED
    ), leased AS (
        UPDATE member_imports AS i SET lease_until = now() + lease
        FROM due WHERE i.tenant_id = due.tenant_id AND i.id = due.id
        RETURNING i.tenant_id, i.id, i.created_by, i.scopes
    )
    SELECT l.tenant_id, l.id, l.created_by, l.scopes, t.slug, t.name
    FROM leased AS l JOIN tenants AS t ON t.id = l.tenant_id
$$;

-- Retention: what was imported long ago, and what was wrong with it.
CREATE FUNCTION purge_member_imports(older_than timestamptz) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH gone AS (
        DELETE FROM member_imports WHERE state <> 'running' AND finished_at < older_than RETURNING 1
    )
    SELECT count(*) FROM gone
$$;

GRANT EXECUTE ON FUNCTION lease_member_import(interval), purge_member_imports(timestamptz) TO atrium_app;
