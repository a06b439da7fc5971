-- The archive.

-- mark_project_archived :one
UPDATE projects
SET archived_at = :archived_at, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :project_id AND deleted_at IS NULL
RETURNING *;
