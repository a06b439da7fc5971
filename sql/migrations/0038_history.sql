-- History, undo and activity: what an event is about, who did what when, and which changes were taken back.

-- The task that an event is about, or the chief one of several; the others are in event_tasks. Events from before this
-- have none: the history of a task begins here, that of projects and people with the log.
ALTER TABLE room_events ADD COLUMN task_id uuid;

-- The log is written all the time: writes wait, once, while it is read through for these (about 3 s for 1,000,000 events).
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX room_events_task_idx ON room_events (tenant_id, task_id, seq) WHERE task_id IS NOT NULL;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX room_events_actor_idx ON room_events (tenant_id, actor_id, at);
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX room_events_tenant_idx ON room_events (tenant_id, at);

CREATE TABLE event_tasks (
    tenant_id uuid NOT NULL,
    room_id uuid NOT NULL,
    seq bigint NOT NULL,
    task_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, room_id, seq, task_id)
);
CREATE INDEX event_tasks_task_idx ON event_tasks (tenant_id, task_id, seq);

-- Commands that are no change of somebody's own: what took a change back or brought it again, and what the server did at
-- an alarm in her name. A command is known by the number of its first event.
CREATE TABLE history_steps (
    tenant_id uuid NOT NULL,
    room_id uuid NOT NULL,
    seq bigint NOT NULL,
    actor_id uuid NOT NULL,
    kind text NOT NULL,
    target_seq bigint,
    PRIMARY KEY (tenant_id, room_id, seq),
    CONSTRAINT history_steps_kind_check CHECK (kind IN ('undo', 'redo', 'alarm')),
    CONSTRAINT history_steps_target_check CHECK ((target_seq IS NULL) = (kind = 'alarm'))
);
CREATE INDEX history_steps_actor_idx ON history_steps (tenant_id, room_id, actor_id, seq);

DO $$
DECLARE tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['event_tasks', 'history_steps'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format(
            'CREATE POLICY tenant ON %I TO atrium_app USING (tenant_id = current_tenant())', tenant_table
        );
        EXECUTE format('CREATE POLICY definer ON %I TO CURRENT_USER USING (true)', tenant_table);
    END LOOP;
END $$;
-- Written once, like the log that they belong to.
REVOKE UPDATE, DELETE ON event_tasks, history_steps FROM atrium_app;

-- What belongs to an event goes with it.
CREATE OR REPLACE FUNCTION trim_room_events(older_than timestamptz) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH floors AS (
        SELECT tenant_id, room_id, max(seq) AS seq FROM room_events
        WHERE at < older_than AND pg_try_advisory_xact_lock(hashtext('trim_room_events'))
        GROUP BY tenant_id, room_id
    ), raised AS (
        UPDATE rooms AS r SET floor_seq = greatest(r.floor_seq, f.seq)
        FROM floors AS f WHERE r.tenant_id = f.tenant_id AND r.id = f.room_id
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
