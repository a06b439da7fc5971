-- Why somebody may do what she may do.

-- explained_member :maybe
SELECT
    m.user_id, u.name, m.role, m.allowed, m.denied, m.own_allowed, m.own_denied,
    m.role_id, r.name AS role_name, r.allowed AS role_allowed, r.denied AS role_denied, m.expires_at,
    CASE
        WHEN m.status <> 'active' THEN m.status
        WHEN m.expires_at <= statement_timestamp() THEN 'expired'
        ELSE u.status
    END AS status,
    pm.role AS project_role, pm.direct, pm.shared_roles, pm.user_id IS NOT NULL AS in_project,
    stands_for(m.tenant_id, m.user_id, :room_id)::text AS stands_for,
    (
        SELECT p.expires_at FROM project_members AS p
        WHERE p.tenant_id = m.tenant_id AND p.project_id = :room_id AND p.user_id = m.user_id
    ) AS part_until
FROM members AS m
JOIN users AS u ON u.id = m.user_id
LEFT JOIN custom_roles AS r ON r.tenant_id = m.tenant_id AND r.id = m.role_id
LEFT JOIN project_parts AS pm
    ON pm.tenant_id = m.tenant_id AND pm.project_id = :room_id AND pm.user_id = m.user_id
WHERE m.tenant_id = :tenant_id AND m.user_id = :user_id AND m.status <> 'removed';

-- explained_delegations :many
SELECT d.id, d.from_id, u.name, d.ends_at
FROM delegations AS d JOIN users AS u ON u.id = d.from_id
WHERE d.tenant_id = :tenant_id AND d.id = ANY(:delegation_ids::uuid []);

-- The teams and units through which somebody takes part in a project: she is in one, or in a unit below it.
-- explained_shares :many
WITH RECURSIVE mine AS (
    SELECT g.id, g.parent_id
    FROM group_members AS gm JOIN groups AS g ON g.tenant_id = gm.tenant_id AND g.id = gm.group_id
    WHERE gm.tenant_id = :tenant_id AND gm.user_id = :user_id
    UNION
    SELECT g.id, g.parent_id FROM mine AS b JOIN groups AS g ON g.tenant_id = :tenant_id AND g.id = b.parent_id
)
SELECT g.id, g.kind, g.name, s.role
FROM project_shares AS s
JOIN mine AS b ON b.id = s.group_id
JOIN groups AS g ON g.tenant_id = s.tenant_id AND g.id = s.group_id
WHERE s.tenant_id = :tenant_id AND s.project_id = :room_id
ORDER BY lower(g.name), g.id;
