-- Tenants.

-- tenant :maybe
SELECT t.*, u.name AS updated_by_name
FROM tenants AS t LEFT JOIN users AS u ON u.id = t.updated_by
WHERE t.id = :tenant_id;

-- Nothing where another tenant has the slug.
-- create_tenant :maybe
INSERT INTO tenants (id, slug, name, description, email, phone, address, metadata, parent_id, created_by, updated_by)
VALUES (
    :tenant_id, :slug, :name, :description, :email, :phone, :address, :metadata::text::jsonb, :parent_id,
    :user_id, :user_id
)
ON CONFLICT (slug) DO NOTHING
RETURNING *;

-- update_tenant :one
UPDATE tenants
SET
    name = :name, slug = :slug, description = :description, email = :email, phone = :phone, address = :address,
    metadata = :metadata::text::jsonb, fields = :fields::text::jsonb, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE id = :tenant_id
RETURNING *;

-- tenant_fields :value
SELECT settings -> 'custom_fields' FROM tenants WHERE id = :tenant_id;

-- slug_is_free :value
SELECT slug_is_free(:slug, :tenant_id);

-- The former slug is kept, the one that is taken back is a former one no more, and of many the oldest is given up.
-- keep_slug :exec
WITH back AS (
    DELETE FROM tenant_slugs WHERE tenant_id = :tenant_id AND slug = :taken
), spare AS (
    DELETE FROM tenant_slugs WHERE tenant_id = :tenant_id AND slug IN (
        SELECT s.slug FROM tenant_slugs AS s WHERE s.tenant_id = :tenant_id AND s.slug <> :taken
        ORDER BY s.taken_at DESC, s.slug OFFSET :max_former::bigint - 1
    )
)
INSERT INTO tenant_slugs (tenant_id, slug, taken_at) VALUES (:tenant_id, :slug, :now);

-- tenants_founded_by :value
SELECT tenants_founded_by(:user_id);

-- update_tenant_settings :one
UPDATE tenants
SET settings = :settings::text::jsonb, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE id = :tenant_id
RETURNING *;

-- update_branding :one
UPDATE tenants
SET
    branding = :branding::text::jsonb, custom_domain = :custom_domain,
    version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE id = :tenant_id
RETURNING *;

-- set_dismissed_steps :one
UPDATE tenants
SET dismissed_steps = :steps::text [], version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE id = :tenant_id
RETURNING *;

-- lock_tenant :one
SELECT t.* FROM tenants AS t WHERE t.id = :tenant_id FOR NO KEY UPDATE;

-- set_tenant_status :one
UPDATE tenants
SET
    status = :status, suspended_by = :suspended_by, status_reason = :status_reason,
    restore_status = :restore_status, purge_at = :purge_at,
    version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE id = :tenant_id
RETURNING *;

-- The tenant as one of its members may know it, whatever its status, with his role and what his session lacks.
-- tenant_of_member :maybe
SELECT
    t.id, t.slug, t.name, t.status, m.role,
    t.require_second_factor AND NOT EXISTS (
        SELECT 1 FROM sessions AS s WHERE s.id = :session_id AND s.second_factor_at IS NOT NULL
    ) AS lacks_second_factor
FROM tenants AS t
JOIN members AS m
    ON m.tenant_id = t.id AND m.user_id = :user_id AND m.status = 'active'
    AND (m.expires_at IS NULL OR m.expires_at > now())
WHERE t.id = :tenant_id;

-- owners_of :many
SELECT u.id, u.email
FROM members AS m JOIN users AS u ON u.id = m.user_id AND u.status = 'active' AND u.kind = 'person'
WHERE m.tenant_id = :tenant_id AND m.role = 'owner' AND m.status = 'active'
    AND (m.expires_at IS NULL OR m.expires_at > now())
ORDER BY u.id;

-- branding_of :maybe
SELECT b.* FROM branding_of(:slug, :domain) AS b;

-- The one before is gone, from its address too.
-- save_logo :one
WITH gone AS (
    DELETE FROM tenant_logos WHERE tenant_id = :tenant_id AND hash <> :hash
), kept AS (
    INSERT INTO tenant_logos (tenant_id, hash, png, width, height) VALUES (:tenant_id, :hash, :png, :width, :height)
    ON CONFLICT DO NOTHING
)
UPDATE tenants SET logo_hash = :hash, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE id = :tenant_id
RETURNING *;

-- remove_logo :one
WITH gone AS (DELETE FROM tenant_logos WHERE tenant_id = :tenant_id)
UPDATE tenants SET logo_hash = NULL, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE id = :tenant_id
RETURNING *;

-- logo :value
SELECT l.png FROM tenant_logos AS l JOIN tenants AS t ON t.id = l.tenant_id AND t.status = 'active'
WHERE l.tenant_id = :tenant_id AND l.hash = :hash;

-- What can be seen of the first steps; the person who founded the tenant is not somebody invited.
-- onboarding :one
SELECT
    t.dismissed_steps,
    t.description <> '' OR t.email IS NOT NULL OR t.phone IS NOT NULL OR t.address IS NOT NULL AS profile,
    t.settings <> '{}' AS settings,
    t.branding <> '{}' OR t.logo_hash IS NOT NULL AS branding,
    EXISTS (SELECT 1 FROM members AS m WHERE m.tenant_id = t.id AND m.user_id <> t.created_by) AS invite,
    EXISTS (SELECT 1 FROM projects AS p WHERE p.tenant_id = t.id) AS project,
    EXISTS (SELECT 1 FROM tasks AS k WHERE k.tenant_id = t.id) AS task
FROM tenants AS t
WHERE t.id = :tenant_id;
