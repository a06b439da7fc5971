-- Series of tasks that recur. The current task of a series is the newest that was made.

-- series_of_task :maybe
SELECT s.* FROM tasks AS t
JOIN series AS s ON s.tenant_id = t.tenant_id AND s.project_id = t.project_id AND s.id = t.series_id
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = :task_id AND t.deleted_at IS NULL;

-- A new series, or the same with another rule, which begins anew with the current task.
-- set_series :one
INSERT INTO series (
    tenant_id, project_id, id, rule, time_zone, mode, task_id, column_id, begins_at, occurs_at, created_by, created_at
)
SELECT
    :tenant_id, :project_id, :id, :rule, :time_zone, :mode, t.id, t.column_id, :begins_at, :begins_at, :actor_id, :now
FROM tasks AS t WHERE t.tenant_id = :tenant_id AND t.id = :task_id
ON CONFLICT (tenant_id, id) DO UPDATE
SET
    rule = excluded.rule, time_zone = excluded.time_zone, mode = excluded.mode, column_id = excluded.column_id,
    begins_at = excluded.begins_at, occurs_at = excluded.occurs_at, made = 1, ended_at = NULL
RETURNING *;

-- join_series :one
UPDATE tasks SET series_id = :series_id, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :task_id
RETURNING *;

-- shift_task :one
UPDATE tasks
SET start_at = :start_at, due_at = :due_at, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :task_id
RETURNING *;

-- advance_series :one
UPDATE series SET task_id = :task_id, occurs_at = :occurs_at, made = made + 1
WHERE tenant_id = :tenant_id AND id = :series_id
RETURNING *;

-- end_series :one
UPDATE series SET ended_at = :now WHERE tenant_id = :tenant_id AND id = :series_id
RETURNING *;

-- Nothing where it has ended; and whether the current task is done.
-- series_to_make :maybe
SELECT s.*, t.completed_at
FROM series AS s
JOIN tasks AS t ON t.tenant_id = s.tenant_id AND t.id = s.task_id AND t.deleted_at IS NULL
WHERE s.tenant_id = :tenant_id AND s.project_id = :project_id AND s.id = :series_id AND s.ended_at IS NULL;

-- The current task, whether it is archived by now or not, and the parent that a next one is part of.
-- task_of_series :one
SELECT t.*, p.id AS standing_parent_id
FROM tasks AS t
LEFT JOIN tasks AS p
    ON p.tenant_id = t.tenant_id AND p.id = t.parent_id AND p.deleted_at IS NULL AND p.archived_at IS NULL
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = :task_id;

-- Where the next task goes, however full it is: to the column of the first one, if that stands and its first status is none
-- of what is done; else to the first column of the project.
-- column_of_series :maybe
SELECT
    c.id, c.status_ids[1] AS status_id,
    (
        SELECT max(n.position) FROM tasks AS n
        WHERE n.tenant_id = :tenant_id AND n.column_id = c.id AND n.deleted_at IS NULL AND n.archived_at IS NULL
    ) AS last_position
FROM board_columns AS c
JOIN boards AS b ON b.tenant_id = c.tenant_id AND b.id = c.board_id
JOIN statuses AS s ON s.tenant_id = c.tenant_id AND s.id = c.status_ids[1]
WHERE c.tenant_id = :tenant_id AND c.project_id = :project_id AND c.deleted_at IS NULL
ORDER BY s.category IN ('done', 'cancelled'), c.id <> :column_id, b.position, b.id, c.position, c.id
LIMIT 1;

-- Those for all that hang upon the due date, and those of people for themselves.
-- copy_reminders :exec
INSERT INTO reminders (tenant_id, project_id, task_id, id, audience, before_minutes, created_by, created_at)
SELECT r.tenant_id, r.project_id, :task_id, gen_random_uuid(), r.audience, r.before_minutes, r.created_by, :now
FROM reminders AS r
WHERE r.tenant_id = :tenant_id AND r.task_id = :from_id AND r.before_minutes IS NOT NULL;
