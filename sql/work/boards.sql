-- Boards and their columns.

-- project_of_board :value
SELECT project_id FROM boards WHERE tenant_id = :tenant_id AND id = :entity_id;

-- project_of_column :value
SELECT project_id FROM board_columns WHERE tenant_id = :tenant_id AND id = :entity_id;

-- boards_of :many
SELECT b.* FROM boards AS b
WHERE b.tenant_id = :tenant_id AND b.project_id = :project_id
ORDER BY b.position, b.id;

-- board :maybe
SELECT b.*, u.name AS updated_by_name
FROM boards AS b LEFT JOIN users AS u ON u.id = b.updated_by
WHERE b.tenant_id = :tenant_id AND b.project_id = :project_id AND b.id = :board_id;

-- create_board :one
INSERT INTO boards (tenant_id, project_id, id, name, position, updated_by, updated_at)
VALUES (:tenant_id, :project_id, :id, :name, :position, :actor_id, :now)
RETURNING *;

-- rename_board :maybe
UPDATE boards SET name = :name, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :board_id
RETURNING *;

-- columns_of :many
SELECT c.* FROM board_columns AS c
WHERE c.tenant_id = :tenant_id AND c.project_id = :project_id AND c.deleted_at IS NULL
ORDER BY c.board_id, c.position, c.id;

-- columns_of_board :many
SELECT c.id, c.position FROM board_columns AS c
WHERE c.tenant_id = :tenant_id AND c.board_id = :board_id AND c.deleted_at IS NULL
ORDER BY c.position, c.id;

-- column :maybe
SELECT c.*, u.name AS updated_by_name
FROM board_columns AS c LEFT JOIN users AS u ON u.id = c.updated_by
WHERE c.tenant_id = :tenant_id AND c.project_id = :project_id AND c.id = :column_id AND c.deleted_at IS NULL;

-- create_columns :many
INSERT INTO board_columns (
    tenant_id, project_id, id, board_id, name, position, status_ids, wip_limit, updated_by, updated_at
)
SELECT
    :tenant_id, :project_id, c.id, :board_id, c.name, c.position,
    string_to_array(c.status_ids, ',')::uuid [], :wip_limit::bigint, :actor_id, :now
FROM unnest(:ids::uuid [], :names::text [], :positions::text [], :status_lists::text [])
    AS c (id, name, position, status_ids)
RETURNING *;

-- count_statuses :value
SELECT count(*) FROM statuses
WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = ANY(:status_ids::uuid []);

-- update_column :one
UPDATE board_columns
SET
    name = :name, status_ids = :status_ids, wip_limit = :wip_limit, position = :position,
    version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :id
RETURNING *;

-- tasks_held :value
SELECT count(*) FROM tasks
WHERE tenant_id = :tenant_id AND column_id = :column_id AND deleted_at IS NULL AND archived_at IS NULL;

-- delete_column :one
UPDATE board_columns SET deleted_at = :now, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :column_id
RETURNING id;
