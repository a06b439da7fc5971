-- Alarms that are due and sleep, because their project is in the trash or the archive or their tenant out of use, are put off
-- when a node comes upon them. So a search reads a bounded number of rows however many sleep. What wakes them up sets them
-- to their own moment again; else they are looked at again after an hour or two.
CREATE OR REPLACE FUNCTION lease_alarms(lease interval, most bigint)
RETURNS TABLE (
    tenant_id uuid, key text, room_id uuid, kind text, name text, payload text, actor_id uuid, command_id uuid,
    tries bigint, slug text, tenant_name text
)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH first AS MATERIALIZED (
        SELECT
            a.tenant_id, a.key, a.try_at,
            t.status IN ('inactive', 'suspended', 'deleted') OR p.deleted_at IS NOT NULL OR p.archived_at IS NOT NULL AS asleep
        FROM alarms AS a
        JOIN tenants AS t ON t.id = a.tenant_id
        LEFT JOIN projects AS p ON p.tenant_id = a.tenant_id AND p.id = a.room_id
        WHERE a.try_at <= now()
        ORDER BY a.try_at
        LIMIT most * 10
        FOR UPDATE OF a SKIP LOCKED
    ), put_off AS (
        UPDATE alarms AS a SET try_at = now() + interval '1 hour' * (1 + random())
        FROM first AS f WHERE f.asleep AND a.tenant_id = f.tenant_id AND a.key = f.key
    ), due AS (
        SELECT f.tenant_id, f.key FROM first AS f WHERE NOT f.asleep ORDER BY f.try_at LIMIT most
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
