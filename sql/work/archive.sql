-- The archive. A task takes its subtasks along, to any depth; each remembers with whom it went: with the uppermost of
-- those that were named.

-- archive_tasks :many
WITH RECURSIVE gone AS (
    SELECT t.id, t.id AS top, 0 AS depth FROM tasks AS t
    WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = ANY(:task_ids::uuid [])
        AND t.deleted_at IS NULL AND t.archived_at IS NULL
    UNION ALL
    SELECT t.id, g.top, g.depth + 1 FROM gone AS g
    JOIN tasks AS t
        ON t.tenant_id = :tenant_id AND t.parent_id = g.id AND t.deleted_at IS NULL AND t.archived_at IS NULL
), uppermost AS (
    SELECT DISTINCT ON (g.id) g.id, g.top FROM gone AS g ORDER BY g.id, g.depth DESC
)
UPDATE tasks AS t
SET archived_at = :now, archived_with = u.top, version = t.version + 1, updated_by = :actor_id, updated_at = :now
FROM uppermost AS u WHERE t.tenant_id = :tenant_id AND t.id = u.id
RETURNING t.id, t.sprint_id;

-- archived_task :maybe
SELECT t.*, p.archived_at AS parent_archived_at
FROM tasks AS t LEFT JOIN tasks AS p ON p.tenant_id = t.tenant_id AND p.id = t.parent_id
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = :task_id
    AND t.deleted_at IS NULL AND t.archived_at IS NOT NULL;

-- The task itself, whoever took it along, and what went with it; or what went with the one that took both along, below it.
-- archived_with :many
WITH RECURSIVE back AS (
    SELECT t.id, t.archived_with FROM tasks AS t
    WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = :task_id
    UNION
    SELECT t.id, t.archived_with FROM back AS b
    JOIN tasks AS t ON t.tenant_id = :tenant_id AND t.parent_id = b.id AND t.archived_with = b.archived_with
    WHERE t.deleted_at IS NULL
)
SELECT t.id, t.column_id, t.status_id, c.board_id
FROM back AS b
JOIN tasks AS t ON t.tenant_id = :tenant_id AND t.id = b.id
JOIN board_columns AS c ON c.tenant_id = t.tenant_id AND c.id = t.column_id
ORDER BY t.column_id, t.position, t.id;

-- What comes out with each of some tasks: the task itself, and below it what went with the same one. Those of other
-- boards' columns that are gone still say which board that was.
-- archived_families :many
WITH RECURSIVE back AS (
    SELECT t.id, t.id AS top, t.archived_with FROM tasks AS t
    WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = ANY(:task_ids::uuid [])
        AND t.deleted_at IS NULL AND t.archived_at IS NOT NULL
    UNION
    SELECT t.id, b.top, t.archived_with FROM back AS b
    JOIN tasks AS t ON t.tenant_id = :tenant_id AND t.parent_id = b.id AND t.archived_with = b.archived_with
    WHERE t.deleted_at IS NULL AND t.archived_at IS NOT NULL
)
SELECT
    b.top, t.id, t.parent_id, t.column_id, t.status_id, c.board_id,
    coalesce(p.archived_at IS NOT NULL, false) AS parent_archived
FROM back AS b
JOIN tasks AS t ON t.tenant_id = :tenant_id AND t.id = b.id
JOIN board_columns AS c ON c.tenant_id = t.tenant_id AND c.id = t.column_id
LEFT JOIN tasks AS p ON p.tenant_id = t.tenant_id AND p.id = t.parent_id
ORDER BY t.column_id, t.position, t.id;
