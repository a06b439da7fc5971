-- Labels of a project. The tasks carry their ids.

-- labels_of :many
SELECT l.* FROM labels AS l
WHERE l.tenant_id = :tenant_id AND l.project_id = :project_id
ORDER BY lower(l.name), l.id;

-- labels_by_ids :many
SELECT l.id FROM labels AS l
WHERE l.tenant_id = :tenant_id AND l.project_id = :project_id AND l.id = ANY(:label_ids::uuid []);

-- label :maybe
SELECT l.*, u.name AS updated_by_name
FROM labels AS l LEFT JOIN users AS u ON u.id = l.updated_by
WHERE l.tenant_id = :tenant_id AND l.project_id = :project_id AND l.id = :label_id;

-- count_labels :value
SELECT count(*) FROM labels WHERE tenant_id = :tenant_id AND project_id = :project_id;

-- create_label :one
INSERT INTO labels (
    tenant_id, project_id, id, name, colour, created_by, created_at, updated_by, updated_at
)
VALUES (
    :tenant_id, :project_id, :id, :name, :colour, :actor_id, :now, :actor_id, :now
)
RETURNING *;

-- create_labels :many
INSERT INTO labels (
    tenant_id, project_id, id, name, colour, created_by, created_at, updated_by, updated_at
)
SELECT :tenant_id, :project_id, n.id, n.name, n.colour, :actor_id, :now, :actor_id, :now
FROM unnest(:ids::uuid [], :names::text [], :colours::text []) AS n (id, name, colour)
RETURNING *;

-- update_label :one
UPDATE labels
SET name = :name, colour = :colour, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :label_id
RETURNING *;

-- count_labelled :value
SELECT count(*) FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND :label_id::uuid = ANY(t.label_ids)
    AND t.deleted_at IS NULL AND t.archived_at IS NULL;

-- Those in the trash or archive lose it as well, so that none comes back with it.
-- take_label_off :many
UPDATE tasks AS t SET label_ids = array_remove(t.label_ids, :label_id::uuid), version = t.version + 1
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND :label_id::uuid = ANY(t.label_ids)
RETURNING t.id, t.label_ids, t.version, t.deleted_at IS NULL AND t.archived_at IS NULL AS stands;

-- delete_label :exec
DELETE FROM labels WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :label_id;
