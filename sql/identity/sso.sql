-- The providers and domains of a tenant.

-- sso_issuer :maybe
SELECT i.* FROM sso_issuers AS i WHERE i.tenant_id = :tenant_id AND i.id = :sso_id;

-- sso_tenant_of :value
SELECT sso_tenant_of(:sso_id);

-- The domains that a provider of the tenant speaks for.
-- domains_of_issuer :many
SELECT d.domain FROM sso_issuers AS i
JOIN sso_domains AS d
    ON d.tenant_id = i.tenant_id AND d.verified_at IS NOT NULL AND (i.domains = '{}' OR d.domain = ANY(i.domains))
WHERE i.tenant_id = :tenant_id AND i.id = :sso_id;
