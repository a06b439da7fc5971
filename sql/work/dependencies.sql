-- Dependencies between tasks of one project. One whose task is in the trash is there, and counts for nothing.

-- dependency :maybe
SELECT d.* FROM dependencies AS d
JOIN tasks AS t ON t.tenant_id = d.tenant_id AND t.id = d.task_id AND t.deleted_at IS NULL AND t.archived_at IS NULL
JOIN tasks AS o
    ON o.tenant_id = d.tenant_id AND o.id = d.depends_on_id AND o.deleted_at IS NULL AND o.archived_at IS NULL
WHERE d.tenant_id = :tenant_id AND d.project_id = :project_id AND d.task_id = :task_id AND d.id = :dependency_id;

-- Whether both tasks stand, how many dependencies each has already, and whether one is part of the other.
-- dependency_ends :maybe
WITH RECURSIVE above AS (
    SELECT t.id, t.parent_id, t.id AS bottom FROM tasks AS t
    WHERE t.tenant_id = :tenant_id AND t.id = ANY(ARRAY[:task_id, :depends_on_id]::uuid [])
    UNION
    SELECT t.id, t.parent_id, a.bottom FROM above AS a JOIN tasks AS t ON t.tenant_id = :tenant_id AND t.id = a.parent_id
)
SELECT
    (SELECT count(*) FROM dependencies AS d WHERE d.tenant_id = :tenant_id AND d.task_id = :task_id) AS waits_for,
    (
        SELECT count(*) FROM dependencies AS d WHERE d.tenant_id = :tenant_id AND d.depends_on_id = :depends_on_id
    ) AS blocks,
    EXISTS (
        SELECT 1 FROM above AS a
        WHERE (a.bottom = :task_id AND a.id = :depends_on_id) OR (a.bottom = :depends_on_id AND a.id = :task_id)
    ) AS related
FROM tasks AS t
JOIN tasks AS o ON o.tenant_id = t.tenant_id AND o.project_id = t.project_id AND o.id = :depends_on_id
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = :task_id
    AND t.deleted_at IS NULL AND t.archived_at IS NULL AND o.deleted_at IS NULL AND o.archived_at IS NULL;

-- Whether a task, or one of its subtasks, has to do with a task that it is about to become part of.
-- waits_for_parent :value
WITH RECURSIVE above AS (
    SELECT t.id, t.parent_id FROM tasks AS t WHERE t.tenant_id = :tenant_id AND t.id = :parent_id
    UNION
    SELECT t.id, t.parent_id FROM above AS a JOIN tasks AS t ON t.tenant_id = :tenant_id AND t.id = a.parent_id
), below AS (
    SELECT :task_id::uuid AS id
    UNION
    SELECT t.id FROM below AS b JOIN tasks AS t ON t.tenant_id = :tenant_id AND t.parent_id = b.id
)
SELECT EXISTS (
    SELECT 1 FROM below AS b
    JOIN dependencies AS d ON d.tenant_id = :tenant_id AND d.task_id = b.id
    JOIN above AS a ON a.id = d.depends_on_id
) OR EXISTS (
    SELECT 1 FROM below AS b
    JOIN dependencies AS d ON d.tenant_id = :tenant_id AND d.depends_on_id = b.id
    JOIN above AS a ON a.id = d.task_id
);

-- All that a task waits for, directly and behind that: what must not come to wait for whoever waits for it.
-- dependencies_behind :many
WITH RECURSIVE behind AS (
    SELECT :depends_on_id::uuid AS id
    UNION
    SELECT d.depends_on_id FROM behind AS b
    JOIN dependencies AS d ON d.tenant_id = :tenant_id AND d.task_id = b.id
)
SELECT b.id AS task_id, d.depends_on_id
FROM behind AS b
CROSS JOIN LATERAL (
    SELECT e.depends_on_id FROM dependencies AS e
    WHERE e.tenant_id = :tenant_id AND e.task_id = b.id
    OFFSET 0  -- by the index for each, however many are expected behind it
) AS d;

-- add_dependency :one
INSERT INTO dependencies (
    tenant_id, project_id, id, task_id, depends_on_id, type, lag_minutes, created_by, created_at
)
VALUES (
    :tenant_id, :project_id, :id, :task_id, :depends_on_id, :type, :lag_minutes, :actor_id, :now
)
RETURNING *;

-- update_dependency :one
UPDATE dependencies SET type = :type, lag_minutes = :lag_minutes, version = version + 1
WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :dependency_id
RETURNING *;

-- remove_dependency :maybe
DELETE FROM dependencies
WHERE tenant_id = :tenant_id AND project_id = :project_id AND task_id = :task_id AND id = :dependency_id
RETURNING *;

-- What a task waits for and what it blocks, as far as the tasks stand.
-- dependencies_of_task :many
SELECT d.*, o.key AS other_key, o.title AS other_title, o.completed_at AS other_completed_at, o.id AS other_id
FROM dependencies AS d
JOIN tasks AS o
    ON o.tenant_id = d.tenant_id AND o.id = CASE WHEN d.task_id = :task_id THEN d.depends_on_id ELSE d.task_id END
WHERE d.tenant_id = :tenant_id AND d.project_id = :project_id AND o.deleted_at IS NULL
    AND (d.task_id = :task_id OR d.depends_on_id = :task_id)
ORDER BY d.created_at, d.id;

-- Those between tasks that stand.
-- dependencies_of_project :many
SELECT d.* FROM dependencies AS d
JOIN tasks AS t ON t.tenant_id = d.tenant_id AND t.id = d.task_id
JOIN tasks AS o ON o.tenant_id = d.tenant_id AND o.id = d.depends_on_id
WHERE d.tenant_id = :tenant_id AND d.project_id = :project_id
    AND t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.deleted_at IS NULL AND t.archived_at IS NULL
    AND o.tenant_id = :tenant_id AND o.project_id = :project_id AND o.deleted_at IS NULL AND o.archived_at IS NULL
ORDER BY d.id;

-- The same, of some of the tasks.
-- dependencies_of_shown :many
SELECT d.* FROM dependencies AS d
JOIN tasks AS t ON t.tenant_id = d.tenant_id AND t.id = d.task_id
JOIN tasks AS o ON o.tenant_id = d.tenant_id AND o.id = d.depends_on_id
WHERE d.tenant_id = :tenant_id AND d.project_id = :project_id
    AND (d.task_id = ANY(:task_ids::uuid []) OR d.depends_on_id = ANY(:task_ids::uuid []))
    AND t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.deleted_at IS NULL AND t.archived_at IS NULL
    AND o.tenant_id = :tenant_id AND o.project_id = :project_id AND o.deleted_at IS NULL AND o.archived_at IS NULL
ORDER BY d.id;

-- Those of some tasks, whose other tasks stand too: what goes to the trash with them, or comes back.
-- dependencies_of_tasks :many
SELECT d.* FROM dependencies AS d
JOIN tasks AS t ON t.tenant_id = d.tenant_id AND t.id = d.task_id
JOIN tasks AS o ON o.tenant_id = d.tenant_id AND o.id = d.depends_on_id
WHERE d.tenant_id = :tenant_id AND (d.task_id = ANY(:task_ids::uuid []) OR d.depends_on_id = ANY(:task_ids::uuid []))
    AND ((t.deleted_at IS NULL AND t.archived_at IS NULL) OR t.id = ANY(:task_ids::uuid []))
    AND ((o.deleted_at IS NULL AND o.archived_at IS NULL) OR o.id = ANY(:task_ids::uuid []))
ORDER BY d.id;

-- What a schedule is reckoned from.
-- tasks_to_schedule :many
SELECT t.id, t.estimate_minutes, t.type, t.start_at, t.due_at, t.completed_at
FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.deleted_at IS NULL AND t.archived_at IS NULL
ORDER BY t.number;
