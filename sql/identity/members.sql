-- Tenants and their members.

-- tenant :maybe
SELECT t.* FROM tenants AS t WHERE t.id = :tenant_id;

-- create_tenant :one
INSERT INTO tenants (id, slug, name, created_by) VALUES (:tenant_id, :slug, :name, :user_id)
ON CONFLICT (slug) DO NOTHING
RETURNING *;

-- update_tenant :one
UPDATE tenants SET name = :name, version = version + 1, updated_at = :now
WHERE id = :tenant_id
RETURNING *;

-- add_member :one
INSERT INTO members (tenant_id, user_id, role, expires_at, invited_by)
VALUES (:tenant_id, :user_id, :role, :expires_at, :actor_id)
RETURNING user_id AS id, role, expires_at, joined_at;

-- members_of :many
SELECT m.user_id AS id, u.name, m.role, m.expires_at, m.joined_at
FROM members AS m JOIN users AS u ON u.id = m.user_id
WHERE m.tenant_id = :tenant_id AND m.status = 'active'
ORDER BY u.name, u.id;

-- The person behind a token: still a member, session not revoked, tenant active.
-- principal :maybe
SELECT u.id, u.name, u.email, m.role, t.name AS tenant_name, t.slug AS tenant_slug
FROM users AS u
JOIN sessions AS s ON s.user_id = u.id AND s.id = :session_id AND s.revoked_at IS NULL AND s.expires_at > now()
JOIN members AS m
    ON m.tenant_id = :tenant_id AND m.user_id = u.id AND m.status = 'active'
    AND (m.expires_at IS NULL OR m.expires_at > now())
JOIN tenants AS t ON t.id = m.tenant_id AND t.status = 'active'
WHERE u.id = :user_id AND u.status = 'active';
