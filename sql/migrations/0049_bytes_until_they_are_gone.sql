-- The bytes of deleted files count against the quota until they are gone: their rows are there as long as they may be.
-- Row-level security is forced upon the owner too, but for this.
ALTER TABLE file_usage NO FORCE ROW LEVEL SECURITY;
UPDATE file_usage AS u
SET bytes = (SELECT coalesce(sum(f.size), 0) FROM files AS f WHERE f.tenant_id = u.tenant_id);
ALTER TABLE file_usage FORCE ROW LEVEL SECURITY;

CREATE POLICY definer ON file_usage FOR SELECT TO CURRENT_USER USING (true);

-- Tenants for which another sum is kept than their files have together.
CREATE FUNCTION file_usage_astray() RETURNS TABLE (tenant_id uuid, kept bigint, found bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT coalesce(u.tenant_id, s.tenant_id), coalesce(u.bytes, 0), coalesce(s.bytes, 0)
    FROM file_usage AS u
    FULL JOIN (SELECT f.tenant_id, sum(f.size)::bigint AS bytes FROM files AS f GROUP BY f.tenant_id) AS s
        ON s.tenant_id = u.tenant_id
    WHERE coalesce(u.bytes, 0) <> coalesce(s.bytes, 0)
    ORDER BY 1
$$;

GRANT EXECUTE ON FUNCTION file_usage_astray() TO atrium_app;
