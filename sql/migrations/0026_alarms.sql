-- Alarms: commands that the server itself sends into a room at a moment. One for each key; it is gone once it was heard.

CREATE TABLE alarms (
    tenant_id uuid NOT NULL,
    key text COLLATE "C" NOT NULL,
    room_id uuid NOT NULL,
    at timestamptz NOT NULL,
    name text NOT NULL,
    payload json NOT NULL,
    actor_id uuid NOT NULL,
    -- The id of the command that it becomes, so that two nodes that send it apply it once.
    command_id uuid NOT NULL,
    -- When a node may take it: the moment itself, later while another one is at it or after a failure.
    try_at timestamptz NOT NULL,
    tries bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, key),
    FOREIGN KEY (tenant_id, room_id) REFERENCES rooms (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX alarms_due_idx ON alarms (try_at);
CREATE INDEX alarms_room_idx ON alarms (tenant_id, room_id);

ALTER TABLE alarms ENABLE ROW LEVEL SECURITY;
ALTER TABLE alarms FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON alarms TO atrium_app USING (tenant_id = current_tenant());
CREATE POLICY definer ON alarms TO CURRENT_USER USING (true);

-- What is due and nobody is at. Tenants that are out of use sleep; what they missed comes when they are in use again.
CREATE FUNCTION lease_alarms(lease interval, most bigint)
RETURNS TABLE (
    tenant_id uuid, key text, room_id uuid, kind text, name text, payload text, actor_id uuid, command_id uuid,
    tries bigint, slug text, tenant_name text
)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH due AS (
        SELECT a.tenant_id, a.key FROM alarms AS a
        JOIN tenants AS t ON t.id = a.tenant_id AND t.status NOT IN ('inactive', 'suspended', 'deleted')
        WHERE a.try_at <= now()
        ORDER BY a.try_at
        LIMIT most
        FOR UPDATE OF a SKIP LOCKED
    ), leased AS (
        UPDATE alarms AS a SET try_at = now() + lease, tries = a.tries + 1
        FROM due WHERE a.tenant_id = due.tenant_id AND a.key = due.key
        RETURNING a.*
    )
    SELECT
        l.tenant_id, l.key, l.room_id, r.kind, l.name, l.payload::text, l.actor_id, l.command_id, l.tries,
        t.slug, t.name
    FROM leased AS l
    JOIN rooms AS r ON r.tenant_id = l.tenant_id AND r.id = l.room_id
    JOIN tenants AS t ON t.id = l.tenant_id
    ORDER BY l.at
$$;

GRANT EXECUTE ON FUNCTION lease_alarms(interval, bigint) TO atrium_app;
