-- API keys. A key's own hash is written once and never read back.

-- api_key_holder :maybe
SELECT h.*, clock_timestamp() AS now FROM api_key_holder(:key_id, :secret_hash) AS h;

-- At most once a minute for each key, on all nodes together.
-- touch_api_key :exec
UPDATE api_keys SET last_used_at = now(), last_used_address = :address
WHERE tenant_id = :tenant_id AND id = :key_id
    AND (last_used_at IS NULL OR last_used_at < now() - INTERVAL '1 minute');

-- create_api_key :one
INSERT INTO api_keys (
    tenant_id, id, user_id, kind, name, secret_hash, last_four, scopes, created_by, created_at, expires_at
)
VALUES (
    :tenant_id, :key_id, :user_id, :kind, :name, :secret_hash, :last_four, :scopes::text [],
    :actor_id, :now, :expires_at
)
RETURNING id, user_id, kind, name, last_four, scopes, created_at, expires_at;

-- update_api_key :one
UPDATE api_keys SET name = :name, scopes = :scopes::text []
WHERE tenant_id = :tenant_id AND id = :key_id AND revoked_at IS NULL
RETURNING id, user_id, kind, name, last_four, scopes, created_at, expires_at;

-- revoke_api_key :maybe
UPDATE api_keys SET revoked_at = :now, revoked_reason = 'revoked'
WHERE tenant_id = :tenant_id AND id = :key_id AND revoked_at IS NULL
RETURNING id;

-- expire_api_key :one
UPDATE api_keys SET expires_at = least(expires_at, :expires_at)
WHERE tenant_id = :tenant_id AND id = :key_id AND revoked_at IS NULL
RETURNING id, user_id, kind, name, last_four, scopes, created_at, expires_at;

-- own_api_key :maybe
SELECT k.id, k.name, k.scopes, k.created_at, k.expires_at
FROM api_keys AS k JOIN members AS m ON m.tenant_id = k.tenant_id AND m.user_id = k.user_id AND m.joined_at <= k.created_at
WHERE k.tenant_id = :tenant_id AND k.id = :key_id AND k.user_id = :actor_id AND k.kind = 'personal'
    AND k.revoked_at IS NULL;

-- Those that ended by their date stay in the list until they are revoked, so that one sees why a program fails.
-- own_api_keys :many
SELECT
    k.id, k.kind, k.name, k.last_four, k.scopes, k.created_at, k.expires_at,
    k.last_used_at, k.last_used_address
FROM api_keys AS k JOIN members AS m ON m.tenant_id = k.tenant_id AND m.user_id = k.user_id AND m.joined_at <= k.created_at
WHERE k.tenant_id = :tenant_id AND k.user_id = :actor_id AND k.kind = 'personal' AND k.revoked_at IS NULL
ORDER BY k.created_at, k.id;

-- count_api_keys :value
SELECT count(*) FROM api_keys AS k
WHERE k.tenant_id = :tenant_id AND k.kind = :kind AND (k.kind = 'tenant' OR k.user_id = :actor_id)
    AND k.revoked_at IS NULL;

-- project_roles_of :many
SELECT DISTINCT pm.role FROM project_members AS pm
WHERE pm.tenant_id = :tenant_id AND pm.user_id = :actor_id AND pm.role IS NOT NULL;

-- revoke_personal_keys_of :many
SELECT r.tenant_id, r.id FROM revoke_personal_keys_of(:user_id, :reason) AS r;

-- notice_expiring_api_keys :many
SELECT n.* FROM notice_expiring_api_keys(:within) AS n;

-- Keys of the tenant, and the services behind them.

-- create_service :exec
INSERT INTO users (id, email, name, kind) VALUES (:service_id, :email, :name, 'service');

-- tenant_api_key :maybe
SELECT k.id, k.user_id, k.name, k.scopes, k.created_at, k.expires_at, m.role, m.allowed, m.denied
FROM api_keys AS k
JOIN members AS m ON m.tenant_id = k.tenant_id AND m.user_id = k.user_id AND m.status IN ('active', 'suspended') AND m.joined_at <= k.created_at
WHERE k.tenant_id = :tenant_id AND k.id = :key_id AND k.kind = 'tenant' AND k.revoked_at IS NULL;

-- Ids are in the order of time.
-- tenant_api_keys :many
SELECT
    k.id, k.kind, k.name, k.last_four, k.scopes, k.created_at, k.expires_at, k.last_used_at, k.last_used_address,
    k.user_id AS service_id, m.role, k.created_by AS created_by_id, u.name AS created_by_name
FROM api_keys AS k
JOIN members AS m ON m.tenant_id = k.tenant_id AND m.user_id = k.user_id AND m.status IN ('active', 'suspended') AND m.joined_at <= k.created_at
LEFT JOIN users AS u ON u.id = k.created_by
WHERE k.tenant_id = :tenant_id AND k.kind = 'tenant' AND k.revoked_at IS NULL
    AND k.id > :after_id
ORDER BY k.id
LIMIT :max_rows;

-- service_has_another_key :value
SELECT EXISTS (
    SELECT 1 FROM api_keys
    WHERE tenant_id = :tenant_id AND user_id = :user_id AND id <> :key_id AND revoked_at IS NULL
        AND (expires_at IS NULL OR expires_at > :now)
);

-- member_entity :one
SELECT
    m.user_id AS id, u.name, u.kind, p.avatar_url, m.role, m.role_id, coalesce(m.own_allowed, '{}') AS allowed,
    coalesce(m.own_denied, '{}') AS denied, m.status, m.expires_at, m.joined_at
FROM members AS m JOIN users AS u ON u.id = m.user_id LEFT JOIN profiles AS p ON p.user_id = m.user_id
WHERE m.tenant_id = :tenant_id AND m.user_id = :user_id AND m.status IN ('active', 'suspended');

-- live_projects :many
SELECT p.id FROM projects AS p
WHERE p.tenant_id = :tenant_id AND p.id = ANY(:project_ids::uuid []) AND p.deleted_at IS NULL
ORDER BY p.id;
