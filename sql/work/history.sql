-- Undo: which of somebody's changes in a room still stand, and what others have done since.

-- The newest events of a person, as far as they are in this room; none of a command of which the oldest may be missing.
-- own_events :many
WITH newest AS (
    SELECT x.room_id, x.seq, x.name, x.command_id, x.task_id, x.at FROM room_events AS x
    WHERE x.tenant_id = :tenant_id AND x.actor_id = :actor_id
    ORDER BY x.at DESC
    LIMIT :most
)
SELECT
    e.seq, e.name, e.command_id,
    :task_id::uuid IS NULL OR e.task_id = :task_id OR EXISTS (
        SELECT 1 FROM event_tasks AS t
        WHERE t.tenant_id = :tenant_id AND t.room_id = e.room_id AND t.seq = e.seq AND t.task_id = :task_id
    ) AS counts
FROM newest AS e
WHERE e.room_id = :room_id
    AND ((SELECT count(*) FROM newest) < :most OR e.at > (SELECT min(n.at) FROM newest AS n))
ORDER BY e.seq DESC;

-- history_steps_of :many
SELECT s.seq, s.kind, s.target_seq FROM history_steps AS s
WHERE s.tenant_id = :tenant_id AND s.room_id = :room_id AND s.actor_id = :actor_id AND s.seq >= :from_seq
ORDER BY s.seq;

-- record_history_step :exec
INSERT INTO history_steps (tenant_id, room_id, seq, actor_id, kind, target_seq)
VALUES (:tenant_id, :room_id, :seq, :actor_id, :kind, :target_seq);

-- What others have done with some tasks since.
-- done_by_others :many
WITH found AS (
    SELECT e.seq FROM room_events AS e
    WHERE e.tenant_id = :tenant_id AND e.task_id = ANY(:task_ids::uuid []) AND e.room_id = :room_id AND e.seq > :after_seq
    UNION
    SELECT t.seq FROM event_tasks AS t
    WHERE t.tenant_id = :tenant_id AND t.task_id = ANY(:task_ids::uuid []) AND t.room_id = :room_id AND t.seq > :after_seq
)
SELECT e.room_id, e.seq, e.name, e.at, e.actor_id, u.name AS actor_name, e.command_id, e.task_id, e.data::text AS data
FROM found AS f
JOIN room_events AS e ON e.tenant_id = :tenant_id AND e.room_id = :room_id AND e.seq = f.seq
LEFT JOIN users AS u ON u.id = e.actor_id
WHERE e.actor_id <> :actor_id
ORDER BY e.seq
LIMIT :most;

-- The same for what is no task: by the name of the event.
-- done_by_others_named :many
SELECT e.room_id, e.seq, e.name, e.at, e.actor_id, u.name AS actor_name, e.command_id, e.task_id, e.data::text AS data
FROM room_events AS e
LEFT JOIN users AS u ON u.id = e.actor_id
WHERE e.tenant_id = :tenant_id AND e.room_id = :room_id AND e.seq > :after_seq AND e.actor_id <> :actor_id
    AND e.name = ANY(:names::text [])
ORDER BY e.seq
LIMIT :most;

-- The first card of a column at a place or after it.
-- card_from :maybe
SELECT t.id FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.column_id = :column_id AND t.position >= :position AND t.id <> :task_id
    AND t.deleted_at IS NULL AND t.archived_at IS NULL
ORDER BY t.position, t.id
LIMIT 1;

-- set_completed :exec
UPDATE tasks SET completed_at = :completed_at WHERE tenant_id = :tenant_id AND id = :task_id;

-- Tasks, in the trash and the archive too, each with whether its parent is there.
-- tasks_anywhere :many
SELECT
    t.*, p.key AS parent_key, p.deleted_at IS NOT NULL AS parent_deleted,
    coalesce(p.deleted_at, p.archived_at) IS NOT NULL AS parent_gone
FROM tasks AS t LEFT JOIN tasks AS p ON p.tenant_id = t.tenant_id AND p.id = t.parent_id
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = ANY(:task_ids::uuid []);

-- subtasks_of_others :many
SELECT t.id, t.key, t.created_at, t.created_by, u.name AS created_by_name
FROM tasks AS t LEFT JOIN users AS u ON u.id = t.created_by
WHERE t.tenant_id = :tenant_id AND t.parent_id = :task_id AND t.created_by <> :actor_id AND t.deleted_at IS NULL
ORDER BY t.id
LIMIT 1;

-- The places that are taken in some columns.
-- places_in :many
SELECT t.column_id, t.id, t.position FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.column_id = ANY(:column_ids::uuid [])
    AND t.deleted_at IS NULL AND t.archived_at IS NULL
ORDER BY t.column_id, t.position, t.id;

-- From the trash a task comes back to the archive, where it was there.
-- bring_back_tasks :many
UPDATE tasks AS t
SET
    deleted_at = NULL, deleted_with = NULL, position = b.position,
    archived_at = CASE WHEN NOT :from_archive::boolean THEN t.archived_at END,
    archived_with = CASE WHEN NOT :from_archive THEN t.archived_with END,
    moved_by = :actor_id, moved_at = :now,
    version = t.version + 1, updated_by = :actor_id, updated_at = :now
FROM unnest(:task_ids::uuid [], :positions::text []) AS b (id, position)
WHERE t.tenant_id = :tenant_id AND t.id = b.id
RETURNING t.*;

-- Where its board stands.
-- deleted_column :maybe
SELECT c.* FROM board_columns AS c
JOIN boards AS b ON b.tenant_id = c.tenant_id AND b.id = c.board_id AND b.deleted_at IS NULL
WHERE c.tenant_id = :tenant_id AND c.project_id = :project_id AND c.id = :column_id AND c.deleted_at IS NOT NULL;

-- bring_back_column :one
UPDATE board_columns
SET deleted_at = NULL, position = :position, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :column_id
RETURNING *;

-- The events of one command.
-- events_between :many
SELECT e.room_id, e.seq, e.name, e.at, e.actor_id, u.name AS actor_name, e.command_id, e.task_id, e.data::text AS data
FROM room_events AS e
LEFT JOIN users AS u ON u.id = e.actor_id
WHERE e.tenant_id = :tenant_id AND e.room_id = :room_id AND e.seq BETWEEN :from_seq AND :upto_seq
    AND e.command_id = :command_id
ORDER BY e.seq;
