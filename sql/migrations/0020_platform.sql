-- Platform administration: those who run the server see every tenant and account, and may act as a person for a while.
-- Whatever crosses tenants here asks the database itself whether the caller is one of them.

-- A session in which somebody acts as somebody else. It works in one tenant (bound_to), has no refresh token, and ends
-- with the session that it was opened from.
ALTER TABLE sessions ADD COLUMN impersonator_id uuid;
ALTER TABLE sessions ADD COLUMN impersonator_session_id uuid;
ALTER TABLE sessions ADD CONSTRAINT sessions_impersonator_check CHECK (
    impersonator_id IS NULL OR (impersonator_session_id IS NOT NULL AND bound_to IS NOT NULL)
) NOT VALID;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX sessions_impersonator_idx ON sessions (impersonator_id) WHERE impersonator_id IS NOT NULL;
-- squawk-ignore ban-drop-constraint
ALTER TABLE sessions DROP CONSTRAINT sessions_method_check;
ALTER TABLE sessions ADD CONSTRAINT sessions_method_check
CHECK (method IN ('password', 'passkey', 'oidc', 'impersonation')) NOT VALID;

-- Search by the beginning of an address or a name, by status and by kind: each is one walk along an index.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX users_email_prefix_idx ON users ((email COLLATE "C"), id);
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX users_name_prefix_idx ON users ((lower(name) COLLATE "C"), id);
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX users_status_idx ON users (status, id);
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX users_kind_idx ON users (kind, id);
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX users_platform_admin_idx ON users (id) WHERE platform_admin;

CREATE FUNCTION is_platform_admin(person uuid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT EXISTS (
        SELECT 1 FROM users AS u WHERE u.id = person AND u.platform_admin AND u.status = 'active' AND u.kind = 'person'
    )
$$;

-- Whether an impersonation still stands: the administrator is one, and the session he began it from goes on. True for a
-- session that is none.
CREATE FUNCTION impersonation_stands(impersonator uuid, from_session uuid) RETURNS boolean
LANGUAGE sql STABLE SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT impersonator IS NULL OR EXISTS (
        SELECT 1 FROM sessions AS s
        WHERE s.id = from_session AND s.user_id = impersonator AND s.revoked_at IS NULL
            AND s.expires_at > clock_timestamp() AND is_platform_admin(impersonator)
    )
$$;

-- As before, and the tenants in which the person acts as somebody else.
CREATE OR REPLACE FUNCTION raise_rights_of(person uuid) RETURNS TABLE (tenant_id uuid, rights_seq bigint)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    UPDATE tenants AS t SET rights_seq = t.rights_seq + 1
    WHERE t.id IN (
        SELECT m.tenant_id FROM members AS m WHERE m.user_id = person AND m.status = 'active'
        UNION
        SELECT s.bound_to FROM sessions AS s
        WHERE s.impersonator_id = person AND s.revoked_at IS NULL AND s.expires_at > now()
    )
    RETURNING t.id, t.rights_seq
$$;

-- Tenants by name, of a status, with something in their name or slug.
CREATE FUNCTION platform_tenants(
    caller uuid, wanted text, of_status text, after_name text, after_id uuid, most bigint
)
RETURNS TABLE (id uuid, slug text, name text, status text, created_at timestamptz, place text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT t.id, t.slug, t.name, t.status, t.created_at, lower(t.name)
    FROM tenants AS t
    WHERE is_platform_admin(caller)
        AND (of_status IS NULL OR t.status = of_status)
        AND (wanted = '' OR position(lower(wanted) IN lower(t.name)) > 0 OR position(lower(wanted) IN t.slug) > 0)
        AND (lower(t.name) COLLATE "C", t.id) > (after_name COLLATE "C", after_id)
    ORDER BY lower(t.name) COLLATE "C", t.id
    LIMIT most
$$;

-- One tenant, or several, with what they hold and when something was last done there.
CREATE FUNCTION platform_tenant_figures(caller uuid, tenant_ids uuid [])
RETURNS TABLE (
    id uuid, slug text, name text, status text, created_at timestamptz,
    people bigint, services bigint, projects bigint, last_activity_at timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT
        t.id, t.slug, t.name, t.status, t.created_at, m.total - s.services, s.services,
        (SELECT count(*) FROM projects AS p WHERE p.tenant_id = t.id AND p.deleted_at IS NULL),
        (SELECT e.at FROM audit_entries AS e WHERE e.tenant_id = t.id ORDER BY e.id DESC LIMIT 1)
    FROM tenants AS t
    CROSS JOIN LATERAL (
        SELECT count(*) AS total FROM members AS m WHERE m.tenant_id = t.id AND m.status = 'active'
    ) AS m
    CROSS JOIN LATERAL (
        -- Behind every service stands a key, so there is no need to look every member up.
        SELECT count(DISTINCT k.user_id) AS services
        FROM api_keys AS k JOIN members AS m ON m.tenant_id = k.tenant_id AND m.user_id = k.user_id AND m.status = 'active'
        WHERE k.tenant_id = t.id AND k.kind = 'tenant'
    ) AS s
    WHERE is_platform_admin(caller) AND t.id = ANY(tenant_ids)
$$;

CREATE FUNCTION platform_members(caller uuid, tenant uuid, after_id uuid, most bigint)
RETURNS TABLE (
    id uuid, kind text, name text, email text, user_status text, role text, allowed text [], denied text [],
    status text, expires_at timestamptz, joined_at timestamptz, last_login_at timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT
        u.id, u.kind, u.name, u.email, u.status, m.role, m.allowed, m.denied, m.status, m.expires_at, m.joined_at,
        u.last_login_at
    FROM members AS m JOIN users AS u ON u.id = m.user_id
    WHERE is_platform_admin(caller) AND m.tenant_id = tenant AND m.user_id > after_id
    ORDER BY m.user_id
    LIMIT most
$$;

CREATE FUNCTION platform_memberships(caller uuid, person uuid)
RETURNS TABLE (
    tenant_id uuid, slug text, name text, tenant_status text, role text, allowed text [], denied text [],
    status text, expires_at timestamptz, joined_at timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT t.id, t.slug, t.name, t.status, m.role, m.allowed, m.denied, m.status, m.expires_at, m.joined_at
    FROM members AS m JOIN tenants AS t ON t.id = m.tenant_id
    WHERE is_platform_admin(caller) AND m.user_id = person
    ORDER BY m.joined_at, t.id
$$;

CREATE FUNCTION platform_membership_counts(caller uuid, people uuid []) RETURNS TABLE (user_id uuid, tenants bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT m.user_id, count(*) FROM members AS m
    WHERE is_platform_admin(caller) AND m.user_id = ANY(people) AND m.status = 'active'
    GROUP BY m.user_id
$$;

-- What somebody has done, in all tenants and in the instance, the last first.
CREATE FUNCTION platform_activity_of(caller uuid, person uuid, before uuid, most bigint)
RETURNS TABLE (
    id uuid, tenant_id uuid, at timestamptz, action text, outcome text, resource text, address text,
    actor_id uuid, impersonator_id uuid, session_id uuid
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT e.id, e.tenant_id, e.at, e.action, e.outcome, e.resource, e.address, e.actor_id, e.impersonator_id, e.session_id
    FROM (
        SELECT m.tenant_id FROM members AS m WHERE m.user_id = person
        UNION ALL
        SELECT 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid
    ) AS chain
    CROSS JOIN LATERAL (
        SELECT a.* FROM audit_entries AS a
        WHERE a.tenant_id = chain.tenant_id AND a.actor_id = person AND a.id < before
        ORDER BY a.id DESC
        LIMIT most
    ) AS e
    WHERE is_platform_admin(caller)
    ORDER BY e.id DESC
    LIMIT most
$$;

CREATE FUNCTION platform_activity_in(caller uuid, tenant uuid, before uuid, most bigint)
RETURNS TABLE (
    id uuid, tenant_id uuid, at timestamptz, action text, outcome text, resource text, address text,
    actor_id uuid, impersonator_id uuid, session_id uuid
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT e.id, e.tenant_id, e.at, e.action, e.outcome, e.resource, e.address, e.actor_id, e.impersonator_id, e.session_id
    FROM audit_entries AS e
    WHERE is_platform_admin(caller) AND e.tenant_id = tenant AND e.id < before
    ORDER BY e.id DESC
    LIMIT most
$$;

-- As before, and whether the tenant is in use: a key of one that is not goes on afterwards, as sessions do.
-- squawk-ignore ban-drop-function
DROP FUNCTION api_key_holder(uuid, bytea);
CREATE FUNCTION api_key_holder(key_id uuid, hash bytea)
RETURNS TABLE (
    tenant_id uuid, user_id uuid, key_name text, scopes text [], expires_at timestamptz, last_used_at timestamptz,
    name text, email text, role text, member_until timestamptz,
    tenant_name text, tenant_slug text, tenant_status text, rights_seq bigint
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT
        k.tenant_id, k.user_id, k.name, k.scopes, k.expires_at, k.last_used_at,
        u.name, u.email, m.role, m.expires_at, t.name, t.slug, t.status, t.rights_seq
    FROM api_keys AS k
    JOIN users AS u ON u.id = k.user_id AND u.status = 'active'
    JOIN members AS m
        ON m.tenant_id = k.tenant_id AND m.user_id = k.user_id AND m.status = 'active' AND m.joined_at <= k.created_at
        AND (m.expires_at IS NULL OR m.expires_at > clock_timestamp())
    JOIN tenants AS t ON t.id = k.tenant_id
    WHERE k.id = key_id AND k.secret_hash = hash AND k.revoked_at IS NULL
        AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
$$;

GRANT EXECUTE ON FUNCTION
    api_key_holder(uuid, bytea), is_platform_admin(uuid), impersonation_stands(uuid, uuid),
    platform_tenants(uuid, text, text, text, uuid, bigint), platform_tenant_figures(uuid, uuid []),
    platform_members(uuid, uuid, uuid, bigint), platform_memberships(uuid, uuid),
    platform_membership_counts(uuid, uuid []), platform_activity_of(uuid, uuid, uuid, bigint),
    platform_activity_in(uuid, uuid, uuid, bigint)
TO atrium_app;
