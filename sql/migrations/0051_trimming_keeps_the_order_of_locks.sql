-- The floors of rooms rise in the order in which everybody locks rooms: trimming that went the other way and a command that has
-- its project's room and goes on to that of a person would wait for each other, until Postgres ends one of them.
CREATE OR REPLACE FUNCTION trim_room_events(older_than timestamptz) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH floors AS (
        SELECT tenant_id, room_id, max(seq) AS seq FROM room_events
        WHERE at < older_than AND pg_try_advisory_xact_lock(hashtext('trim_room_events'))
        GROUP BY tenant_id, room_id
    ), held AS MATERIALIZED (
        SELECT r.tenant_id, r.id, f.seq FROM rooms AS r JOIN floors AS f ON f.tenant_id = r.tenant_id AND f.room_id = r.id
        ORDER BY r.tenant_id, array_position(ARRAY['tenant', 'project', 'channel', 'document', 'user'], r.kind), r.id
        FOR NO KEY UPDATE OF r
    ), raised AS (
        UPDATE rooms AS r SET floor_seq = greatest(r.floor_seq, h.seq)
        FROM held AS h WHERE r.tenant_id = h.tenant_id AND r.id = h.id
    ), subjects AS (
        DELETE FROM event_tasks AS t USING floors AS f
        WHERE t.tenant_id = f.tenant_id AND t.room_id = f.room_id AND t.seq <= f.seq
    ), steps AS (
        DELETE FROM history_steps AS s USING floors AS f
        WHERE s.tenant_id = f.tenant_id AND s.room_id = f.room_id AND s.seq <= f.seq
    ), gone AS (
        DELETE FROM room_events AS e USING floors AS f
        WHERE e.tenant_id = f.tenant_id AND e.room_id = f.room_id AND e.seq <= f.seq RETURNING 1
    )
    SELECT count(*) FROM gone
$$;
