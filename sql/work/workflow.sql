-- The statuses of a project's workflow.

-- project_of_status :value
SELECT project_id FROM statuses WHERE tenant_id = :tenant_id AND id = :entity_id;

-- statuses_of :many
SELECT s.*, u.name AS updated_by_name
FROM statuses AS s LEFT JOIN users AS u ON u.id = s.updated_by
WHERE s.tenant_id = :tenant_id AND s.project_id = :project_id
ORDER BY s.position, s.id;

-- statuses_by_ids :many
SELECT s.id, s.name, s.category, s.required_fields, s.transitions FROM statuses AS s
WHERE s.tenant_id = :tenant_id AND s.project_id = :project_id AND s.id = ANY(:status_ids::uuid []);

-- create_status :one
INSERT INTO statuses (
    tenant_id, project_id, id, name, category, colour, position, required_fields, updated_by, updated_at
)
VALUES (
    :tenant_id, :project_id, :id, :name, :category, :colour, :position, :required_fields, :actor_id, :now
)
RETURNING *;

-- update_status :one
UPDATE statuses
SET
    name = :name, category = :category, colour = :colour, position = :position, required_fields = :required_fields,
    transitions = :transitions::text::jsonb, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :id
RETURNING *;

-- delete_status :exec
DELETE FROM statuses WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :status_id;

-- tasks_of_status :value
SELECT count(*) FROM tasks
WHERE tenant_id = :tenant_id AND project_id = :project_id AND status_id = :status_id
    AND deleted_at IS NULL AND archived_at IS NULL;

-- How many tasks with a status are in the archive or the trash, and how many are neither done nor approved.
-- held_by_status :one
SELECT
    count(*) FILTER (WHERE t.deleted_at IS NOT NULL OR t.archived_at IS NOT NULL) AS stored,
    count(*) FILTER (WHERE t.completed_at IS NULL AND t.approval <> 'approved') AS unapproved
FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.status_id = :status_id;

-- tasks_in_status :many
SELECT t.id, t.status_id, t.completed_at FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.status_id = :status_id
    AND t.deleted_at IS NULL AND t.archived_at IS NULL
ORDER BY t.number
LIMIT :max_rows;

-- parents_of_status :many
SELECT DISTINCT t.parent_id FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.status_id = :status_id
    AND t.deleted_at IS NULL AND t.parent_id IS NOT NULL
LIMIT :max_rows;

-- retag_tasks :many
UPDATE tasks AS t
SET
    status_id = :new_id, completed_at = CASE WHEN :done::boolean THEN coalesce(t.completed_at, :now) END,
    version = t.version + 1, updated_by = :actor_id, updated_at = :now
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.status_id = :old_id
    AND t.deleted_at IS NULL AND t.archived_at IS NULL
RETURNING t.id, t.status_id, t.completed_at, t.version, t.updated_at;

-- Tasks in the trash or the archive come back with a status that there is. No snapshot has them.
-- retag_stored :exec
UPDATE tasks AS t
SET
    status_id = s.id, completed_at = CASE WHEN s.category = 'done' THEN coalesce(t.completed_at, :now) END,
    version = t.version + 1
FROM statuses AS s
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.status_id = :old_id
    AND (t.deleted_at IS NOT NULL OR t.archived_at IS NOT NULL)
    AND s.tenant_id = :tenant_id AND s.id = :new_id;

-- replace_in_deleted_columns :exec
UPDATE board_columns SET status_ids = array_replace(status_ids, :old_id::uuid, :new_id::uuid)
WHERE tenant_id = :tenant_id AND project_id = :project_id AND deleted_at IS NOT NULL
    AND :old_id::uuid = ANY(status_ids);
