-- All accounts of the instance, of people and of services. The long lists are one walk along one index, from the place where
-- the page begins; what else is asked for is filtered on the way. A scan of a B-tree starts at one condition only, so that is
-- the one about the place.

-- users_by_email :many
SELECT u.*, u.email AS place FROM users AS u
WHERE (u.email COLLATE "C", u.id) > (coalesce(nullif(:after_place, ''), lower(:prefix)), :after_id::uuid)
    AND u.email COLLATE "C" < lower(:prefix) || chr(1114111)
    AND (:status::text IS NULL OR u.status = :status) AND (:kind::text IS NULL OR u.kind = :kind)
    AND (:platform_admin::boolean IS NULL OR u.platform_admin = :platform_admin)
    AND (:name::text IS NULL OR starts_with(lower(u.name), lower(:name)))
ORDER BY u.email COLLATE "C", u.id
LIMIT :max_rows;

-- users_by_name :many
SELECT u.*, lower(u.name) AS place FROM users AS u
WHERE (lower(u.name) COLLATE "C", u.id) > (coalesce(nullif(:after_place, ''), lower(:prefix)), :after_id::uuid)
    AND lower(u.name) COLLATE "C" < lower(:prefix) || chr(1114111)
    AND (:status::text IS NULL OR u.status = :status) AND (:kind::text IS NULL OR u.kind = :kind)
    AND (:platform_admin::boolean IS NULL OR u.platform_admin = :platform_admin)
ORDER BY lower(u.name) COLLATE "C", u.id
LIMIT :max_rows;

-- Few accounts are out of use, are services or run the server: these are for them, and are read whole. OFFSET 0 keeps the
-- filters out of the choice of the index.
-- users_by_status :many
SELECT u.*, '' AS place
FROM (SELECT s.* FROM users AS s WHERE s.status = :status AND s.id > :after_id ORDER BY s.id OFFSET 0) AS u
WHERE (:kind::text IS NULL OR u.kind = :kind)
    AND (:platform_admin::boolean IS NULL OR u.platform_admin = :platform_admin)
    AND (:email::text IS NULL OR starts_with(u.email, lower(:email)))
    AND (:name::text IS NULL OR starts_with(lower(u.name), lower(:name)))
LIMIT :max_rows;

-- users_by_kind :many
SELECT u.*, '' AS place
FROM (SELECT s.* FROM users AS s WHERE s.kind = :kind AND s.id > :after_id ORDER BY s.id OFFSET 0) AS u
WHERE (:platform_admin::boolean IS NULL OR u.platform_admin = :platform_admin)
    AND (:status::text IS NULL OR u.status = :status)
    AND (:email::text IS NULL OR starts_with(u.email, lower(:email)))
    AND (:name::text IS NULL OR starts_with(lower(u.name), lower(:name)))
LIMIT :max_rows;

-- platform_admins :many
SELECT u.*, '' AS place
FROM (SELECT s.* FROM users AS s WHERE s.platform_admin AND s.id > :after_id ORDER BY s.id OFFSET 0) AS u
WHERE (:status::text IS NULL OR u.status = :status) AND (:kind::text IS NULL OR u.kind = :kind)
    AND (:email::text IS NULL OR starts_with(u.email, lower(:email)))
    AND (:name::text IS NULL OR starts_with(lower(u.name), lower(:name)))
LIMIT :max_rows;

-- users_by_id :many
SELECT u.*, '' AS place FROM users AS u
WHERE u.id > :after_id AND (:status::text IS NULL OR u.status = :status) AND (:kind::text IS NULL OR u.kind = :kind)
    AND (:platform_admin::boolean IS NULL OR u.platform_admin = :platform_admin)
ORDER BY u.id
LIMIT :max_rows;

-- with_second_factor :many
SELECT t.user_id FROM totps AS t WHERE t.user_id = ANY(:user_ids::uuid []) AND t.secret IS NOT NULL
UNION
SELECT p.user_id FROM passkeys AS p WHERE p.user_id = ANY(:user_ids::uuid []);

-- platform_membership_counts :many
SELECT c.user_id, c.tenants FROM platform_membership_counts(:caller, :user_ids::uuid []) AS c;

-- platform_memberships :many
SELECT m.* FROM platform_memberships(:caller, :user_id) AS m;

-- platform_activity_of :many
SELECT a.* FROM platform_activity_of(:caller, :user_id, :before_id, :max_rows) AS a;

-- set_user_status :exec
UPDATE users SET status = :status, updated_at = now() WHERE id = :user_id;

-- set_platform_admin :maybe
UPDATE users SET platform_admin = :granted, updated_at = now()
WHERE email = :email AND kind = 'person'
RETURNING *;

-- Whether somebody runs the server, now, in this very session.
-- administrator :maybe
SELECT s.second_factor_at IS NOT NULL AS gave_second_factor,
    EXISTS (SELECT 1 FROM totps AS t WHERE t.user_id = :user_id AND t.secret IS NOT NULL)
    OR EXISTS (SELECT 1 FROM passkeys AS p WHERE p.user_id = :user_id) AS has_second_factor
FROM sessions AS s
WHERE s.id = :session_id AND s.user_id = :user_id AND s.impersonator_id IS NULL AND is_platform_admin(:user_id);

-- create_impersonation :exec
INSERT INTO sessions (
    id, user_id, method, user_agent, address, expires_at, bound_to, second_factor_at,
    impersonator_id, impersonator_session_id
)
SELECT
    :session_id, :user_id, 'impersonation', :user_agent, :address, least(:expires_at, s.expires_at), :tenant_id, s.second_factor_at,
    s.user_id, s.id
FROM sessions AS s WHERE s.id = :from_session_id;
