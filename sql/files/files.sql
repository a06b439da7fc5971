-- Files. A row is there before its bytes and goes after them, so that none are forgotten; a file is one that is `ready`.

-- project_of_file :value
SELECT project_id FROM files WHERE tenant_id = :tenant_id AND id = :entity_id;

-- begin_upload :exec
INSERT INTO files (
    tenant_id, project_id, id, blob_id, name, size, created_by, created_at, updated_by, updated_at
)
VALUES (
    :tenant_id, :project_id, :id, :blob_id, :name, :size, :actor_id, :now, :actor_id, :now
);

-- With what was reckoned with before.
-- keep_upload :maybe
UPDATE files AS f
SET
    status = 'ready', name = :name, size = :size, content_type = :content_type, sha256 = :sha256,
    created_at = :now, updated_at = :now
FROM files AS o
WHERE f.tenant_id = :tenant_id AND f.project_id = :project_id AND f.id = :id AND f.status = 'uploading'
    AND o.tenant_id = f.tenant_id AND o.id = f.id
RETURNING f.*, o.size AS expected;

-- give_upload_up :exec
WITH gone AS (
    DELETE FROM files WHERE tenant_id = :tenant_id AND id = :id AND status = 'uploading' RETURNING size
)
UPDATE file_usage AS u SET bytes = u.bytes - g.size
FROM gone AS g WHERE u.tenant_id = :tenant_id;

-- is_kept :value
SELECT EXISTS (SELECT 1 FROM files AS f WHERE f.tenant_id = :tenant_id AND f.id = :id);

-- Files first and their sum after them, everywhere: whoever holds the one waits for the other.
-- Nothing where it would be more than the quota (0 for none).
-- use_file_space :value
INSERT INTO file_usage AS u (tenant_id, bytes) VALUES (:tenant_id, :more)
ON CONFLICT (tenant_id) DO UPDATE SET bytes = u.bytes + excluded.bytes
WHERE excluded.bytes <= 0 OR :quota::bigint = 0 OR u.bytes + excluded.bytes <= :quota
RETURNING bytes;

-- file_space :value
SELECT u.bytes FROM file_usage AS u WHERE u.tenant_id = :tenant_id;

-- file :maybe
SELECT f.*, u.name AS updated_by_name
FROM files AS f LEFT JOIN users AS u ON u.id = f.updated_by
WHERE f.tenant_id = :tenant_id AND f.project_id = :project_id AND f.id = :file_id AND f.status = 'ready';

-- files_of :many
SELECT f.* FROM files AS f
WHERE f.tenant_id = :tenant_id AND f.project_id = :project_id AND f.status = 'ready'
    AND (f.created_at, f.id) < (:before_at::timestamptz, :before_id::uuid)
ORDER BY f.created_at DESC, f.id DESC
LIMIT :max_rows;

-- rename_file :one
UPDATE files SET name = :name, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :file_id AND status = 'ready'
RETURNING *;

-- delete_file :exec
WITH gone AS (
    UPDATE files SET status = 'deleted', deleted_at = :now, deleted_by = :actor_id
    WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :file_id AND status = 'ready'
    RETURNING size
)
UPDATE file_usage AS u SET bytes = u.bytes - g.size
FROM gone AS g WHERE u.tenant_id = :tenant_id;

-- Of all tenants.
-- files_to_remove :many
SELECT * FROM files_to_remove(:deleted_before, :begun_before, :most);

-- Of a project that was given up, all of them.
-- files_of_purged :many
SELECT f.id, f.blob_id FROM files AS f
WHERE f.tenant_id = :tenant_id AND f.project_id = :project_id AND (
    SELECT p.purged_at FROM projects AS p WHERE p.tenant_id = :tenant_id AND p.id = :project_id
) IS NOT NULL
ORDER BY f.created_at, f.id
LIMIT :most;

-- forget_files :exec
WITH gone AS (
    DELETE FROM files WHERE tenant_id = :tenant_id AND id = ANY(:ids::uuid []) RETURNING size, status
)
UPDATE file_usage AS u SET bytes = u.bytes - g.size
FROM (SELECT coalesce(sum(size), 0)::bigint AS size FROM gone WHERE status <> 'deleted') AS g
WHERE u.tenant_id = :tenant_id;

-- Which of these bytes belong to no row at all.
-- strange_blobs :many
SELECT b.id FROM unnest(:ids::uuid []) AS b (id)
WHERE NOT EXISTS (SELECT 1 FROM files AS f WHERE f.tenant_id = :tenant_id AND f.blob_id = b.id);
