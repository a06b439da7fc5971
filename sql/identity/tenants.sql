-- Tenants.

-- tenant :maybe
SELECT t.*, u.name AS updated_by_name
FROM tenants AS t LEFT JOIN users AS u ON u.id = t.updated_by
WHERE t.id = :tenant_id;

-- create_tenant :one
INSERT INTO tenants (id, slug, name, created_by, updated_by)
VALUES (:tenant_id, :slug, :name, :user_id, :user_id)
ON CONFLICT (slug) DO NOTHING
RETURNING *;

-- update_tenant :one
UPDATE tenants SET name = :name, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE id = :tenant_id
RETURNING *;
