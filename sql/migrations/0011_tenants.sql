-- Tenants: what they say of themselves, how they work, how they look, and whether they are in use.
-- The table of tenants is small: its indexes are there in a moment.
-- squawk-ignore-file require-concurrent-index-creation, ban-drop-constraint

ALTER TABLE tenants
ADD COLUMN description text NOT NULL DEFAULT '',
ADD COLUMN email text,
ADD COLUMN phone text,
ADD COLUMN address text,
ADD COLUMN metadata jsonb NOT NULL DEFAULT '{}',
ADD COLUMN settings jsonb NOT NULL DEFAULT '{}',
ADD COLUMN branding jsonb NOT NULL DEFAULT '{}',
ADD COLUMN custom_domain text,
ADD COLUMN logo_hash text,
ADD COLUMN dismissed_steps text [] NOT NULL DEFAULT '{}',
-- Why it is suspended, and by whom: who has not suspended it cannot lift that.
ADD COLUMN suspended_by text,
ADD COLUMN status_reason text,
-- A deleted tenant waits until then, and comes back in the status that it had.
ADD COLUMN restore_status text,
ADD COLUMN purge_at timestamptz,
-- An organization is a tenant with children. The one that was asked to be the parent has yet to agree.
ADD COLUMN parent_id uuid,
ADD COLUMN asked_parent_id uuid;

ALTER TABLE tenants DROP CONSTRAINT tenants_status_check;
ALTER TABLE tenants ADD CONSTRAINT tenants_status_check
CHECK (status IN ('active', 'inactive', 'suspended', 'deleted')) NOT VALID;
ALTER TABLE tenants ADD CONSTRAINT tenants_suspended_check
CHECK (suspended_by IN ('platform', 'organization')) NOT VALID;
ALTER TABLE tenants ADD CONSTRAINT tenants_deleted_check
CHECK ((status = 'deleted') = (purge_at IS NOT NULL AND restore_status IS NOT NULL)) NOT VALID;
ALTER TABLE tenants ADD CONSTRAINT tenants_parent_check CHECK (parent_id <> id) NOT VALID;

CREATE UNIQUE INDEX tenants_custom_domain_key ON tenants (custom_domain);
CREATE INDEX tenants_parent_idx ON tenants (parent_id) WHERE parent_id IS NOT NULL;
CREATE INDEX tenants_asked_parent_idx ON tenants (asked_parent_id) WHERE asked_parent_id IS NOT NULL;
CREATE INDEX tenants_created_by_idx ON tenants (created_by);
CREATE INDEX tenants_purge_at_idx ON tenants (purge_at) WHERE purge_at IS NOT NULL;

-- Slugs that a tenant had before: links with them still lead to it, and nobody else can take them.
CREATE TABLE tenant_slugs (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    slug text NOT NULL,
    taken_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, slug),
    CONSTRAINT tenant_slugs_slug_key UNIQUE (slug)
);

-- A logo as we made it from what was uploaded; its address holds the hash.
CREATE TABLE tenant_logos (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    hash text NOT NULL,
    png bytea NOT NULL,
    width bigint NOT NULL,
    height bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, hash)
);

DO $$
DECLARE tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['tenant_slugs', 'tenant_logos'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format(
            'CREATE POLICY tenant ON %I TO atrium_app USING (tenant_id = current_tenant())', tenant_table
        );
    END LOOP;
END $$;
CREATE POLICY definer ON tenant_slugs TO CURRENT_USER USING (true);

-- Whether a slug is still to be had: no tenant has it, and none had it before but the one that asks.
CREATE FUNCTION slug_is_free(wanted text, asking uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT NOT EXISTS (SELECT 1 FROM tenants AS t WHERE t.slug = wanted AND t.id <> asking)
        AND NOT EXISTS (SELECT 1 FROM tenant_slugs AS s WHERE s.slug = wanted AND s.tenant_id <> asking)
$$;

-- How many tenants there are that a person has founded, deleted ones included until they are purged.
CREATE FUNCTION tenants_founded_by(person uuid) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ SELECT count(*) FROM tenants AS t WHERE t.created_by = person $$;

-- The look of an active tenant, for a page that nobody has signed in to yet, by its slug, a former one or its domain.
CREATE FUNCTION branding_of(wanted_slug text, wanted_domain text)
RETURNS TABLE (id uuid, branding jsonb, custom_domain text, logo_hash text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT t.id, t.branding, t.custom_domain, t.logo_hash FROM tenants AS t
    WHERE t.status = 'active' AND (
        t.slug = wanted_slug OR t.custom_domain = wanted_domain
        OR t.id = (SELECT s.tenant_id FROM tenant_slugs AS s WHERE s.slug = wanted_slug)
    )
$$;

-- The tenant in whose look a person gets mails about her account: the one she entered last, or the only one she has.
CREATE FUNCTION tenant_of_mails(person uuid) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH mine AS (
        SELECT
            m.tenant_id,
            (
                SELECT max(r.created_at) FROM refresh_tokens AS r JOIN sessions AS s ON s.id = r.session_id
                WHERE s.user_id = person AND r.tenant_id = m.tenant_id
            ) AS entered_at,
            count(*) OVER () AS of_all
        FROM members AS m JOIN tenants AS t ON t.id = m.tenant_id AND t.status = 'active'
        WHERE m.user_id = person AND m.status = 'active' AND (m.expires_at IS NULL OR m.expires_at > now())
    )
    SELECT mine.tenant_id FROM mine WHERE mine.entered_at IS NOT NULL OR mine.of_all = 1
    ORDER BY mine.entered_at DESC NULLS LAST LIMIT 1
$$;

-- Whether a person is an admin of an organization: a tenant in use that has no parent itself.
CREATE FUNCTION governs(person uuid, organization uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT EXISTS (
        SELECT 1 FROM tenants AS o
        JOIN members AS m
            ON m.tenant_id = o.id AND m.user_id = person AND m.status = 'active'
            AND (m.expires_at IS NULL OR m.expires_at > clock_timestamp())
        WHERE o.id = organization AND o.status = 'active' AND o.parent_id IS NULL AND (
            m.role = 'owner'
            OR (m.role = 'admin' AND NOT coalesce(m.denied && ARRAY['tenant.manage', 'organization.view'], false))
        )
    )
$$;

-- Whether a person is an admin of the organization that a tenant belongs to.
CREATE FUNCTION governs_child(person uuid, child uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ SELECT EXISTS (SELECT 1 FROM tenants AS t WHERE t.id = child AND governs(person, t.parent_id)) $$;

GRANT EXECUTE ON FUNCTION
    governs(uuid, uuid), governs_child(uuid, uuid), slug_is_free(text, uuid), tenants_founded_by(uuid), branding_of(text, text), tenant_of_mails(uuid)
TO atrium_app;
