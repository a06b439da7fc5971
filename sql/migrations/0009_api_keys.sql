-- API keys: the credentials of programs. A key acts as one member of one tenant, within its scopes, and no further
-- than that member may go at the time.

CREATE TABLE api_keys (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    user_id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('personal', 'tenant')),
    name text NOT NULL,
    -- SHA-256 of the whole key: it has 178 random bits, so there is nothing to guess and nothing to slow down.
    secret_hash bytea NOT NULL,
    last_four text NOT NULL,
    scopes text [] NOT NULL,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    expires_at timestamptz,
    revoked_at timestamptz,
    revoked_reason text,
    -- When its end was announced by mail.
    noticed_at timestamptz,
    last_used_at timestamptz,
    last_used_address text NOT NULL DEFAULT '',
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES members (tenant_id, user_id) ON DELETE CASCADE
) WITH (fillfactor = 80);
-- A key names its id and not its tenant.
CREATE INDEX api_keys_id_idx ON api_keys (id);
CREATE INDEX api_keys_user_idx ON api_keys (user_id) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_expiring_idx ON api_keys (expires_at) WHERE revoked_at IS NULL AND noticed_at IS NULL;

ALTER TABLE api_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE api_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON api_keys TO atrium_app USING (tenant_id = current_tenant());
CREATE POLICY definer ON api_keys TO CURRENT_USER USING (true);

-- Who stands behind a key: nobody without the key itself, for it is asked for by its hash too. A key made before a
-- person was removed does not come back with her.
CREATE FUNCTION api_key_holder(key_id uuid, hash bytea)
RETURNS TABLE (
    tenant_id uuid, user_id uuid, key_name text, scopes text [], expires_at timestamptz, last_used_at timestamptz,
    name text, email text, role text, member_until timestamptz,
    tenant_name text, tenant_slug text, rights_seq bigint
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT
        k.tenant_id, k.user_id, k.name, k.scopes, k.expires_at, k.last_used_at,
        u.name, u.email, m.role, m.expires_at, t.name, t.slug, t.rights_seq
    FROM api_keys AS k
    JOIN users AS u ON u.id = k.user_id AND u.status = 'active'
    JOIN members AS m
        ON m.tenant_id = k.tenant_id AND m.user_id = k.user_id AND m.status = 'active' AND m.joined_at <= k.created_at
        AND (m.expires_at IS NULL OR m.expires_at > clock_timestamp())
    JOIN tenants AS t ON t.id = k.tenant_id AND t.status = 'active'
    WHERE k.id = key_id AND k.secret_hash = hash AND k.revoked_at IS NULL
        AND (k.expires_at IS NULL OR k.expires_at > clock_timestamp())
$$;

-- A forgotten password may be a stolen one: whoever had it may have made keys, in any of the person's tenants.
CREATE FUNCTION revoke_personal_keys_of(person uuid, reason text) RETURNS TABLE (tenant_id uuid, id uuid)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    UPDATE api_keys AS k SET revoked_at = clock_timestamp(), revoked_reason = reason
    WHERE k.user_id = person AND k.kind = 'personal' AND k.revoked_at IS NULL
    RETURNING k.tenant_id, k.id
$$;

-- The keys whose end is near and has not been announced; they count as announced from then on. A key that was made for
-- less than that time ends without a word. Of a tenant's key its maker hears, and the owners where he has gone.
CREATE FUNCTION notice_expiring_api_keys(within interval)
RETURNS TABLE (key_name text, kind text, expires_at timestamptz, tenant_name text, user_id uuid, email text)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH due AS (
        UPDATE api_keys AS k SET noticed_at = now()
        WHERE k.revoked_at IS NULL AND k.noticed_at IS NULL
            AND k.expires_at > now() AND k.expires_at <= now() + within AND k.expires_at - k.created_at > within
        RETURNING k.tenant_id, k.name, k.kind, k.expires_at, k.user_id, k.created_by
    ), told AS (
        SELECT d.*, m.user_id AS reader,
            m.user_id = CASE WHEN d.kind = 'personal' THEN d.user_id ELSE d.created_by END AS first,
            d.kind = 'tenant' AND m.role = 'owner' AS owns
        FROM due AS d
        JOIN members AS m ON m.tenant_id = d.tenant_id AND m.status = 'active'
            AND (m.expires_at IS NULL OR m.expires_at > now())
    )
    SELECT d.name, d.kind, d.expires_at, t.name, u.id, u.email
    FROM told AS d
    JOIN tenants AS t ON t.id = d.tenant_id AND t.status = 'active'
    JOIN users AS u ON u.id = d.reader AND u.status = 'active' AND u.kind = 'person'
    WHERE d.first OR (d.owns AND NOT EXISTS (
        SELECT 1 FROM told AS o JOIN users AS f ON f.id = o.reader AND f.status = 'active'
        WHERE o.first AND o.tenant_id = d.tenant_id AND o.name = d.name AND o.expires_at = d.expires_at
    ))
$$;

GRANT EXECUTE ON FUNCTION
    api_key_holder(uuid, bytea), revoke_personal_keys_of(uuid, text), notice_expiring_api_keys(interval)
TO atrium_app;
