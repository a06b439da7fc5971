-- What belongs to an event of a project that is given up goes with it, as it does when the log is trimmed.
CREATE OR REPLACE FUNCTION purge_room_log(room uuid, most bigint) RETURNS bigint
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
    WITH old AS (
        SELECT x.seq FROM room_events AS x
        WHERE x.tenant_id = current_tenant() AND x.room_id = room ORDER BY x.seq LIMIT most
    ), subjects AS (
        DELETE FROM event_tasks AS t USING old
        WHERE t.tenant_id = current_tenant() AND t.room_id = room AND t.seq = old.seq
    ), steps AS (
        DELETE FROM history_steps AS s USING old
        WHERE s.tenant_id = current_tenant() AND s.room_id = room AND s.seq = old.seq
    )
    DELETE FROM room_events AS e USING old
    WHERE e.tenant_id = current_tenant() AND e.room_id = room AND e.seq = old.seq;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;

-- What earlier ones have left.
DELETE FROM event_tasks AS t
WHERE NOT EXISTS (SELECT 1 FROM rooms AS r WHERE r.tenant_id = t.tenant_id AND r.id = t.room_id);
DELETE FROM history_steps AS s
WHERE NOT EXISTS (SELECT 1 FROM rooms AS r WHERE r.tenant_id = s.tenant_id AND r.id = s.room_id);
