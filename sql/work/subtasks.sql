-- Subtasks: counts that are kept with the parent, and the tree below a task.

-- recount_subtasks :many
WITH counted AS (
    SELECT
        p.id, p.subtask_total AS had_total, p.subtask_done AS had_done,
        count(s.id) AS subtask_total, count(s.id) FILTER (WHERE s.category = 'done') AS subtask_done
    FROM tasks AS p
    LEFT JOIN tasks AS k ON k.tenant_id = p.tenant_id AND k.parent_id = p.id AND k.deleted_at IS NULL
    LEFT JOIN statuses AS s ON s.tenant_id = k.tenant_id AND s.id = k.status_id AND s.category <> 'cancelled'
    WHERE p.tenant_id = :tenant_id AND p.id = ANY(:parent_ids::uuid [])
    GROUP BY p.tenant_id, p.id
)
UPDATE tasks AS p SET subtask_total = c.subtask_total, subtask_done = c.subtask_done
FROM counted AS c
WHERE p.tenant_id = :tenant_id AND p.id = c.id
    AND (c.subtask_total, c.subtask_done) <> (c.had_total, c.had_done)
RETURNING
    p.id, p.subtask_total, p.subtask_done, c.had_total, c.had_done,
    p.deleted_at IS NULL AND p.archived_at IS NULL AS on_board;

-- task_tree :many
WITH RECURSIVE tree AS (
    SELECT t.id, 0 AS depth FROM tasks AS t
    WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = :task_id AND t.deleted_at IS NULL
    UNION ALL
    SELECT t.id, b.depth + 1 FROM tree AS b
    JOIN tasks AS t ON t.tenant_id = :tenant_id AND t.parent_id = b.id AND t.deleted_at IS NULL
)
SELECT t.*, b.depth, s.category
FROM tree AS b
JOIN tasks AS t ON t.tenant_id = :tenant_id AND t.id = b.id
JOIN statuses AS s ON s.tenant_id = t.tenant_id AND s.id = t.status_id
ORDER BY b.depth, t.number
LIMIT :max_rows;
