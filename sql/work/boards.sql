-- Boards and their columns.

-- project_of_board :value
SELECT project_id FROM boards WHERE tenant_id = :tenant_id AND id = :entity_id;

-- project_of_column :value
SELECT project_id FROM board_columns WHERE tenant_id = :tenant_id AND id = :entity_id;

-- boards_of :many
SELECT b.* FROM boards AS b
WHERE b.tenant_id = :tenant_id AND b.project_id = :project_id AND b.deleted_at IS NULL
ORDER BY b.position, b.id;

-- board :maybe
SELECT b.*, u.name AS updated_by_name
FROM boards AS b LEFT JOIN users AS u ON u.id = b.updated_by
WHERE b.tenant_id = :tenant_id AND b.project_id = :project_id AND b.id = :board_id AND b.deleted_at IS NULL;

-- create_board :one
INSERT INTO boards (tenant_id, project_id, id, name, position, swimlanes, updated_by, updated_at)
VALUES (:tenant_id, :project_id, :id, :name, :position, :swimlanes, :actor_id, :now)
RETURNING *;

-- update_board :one
UPDATE boards
SET
    name = :name, position = :position, swimlanes = :swimlanes,
    version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :id
RETURNING *;

-- A board goes with its columns. Tasks in the trash keep theirs, until they are brought back to another one.
-- delete_board :many
WITH gone AS (
    UPDATE boards SET deleted_at = :now, version = version + 1, updated_by = :actor_id, updated_at = :now
    WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :board_id
    RETURNING id
)
UPDATE board_columns AS c
SET deleted_at = :now, version = c.version + 1, updated_by = :actor_id, updated_at = :now
FROM gone AS g
WHERE c.tenant_id = :tenant_id AND c.board_id = g.id AND c.deleted_at IS NULL
RETURNING c.id;

-- tasks_on_board :many
SELECT t.id, t.column_id, t.status_id, t.position, t.version
FROM board_columns AS c
JOIN tasks AS t ON t.tenant_id = c.tenant_id AND t.column_id = c.id AND t.deleted_at IS NULL AND t.archived_at IS NULL
WHERE c.tenant_id = :tenant_id AND c.project_id = :project_id AND c.board_id = :board_id AND c.deleted_at IS NULL
ORDER BY c.position, c.id, t.position, t.id
LIMIT :max_rows;

-- place_tasks :exec
UPDATE tasks AS t
SET
    column_id = p.column_id, position = p.position, version = t.version + 1,
    updated_by = :actor_id, updated_at = :now, moved_by = :actor_id, moved_at = :now
FROM unnest(:ids::uuid [], :column_ids::uuid [], :positions::text []) AS p (id, column_id, position)
WHERE t.tenant_id = :tenant_id AND t.id = p.id;

-- In the order of the boards, and on each in its own.
-- columns_of :many
SELECT c.*
FROM board_columns AS c
JOIN boards AS b ON b.tenant_id = c.tenant_id AND b.id = c.board_id
WHERE c.tenant_id = :tenant_id AND c.project_id = :project_id AND c.deleted_at IS NULL
ORDER BY b.position, b.id, c.position, c.id;

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
    tenant_id, project_id, id, board_id, name, colour, position, status_ids, wip_limit, limit_mode, updated_by, updated_at
)
SELECT
    :tenant_id, :project_id, c.id, :board_id, c.name, :colour, c.position,
    string_to_array(c.status_ids, ',')::uuid [], :wip_limit::bigint, :limit_mode, :actor_id, :now
FROM unnest(:ids::uuid [], :names::text [], :positions::text [], :status_lists::text [])
    AS c (id, name, position, status_ids)
RETURNING *;

-- copy_column :one
INSERT INTO board_columns (
    tenant_id, project_id, id, board_id, name, colour, position, status_ids, wip_limit, limit_mode, updated_by, updated_at
)
VALUES (
    :tenant_id, :project_id, :id, :board_id, :name, :colour, :position, :status_ids, :wip_limit, :limit_mode,
    :actor_id, :now
)
RETURNING *;

-- count_statuses :value
SELECT count(*) FROM statuses
WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = ANY(:status_ids::uuid []);

-- update_column :one
UPDATE board_columns
SET
    name = :name, colour = :colour, status_ids = :status_ids, wip_limit = :wip_limit, limit_mode = :limit_mode,
    position = :position,
    version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :id
RETURNING *;

-- tasks_held :value
SELECT count(*) FROM tasks
WHERE tenant_id = :tenant_id AND column_id = :column_id AND deleted_at IS NULL AND archived_at IS NULL;

-- tasks_not_shown :value
SELECT count(*) FROM tasks
WHERE tenant_id = :tenant_id AND column_id = :column_id AND deleted_at IS NULL AND archived_at IS NULL
    AND status_id <> ALL(:status_ids::uuid []);

-- delete_column :one
UPDATE board_columns SET deleted_at = :now, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :column_id
RETURNING id;
