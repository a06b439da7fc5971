-- Projects, and who takes part in them.

-- project :maybe
SELECT p.*, u.name AS updated_by_name
FROM projects AS p LEFT JOIN users AS u ON u.id = p.updated_by
WHERE p.tenant_id = :tenant_id AND p.id = :project_id AND p.deleted_at IS NULL;

-- taken_project_keys :many
SELECT key FROM projects WHERE tenant_id = :tenant_id AND starts_with(key, :prefix);

-- create_project :one
INSERT INTO projects (
    tenant_id, id, key, name, description, type, status, priority, parent_id, owner_id, unit_id, template_id,
    start_on, end_on, progress_by, settings, fields, completed_at, created_by, created_at, updated_by, updated_at
)
VALUES (
    :tenant_id, :id, :key, :name, :description, :type, :status, :priority, :parent_id, :owner_id, :unit_id, :template_id,
    :start_on, :end_on, :progress_by, :settings::jsonb, :fields::text::jsonb,
    CASE WHEN :status = 'completed' THEN :now::timestamptz END,
    :actor_id, :now, :actor_id, :now
)
RETURNING *;

-- create_statuses :exec
INSERT INTO statuses (tenant_id, project_id, id, name, category, position)
SELECT :tenant_id, :id, s.id, s.name, s.category, s.position
FROM unnest(:ids::uuid [], :names::text [], :categories::text [], :positions::text [])
    AS s (id, name, category, position);

-- update_project :one
UPDATE projects
SET
    name = :name, description = :description, type = :type, status = :status, priority = :priority,
    parent_id = :parent_id, owner_id = :owner_id, unit_id = :unit_id, start_on = :start_on, end_on = :end_on,
    progress_by = :progress_by, settings = :settings::jsonb, fields = :fields::text::jsonb,
    completed_at = CASE WHEN :status = 'completed' THEN coalesce(completed_at, :now::timestamptz) END,
    version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :project_id AND deleted_at IS NULL
RETURNING *;

-- Those who see every project see all; the others what they, or those they act for, take part in.
-- projects_of :many
SELECT p.* FROM projects AS p
WHERE p.tenant_id = :tenant_id AND p.deleted_at IS NULL AND (p.name, p.id) > (:after_name, :after_id::uuid)
    AND (:sees_all OR EXISTS (
        SELECT 1 FROM project_parts AS pm
        WHERE pm.tenant_id = p.tenant_id AND pm.project_id = p.id AND pm.user_id = ANY(:people::uuid [])
    ))
    AND (:group_id::uuid IS NULL OR EXISTS (
        SELECT 1 FROM project_shares AS s
        WHERE s.tenant_id = p.tenant_id AND s.project_id = p.id AND s.group_id = :group_id::uuid
    ))
    AND (:status::text IS NULL OR p.status = :status)
    AND (p.type = :type::text OR (:type::text IS NULL AND p.type <> 'template'))
    AND (:in_archive::boolean IS NULL OR (p.archived_at IS NOT NULL) = :in_archive)
    AND (:owner_id::uuid IS NULL OR p.owner_id = :owner_id)
    AND (:parent_id::uuid IS NULL OR p.parent_id = :parent_id)
    AND (:unit_id::uuid IS NULL OR p.unit_id = :unit_id)
ORDER BY p.name, p.id
LIMIT :max_rows;

-- all_projects :many
SELECT p.* FROM projects AS p WHERE p.tenant_id = :tenant_id AND p.deleted_at IS NULL ORDER BY p.name, p.id;
