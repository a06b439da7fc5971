-- Organizations. What crosses tenants is in functions, which find out themselves whether the person may.

-- organization_by_slug :value
SELECT organization_by_slug(:slug);

-- has_children :value
SELECT has_children(:tenant_id);

-- governs :value
SELECT governs(:user_id, :parent_id);

-- governs_for_now :value
SELECT governs_for_now(:user_id, :parent_id);

-- governs_child :value
SELECT governs_child(:user_id, :child_id);

-- looks_into :value
SELECT looks_into(:user_id, :parent_id);

-- ask_parent :one
UPDATE tenants
SET asked_parent_id = :parent_id, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE id = :tenant_id
RETURNING *;

-- adopt :value
SELECT adopt(:user_id, :parent_id);

-- touch_tenant :one
UPDATE tenants SET version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE id = :tenant_id
RETURNING *;

-- What the organization has suspended goes free.
-- leave_organization :one
UPDATE tenants
SET
    parent_id = NULL, asked_parent_id = NULL,
    status = CASE WHEN suspended_by = 'organization' AND status = 'suspended' THEN 'active' ELSE status END,
    restore_status = CASE
        WHEN suspended_by = 'organization' AND restore_status = 'suspended' THEN 'active' ELSE restore_status
    END,
    status_reason = CASE WHEN suspended_by = 'organization' THEN NULL ELSE status_reason END,
    suspended_by = CASE WHEN suspended_by = 'organization' THEN NULL ELSE suspended_by END,
    version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE id = :tenant_id
RETURNING *;

-- organization_tenants :many
SELECT o.* FROM organization_tenants(:user_id, :after, :most) AS o;

-- organization_requests :many
SELECT o.* FROM organization_requests(:user_id, :most) AS o;

-- organization_projects :many
SELECT o.* FROM organization_projects(:user_id, :child_id, :q, :before_id, :before_tenant, :most) AS o;
