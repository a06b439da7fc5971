-- What people have collapsed on boards, each for herself.

-- board_layout :maybe
SELECT l.* FROM board_layouts AS l
WHERE l.tenant_id = :tenant_id AND l.user_id = :actor_id AND l.board_id = :board_id;

-- board_layouts_of :many
SELECT l.* FROM board_layouts AS l
JOIN projects AS p ON p.tenant_id = l.tenant_id AND p.id = l.project_id AND p.purged_at IS NULL
WHERE l.tenant_id = :tenant_id AND l.user_id = :actor_id
ORDER BY l.board_id;

-- keep_board_layout :one
INSERT INTO board_layouts (tenant_id, user_id, board_id, project_id, column_ids, lanes)
VALUES (:tenant_id, :actor_id, :board_id, :project_id, :column_ids, :lanes)
ON CONFLICT (tenant_id, user_id, board_id) DO UPDATE SET column_ids = excluded.column_ids, lanes = excluded.lanes
RETURNING *;
