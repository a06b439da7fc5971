-- A project at a glance.

-- task_figures :many
SELECT
    s.category, count(*) AS tasks,
    count(*) FILTER (WHERE s.category NOT IN ('done', 'cancelled')) AS open,
    count(*) FILTER (WHERE t.completed_at IS NULL AND t.due_at < :now) AS overdue,
    count(*) FILTER (WHERE s.category NOT IN ('done', 'cancelled') AND t.assignee_ids = '{}') AS unassigned
FROM tasks AS t
JOIN statuses AS s ON s.tenant_id = t.tenant_id AND s.project_id = :project_id AND s.id = t.status_id
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.deleted_at IS NULL AND t.archived_at IS NULL
GROUP BY s.category
ORDER BY s.category;

-- next_milestones :many
SELECT t.id, t.key, t.title, t.due_at
FROM tasks AS t
JOIN statuses AS s
    ON s.tenant_id = t.tenant_id AND s.project_id = :project_id AND s.id = t.status_id
    AND s.category NOT IN ('done', 'cancelled')
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.deleted_at IS NULL AND t.archived_at IS NULL
    AND t.type = 'milestone' AND t.due_at IS NOT NULL
ORDER BY t.due_at, t.id
LIMIT :max_rows;

-- held_in :many
SELECT p.id, p.name, p.status, p.progress FROM projects AS p
WHERE p.tenant_id = :tenant_id AND p.parent_id = :project_id AND p.deleted_at IS NULL AND p.archived_at IS NULL
    AND (:sees_all OR EXISTS (
        SELECT 1 FROM project_parts AS pm
        WHERE pm.tenant_id = p.tenant_id AND pm.project_id = p.id AND pm.user_id = ANY(:people::uuid [])
    ))
ORDER BY p.name, p.id
LIMIT 100;
