-- What a person says of herself and how she likes things. A person who never said anything has no row.

-- profile :one
SELECT
    u.id, u.name, u.email, u.email_verified_at IS NOT NULL AS email_verified, u.status, u.created_at,
    p.username, p.avatar_url, p.phone, coalesce(p.timezone, 'UTC') AS timezone,
    coalesce(p.language, 'en') AS language, coalesce(p.theme, 'auto') AS theme,
    coalesce(p.notification_preferences, '{}')::text AS notification_preferences,
    coalesce(p.dashboard_preferences, '{}')::text AS dashboard_preferences
FROM users AS u LEFT JOIN profiles AS p ON p.user_id = u.id
WHERE u.id = :user_id;

-- rename_user :exec
UPDATE users SET name = :name, updated_at = now() WHERE id = :user_id;

-- save_profile :exec
INSERT INTO profiles AS p (
    user_id, username, avatar_url, phone, timezone, language, theme, notification_preferences, dashboard_preferences
)
VALUES (
    :user_id, :username, :avatar_url, :phone, :timezone, :language, :theme,
    :notification_preferences::text::json, :dashboard_preferences::text::json
)
ON CONFLICT (user_id) DO UPDATE
SET
    username = excluded.username, avatar_url = excluded.avatar_url, phone = excluded.phone,
    timezone = excluded.timezone, language = excluded.language, theme = excluded.theme,
    notification_preferences = excluded.notification_preferences,
    dashboard_preferences = excluded.dashboard_preferences,
    version = p.version + 1, updated_at = now();

-- profile_followers :many
SELECT f.* FROM profile_followers(:user_id) AS f;

-- From now on this tenant knows the profile as it is.
-- follow_profile :maybe
UPDATE members AS m SET profile_version = p.version
FROM users AS u, profiles AS p
WHERE m.tenant_id = :tenant_id AND m.user_id = :user_id AND u.id = m.user_id AND p.user_id = m.user_id
RETURNING
    m.user_id AS id, u.name, u.kind, p.avatar_url, m.role, m.role_id, coalesce(m.own_allowed, '{}') AS allowed, coalesce(m.own_denied, '{}') AS denied,
    m.status, m.expires_at, m.joined_at;

-- projects_of_member :many
SELECT pm.project_id
FROM project_members AS pm JOIN rooms AS r ON r.tenant_id = pm.tenant_id AND r.id = pm.project_id
WHERE pm.tenant_id = :tenant_id AND pm.user_id = :user_id
ORDER BY pm.project_id;
