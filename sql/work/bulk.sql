-- Many tasks of one project at once, under its room's lock.

-- tasks_by_ids :many
SELECT t.* FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = ANY(:task_ids::uuid [])
    AND t.deleted_at IS NULL AND t.archived_at IS NULL;

-- How full columns are, where that is limited, and where they end.
-- column_ends :many
SELECT
    c.id,
    CASE WHEN c.wip_limit IS NOT NULL THEN (
        SELECT count(*) FROM tasks AS held
        WHERE held.tenant_id = :tenant_id AND held.column_id = c.id
            AND held.deleted_at IS NULL AND held.archived_at IS NULL
    ) END AS held,
    (
        SELECT max(n.position) FROM tasks AS n
        WHERE n.tenant_id = :tenant_id AND n.column_id = c.id
            AND n.deleted_at IS NULL AND n.archived_at IS NULL
    ) AS last_position
FROM board_columns AS c
WHERE c.tenant_id = :tenant_id AND c.project_id = :project_id AND c.id = ANY(:column_ids::uuid []);

-- Every field that may have changed, as one text of JSON.
-- update_many_tasks :exec
UPDATE tasks AS t
SET
    type = m.type, fields = m.fields::jsonb, priority = m.priority, column_id = m.column_id, status_id = m.status_id, position = m.position,
    assignee_ids = m.assignee_ids, watcher_ids = m.watcher_ids, tags = m.tags, label_ids = m.label_ids,
    start_at = m.start_at, due_at = m.due_at, completed_at = m.completed_at, estimate_minutes = m.estimate_minutes,
    sprint_id = m.sprint_id,
    moved_by = CASE WHEN (t.column_id, t.position) = (m.column_id, m.position) THEN t.moved_by ELSE :actor_id END,
    moved_at = CASE WHEN (t.column_id, t.position) = (m.column_id, m.position) THEN t.moved_at ELSE :now END,
    version = t.version + 1, updated_by = :actor_id, updated_at = :now
FROM json_to_recordset(:tasks::json) AS m (
    id uuid, fields text, type text, priority text, column_id uuid, status_id uuid, position text, assignee_ids uuid [],
    watcher_ids uuid [], tags text [], label_ids uuid [], start_at timestamptz, due_at timestamptz,
    completed_at timestamptz, estimate_minutes integer, sprint_id uuid
)
WHERE t.tenant_id = :tenant_id AND t.id = m.id;

-- assign_many :exec
INSERT INTO task_assignees (tenant_id, task_id, user_id)
SELECT :tenant_id, a.task_id, a.user_id FROM unnest(:task_ids::uuid [], :user_ids::uuid []) AS a (task_id, user_id)
ON CONFLICT DO NOTHING;

-- unassign_many :exec
DELETE FROM task_assignees AS t
USING unnest(:task_ids::uuid [], :user_ids::uuid []) AS a (task_id, user_id)
WHERE t.tenant_id = :tenant_id AND t.task_id = a.task_id AND t.user_id = a.user_id;

-- Each remembers with whom it went: with the uppermost of those that were named.
-- delete_many_tasks :many
WITH RECURSIVE gone AS (
    SELECT t.id, t.id AS top, 0 AS depth FROM tasks AS t
    WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = ANY(:task_ids::uuid [])
        AND t.deleted_at IS NULL
    UNION ALL
    SELECT t.id, g.top, g.depth + 1 FROM gone AS g
    JOIN tasks AS t ON t.tenant_id = :tenant_id AND t.parent_id = g.id AND t.deleted_at IS NULL
), uppermost AS (
    SELECT DISTINCT ON (g.id) g.id, g.top FROM gone AS g ORDER BY g.id, g.depth DESC
)
UPDATE tasks AS t
SET deleted_at = :now, deleted_with = u.top, version = t.version + 1, updated_by = :actor_id, updated_at = :now
FROM uppermost AS u WHERE t.tenant_id = :tenant_id AND t.id = u.id
RETURNING t.id, t.parent_id, t.sprint_id;
