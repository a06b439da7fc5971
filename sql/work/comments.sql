-- Comments. A lookup carries project and task, so that "not there" and "not yours" are one answer.

-- The task's count rises in the same statement, and who comes to watch it is written; nothing where there is no such task.
-- add_comment :maybe
WITH counted AS (
    UPDATE tasks AS t
    SET
        comment_count = t.comment_count + 1,
        watcher_ids = t.watcher_ids || ARRAY(
            SELECT w.id FROM unnest(:more_watchers::uuid []) WITH ORDINALITY AS w (id, n)
            WHERE w.id <> ALL(t.watcher_ids) AND w.id <> ALL(t.unwatched_ids)
            ORDER BY w.n
            LIMIT greatest(:most_watchers::bigint - cardinality(t.watcher_ids), 0)
        )
    FROM tasks AS o
    WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = :task_id
        AND t.deleted_at IS NULL AND t.archived_at IS NULL
        AND o.tenant_id = t.tenant_id AND o.id = t.id
    RETURNING t.id, t.comment_count, t.watcher_ids, t.watcher_ids <> o.watcher_ids AS more_watch
), added AS (
    INSERT INTO comments (
        tenant_id, project_id, task_id, id, parent_id, author_id, body, body_html, mentions, file_ids, created_at
    )
    SELECT
        :tenant_id, :project_id, c.id, :id, :parent_id, :actor_id, :body, :body_html, :mentions::text::jsonb,
        :file_ids, :now
    FROM counted AS c
    RETURNING *
)
SELECT a.*, c.comment_count, c.watcher_ids, c.more_watch, u.name AS author_name
FROM added AS a CROSS JOIN counted AS c LEFT JOIN users AS u ON u.id = a.author_id;

-- comment :maybe
SELECT c.*, t.watcher_ids, t.unwatched_ids
FROM comments AS c JOIN tasks AS t ON t.tenant_id = c.tenant_id AND t.id = c.task_id
WHERE c.tenant_id = :tenant_id AND c.project_id = :project_id AND c.task_id = :task_id AND c.id = :comment_id
    AND c.deleted_at IS NULL AND t.deleted_at IS NULL AND t.archived_at IS NULL;

-- The same, in the archive too: for what reads a comment.
-- found_comment :maybe
SELECT c.id FROM comments AS c JOIN tasks AS t ON t.tenant_id = c.tenant_id AND t.id = c.task_id
WHERE c.tenant_id = :tenant_id AND c.project_id = :project_id AND c.task_id = :task_id AND c.id = :comment_id
    AND c.deleted_at IS NULL AND t.deleted_at IS NULL;

-- The text of before is kept.
-- edit_comment :one
WITH kept AS (
    INSERT INTO comment_revisions (tenant_id, comment_id, version, body, author_id, written_at)
    SELECT c.tenant_id, c.id, c.version, c.body, c.author_id, coalesce(c.edited_at, c.created_at) FROM comments AS c
    WHERE c.tenant_id = :tenant_id AND c.task_id = :task_id AND c.id = :comment_id AND c.deleted_at IS NULL
)
UPDATE comments
SET
    body = :body, body_html = :body_html, mentions = :mentions::text::jsonb,
    file_ids = coalesce(:file_ids, file_ids), edited_at = :now, version = version + 1
WHERE tenant_id = :tenant_id AND task_id = :task_id AND id = :comment_id AND deleted_at IS NULL
RETURNING *;

-- comment_revisions_of :many
SELECT r.version, r.body, r.author_id, r.written_at FROM comment_revisions AS r
WHERE r.tenant_id = :tenant_id AND r.comment_id = :comment_id AND r.version < :before_version
ORDER BY r.version DESC
LIMIT :max_rows;

-- settle_thread :exec
UPDATE comments SET resolved_by = :resolved_by, resolved_at = :resolved_at
WHERE tenant_id = :tenant_id AND task_id = :task_id AND id = :comment_id;

-- set_reactions :exec
UPDATE comments SET reactions = :reactions::text::jsonb
WHERE tenant_id = :tenant_id AND task_id = :task_id AND id = :comment_id;

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
SELECT c.*, u.name AS author_name
FROM comments AS c LEFT JOIN users AS u ON u.id = c.author_id
WHERE c.tenant_id = :tenant_id AND c.task_id = :task_id AND c.deleted_at IS NULL
    AND (c.created_at, c.id) < (:place_at::timestamptz, :place_id::uuid)
ORDER BY c.created_at DESC, c.id DESC
LIMIT :max_rows;

-- comments_oldest :many
SELECT c.*, u.name AS author_name
FROM comments AS c LEFT JOIN users AS u ON u.id = c.author_id
WHERE c.tenant_id = :tenant_id AND c.task_id = :task_id AND c.deleted_at IS NULL
    AND (c.created_at, c.id) > (:place_at::timestamptz, :place_id::uuid)
ORDER BY c.created_at, c.id
LIMIT :max_rows;
