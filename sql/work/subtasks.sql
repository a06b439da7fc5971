-- Subtasks: counts that are kept with the parent, and the tree below a task.

-- Each parent by itself: in a database without statistics a join of all reads every task of the tenant for each of them.
-- recount_subtasks :many
UPDATE tasks AS p SET subtask_total = c.subtask_total, subtask_done = c.subtask_done
FROM unnest(:parent_ids::uuid []) AS asked (id)
CROSS JOIN LATERAL (
    SELECT t.subtask_total AS had_total, t.subtask_done AS had_done
    FROM tasks AS t WHERE t.tenant_id = :tenant_id AND t.id = asked.id
) AS had
CROSS JOIN LATERAL (
    SELECT
        count(*) FILTER (WHERE k.category <> 'cancelled') AS subtask_total,
        count(*) FILTER (WHERE k.category = 'done') AS subtask_done
    FROM (
        SELECT (SELECT s.category FROM statuses AS s WHERE s.tenant_id = :tenant_id AND s.id = t.status_id) AS category
        FROM tasks AS t WHERE t.tenant_id = :tenant_id AND t.parent_id = asked.id AND t.deleted_at IS NULL
        OFFSET 0  -- the category is looked up once
    ) AS k
) AS c
WHERE p.tenant_id = :tenant_id AND p.id = asked.id
    AND (c.subtask_total, c.subtask_done) <> (had.had_total, had.had_done)
RETURNING
    p.id, p.subtask_total, p.subtask_done, had.had_total, had.had_done,
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
