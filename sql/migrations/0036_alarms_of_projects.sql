-- Alarms of a project in the trash or in the archive sleep, as those of a tenant out of use do: they were dropped, and a
-- project that came back had none of its schedules any more.
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
