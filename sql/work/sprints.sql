-- Sprints of a project, and what they hold.

-- sprint :maybe
SELECT s.*, u.name AS updated_by_name
FROM sprints AS s LEFT JOIN users AS u ON u.id = s.updated_by
WHERE s.tenant_id = :tenant_id AND s.project_id = :project_id AND s.id = :sprint_id;

-- How many a project has that are not completed, and how many of them are active.
-- open_sprints :one
SELECT count(*) AS open, count(*) FILTER (WHERE s.status = 'active') AS active
FROM sprints AS s
WHERE s.tenant_id = :tenant_id AND s.project_id = :project_id AND s.status <> 'completed';

-- create_sprint :one
INSERT INTO sprints (
    tenant_id, project_id, id, name, goal, start_on, end_on, capacity_minutes, capacities,
    created_by, created_at, updated_by, updated_at
)
VALUES (
    :tenant_id, :project_id, :id, :name, :goal, :start_on, :end_on, :capacity_minutes, :capacities::text::jsonb,
    :actor_id, :now, :actor_id, :now
)
RETURNING *;

-- update_sprint :one
UPDATE sprints
SET
    name = :name, goal = :goal, start_on = :start_on, end_on = :end_on, capacity_minutes = :capacity_minutes,
    capacities = :capacities::text::jsonb, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :sprint_id
RETURNING *;

-- set_sprint_status :one
UPDATE sprints
SET
    status = :status, start_on = :start_on, end_on = :end_on, started_at = :started_at, completed_at = :completed_at,
    version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :sprint_id
RETURNING *;

-- delete_sprint :exec
DELETE FROM sprints WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :sprint_id;

-- sprints_by_creation :many
SELECT s.* FROM sprints AS s
WHERE s.tenant_id = :tenant_id AND s.project_id = :project_id
    AND (s.created_at, s.id) < (:before_at::timestamptz, :before_id::uuid)
    AND (:status::text IS NULL OR s.status = :status)
ORDER BY s.created_at DESC, s.id DESC
LIMIT :max_rows;

-- What a snapshot shows: all that are not completed, and the last few that are.
-- sprints_of_board :many
SELECT s.* FROM sprints AS s
WHERE s.tenant_id = :tenant_id AND s.project_id = :project_id AND s.status <> 'completed'
UNION ALL
(
    SELECT s.* FROM sprints AS s
    WHERE s.tenant_id = :tenant_id AND s.project_id = :project_id AND s.status = 'completed'
    ORDER BY s.completed_at DESC, s.id DESC
    LIMIT :shown
);

-- The completed one that stands at a place among them, the last completed first.
-- completed_sprint_at :maybe
SELECT s.* FROM sprints AS s
WHERE s.tenant_id = :tenant_id AND s.project_id = :project_id AND s.status = 'completed'
ORDER BY s.completed_at DESC, s.id DESC
LIMIT 1 OFFSET :skipped;

-- The planned one that is next: by its start, else by when it was made.
-- next_sprint :maybe
SELECT s.* FROM sprints AS s
WHERE s.tenant_id = :tenant_id AND s.project_id = :project_id AND s.status = 'planned' AND s.id <> :sprint_id
ORDER BY s.start_on ASC NULLS LAST, s.created_at, s.id
LIMIT 1;

-- A sprint that tasks are to go to, and how many it holds.
-- sprint_to_fill :maybe
SELECT
    s.id, s.name, s.status,
    (SELECT count(*) FROM tasks AS t WHERE t.tenant_id = s.tenant_id AND t.sprint_id = s.id AND t.deleted_at IS NULL) AS held
FROM sprints AS s
WHERE s.tenant_id = :tenant_id AND s.project_id = :project_id AND s.id = :sprint_id;

-- Its open tasks on the board: neither done nor cancelled.
-- open_tasks_of_sprint :many
SELECT t.id FROM tasks AS t
JOIN statuses AS s ON s.tenant_id = t.tenant_id AND s.id = t.status_id
WHERE t.tenant_id = :tenant_id AND t.sprint_id = :sprint_id AND t.deleted_at IS NULL
    AND t.archived_at IS NULL AND t.completed_at IS NULL AND s.category <> 'cancelled';

-- Every task that is in it, or that it counts.
-- tasks_counted_by_sprint :many
SELECT t.id FROM tasks AS t WHERE t.tenant_id = :tenant_id AND t.sprint_id = :sprint_id
UNION
SELECT f.task_id FROM sprint_facts AS f WHERE f.tenant_id = :tenant_id AND f.sprint_id = :sprint_id;

-- The same of all sprints that are not completed.
-- tasks_counted_by_open_sprints :many
SELECT t.id
FROM sprints AS s JOIN tasks AS t ON t.tenant_id = s.tenant_id AND t.sprint_id = s.id
WHERE s.tenant_id = :tenant_id AND s.project_id = :project_id AND s.status <> 'completed'
UNION
SELECT f.task_id
FROM sprints AS s JOIN sprint_facts AS f ON f.tenant_id = s.tenant_id AND f.sprint_id = s.id
WHERE s.tenant_id = :tenant_id AND s.project_id = :project_id AND s.status <> 'completed';

-- to_sprint :many
UPDATE tasks AS t
SET sprint_id = :to_sprint_id, version = t.version + 1, updated_by = :actor_id, updated_at = :now
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = ANY(:task_ids::uuid [])
RETURNING t.id, t.sprint_id, t.version, t.updated_at;

-- Those in trash and archive go too, and are not told of.
-- empty_sprint :many
UPDATE tasks AS t
SET sprint_id = NULL, version = t.version + 1, updated_by = :actor_id, updated_at = :now
WHERE t.tenant_id = :tenant_id AND t.sprint_id = :sprint_id
RETURNING t.id, t.sprint_id, t.version, t.updated_at,
    t.deleted_at IS NULL AND t.archived_at IS NULL AS on_board;

-- Tasks and all that is below them, each once; more than may be are not looked for.
-- tasks_with_subtasks :many
WITH RECURSIVE below AS (
    SELECT t.id FROM tasks AS t
    WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = ANY(:task_ids::uuid [])
        AND t.deleted_at IS NULL AND t.archived_at IS NULL
    UNION
    SELECT t.id FROM below AS b
    JOIN tasks AS t ON t.tenant_id = :tenant_id AND t.parent_id = b.id AND t.deleted_at IS NULL AND t.archived_at IS NULL
)
SELECT id FROM below LIMIT :max_rows;

-- What a sprint holds, in the order in which it is taken up; tasks that were never moved go by their number.
-- tasks_of_sprint :many
SELECT t.* FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.sprint_id = :sprint_id AND t.deleted_at IS NULL AND t.archived_at IS NULL
    AND coalesce(t.backlog_position, 'l' || lpad(t.number::text, 10, '0') || '00') COLLATE "C" > :after_position
ORDER BY coalesce(t.backlog_position, 'l' || lpad(t.number::text, 10, '0') || '00') COLLATE "C"
LIMIT :max_rows;

-- The load of a sprint: what it holds, and of it what each person has, shared evenly among those a task is given to.
-- load_of_sprint :many
WITH held AS (
    SELECT t.assignee_ids, t.estimate_minutes, t.completed_at FROM tasks AS t
    JOIN statuses AS s ON s.tenant_id = t.tenant_id AND s.id = t.status_id
    WHERE t.tenant_id = :tenant_id AND t.sprint_id = :sprint_id AND t.deleted_at IS NULL AND s.category <> 'cancelled'
        AND (t.archived_at IS NULL OR t.completed_at IS NOT NULL)
)
SELECT
    NULL::uuid AS user_id, count(*) AS tasks, coalesce(sum(h.estimate_minutes), 0)::bigint AS minutes,
    count(h.completed_at) AS done_tasks,
    coalesce(sum(h.estimate_minutes) FILTER (WHERE h.completed_at IS NOT NULL), 0)::bigint AS done_minutes,
    count(*) FILTER (WHERE h.estimate_minutes IS NULL) AS unestimated
FROM held AS h
UNION ALL
SELECT
    a.user_id, count(*), coalesce(round(sum(h.estimate_minutes::numeric / cardinality(h.assignee_ids))), 0)::bigint,
    count(h.completed_at),
    coalesce(
        round(sum(h.estimate_minutes::numeric / cardinality(h.assignee_ids)) FILTER (WHERE h.completed_at IS NOT NULL)),
        0
    )::bigint,
    count(*) FILTER (WHERE h.estimate_minutes IS NULL)
FROM held AS h CROSS JOIN LATERAL unnest(h.assignee_ids) AS a (user_id)
GROUP BY a.user_id;
