-- The providers and domains of a tenant.

-- sso_issuers :many
SELECT i.* FROM sso_issuers AS i WHERE i.tenant_id = :tenant_id ORDER BY i.name, i.id;

-- sso_issuer :maybe
SELECT i.* FROM sso_issuers AS i WHERE i.tenant_id = :tenant_id AND i.id = :sso_id;

-- create_sso_issuer :one
INSERT INTO sso_issuers (
    tenant_id, id, name, issuer, client_id, client_secret, scopes, domains, required, jit_role, second_factor,
    email_verified_claim, created_by, created_at, updated_by, updated_at
)
VALUES (
    :tenant_id, :id, :name, :issuer, :client_id, :sealed, :scopes, :domains, :required, :jit_role, :second_factor,
    :email_verified_claim, :actor_id, :now, :actor_id, :now
)
RETURNING *;

-- update_sso_issuer :one
UPDATE sso_issuers
SET
    name = :name, client_id = :client_id, client_secret = :sealed, scopes = :scopes, domains = :domains,
    required = :required, jit_role = :jit_role, second_factor = :second_factor,
    email_verified_claim = :email_verified_claim, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :sso_id
RETURNING *;

-- delete_sso_issuer :maybe
DELETE FROM sso_issuers WHERE tenant_id = :tenant_id AND id = :sso_id RETURNING id;

-- sso_domains :many
SELECT d.* FROM sso_domains AS d WHERE d.tenant_id = :tenant_id ORDER BY d.domain;

-- sso_domain :maybe
SELECT d.* FROM sso_domains AS d WHERE d.tenant_id = :tenant_id AND d.id = :domain_id;

-- add_sso_domain :one
INSERT INTO sso_domains (tenant_id, id, domain, created_by, created_at)
VALUES (:tenant_id, :id, :domain, :actor_id, :now)
RETURNING *;

-- sso_domain_verified :one
UPDATE sso_domains SET verified_at = :now WHERE tenant_id = :tenant_id AND id = :domain_id
RETURNING *;

-- remove_sso_domain :maybe
DELETE FROM sso_domains WHERE tenant_id = :tenant_id AND id = :domain_id RETURNING domain;

-- release_domain :exec
SELECT release_domain(:tenant_id, :domain, :older_than);

-- sso_tenant_of :value
SELECT sso_tenant_of(:sso_id);

-- sso_issuers_for :many
SELECT f.id, f.name, f.required FROM sso_issuers_for(:domain) AS f;

-- The domains that a provider of the tenant speaks for.
-- domains_of_issuer :many
SELECT d.domain FROM sso_issuers AS i
JOIN sso_domains AS d
    ON d.tenant_id = i.tenant_id AND d.verified_at IS NOT NULL AND (i.domains = '{}' OR d.domain = ANY(i.domains))
WHERE i.tenant_id = :tenant_id AND i.id = :sso_id;

-- The sessions that providers of the tenant have opened: all of one provider, or those of a domain.
-- end_sso_sessions :exec
UPDATE sessions AS s SET revoked_at = now(), revoked_reason = :reason
FROM provider_sessions AS p, users AS u
WHERE p.session_id = s.id AND u.id = s.user_id AND s.bound_to = :tenant_id AND s.revoked_at IS NULL
    AND (:provider::text IS NULL OR p.provider = :provider)
    AND (:domain::text IS NULL OR split_part(u.email, '@', 2) = :domain);

-- add_domain_code :exec
INSERT INTO domain_codes (code_hash, domain_id, claimed_by, expires_at)
VALUES (:code_hash, :domain_id, :claimed_by, now() + :ttl::interval);

-- recent_domain_code :value
SELECT EXISTS (
    SELECT 1 FROM domain_codes AS c WHERE c.domain_id = :domain_id AND c.created_at > now() - :pause::interval
);

-- use_domain_code :maybe
DELETE FROM domain_codes
WHERE code_hash = :code_hash AND domain_id = :domain_id AND claimed_by = :tenant_id AND expires_at > now()
RETURNING domain_id;

-- drop_domain_codes :exec
DELETE FROM domain_codes WHERE domain_id = :domain_id OR expires_at < now();

-- What somebody is in the tenant, or was.
-- standing :maybe
SELECT m.role, m.status = 'active' AND (m.expires_at IS NULL OR m.expires_at > now()) AS live
FROM members AS m WHERE m.tenant_id = :tenant_id AND m.user_id = :user_id;

-- Just in time: only for those who never were members. Whom somebody has put out stays out.
-- join_just_in_time :maybe
INSERT INTO members AS m (tenant_id, user_id, role, profile_version)
SELECT :tenant_id, :user_id, :role, coalesce((SELECT p.version FROM profiles AS p WHERE p.user_id = :user_id), 0)
ON CONFLICT (tenant_id, user_id) DO NOTHING
RETURNING m.user_id;

-- Whoever becomes an owner is one no more by what the tenant's own providers say: the links go, and what they opened ends.
-- unlink_from_tenant :exec
WITH unlinked AS (
    DELETE FROM identities AS i USING sso_issuers AS p
    WHERE p.tenant_id = :tenant_id AND i.provider = p.id::text AND i.user_id = :user_id
)
UPDATE sessions SET revoked_at = now(), revoked_reason = 'became an owner'
WHERE user_id = :user_id AND bound_to = :tenant_id AND method = 'oidc' AND revoked_at IS NULL;
