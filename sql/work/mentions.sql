-- Whom a mention reaches: people who see the project, by themselves, by a team or by a role.

-- The members who see the project, with what their rights in it are made of, as handlers/access.py reads an actor.
-- people_here :many
SELECT
    m.user_id, u.name, m.role, m.role_id, m.allowed, m.denied,
    pm.role AS project_role, pm.direct, pm.shared_roles, pm.user_id IS NOT NULL AS in_project, true AS live
FROM members AS m
JOIN users AS u ON u.id = m.user_id
LEFT JOIN project_parts AS pm
    ON pm.tenant_id = m.tenant_id AND pm.project_id = :project_id AND pm.user_id = m.user_id
WHERE m.tenant_id = :tenant_id AND m.status = 'active'
    AND (m.expires_at IS NULL OR m.expires_at > statement_timestamp())
    AND 'project.view' <> ALL(coalesce(m.denied, '{}'))
    AND (
        pm.user_id IS NOT NULL
        OR (m.role NOT IN ('client', 'guest') AND 'tenant.view' <> ALL(coalesce(m.denied, '{}')))
    );

-- mentioned_people :many
SELECT p.user_id, p.name FROM ({people_here}) AS p WHERE p.user_id = ANY(:user_ids::uuid []);

-- mentioned_teams :many
SELECT g.id, g.name, p.user_id
FROM groups AS g
JOIN group_members AS gm ON gm.tenant_id = g.tenant_id AND gm.group_id = g.id
JOIN ({people_here}) AS p ON p.user_id = gm.user_id
WHERE g.tenant_id = :tenant_id AND g.id = ANY(:group_ids::uuid []) AND g.kind = 'team'
ORDER BY g.id, p.user_id
LIMIT :max_rows;

-- Those who may have one of these roles here: which of them have is decided where rights are.
-- mentioned_roles :many
SELECT p.*, r.name AS role_name
FROM ({people_here}) AS p
LEFT JOIN custom_roles AS r ON r.tenant_id = :tenant_id AND r.id = p.role_id
WHERE p.role = ANY(:roles::text []) OR p.project_role = ANY(:roles::text []) OR p.shared_roles && :roles::text []
    OR p.role_id = ANY(:role_ids::uuid [])
ORDER BY p.user_id
LIMIT :max_rows;
