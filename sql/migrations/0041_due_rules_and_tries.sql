-- What rules by the clock look for in one project: its open tasks in the order of their due dates.

-- The table is large where a tenant is: writes of tasks wait for some seconds.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX tasks_project_due_idx ON tasks (tenant_id, project_id, due_at, id)
WHERE deleted_at IS NULL AND archived_at IS NULL AND completed_at IS NULL AND due_at IS NOT NULL;

-- A try of an alarm counts when it has failed, not when it begins: a database that is away for a while uses none up.
CREATE OR REPLACE FUNCTION lease_alarms(lease interval, most bigint)
RETURNS TABLE (
    tenant_id uuid, key text, room_id uuid, kind text, name text, payload text, actor_id uuid, command_id uuid,
    tries bigint, slug text, tenant_name text
)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH due AS (
        SELECT a.tenant_id, a.key FROM alarms AS a
        JOIN tenants AS t ON t.id = a.tenant_id AND t.status NOT IN ('inactive', 'suspended', 'deleted')
        LEFT JOIN projects AS p ON p.tenant_id = a.tenant_id AND p.id = a.room_id
        WHERE a.try_at <= now() AND p.deleted_at IS NULL AND p.archived_at IS NULL
        ORDER BY a.try_at
        LIMIT most
        FOR UPDATE OF a SKIP LOCKED
    ), leased AS (
        UPDATE alarms AS a SET try_at = now() + lease
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
