-- Members of a tenant.

-- Somebody who was removed, or whose membership has run out, may come back; an active member is refused.
-- add_member :maybe
INSERT INTO members AS m (tenant_id, user_id, role, expires_at, invited_by)
VALUES (:tenant_id, :user_id, :role, :expires_at, :actor_id)
ON CONFLICT (tenant_id, user_id) DO UPDATE
SET
    role = excluded.role, expires_at = excluded.expires_at, invited_by = excluded.invited_by,
    role_id = NULL, own_allowed = NULL, own_denied = NULL, allowed = NULL, denied = NULL,
    status = 'active', joined_at = now(), version = m.version + 1
WHERE m.status IN ('removed', 'expired') OR (m.status = 'active' AND m.expires_at <= now())
RETURNING
    m.user_id AS id, (SELECT u.kind FROM users AS u WHERE u.id = m.user_id) AS kind,
    (SELECT p.avatar_url FROM profiles AS p WHERE p.user_id = m.user_id) AS avatar_url,
    m.role, m.role_id, coalesce(m.own_allowed, '{}') AS allowed, coalesce(m.own_denied, '{}') AS denied,
    m.status, m.expires_at, m.joined_at;

-- Somebody who was here before, or is in another tenant of the organization; where the directory is open, everybody
-- with an account.
-- known_person :maybe
SELECT u.* FROM users AS u
WHERE u.email = :email AND u.kind = 'person' AND (:open_directory::boolean OR EXISTS (
    SELECT 1 FROM members AS m WHERE m.tenant_id = :tenant_id AND m.user_id = u.id
) OR shares_organization(u.id, :tenant_id));

-- membership_has_lapsed :value
SELECT EXISTS (
    SELECT 1 FROM members AS m
    WHERE m.tenant_id = :tenant_id AND m.user_id = :user_id
        AND (m.status = 'expired' OR (m.status = 'active' AND m.expires_at <= now()))
);

-- membership_status :value
SELECT m.status FROM members AS m WHERE m.tenant_id = :tenant_id AND m.user_id = :user_id;

-- member :maybe
SELECT
    m.user_id AS id, u.name, u.kind, m.role, m.role_id, coalesce(m.own_allowed, '{}') AS allowed, coalesce(m.own_denied, '{}') AS denied,
    m.status, m.expires_at, m.joined_at, m.version,
    m.allowed AS all_allowed, m.denied AS all_denied
FROM members AS m JOIN users AS u ON u.id = m.user_id
WHERE m.tenant_id = :tenant_id AND m.user_id = :user_id AND m.status IN ('active', 'suspended');

-- What the role gives and what is given to or taken from this person alone, and the outcome of both.
-- update_member :one
UPDATE members AS m
SET
    role = :role, role_id = :role_id, expires_at = :expires_at,
    own_allowed = :allowed::text [], own_denied = :denied::text [],
    allowed = beside_role(r.allowed, :allowed::text [], :denied::text []),
    denied = beside_role(r.denied, :denied::text [], :allowed::text []),
    version = m.version + 1
FROM users AS u LEFT JOIN custom_roles AS r ON r.tenant_id = :tenant_id AND r.id = :role_id
WHERE m.tenant_id = :tenant_id AND m.user_id = :user_id AND m.status IN ('active', 'suspended') AND u.id = m.user_id
RETURNING
    m.user_id AS id, u.name, u.kind, (SELECT p.avatar_url FROM profiles AS p WHERE p.user_id = m.user_id) AS avatar_url,
    m.role, m.role_id, coalesce(m.own_allowed, '{}') AS allowed, coalesce(m.own_denied, '{}') AS denied,
    m.status, m.expires_at, m.joined_at, m.allowed AS all_allowed, m.denied AS all_denied;

-- remove_member :exec
UPDATE members SET status = 'removed', version = version + 1
WHERE tenant_id = :tenant_id AND user_id = :user_id;

-- The rooms of a member's projects, locked before any of their rows, in the order that everybody uses.
-- lock_projects_of :many
SELECT r.id FROM rooms AS r
WHERE r.tenant_id = :tenant_id AND r.kind = 'project' AND r.id IN (
    SELECT pm.project_id FROM project_members AS pm
    WHERE pm.tenant_id = :tenant_id AND pm.user_id = :user_id
)
ORDER BY r.id
FOR UPDATE;

-- What goes with a membership for good: her places in teams and units.
-- leave_all_groups :many
WITH gone AS (
    DELETE FROM group_members WHERE tenant_id = :tenant_id AND user_id = :user_id RETURNING group_id
)
SELECT
    g.id, g.kind,
    ARRAY(
        SELECT gm.user_id FROM group_members AS gm
        WHERE gm.tenant_id = g.tenant_id AND gm.group_id = g.id AND gm.user_id <> :user_id ORDER BY gm.user_id
    ) AS member_ids
FROM gone JOIN groups AS g ON g.tenant_id = :tenant_id AND g.id = gone.group_id
ORDER BY g.id;

-- leave_all_projects :many
DELETE FROM project_members AS pm USING rooms AS r
WHERE pm.tenant_id = :tenant_id AND pm.user_id = :user_id AND r.tenant_id = pm.tenant_id AND r.id = pm.project_id
RETURNING pm.project_id;

-- other_owners :value
SELECT EXISTS (
    SELECT 1 FROM members AS m JOIN users AS u ON u.id = m.user_id AND u.status = 'active'
    WHERE m.tenant_id = :tenant_id AND m.user_id <> ALL(:user_ids::uuid []) AND m.role = 'owner'
        AND m.status = 'active' AND m.expires_at IS NULL
);

-- When somebody last came into this tenant: what she does in others is not its business.
-- members_to_export :many
SELECT
    m.user_id AS id, u.name, u.email, m.role, r.name AS custom_role,
    CASE WHEN m.status = 'active' AND m.expires_at <= :now THEN 'expired' ELSE m.status END AS status,
    m.joined_at, m.expires_at,
    (
        SELECT max(t.created_at) FROM sessions AS s JOIN refresh_tokens AS t ON t.session_id = s.id
        WHERE s.user_id = m.user_id AND t.tenant_id = m.tenant_id
    ) AS last_sign_in_at,
    (
        SELECT string_agg(g.name, '; ' ORDER BY g.name)
        FROM group_members AS gm JOIN groups AS g ON g.tenant_id = gm.tenant_id AND g.id = gm.group_id
        WHERE gm.tenant_id = m.tenant_id AND gm.user_id = m.user_id AND g.kind = 'team'
    ) AS teams
FROM members AS m
JOIN users AS u ON u.id = m.user_id AND u.kind = 'person'
LEFT JOIN custom_roles AS r ON r.tenant_id = m.tenant_id AND r.id = m.role_id
WHERE m.tenant_id = :tenant_id AND m.status <> 'removed' AND m.user_id > :after_id
ORDER BY m.user_id
LIMIT :max_rows;

-- members_of :many
SELECT
    m.user_id AS id, u.name, u.kind, p.avatar_url, m.role, m.role_id, coalesce(m.own_allowed, '{}') AS allowed, coalesce(m.own_denied, '{}') AS denied,
    m.status, m.expires_at, m.joined_at
FROM members AS m JOIN users AS u ON u.id = m.user_id LEFT JOIN profiles AS p ON p.user_id = m.user_id
WHERE m.tenant_id = :tenant_id AND m.status IN ('active', 'suspended')
ORDER BY u.name, u.id;

-- The person behind a token: still a member, session not revoked, the tenant open to this kind of session; and whether
-- it is in use. `expires_at` is the next moment at which her rights change by themselves.
-- principal :maybe
SELECT
    u.id, u.name, u.email, m.role,
    least(m.expires_at, (
        SELECT min(w.at) FROM rights_moments AS w
        WHERE w.tenant_id = m.tenant_id AND w.user_id = m.user_id AND w.at > statement_timestamp()
    )) AS expires_at,
    t.name AS tenant_name, t.slug AS tenant_slug, t.rights_seq,
    t.status AS tenant_status,
    t.require_second_factor AND s.second_factor_at IS NULL AS lacks_second_factor,
    s.impersonator_id,
    clock_timestamp() AS now
FROM users AS u
JOIN sessions AS s ON s.user_id = u.id AND s.id = :session_id AND s.revoked_at IS NULL AND s.expires_at > now()
JOIN members AS m
    ON m.tenant_id = :tenant_id AND m.user_id = u.id AND m.status = 'active'
    AND (m.expires_at IS NULL OR m.expires_at > now())
JOIN tenants AS t ON t.id = m.tenant_id
WHERE
    u.id = :user_id AND u.status = 'active' AND impersonation_stands(s.impersonator_id, s.impersonator_session_id)
    AND (
        s.bound_to = t.id
        OR (s.bound_to IS NULL AND (m.role = 'owner' OR NOT sso_required(t.id, u.email)))
    );

-- members_by_id :many
SELECT m.user_id AS id, m.role, m.status, m.allowed AS all_allowed, m.denied AS all_denied
FROM members AS m
WHERE m.tenant_id = :tenant_id AND m.user_id = ANY(:user_ids::uuid []) AND m.status IN ('active', 'suspended');

-- project_ids_of_members :many
SELECT pm.project_id, pm.user_id FROM project_members AS pm
WHERE pm.tenant_id = :tenant_id AND pm.user_id = ANY(:user_ids::uuid [])
ORDER BY pm.project_id, pm.user_id;

-- set_member_status :exec
UPDATE members SET status = :status, version = version + 1
WHERE tenant_id = :tenant_id AND user_id = ANY(:user_ids::uuid []);
