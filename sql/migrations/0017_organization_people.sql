-- People of the same organization are known to each of its tenants: they may be added without being asked again.
-- A tenant belongs to an organization only where both have agreed, so nobody becomes known against his will.
CREATE FUNCTION shares_organization(person uuid, with_tenant uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT EXISTS (
        SELECT 1
        FROM tenants AS here
        JOIN tenants AS there ON coalesce(there.parent_id, there.id) = coalesce(here.parent_id, here.id)
        JOIN members AS m
            ON m.tenant_id = there.id AND m.user_id = person AND m.status = 'active'
            AND (m.expires_at IS NULL OR m.expires_at > now())
        WHERE here.id = with_tenant AND there.status = 'active'
    )
$$;
GRANT EXECUTE ON FUNCTION shares_organization(uuid, uuid) TO atrium_app;
