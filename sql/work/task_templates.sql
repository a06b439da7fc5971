-- Task templates, of one project or, without one, of the tenant.

-- task_template :maybe
SELECT t.*, u.name AS updated_by_name
FROM task_templates AS t LEFT JOIN users AS u ON u.id = t.updated_by
WHERE t.tenant_id = :tenant_id AND t.id = :template_id AND t.project_id IS NOT DISTINCT FROM :project_id::uuid;

-- One that a project may use.
-- task_template_for_project :maybe
SELECT t.* FROM task_templates AS t
WHERE t.tenant_id = :tenant_id AND t.id = :template_id AND (t.project_id IS NULL OR t.project_id = :project_id);

-- count_task_templates :value
SELECT count(*) FROM task_templates AS t
WHERE t.tenant_id = :tenant_id AND t.project_id IS NOT DISTINCT FROM :project_id::uuid;

-- create_task_template :one
INSERT INTO task_templates (
    tenant_id, project_id, id, name, tasks, created_by, created_at, updated_by, updated_at
)
VALUES (:tenant_id, :project_id, :id, :name, :tasks, :actor_id, :now, :actor_id, :now)
RETURNING *;

-- update_task_template :one
UPDATE task_templates AS t
SET name = :name, tasks = :tasks, version = t.version + 1, updated_by = :actor_id, updated_at = :now
WHERE t.tenant_id = :tenant_id AND t.id = :template_id AND t.project_id IS NOT DISTINCT FROM :project_id::uuid
RETURNING t.*;

-- delete_task_template :exec
DELETE FROM task_templates AS t
WHERE t.tenant_id = :tenant_id AND t.id = :template_id AND t.project_id IS NOT DISTINCT FROM :project_id::uuid;

-- task_templates_for_project :many
SELECT t.* FROM task_templates AS t
WHERE t.tenant_id = :tenant_id AND (t.project_id IS NULL OR t.project_id = :project_id)
    AND (t.name, t.id) > (:after_name, :after_id::uuid)
ORDER BY t.name, t.id
LIMIT :max_rows;

-- task_templates_of_tenant :many
SELECT t.* FROM task_templates AS t
WHERE t.tenant_id = :tenant_id AND t.project_id IS NULL AND (t.name, t.id) > (:after_name, :after_id::uuid)
ORDER BY t.name, t.id
LIMIT :max_rows;
