-- The chains whose oldest entry is older than a moment: what retention has to look at.
CREATE FUNCTION audit_old_chains(older_than timestamptz) RETURNS TABLE (tenant_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH RECURSIVE oldest AS (
        (SELECT s.tenant_id, s.entry_id FROM audit_seals AS s ORDER BY s.tenant_id, s.seq LIMIT 1)
        UNION ALL
        SELECT n.tenant_id, n.entry_id
        FROM oldest AS o CROSS JOIN LATERAL (
            SELECT s.tenant_id, s.entry_id FROM audit_seals AS s
            WHERE s.tenant_id > o.tenant_id ORDER BY s.tenant_id, s.seq LIMIT 1
        ) AS n
    )
    SELECT o.tenant_id
    FROM oldest AS o JOIN audit_entries AS e ON e.tenant_id = o.tenant_id AND e.id = o.entry_id
    WHERE e.at < older_than
$$;
GRANT EXECUTE ON FUNCTION audit_old_chains(timestamptz) TO atrium_app;
