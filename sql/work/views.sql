-- Saved views. Everybody sees the shared ones of a project, and his own.

-- project_of_view :value
SELECT project_id FROM views WHERE tenant_id = :tenant_id AND id = :entity_id;

-- view :maybe
SELECT v.*, u.name AS updated_by_name
FROM views AS v LEFT JOIN users AS u ON u.id = v.updated_by
WHERE v.tenant_id = :tenant_id AND v.project_id = :project_id AND v.id = :view_id
    AND (v.shared OR v.owner_id = :actor_id);

-- create_view :one
INSERT INTO views (
    tenant_id, project_id, id, owner_id, shared, board_id, name, layout, filter, sort, swimlanes, fields,
    created_at, updated_by, updated_at
)
VALUES (
    :tenant_id, :project_id, :id, :actor_id, :shared, :board_id, :name, :layout, :filter::text::jsonb,
    :sort::text::jsonb, :swimlanes, :fields, :now, :actor_id, :now
)
RETURNING *;

-- update_view :one
UPDATE views
SET
    shared = :shared, board_id = :board_id, name = :name, layout = :layout, filter = :filter::text::jsonb,
    sort = :sort::text::jsonb, swimlanes = :swimlanes, fields = :fields,
    version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :id
RETURNING *;

-- delete_view :exec
DELETE FROM views WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :view_id;

-- count_shared_views :value
SELECT count(*) FROM views WHERE tenant_id = :tenant_id AND project_id = :project_id AND shared;

-- What the other shared ones weigh together with this one, as it would be (bytes of JSON).
-- size_of_shared_views :value
SELECT sum(octet_length(w.filter::text) + octet_length(w.sort::text) + octet_length(to_json(w.fields)::text))::bigint
FROM (
    SELECT v.filter, v.sort, v.fields FROM views AS v
    WHERE v.tenant_id = :tenant_id AND v.project_id = :project_id AND v.shared AND v.id <> :view_id
    UNION ALL
    SELECT :filter::text::jsonb, :sort::text::jsonb, :fields::text []
) AS w;

-- count_own_views :value
SELECT count(*) FROM views AS v
JOIN projects AS p ON p.tenant_id = v.tenant_id AND p.id = v.project_id AND p.deleted_at IS NULL
WHERE v.tenant_id = :tenant_id AND v.owner_id = :actor_id AND NOT v.shared;

-- shared_views_of :many
SELECT v.* FROM views AS v
WHERE v.tenant_id = :tenant_id AND v.project_id = :project_id AND v.shared
ORDER BY v.name, v.id;

-- own_views_of :many
SELECT v.* FROM views AS v
JOIN projects AS p ON p.tenant_id = v.tenant_id AND p.id = v.project_id AND p.purged_at IS NULL
WHERE v.tenant_id = :tenant_id AND v.owner_id = :actor_id AND NOT v.shared
ORDER BY v.name, v.id;

-- views_by_name :many
SELECT v.* FROM views AS v
WHERE v.tenant_id = :tenant_id AND v.project_id = :project_id AND (v.shared OR v.owner_id = :actor_id)
    AND (:shared::boolean IS NULL OR v.shared = :shared)
    AND (v.name, v.id) > (:after_name, :after_id::uuid)
ORDER BY v.name, v.id
LIMIT :max_rows;
