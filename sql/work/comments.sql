-- Comments. A lookup carries project and task, so that "not there" and "not yours" are one answer.

-- The task's count rises in the same statement; nothing where there is no such task.
-- add_comment :maybe
WITH counted AS (
    UPDATE tasks AS t SET comment_count = t.comment_count + 1
    WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = :task_id
        AND t.deleted_at IS NULL AND t.archived_at IS NULL
    RETURNING t.id, t.comment_count
)
INSERT INTO comments (tenant_id, project_id, task_id, id, parent_id, author_id, body, created_at)
SELECT :tenant_id, :project_id, c.id, :id, :parent_id, :actor_id, :body, :now FROM counted AS c
RETURNING *, (SELECT c.comment_count FROM counted AS c) AS comment_count;

-- comment :maybe
SELECT c.* FROM comments AS c JOIN tasks AS t ON t.tenant_id = c.tenant_id AND t.id = c.task_id
WHERE c.tenant_id = :tenant_id AND c.project_id = :project_id AND c.task_id = :task_id AND c.id = :comment_id
    AND c.deleted_at IS NULL AND t.deleted_at IS NULL AND t.archived_at IS NULL;

-- edit_comment :one
UPDATE comments SET body = :body, edited_at = :now, version = version + 1
WHERE tenant_id = :tenant_id AND task_id = :task_id AND id = :comment_id AND deleted_at IS NULL
RETURNING *;

-- delete_comment :one
WITH gone AS (
    UPDATE comments SET deleted_at = :now, deleted_by = :actor_id, version = version + 1
    WHERE tenant_id = :tenant_id AND task_id = :task_id AND id = :comment_id AND deleted_at IS NULL
    RETURNING task_id
)
UPDATE tasks AS t SET comment_count = t.comment_count - 1
FROM gone WHERE t.tenant_id = :tenant_id AND t.id = gone.task_id
RETURNING t.comment_count;

-- comments_newest :many
SELECT c.* FROM comments AS c
WHERE c.tenant_id = :tenant_id AND c.task_id = :task_id AND c.deleted_at IS NULL
    AND (c.created_at, c.id) < (:place_at::timestamptz, :place_id::uuid)
ORDER BY c.created_at DESC, c.id DESC
LIMIT :max_rows;

-- comments_oldest :many
SELECT c.* FROM comments AS c
WHERE c.tenant_id = :tenant_id AND c.task_id = :task_id AND c.deleted_at IS NULL
    AND (c.created_at, c.id) > (:place_at::timestamptz, :place_id::uuid)
ORDER BY c.created_at, c.id
LIMIT :max_rows;
