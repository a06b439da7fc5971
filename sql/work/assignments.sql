-- What is assigned to a person, as her own room shows it.

-- assignments_of :many
SELECT a.task_id AS id, t.project_id
FROM task_assignees AS a
JOIN tasks AS t ON t.tenant_id = a.tenant_id AND t.id = a.task_id AND t.deleted_at IS NULL AND t.archived_at IS NULL
JOIN projects AS p ON p.tenant_id = t.tenant_id AND p.id = t.project_id AND p.purged_at IS NULL
WHERE a.tenant_id = :tenant_id AND a.user_id = :actor_id
ORDER BY a.task_id;

-- assignees_of :many
SELECT a.task_id, a.user_id FROM task_assignees AS a
WHERE a.tenant_id = :tenant_id AND a.task_id = ANY(:task_ids::uuid [])
ORDER BY a.task_id, a.user_id;
