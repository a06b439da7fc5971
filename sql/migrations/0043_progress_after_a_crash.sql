-- Projects that had an event lately, or shortly before the newest one that there is: their progress is reckoned again, for a
-- node that dies forgets what it meant to do.
CREATE FUNCTION active_projects(within interval)
RETURNS TABLE (tenant_id uuid, room_id uuid, actor_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT DISTINCT ON (e.tenant_id, e.room_id) e.tenant_id, e.room_id, e.actor_id
    FROM room_events AS e
    JOIN rooms AS r ON r.tenant_id = e.tenant_id AND r.id = e.room_id AND r.kind = 'project'
    WHERE e.at >= least(now(), (
        SELECT max(newest.at) FROM tenants AS t CROSS JOIN LATERAL (
            SELECT x.at FROM room_events AS x WHERE x.tenant_id = t.id ORDER BY x.at DESC LIMIT 1
        ) AS newest
    )) - within
    ORDER BY e.tenant_id, e.room_id, e.seq DESC
$$;

GRANT EXECUTE ON FUNCTION active_projects(interval) TO atrium_app;
