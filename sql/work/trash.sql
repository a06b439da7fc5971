-- The trash: deleted projects and tasks.

-- deleted_project :maybe
SELECT p.* FROM projects AS p
WHERE p.tenant_id = :tenant_id AND p.id = :project_id AND p.deleted_at IS NOT NULL AND p.purged_at IS NULL;

-- mark_project_deleted :one
UPDATE projects
SET deleted_at = :deleted_at, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :project_id
RETURNING *;

-- Not where it was given up a moment ago.
-- restore_project :maybe
UPDATE projects
SET deleted_at = NULL, parent_id = :parent_id, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :project_id AND deleted_at IS NOT NULL AND purged_at IS NULL
RETURNING *;

-- give_project_up :maybe
UPDATE projects SET purged_at = :now
WHERE tenant_id = :tenant_id AND id = :project_id AND deleted_at IS NOT NULL AND purged_at IS NULL
RETURNING id;

-- deleted_projects :many
SELECT p.id, p.id AS project_id, p.key, p.name, p.deleted_at, p.updated_by AS deleted_by FROM projects AS p
WHERE p.tenant_id = :tenant_id AND p.deleted_at IS NOT NULL AND p.purged_at IS NULL
    AND (p.deleted_at, p.id) < (:before_at::timestamptz, :before_id::uuid)
    AND (:sees_all OR EXISTS (
        SELECT 1 FROM project_parts AS pm
        WHERE pm.tenant_id = p.tenant_id AND pm.project_id = p.id AND pm.user_id = ANY(:people::uuid [])
    ))
ORDER BY p.deleted_at DESC, p.id DESC
LIMIT :max_rows;

-- Those that were deleted themselves; what went with them comes back with them.
-- deleted_tasks :many
SELECT t.id, t.project_id, t.key, t.title, t.deleted_at, t.updated_by AS deleted_by FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.deleted_at IS NOT NULL AND t.deleted_with = t.id
    AND (t.deleted_at, t.id) < (:before_at::timestamptz, :before_id::uuid)
    AND (:project_id::uuid IS NULL OR t.project_id = :project_id)
    AND EXISTS (
        SELECT 1 FROM projects AS p
        WHERE p.tenant_id = t.tenant_id AND p.id = t.project_id AND p.deleted_at IS NULL AND p.archived_at IS NULL
    )
    AND (:sees_all OR EXISTS (
        SELECT 1 FROM project_parts AS pm
        WHERE pm.tenant_id = t.tenant_id AND pm.project_id = t.project_id AND pm.user_id = ANY(:people::uuid [])
    ))
ORDER BY t.deleted_at DESC, t.id DESC
LIMIT :max_rows;
