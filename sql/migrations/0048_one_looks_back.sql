-- When the log was last searched for projects whose progress somebody has forgotten to reckon. Whoever comes first does it.
CREATE TABLE progress_looks (
    sole boolean PRIMARY KEY DEFAULT true,
    at timestamptz NOT NULL,
    CONSTRAINT progress_looks_sole_check CHECK (sole)
);
INSERT INTO progress_looks (at) VALUES (now());

-- Projects whose last event is later than the last look less `back`, and says something else than how much of them is done.
-- Nothing where the last look is less than `pause` ago, or somebody is looking.
CREATE FUNCTION forgotten_projects(pause interval, back interval)
RETURNS TABLE (tenant_id uuid, room_id uuid, actor_id uuid)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
#variable_conflict use_column
DECLARE
    since timestamptz;
BEGIN
    UPDATE progress_looks AS l SET at = now()
    FROM (SELECT x.sole, x.at FROM progress_looks AS x WHERE x.at <= now() - pause FOR UPDATE SKIP LOCKED) AS last
    WHERE l.sole = last.sole
    RETURNING last.at - back INTO since;
    IF since IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY
    SELECT r.tenant_id, r.id, newest.actor_id
    FROM rooms AS r
    CROSS JOIN LATERAL (
        SELECT e.at, e.name, e.actor_id FROM room_events AS e
        WHERE e.tenant_id = r.tenant_id AND e.room_id = r.id
        ORDER BY e.seq DESC
        LIMIT 1
    ) AS newest
    WHERE r.kind = 'project' AND newest.at >= since AND newest.name <> 'project.progressed';
END
$$;

GRANT EXECUTE ON FUNCTION forgotten_projects(interval, interval) TO atrium_app;

-- For nodes from before, while they are there.
CREATE OR REPLACE FUNCTION active_projects(within interval)
RETURNS TABLE (tenant_id uuid, room_id uuid, actor_id uuid)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ SELECT * FROM forgotten_projects(within / 2, within / 2) $$;
