-- Roles of a tenant's own.

-- custom_role :maybe
SELECT r.*, u.name AS updated_by_name
FROM custom_roles AS r LEFT JOIN users AS u ON u.id = r.updated_by
WHERE r.tenant_id = :tenant_id AND r.id = :role_id;

-- custom_roles_of :many
SELECT r.* FROM custom_roles AS r WHERE r.tenant_id = :tenant_id ORDER BY lower(r.name), r.id;

-- custom_roles_page :many
SELECT r.* FROM custom_roles AS r
WHERE r.tenant_id = :tenant_id AND (lower(r.name), r.id) > (:after_name, :after_id::uuid)
ORDER BY lower(r.name), r.id
LIMIT :max_rows;

-- count_custom_roles :value
SELECT count(*) FROM custom_roles WHERE tenant_id = :tenant_id;

-- create_custom_role :one
INSERT INTO custom_roles (
    tenant_id, id, name, description, colour, base, allowed, denied, created_by, created_at, updated_by, updated_at
)
VALUES (
    :tenant_id, :id, :name, :description, :colour, :base, :allowed::text [], :denied::text [],
    :actor_id, :now, :actor_id, :now
)
RETURNING *;

-- update_custom_role :one
UPDATE custom_roles
SET
    name = :name, description = :description, colour = :colour, base = :base,
    allowed = :allowed::text [], denied = :denied::text [],
    version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :role_id
RETURNING *;

-- delete_custom_role :exec
DELETE FROM custom_roles WHERE tenant_id = :tenant_id AND id = :role_id;

-- Whoever was removed does not keep a role from being deleted.
-- forget_custom_role :exec
UPDATE members SET role_id = NULL WHERE tenant_id = :tenant_id AND role_id = :role_id AND status = 'removed';

-- holders_of_role :many
SELECT m.user_id AS id, m.role, m.expires_at, m.allowed AS all_allowed, m.denied AS all_denied
FROM members AS m
WHERE m.tenant_id = :tenant_id AND m.role_id = :role_id AND m.status <> 'removed'
ORDER BY m.user_id;

-- A changed role for everybody who has it.
-- settle_holders :many
UPDATE members AS m
SET
    role = r.base,
    allowed = beside_role(r.allowed, m.own_allowed, m.own_denied),
    denied = beside_role(r.denied, m.own_denied, m.own_allowed),
    version = m.version + 1
FROM custom_roles AS r
WHERE r.tenant_id = :tenant_id AND r.id = :role_id AND m.tenant_id = r.tenant_id AND m.role_id = r.id
    AND m.status <> 'removed'
RETURNING m.user_id AS id, m.role, m.allowed AS all_allowed, m.denied AS all_denied;
