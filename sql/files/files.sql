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

-- uploads_under_way :value
SELECT count(*) FROM files AS f
WHERE f.tenant_id = :tenant_id AND f.created_by = :actor_id AND f.status = 'uploading' AND f.created_at > :since;

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

-- Its bytes count until they are gone.
-- delete_file :exec
UPDATE files SET status = 'deleted', deleted_at = :now, deleted_by = :actor_id
WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :file_id AND status = 'ready';

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
    DELETE FROM files WHERE tenant_id = :tenant_id AND id = ANY(:ids::uuid []) RETURNING size
)
UPDATE file_usage AS u SET bytes = u.bytes - g.size
FROM (SELECT coalesce(sum(size), 0)::bigint AS size FROM gone) AS g
WHERE u.tenant_id = :tenant_id;

-- Of all tenants.
-- file_usage_astray :many
SELECT * FROM file_usage_astray();

-- Which of these bytes belong to no row at all.
-- strange_blobs :many
SELECT b.id FROM unnest(:ids::uuid []) AS b (id)
WHERE NOT EXISTS (SELECT 1 FROM files AS f WHERE f.tenant_id = :tenant_id AND f.blob_id = b.id);

-- files_by_ids :many
SELECT f.id, f.name, f.size, f.content_type FROM files AS f
WHERE f.tenant_id = :tenant_id AND f.id = ANY(:file_ids::uuid []) AND f.project_id = :project_id AND f.status = 'ready';

-- set_task_files :one
UPDATE tasks SET file_ids = :new_ids, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :task_id
RETURNING id, file_ids, version, updated_at;

-- count_attached :value
SELECT count(*) FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND :file_id::uuid = ANY(t.file_ids);

-- Those in the trash or archive lose it as well. Comments show what there is of their files.
-- take_file_off :many
UPDATE tasks AS t
SET
    file_ids = array_remove(t.file_ids, :file_id::uuid), version = t.version + 1, updated_by = :actor_id,
    updated_at = :now
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND :file_id::uuid = ANY(t.file_ids)
RETURNING t.id, t.file_ids, t.version, t.updated_at, t.deleted_at IS NULL AND t.archived_at IS NULL AS stands;

-- Files that go to another project with tasks: what these and their comments have, nothing that stays behind has too, and
-- whoever takes them may delete.
-- files_to_transfer :many
WITH going AS (
    SELECT unnest(t.file_ids) AS id FROM tasks AS t
    WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = ANY(:task_ids::uuid [])
    UNION
    SELECT unnest(c.file_ids) FROM comments AS c
    WHERE c.tenant_id = :tenant_id AND c.project_id = :project_id AND c.task_id = ANY(:task_ids)
        AND c.deleted_at IS NULL
), staying AS (
    SELECT unnest(t.file_ids) AS id FROM tasks AS t
    WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id <> ALL(:task_ids)
    UNION
    SELECT unnest(c.file_ids) FROM comments AS c
    WHERE c.tenant_id = :tenant_id AND c.project_id = :project_id AND c.task_id <> ALL(:task_ids)
        AND c.deleted_at IS NULL
)
SELECT
    g.id,
    g.id NOT IN (SELECT s.id FROM staying AS s) AND (:may_edit::boolean OR coalesce(f.created_by = :actor_id, false)) AS goes
FROM going AS g
LEFT JOIN LATERAL (
    SELECT x.created_by FROM files AS x WHERE x.tenant_id = :tenant_id AND x.id = g.id LIMIT 1
) AS f ON true;

-- transfer_files :many
UPDATE files AS f SET project_id = :to_project_id, version = f.version + 1, updated_by = :actor_id, updated_at = :now
WHERE f.tenant_id = :tenant_id AND f.id = ANY(:file_ids::uuid []) AND f.project_id = :from_project_id AND f.status = 'ready'
RETURNING f.*;

-- leave_files :exec
UPDATE tasks AS t
SET file_ids = ARRAY(SELECT f.id FROM unnest(t.file_ids) WITH ORDINALITY AS f (id, n) WHERE f.id <> ALL(:file_ids) ORDER BY f.n)
WHERE t.tenant_id = :tenant_id AND t.id = ANY(:task_ids::uuid []) AND t.file_ids && :file_ids::uuid [];

-- None of these becomes a file any more, nor counts: most likely none of its bytes came.
-- claim_uploads :exec
WITH gone AS (
    UPDATE files AS f SET status = 'deleted', deleted_at = now(), size = 0
    FROM files AS o
    WHERE f.tenant_id = :tenant_id AND f.id = ANY(:ids::uuid []) AND f.status = 'uploading'
        AND o.tenant_id = f.tenant_id AND o.id = f.id
    RETURNING o.size
)
UPDATE file_usage AS u SET bytes = u.bytes - g.size
FROM (SELECT sum(size)::bigint AS size FROM gone) AS g
WHERE u.tenant_id = :tenant_id AND g.size IS NOT NULL;

-- Asked after the one before, and not with it: that waits for whoever is making one a file.
-- ready_files :many
SELECT f.id FROM files AS f WHERE f.tenant_id = :tenant_id AND f.id = ANY(:ids::uuid []) AND f.status = 'ready';
