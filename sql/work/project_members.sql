-- Who takes part in a project.

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

-- guests_among :value
SELECT EXISTS (
    SELECT 1 FROM members AS m
    WHERE m.tenant_id = :tenant_id AND m.user_id = ANY(:user_ids::uuid []) AND m.role = 'guest'
);

-- lets_guests_in :value
SELECT coalesce((p.settings ->> 'allow_guest_access')::boolean, true) FROM projects AS p
WHERE p.tenant_id = :tenant_id AND p.id = :project_id;
