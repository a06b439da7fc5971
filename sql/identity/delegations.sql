-- Members who act for others for a time.

-- delegation_sides :many
SELECT m.user_id, u.name, m.role FROM members AS m JOIN users AS u ON u.id = m.user_id
WHERE m.tenant_id = :tenant_id AND m.user_id = ANY(:user_ids::uuid []) AND m.status = 'active' AND u.kind = 'person'
    AND (m.expires_at IS NULL OR m.expires_at > statement_timestamp());

-- count_delegations :value
SELECT count(*) FROM delegations
WHERE tenant_id = :tenant_id AND from_id = :actor_id AND revoked_at IS NULL AND ends_at > :now;

-- create_delegation :one
WITH reached AS (
    UPDATE members SET delegated_until = greatest(delegated_until, :ends_at)
    WHERE tenant_id = :tenant_id AND user_id = :to_id
)
INSERT INTO delegations (tenant_id, id, from_id, to_id, starts_at, ends_at, reason, created_by, created_at)
VALUES (:tenant_id, :id, :actor_id, :to_id, :starts_at, :ends_at, :reason, :actor_id, :now)
RETURNING *;

-- delegation :maybe
SELECT d.* FROM delegations AS d
WHERE d.tenant_id = :tenant_id AND d.id = :delegation_id AND d.revoked_at IS NULL AND d.ends_at > :now;

-- revoke_delegation :exec
UPDATE delegations SET revoked_at = :now, revoked_by = :actor_id
WHERE tenant_id = :tenant_id AND id = :delegation_id;

-- revoke_delegations_of :many
UPDATE delegations SET revoked_at = :now, revoked_by = :actor_id
WHERE tenant_id = :tenant_id AND (from_id = :user_id OR to_id = :user_id) AND revoked_at IS NULL
RETURNING id, from_id, to_id;

-- One's own, given and received: those that have not ended.
-- delegations_of :many
SELECT d.*, f.name AS from_name, t.name AS to_name
FROM delegations AS d JOIN users AS f ON f.id = d.from_id JOIN users AS t ON t.id = d.to_id
WHERE d.tenant_id = :tenant_id AND (d.from_id = :actor_id OR d.to_id = :actor_id)
    AND d.revoked_at IS NULL AND d.ends_at > :now
ORDER BY d.id;

-- delegations_page :many
SELECT d.*, f.name AS from_name, t.name AS to_name
FROM delegations AS d JOIN users AS f ON f.id = d.from_id JOIN users AS t ON t.id = d.to_id
WHERE d.tenant_id = :tenant_id AND (:everybody::boolean OR d.from_id = :actor_id OR d.to_id = :actor_id)
    AND (:ended::boolean OR (d.revoked_at IS NULL AND d.ends_at > :now)) AND d.id < :before_id::uuid
ORDER BY d.id DESC
LIMIT :max_rows;
