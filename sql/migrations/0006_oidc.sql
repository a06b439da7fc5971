-- Sign-in by OpenID Connect: identities, sign-ins that are under way, and the providers and domains of tenants.

-- The one tenant that a session may work in: a provider of that tenant has opened it. NULL for all others.
ALTER TABLE sessions ADD COLUMN bound_to uuid;

-- Who somebody is at a provider. `provider` is the issuer's address for one that the instance trusts, and the id of
-- the entry for one of a tenant: so what a tenant's provider says never stands for what another says.
CREATE TABLE identities (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    provider text NOT NULL,
    subject text NOT NULL,
    label text NOT NULL,
    email text NOT NULL,
    linked_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    CONSTRAINT identities_subject_key UNIQUE (provider, subject),
    CONSTRAINT identities_user_key UNIQUE (user_id, provider)
);

-- The provider behind a session, so that it can end it from its side.
CREATE TABLE provider_sessions (
    session_id uuid PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    provider text NOT NULL,
    subject text NOT NULL,
    sid text
);
CREATE INDEX provider_sessions_subject_idx ON provider_sessions (provider, subject);
CREATE INDEX provider_sessions_sid_idx ON provider_sessions (provider, sid) WHERE sid IS NOT NULL;

-- Sign-ins that are under way. The verifier and the nonce are made from a secret that only the browser has.
CREATE TABLE sign_in_flows (
    state_hash bytea PRIMARY KEY,
    secret_hash bytea NOT NULL,
    provider text NOT NULL,
    return_to text NOT NULL,
    in_browser boolean NOT NULL,
    names_issuer boolean NOT NULL,
    -- Somebody signed in who links another identity; NULL for a sign-in.
    user_id uuid REFERENCES users (id) ON DELETE CASCADE,
    code_hash bytea,
    provider_code text,
    expires_at timestamptz NOT NULL,
    CONSTRAINT sign_in_flows_code_key UNIQUE (code_hash)
);
CREATE INDEX sign_in_flows_expires_idx ON sign_in_flows (expires_at);

-- The providers of a tenant.
CREATE TABLE sso_issuers (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    name text NOT NULL,
    issuer text NOT NULL,
    client_id text NOT NULL,
    client_secret bytea,
    scopes text NOT NULL,
    -- Of the tenant's proven domains those that this provider speaks for; none named: all of them.
    domains text [] NOT NULL DEFAULT '{}',
    required boolean NOT NULL DEFAULT false,
    -- NULL: only those sign in who are members already.
    jit_role text CHECK (jit_role IN ('manager', 'member', 'viewer', 'client')),
    second_factor text NOT NULL CHECK (second_factor IN ('never', 'claimed', 'always')),
    email_verified_claim text NOT NULL,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_by uuid NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT sso_issuers_issuer_key UNIQUE (tenant_id, issuer)
);

CREATE TABLE sso_domains (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    domain text NOT NULL,
    verified_at timestamptz,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT sso_domains_domain_key UNIQUE (tenant_id, domain)
);
-- One owner at a time. Nobody learns by it who has a domain but whoever has just proven that it is his.
CREATE UNIQUE INDEX sso_domains_verified_key ON sso_domains (domain) WHERE verified_at IS NOT NULL;

-- Codes that were sent to the keeper of a domain; an instance table, since mails are written outside of tenants.
CREATE TABLE domain_codes (
    code_hash bytea PRIMARY KEY,
    domain_id uuid NOT NULL,
    claimed_by uuid NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX domain_codes_domain_idx ON domain_codes (domain_id);

DO $$
DECLARE tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY['sso_issuers', 'sso_domains'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format(
            'CREATE POLICY tenant ON %I TO atrium_app USING (tenant_id = current_tenant())', tenant_table
        );
    END LOOP;
END $$;
CREATE POLICY definer ON sso_issuers FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY definer ON sso_domains TO CURRENT_USER USING (true);

-- Whether members with this address may enter the tenant only by its provider.
CREATE FUNCTION sso_required(tenant uuid, address text) RETURNS boolean
LANGUAGE sql STABLE
AS $$
    SELECT EXISTS (
        SELECT 1 FROM sso_issuers AS i
        JOIN sso_domains AS d
            ON d.tenant_id = i.tenant_id AND d.domain = split_part(address, '@', 2) AND d.verified_at IS NOT NULL
            AND (i.domains = '{}' OR d.domain = ANY(i.domains))
        WHERE i.tenant_id = tenant AND i.required
    )
$$;

-- The tenants that a person enters only by their own provider, and by which.
CREATE FUNCTION sso_required_of(person uuid) RETURNS TABLE (tenant_id uuid, sso_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT DISTINCT ON (m.tenant_id) m.tenant_id, i.id
    FROM users AS u
    JOIN members AS m ON m.user_id = u.id AND m.status = 'active' AND m.role <> 'owner'
    JOIN sso_issuers AS i ON i.tenant_id = m.tenant_id AND i.required
    JOIN sso_domains AS d
        ON d.tenant_id = i.tenant_id AND d.domain = split_part(u.email, '@', 2) AND d.verified_at IS NOT NULL
        AND (i.domains = '{}' OR d.domain = ANY(i.domains))
    WHERE u.id = person
    ORDER BY m.tenant_id, i.id
$$;

-- The tenant that a provider belongs to; the provider itself is read in that tenant.
CREATE FUNCTION sso_tenant_of(provider uuid) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT t.id FROM sso_issuers AS i JOIN tenants AS t ON t.id = i.tenant_id AND t.status = 'active'
    WHERE i.id = provider
$$;

-- Where people of a domain sign in; it says nothing about who they are.
CREATE FUNCTION sso_issuers_for(address_domain text) RETURNS TABLE (id uuid, name text, required boolean)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT i.id, i.name, i.required
    FROM sso_domains AS d
    JOIN sso_issuers AS i ON i.tenant_id = d.tenant_id AND (i.domains = '{}' OR d.domain = ANY(i.domains))
    JOIN tenants AS t ON t.id = i.tenant_id AND t.status = 'active'
    WHERE d.domain = address_domain AND d.verified_at IS NOT NULL
    ORDER BY i.name, i.id
$$;

-- Takes a domain from another tenant that proved it long ago; one that proved it lately keeps it.
CREATE FUNCTION release_domain(claimant uuid, claimed text, older_than timestamptz) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    UPDATE sso_domains SET verified_at = NULL
    WHERE domain = claimed AND tenant_id <> claimant AND verified_at < older_than
$$;

GRANT EXECUTE ON FUNCTION
    sso_required(uuid, text), sso_required_of(uuid), sso_tenant_of(uuid), sso_issuers_for(text),
    release_domain(uuid, text, timestamptz)
TO atrium_app;
