-- The end of the trash: what is removed for good, across tenants to find it, and within one to do it.

-- Projects that were given up or deleted so long ago, and tenants with tasks that were. Enough for one round.
CREATE FUNCTION trash_to_purge(older_than timestamptz) RETURNS TABLE (tenant_id uuid, project_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    (
        SELECT p.tenant_id, p.id FROM projects AS p
        WHERE p.deleted_at IS NOT NULL AND (p.purged_at IS NOT NULL OR p.deleted_at < older_than)
        ORDER BY p.deleted_at LIMIT 1000
    )
    UNION ALL
    (SELECT DISTINCT t.tenant_id, NULL::uuid FROM tasks AS t WHERE t.deleted_at < older_than LIMIT 1000)
$$;

-- Some of the log of a project that was given up: the login role cannot remove any itself.
CREATE FUNCTION purge_room_log(room uuid, most bigint) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    removed bigint;
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM projects AS p
        WHERE p.tenant_id = current_tenant() AND p.id = room AND p.deleted_at IS NOT NULL AND p.purged_at IS NOT NULL
    ) THEN
        RAISE EXCEPTION 'this project is not to be removed' USING ERRCODE = 'insufficient_privilege';
    END IF;
    DELETE FROM room_events AS e WHERE e.tenant_id = current_tenant() AND e.room_id = room AND e.seq IN (
        SELECT x.seq FROM room_events AS x
        WHERE x.tenant_id = current_tenant() AND x.room_id = room ORDER BY x.seq LIMIT most
    );
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;

GRANT EXECUTE ON FUNCTION trash_to_purge(timestamptz), purge_room_log(uuid, bigint) TO atrium_app;

-- The progress of the projects that there are. Row-level security is forced upon the owner too, but for this.
ALTER TABLE projects NO FORCE ROW LEVEL SECURITY;
ALTER TABLE tasks NO FORCE ROW LEVEL SECURITY;
ALTER TABLE statuses NO FORCE ROW LEVEL SECURITY;
UPDATE projects AS p SET progress = c.share
FROM (
    SELECT
        t.tenant_id, t.project_id, floor(100 * count(*) FILTER (WHERE s.category = 'done') / count(*))::bigint AS share
    FROM tasks AS t JOIN statuses AS s ON s.tenant_id = t.tenant_id AND s.id = t.status_id
    WHERE t.deleted_at IS NULL AND t.subtask_total = 0 AND s.category <> 'cancelled'
    GROUP BY t.tenant_id, t.project_id
) AS c
WHERE p.tenant_id = c.tenant_id AND p.id = c.project_id AND c.share > 0;
ALTER TABLE projects FORCE ROW LEVEL SECURITY;
ALTER TABLE tasks FORCE ROW LEVEL SECURITY;
ALTER TABLE statuses FORCE ROW LEVEL SECURITY;
