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
    AND (:older_than::timestamptz IS NULL OR deleted_at < :older_than)
RETURNING id;

-- What people have of a project that their own rooms show, as `own_views_of` and the others beside it have it.
-- held_of_project :many
SELECT pm.user_id, NULL AS kind, '{}'::uuid [] AS ids FROM project_members AS pm
WHERE pm.tenant_id = :tenant_id AND pm.project_id = :project_id
UNION ALL
SELECT v.owner_id, 'views', array_agg(v.id ORDER BY v.id) FROM views AS v
WHERE v.tenant_id = :tenant_id AND v.project_id = :project_id AND NOT v.shared
GROUP BY v.owner_id
UNION ALL
SELECT l.user_id, 'board_layouts', array_agg(l.board_id ORDER BY l.board_id) FROM board_layouts AS l
WHERE l.tenant_id = :tenant_id AND l.project_id = :project_id
GROUP BY l.user_id
UNION ALL
SELECT a.user_id, 'assignments', array_agg(t.id ORDER BY t.id)
FROM tasks AS t CROSS JOIN LATERAL unnest(t.assignee_ids) AS a (user_id)
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.deleted_at IS NULL AND t.archived_at IS NULL
GROUP BY a.user_id;

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
    AND (
        SELECT p.deleted_at IS NULL AND p.archived_at IS NULL FROM projects AS p
        WHERE p.tenant_id = t.tenant_id AND p.id = t.project_id
    )
    AND (:sees_all OR EXISTS (
        SELECT 1 FROM project_parts AS pm
        WHERE pm.tenant_id = t.tenant_id AND pm.project_id = t.project_id AND pm.user_id = ANY(:people::uuid [])
    ))
ORDER BY t.deleted_at DESC, t.id DESC
LIMIT :max_rows;

-- trash_to_purge :many
SELECT * FROM trash_to_purge(:older_than);

-- Whether a project was given up, and whoever took it to the trash.
-- project_to_purge :maybe
SELECT p.purged_at IS NOT NULL AS given_up, p.updated_by FROM projects AS p
WHERE p.tenant_id = :tenant_id AND p.id = :project_id AND p.deleted_at IS NOT NULL;

-- Tasks of a project that was given up; those that others are part of wait for these.
-- purge_project_tasks :value
WITH gone AS (
    DELETE FROM tasks AS t USING (
        SELECT x.id FROM tasks AS x
        JOIN projects AS p ON p.tenant_id = x.tenant_id AND p.id = x.project_id AND p.purged_at IS NOT NULL
        WHERE x.tenant_id = :tenant_id AND x.project_id = :project_id
            AND (SELECT b.id FROM tasks AS b WHERE b.tenant_id = x.tenant_id AND b.parent_id = x.id LIMIT 1) IS NULL
        LIMIT :most
    ) AS x
    WHERE t.tenant_id = :tenant_id AND t.id = x.id
    RETURNING 1
)
SELECT count(*) FROM gone;

-- Tasks of the tenant that were deleted so long ago, and that nothing is part of any more.
-- purge_tasks :value
WITH gone AS (
    DELETE FROM tasks AS t USING (
        SELECT x.id FROM tasks AS x
        WHERE x.tenant_id = :tenant_id AND x.deleted_at < :older_than
            AND (SELECT b.id FROM tasks AS b WHERE b.tenant_id = x.tenant_id AND b.parent_id = x.id LIMIT 1) IS NULL
        LIMIT :most
    ) AS x
    WHERE t.tenant_id = :tenant_id AND t.id = x.id AND t.deleted_at < :older_than
    RETURNING 1
)
SELECT count(*) FROM gone;

-- purge_room_log :value
SELECT purge_room_log(:project_id, :most);

-- let_go_of_children :exec
UPDATE projects SET parent_id = NULL WHERE tenant_id = :tenant_id AND parent_id = :project_id;

-- purge_project :value
DELETE FROM projects WHERE tenant_id = :tenant_id AND id = :project_id AND purged_at IS NOT NULL
RETURNING true;

-- purge_room :exec
DELETE FROM rooms WHERE tenant_id = :tenant_id AND id = :project_id AND kind = 'project';
