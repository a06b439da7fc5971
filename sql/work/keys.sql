-- Keys of tasks: the project's own, and the number in it; and those that tasks had before.

-- task_by_key :maybe
SELECT t.*
FROM (
    SELECT n.id FROM projects AS p
    JOIN tasks AS n ON n.tenant_id = p.tenant_id AND n.project_id = p.id AND n.number = :number
    WHERE p.tenant_id = :tenant_id AND p.key = :prefix
    UNION ALL
    SELECT k.task_id FROM task_keys AS k WHERE k.tenant_id = :tenant_id AND k.key = :key
) AS f
JOIN tasks AS t ON t.tenant_id = :tenant_id AND t.id = f.id AND t.deleted_at IS NULL
JOIN projects AS p ON p.tenant_id = t.tenant_id AND p.id = t.project_id AND p.deleted_at IS NULL
WHERE :sees_all OR EXISTS (
    SELECT 1 FROM project_parts AS pm
    WHERE pm.tenant_id = t.tenant_id AND pm.project_id = t.project_id AND pm.user_id = ANY(:people::uuid [])
)
LIMIT 1;
