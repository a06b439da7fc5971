-- Rights that end at once: see server/rights.py.

-- raise_rights :value
UPDATE tenants SET rights_seq = rights_seq + 1 WHERE id = :tenant_id
RETURNING rights_seq;

-- raise_rights_of :many
SELECT r.tenant_id, r.rights_seq FROM raise_rights_of(:user_id) AS r;

-- tenant_rights :one
SELECT t.rights_seq, t.status, clock_timestamp() AS now FROM tenants AS t WHERE t.id = :tenant_id;

-- Which of these sessions, or API keys, may still be connected to the tenant, and until which moment nothing changes
-- by itself.
-- live_sessions :many
WITH moments AS (
    SELECT w.user_id, min(w.at) AS at FROM rights_moments AS w
    WHERE w.tenant_id = :tenant_id AND w.at > statement_timestamp()
    GROUP BY w.user_id
)
SELECT s.id AS session_id, m.role, least(m.expires_at, w.at) AS expires_at, NULL::text [] AS scopes
FROM sessions AS s
JOIN users AS u ON u.id = s.user_id AND u.status = 'active'
JOIN members AS m
    ON m.tenant_id = :tenant_id AND m.user_id = s.user_id AND m.status = 'active'
    AND (m.expires_at IS NULL OR m.expires_at > clock_timestamp())
JOIN tenants AS t ON t.id = m.tenant_id AND t.status = 'active'
LEFT JOIN moments AS w ON w.user_id = s.user_id
WHERE
    s.id = ANY(:session_ids::uuid []) AND s.revoked_at IS NULL AND s.expires_at > now()
    AND (NOT t.require_second_factor OR s.second_factor_at IS NOT NULL)
    AND impersonation_stands(s.impersonator_id, s.impersonator_session_id)
    AND (
        s.bound_to = t.id
        OR (s.bound_to IS NULL AND (m.role = 'owner' OR NOT sso_required(t.id, u.email)))
    )
UNION ALL
SELECT k.id, m.role, least(m.expires_at, k.expires_at, w.at), k.scopes
FROM api_keys AS k
JOIN users AS u ON u.id = k.user_id AND u.status = 'active'
JOIN members AS m
    ON m.tenant_id = k.tenant_id AND m.user_id = k.user_id AND m.status = 'active' AND m.joined_at <= k.created_at
    AND (m.expires_at IS NULL OR m.expires_at > clock_timestamp())
JOIN tenants AS t ON t.id = m.tenant_id AND t.status = 'active'
LEFT JOIN moments AS w ON w.user_id = k.user_id
WHERE k.tenant_id = :tenant_id AND k.id = ANY(:session_ids::uuid []) AND k.revoked_at IS NULL
    AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp());

-- The rights of some people in some rooms.
-- rights_in_rooms :many
SELECT
    asked.user_id, asked.room_id, m.role, m.allowed, m.denied,
    pm.role AS project_role, pm.direct, pm.shared_roles, pm.user_id IS NOT NULL AS in_project,
    CASE WHEN m.delegated_until > clock_timestamp() THEN stands_for(m.tenant_id, m.user_id, asked.room_id) END::text
        AS stands_for,
    m.status = 'active' AND u.status = 'active'
    AND (m.expires_at IS NULL OR m.expires_at > clock_timestamp()) AS live
FROM unnest(:user_ids::uuid [], :room_ids::uuid []) AS asked (user_id, room_id)
JOIN members AS m ON m.tenant_id = :tenant_id AND m.user_id = asked.user_id
JOIN users AS u ON u.id = m.user_id
LEFT JOIN project_parts AS pm
    ON pm.tenant_id = m.tenant_id AND pm.project_id = asked.room_id AND pm.user_id = m.user_id;

-- When somebody's rights next change by themselves, besides the end of her membership.
-- next_moment :value
SELECT min(w.at) FROM rights_moments AS w
WHERE w.tenant_id = :tenant_id AND w.user_id = :user_id AND w.at > statement_timestamp();
