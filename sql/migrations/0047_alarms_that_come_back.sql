-- What is due is locked first and looked at then, as it is after the lock: a project that came back before is not put off, and
-- one that comes back later waits in `wake_alarms` for the lock, and sets its alarms to their own moment after it.
CREATE OR REPLACE FUNCTION lease_alarms(lease interval, most bigint)
RETURNS TABLE (
    tenant_id uuid, key text, room_id uuid, kind text, name text, payload text, actor_id uuid, command_id uuid,
    tries bigint, slug text, tenant_name text
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    tenant_ids uuid [];
    keys text [];
BEGIN
    SELECT array_agg(f.tenant_id), array_agg(f.key) INTO tenant_ids, keys
    FROM (
        SELECT a.tenant_id, a.key FROM alarms AS a
        WHERE a.try_at <= now()
        ORDER BY a.try_at
        LIMIT most * 10
        FOR UPDATE SKIP LOCKED
    ) AS f;
    RETURN QUERY
    WITH first AS MATERIALIZED (
        SELECT
            a.tenant_id, a.key, a.try_at,
            t.status IN ('inactive', 'suspended', 'deleted') OR p.deleted_at IS NOT NULL OR p.archived_at IS NOT NULL AS asleep
        FROM unnest(tenant_ids, keys) AS f (tenant_id, key)
        JOIN alarms AS a ON a.tenant_id = f.tenant_id AND a.key = f.key
        JOIN tenants AS t ON t.id = a.tenant_id
        LEFT JOIN projects AS p ON p.tenant_id = a.tenant_id AND p.id = a.room_id
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
    ORDER BY l.at;
END
$$;
