-- Projects, and who takes part in them.

-- project :maybe
SELECT p.*, u.name AS updated_by_name
FROM projects AS p LEFT JOIN users AS u ON u.id = p.updated_by
WHERE p.tenant_id = :tenant_id AND p.id = :project_id AND p.deleted_at IS NULL;

-- deleted_project :maybe
SELECT p.* FROM projects AS p
WHERE p.tenant_id = :tenant_id AND p.id = :project_id AND p.deleted_at IS NOT NULL;

-- taken_project_keys :many
SELECT key FROM projects WHERE tenant_id = :tenant_id AND starts_with(key, :prefix);

-- create_project :one
INSERT INTO projects (
    tenant_id, id, key, name, description, status, priority, start_on, end_on,
    created_by, created_at, updated_by, updated_at
)
VALUES (
    :tenant_id, :id, :key, :name, :description, :status, :priority, :start_on, :end_on,
    :actor_id, :now, :actor_id, :now
)
RETURNING *;

-- create_statuses :exec
INSERT INTO statuses (tenant_id, project_id, id, name, category, position)
SELECT :tenant_id, :id, s.id, s.name, s.category, s.position
FROM unnest(:ids::uuid [], :names::text [], :categories::text [], :positions::text [])
    AS s (id, name, category, position);

-- update_project :one
UPDATE projects
SET
    name = :name, description = :description, status = :status, priority = :priority,
    start_on = :start_on, end_on = :end_on,
    version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :project_id AND deleted_at IS NULL
RETURNING *;

-- mark_project_deleted :one
UPDATE projects
SET deleted_at = :deleted_at, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :project_id
RETURNING *;

-- Those who see every project see all; the others what they, or those they act for, take part in.
-- projects_of :many
SELECT p.* FROM projects AS p
WHERE p.tenant_id = :tenant_id AND p.deleted_at IS NULL AND (p.name, p.id) > (:after_name, :after_id::uuid)
    AND (:sees_all OR EXISTS (
        SELECT 1 FROM project_parts AS pm
        WHERE pm.tenant_id = p.tenant_id AND pm.project_id = p.id AND pm.user_id = ANY(:people::uuid [])
    ))
    AND (:group_id::uuid IS NULL OR EXISTS (
        SELECT 1 FROM project_shares AS s
        WHERE s.tenant_id = p.tenant_id AND s.project_id = p.id AND s.group_id = :group_id::uuid
    ))
ORDER BY p.name, p.id
LIMIT :max_rows;

-- all_projects :many
SELECT p.* FROM projects AS p WHERE p.tenant_id = :tenant_id AND p.deleted_at IS NULL ORDER BY p.name, p.id;

-- project_members_of :many
SELECT pm.user_id AS id, u.name, pm.role, pm.direct, pm.shared_roles, pm.expires_at, m.status = 'active' AS active
FROM project_members AS pm
JOIN users AS u ON u.id = pm.user_id
JOIN members AS m ON m.tenant_id = pm.tenant_id AND m.user_id = pm.user_id
WHERE pm.tenant_id = :tenant_id AND pm.project_id = :project_id
ORDER BY u.name, u.id;

-- A part of one's own, without an end. Who is there through a team or unit stays so besides.
-- set_project_member :maybe
INSERT INTO project_members (tenant_id, project_id, user_id, role)
SELECT m.tenant_id, :project_id, m.user_id, :role
FROM members AS m
WHERE m.tenant_id = :tenant_id AND m.user_id = :user_id AND m.status IN ('active', 'suspended')
ON CONFLICT (tenant_id, project_id, user_id) DO UPDATE
SET role = excluded.role, direct = true, expires_at = NULL
RETURNING
    user_id AS id, (SELECT u.name FROM users AS u WHERE u.id = user_id) AS name,
    role, direct, shared_roles, expires_at,
    (
        SELECT m.status = 'active' FROM members AS m
        WHERE m.tenant_id = project_members.tenant_id AND m.user_id = project_members.user_id
    ) AS active;

-- end_project_part_at :one
UPDATE project_members AS pm SET expires_at = :expires_at
FROM users AS u, members AS m
WHERE pm.tenant_id = :tenant_id AND pm.project_id = :project_id AND pm.user_id = :user_id AND u.id = pm.user_id
    AND m.tenant_id = pm.tenant_id AND m.user_id = pm.user_id
RETURNING
    pm.user_id AS id, u.name, pm.role, pm.direct, pm.shared_roles, pm.expires_at, m.status = 'active' AS active;

-- What somebody's rights in a project are made of, as `rights` in handlers/access.py reads an actor.
-- project_actor :maybe
SELECT
    m.user_id, m.role, m.allowed, m.denied,
    pm.role AS project_role, pm.direct, pm.shared_roles, pm.user_id IS NOT NULL AS in_project, true AS live
FROM members AS m
LEFT JOIN project_parts AS pm
    ON pm.tenant_id = m.tenant_id AND pm.project_id = :project_id AND pm.user_id = m.user_id
WHERE m.tenant_id = :tenant_id AND m.user_id = :user_id AND m.status IN ('active', 'suspended');

-- The end of a part of one's own: gone, or through a team or unit from now on.
-- remove_project_member :maybe
WITH kept AS (
    UPDATE project_members AS pm SET direct = false, role = NULL, expires_at = NULL
    FROM users AS u, members AS m
    WHERE pm.tenant_id = :tenant_id AND pm.project_id = :project_id AND pm.user_id = :user_id AND pm.direct
        AND pm.shared_roles IS NOT NULL AND u.id = pm.user_id
        AND m.tenant_id = pm.tenant_id AND m.user_id = pm.user_id
    RETURNING
        pm.user_id AS id, u.name, pm.role, pm.direct, pm.shared_roles, pm.expires_at, m.status = 'active' AS active
), gone AS (
    DELETE FROM project_members
    WHERE tenant_id = :tenant_id AND project_id = :project_id AND user_id = :user_id AND shared_roles IS NULL
    RETURNING user_id AS id
)
SELECT k.*, false AS left_it FROM kept AS k
UNION ALL
SELECT g.id, NULL, NULL, NULL, NULL, NULL, NULL, true FROM gone AS g;
