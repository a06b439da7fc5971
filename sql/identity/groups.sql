-- Teams and units, and the projects that are shared with them.

-- group_of :maybe
SELECT
    g.*, u.name AS updated_by_name,
    ARRAY(
        SELECT gm.user_id FROM group_members AS gm
        WHERE gm.tenant_id = g.tenant_id AND gm.group_id = g.id ORDER BY gm.user_id
    ) AS member_ids
FROM groups AS g LEFT JOIN users AS u ON u.id = g.updated_by
WHERE g.tenant_id = :tenant_id AND g.id = :group_id;

-- Teams or units, all or by pages.
-- groups_page :many
SELECT
    g.*,
    ARRAY(
        SELECT gm.user_id FROM group_members AS gm
        WHERE gm.tenant_id = g.tenant_id AND gm.group_id = g.id ORDER BY gm.user_id
    ) AS member_ids
FROM groups AS g
WHERE g.tenant_id = :tenant_id AND (g.kind = 'team') = :teams::boolean
    AND (lower(g.name), g.id) > (:after_name, :after_id::uuid)
ORDER BY lower(g.name), g.id
LIMIT :max_rows;

-- count_groups :value
SELECT count(*) FROM groups WHERE tenant_id = :tenant_id;

-- create_group :exec
INSERT INTO groups (
    tenant_id, id, kind, name, description, colour, parent_id, project_id, created_by, created_at, updated_by, updated_at
)
VALUES (
    :tenant_id, :id, :kind, :name, :description, :colour, :parent_id, :project_id, :actor_id, :now, :actor_id, :now
);

-- update_group :exec
UPDATE groups
SET
    name = :name, description = :description, colour = :colour, parent_id = :parent_id,
    version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :group_id;

-- touch_group :exec
UPDATE groups SET version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :group_id;

-- delete_group :exec
DELETE FROM groups WHERE tenant_id = :tenant_id AND id = :group_id;

-- has_groups_below :value
SELECT EXISTS (SELECT 1 FROM groups WHERE tenant_id = :tenant_id AND parent_id = :group_id);

-- Whether a unit is another one, or somewhere below it.
-- is_in_group :value
WITH RECURSIVE above AS (
    SELECT g.id, g.parent_id FROM groups AS g WHERE g.tenant_id = :tenant_id AND g.id = :inner_id
    UNION
    SELECT g.id, g.parent_id FROM groups AS g JOIN above AS a ON g.tenant_id = :tenant_id AND g.id = a.parent_id
)
SELECT EXISTS (SELECT 1 FROM above WHERE id = :outer_id);

-- add_group_members :many
INSERT INTO group_members (tenant_id, group_id, user_id)
SELECT m.tenant_id, :group_id, m.user_id FROM members AS m
WHERE m.tenant_id = :tenant_id AND m.user_id = ANY(:user_ids::uuid []) AND m.status IN ('active', 'suspended')
ON CONFLICT DO NOTHING
RETURNING user_id;

-- remove_group_members :exec
DELETE FROM group_members
WHERE tenant_id = :tenant_id AND group_id = :group_id AND user_id = ANY(:user_ids::uuid []);

-- known_members :many
SELECT m.user_id FROM members AS m
WHERE m.tenant_id = :tenant_id AND m.user_id = ANY(:user_ids::uuid []) AND m.status IN ('active', 'suspended');

-- The projects that somebody takes part in because he is in a team or unit: shared with it, or with one above it.
-- projects_of_group :many
WITH RECURSIVE above AS (
    SELECT g.id, g.parent_id FROM groups AS g WHERE g.tenant_id = :tenant_id AND g.id = :group_id
    UNION
    SELECT g.id, g.parent_id FROM groups AS g JOIN above AS a ON g.tenant_id = :tenant_id AND g.id = a.parent_id
)
SELECT DISTINCT s.project_id
FROM above AS a JOIN project_shares AS s ON s.tenant_id = :tenant_id AND s.group_id = a.id
ORDER BY s.project_id;

-- add_share :one
INSERT INTO project_shares AS s (tenant_id, id, project_id, group_id, role)
VALUES (:tenant_id, :id, :project_id, :group_id, :role)
ON CONFLICT (tenant_id, project_id, group_id) DO UPDATE SET role = excluded.role
RETURNING s.id, s.project_id, s.group_id, s.role;

-- share :maybe
SELECT s.id, s.project_id, s.group_id, s.role FROM project_shares AS s
WHERE s.tenant_id = :tenant_id AND s.project_id = :project_id AND s.id = :share_id;

-- remove_share :exec
DELETE FROM project_shares WHERE tenant_id = :tenant_id AND id = :share_id;

-- shares_of_tenant :many
SELECT s.id, s.project_id, s.group_id, s.role FROM project_shares AS s
WHERE s.tenant_id = :tenant_id
ORDER BY s.project_id, s.id;

-- shares_of_group :many
SELECT s.id FROM project_shares AS s WHERE s.tenant_id = :tenant_id AND s.group_id = :group_id ORDER BY s.id;

-- shares_of_project :many
SELECT s.id, s.project_id, s.group_id, s.role, g.name, g.kind
FROM project_shares AS s JOIN groups AS g ON g.tenant_id = s.tenant_id AND g.id = s.group_id
WHERE s.tenant_id = :tenant_id AND s.project_id = :project_id
ORDER BY lower(g.name), s.id;

-- Where the parts of projects differ from what their shares say: each with what it is, what it has to become, and what
-- the person's rights are made of.
-- share_changes :many
WITH RECURSIVE reach AS (
    SELECT s.project_id, s.group_id, s.role FROM project_shares AS s
    WHERE s.tenant_id = :tenant_id AND s.project_id = ANY(:project_ids::uuid [])
    UNION
    SELECT r.project_id, g.id, r.role
    FROM reach AS r JOIN groups AS g ON g.tenant_id = :tenant_id AND g.parent_id = r.group_id
), wanted AS (
    SELECT r.project_id, gm.user_id, array_agg(DISTINCT coalesce(r.role, 'own') ORDER BY coalesce(r.role, 'own')) AS roles
    FROM reach AS r JOIN group_members AS gm ON gm.tenant_id = :tenant_id AND gm.group_id = r.group_id
    GROUP BY r.project_id, gm.user_id
), present AS (
    SELECT pm.* FROM project_members AS pm
    WHERE pm.tenant_id = :tenant_id AND pm.project_id = ANY(:project_ids::uuid [])
), pairs AS (
    SELECT
        coalesce(w.project_id, p.project_id) AS project_id, coalesce(w.user_id, p.user_id) AS user_id,
        w.roles AS wanted, p.user_id IS NOT NULL AS known, p.shared_roles, p.role AS own_project_role, p.expires_at,
        coalesce(p.direct, false) AS is_direct,
        coalesce(p.direct AND (p.expires_at IS NULL OR p.expires_at > statement_timestamp()), false) AS direct
    FROM wanted AS w FULL JOIN present AS p ON p.project_id = w.project_id AND p.user_id = w.user_id
    WHERE w.roles IS DISTINCT FROM p.shared_roles
)
SELECT c.*, u.name, m.role, m.allowed, m.denied, m.status = 'active' AS active
FROM pairs AS c
JOIN members AS m ON m.tenant_id = :tenant_id AND m.user_id = c.user_id AND m.status <> 'removed'
JOIN users AS u ON u.id = c.user_id
ORDER BY c.project_id, c.user_id;

-- Roles come as text with commas; empty where nothing is shared any more.
-- settle_shares :exec
WITH asked AS (
    SELECT a.project_id, a.user_id, string_to_array(nullif(a.roles, ''), ',') AS roles
    FROM unnest(:project_ids::uuid [], :user_ids::uuid [], :roles::text []) AS a (project_id, user_id, roles)
), gone AS (
    DELETE FROM project_members AS pm USING asked AS a
    WHERE a.roles IS NULL AND pm.tenant_id = :tenant_id AND pm.project_id = a.project_id AND pm.user_id = a.user_id
        AND NOT pm.direct
), direct_only AS (
    UPDATE project_members AS pm SET shared_roles = NULL
    FROM asked AS a
    WHERE a.roles IS NULL AND pm.tenant_id = :tenant_id AND pm.project_id = a.project_id AND pm.user_id = a.user_id
        AND pm.direct
)
INSERT INTO project_members (tenant_id, project_id, user_id, direct, shared_roles)
SELECT :tenant_id, a.project_id, a.user_id, false, a.roles FROM asked AS a WHERE a.roles IS NOT NULL
ON CONFLICT (tenant_id, project_id, user_id) DO UPDATE SET shared_roles = excluded.shared_roles;

-- What a person takes part in, as her own room shows it.
-- participations_of :many
SELECT pm.project_id AS id, pm.role, pm.direct, pm.shared_roles, pm.expires_at
FROM project_members AS pm
JOIN projects AS p ON p.tenant_id = pm.tenant_id AND p.id = pm.project_id AND p.purged_at IS NULL
WHERE pm.tenant_id = :tenant_id AND pm.user_id = :actor_id
ORDER BY pm.project_id;
