-- Organizations: tenants that read across their children; and how all of a deleted tenant is removed.

-- What the functions below read of tenants other than the one that a transaction is in.
CREATE POLICY definer ON projects FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY definer ON statuses FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY definer ON tasks FOR SELECT TO CURRENT_USER USING (true);

-- The tenant that a child asks to belong to, by its slug. A tenant that has a parent, or is the one asking, is none.
CREATE FUNCTION organization_by_slug(wanted text) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT t.id FROM tenants AS t
    WHERE t.slug = wanted AND t.status = 'active' AND t.parent_id IS NULL AND t.id <> current_tenant()
$$;

-- The same as governs(), with the organization locked, so that it does not become a child meanwhile.
CREATE FUNCTION governs_for_now(person uuid, organization uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    PERFORM 1 FROM tenants AS t WHERE t.id = organization FOR UPDATE;
    RETURN governs(person, organization);
END
$$;

CREATE FUNCTION has_children(tenant uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$ SELECT EXISTS (SELECT 1 FROM tenants AS t WHERE t.parent_id = tenant) $$;

-- An organization takes in the tenant of this transaction, which has asked for it: there are two levels and no more.
-- Both rows are locked, in one order, so that of two such steps at the same time the second sees the first.
CREATE FUNCTION adopt(person uuid, organization uuid) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    PERFORM 1 FROM tenants AS t WHERE t.id IN (organization, current_tenant()) ORDER BY t.id FOR UPDATE;
    IF NOT governs(person, organization) OR has_children(current_tenant()) THEN
        RETURN false;
    END IF;
    UPDATE tenants AS t SET parent_id = organization, asked_parent_id = NULL
    WHERE t.id = current_tenant() AND t.asked_parent_id = organization AND t.parent_id IS NULL;
    RETURN FOUND;
END
$$;

-- The children of an organization, for one of its admins, with what they hold.
CREATE FUNCTION organization_tenants(person uuid, after uuid, most bigint)
RETURNS TABLE (
    id uuid, slug text, name text, status text, created_at timestamptz,
    members bigint, projects bigint, open_tasks bigint, last_activity_at timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT
        c.id, c.slug, c.name, c.status, c.created_at, m.count, p.count, k.count,
        greatest(c.updated_at, m.latest, p.latest, k.latest)
    FROM (
        SELECT t.* FROM tenants AS t
        WHERE t.parent_id = current_tenant() AND t.id > after AND governs(person, current_tenant())
        ORDER BY t.id LIMIT most
    ) AS c
    CROSS JOIN LATERAL (
        SELECT count(*) AS count, max(m.joined_at) AS latest FROM members AS m
        WHERE m.tenant_id = c.id AND m.status = 'active' AND (m.expires_at IS NULL OR m.expires_at > now())
    ) AS m
    CROSS JOIN LATERAL (
        SELECT count(*) AS count, max(p.updated_at) AS latest FROM projects AS p
        WHERE p.tenant_id = c.id AND p.deleted_at IS NULL
    ) AS p
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE s.category NOT IN ('done', 'cancelled')) AS count, max(k.updated_at) AS latest
        FROM tasks AS k
        JOIN statuses AS s ON s.tenant_id = k.tenant_id AND s.id = k.status_id
        JOIN projects AS p ON p.tenant_id = k.tenant_id AND p.id = k.project_id AND p.deleted_at IS NULL
        WHERE k.tenant_id = c.id AND k.deleted_at IS NULL
    ) AS k
    ORDER BY c.id
$$;

-- The projects of all children, the newest first; of one child, or with a name like this.
CREATE FUNCTION organization_projects(
    person uuid, of_tenant uuid, called text, before_id uuid, before_tenant uuid, most bigint
)
RETURNS TABLE (
    tenant_id uuid, tenant_name text, id uuid, key text, name text, status text, priority text,
    start_on date, end_on date, created_at timestamptz, updated_at timestamptz
)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT
        p.tenant_id, c.name, p.id, p.key, p.name, p.status, p.priority, p.start_on, p.end_on, p.created_at, p.updated_at
    FROM tenants AS c
    JOIN projects AS p ON p.tenant_id = c.id AND p.deleted_at IS NULL
    WHERE governs(person, current_tenant()) AND c.parent_id = current_tenant() AND c.status <> 'deleted'
        AND (of_tenant IS NULL OR c.id = of_tenant)
        AND (called IS NULL OR strpos(lower(p.name), lower(called)) > 0 OR p.key = upper(called))
        AND (before_id IS NULL OR (p.id, p.tenant_id) < (before_id, before_tenant))
    ORDER BY p.id DESC, p.tenant_id DESC
    LIMIT most
$$;

-- The tenants that ask to belong to an organization, for one of its admins.
CREATE FUNCTION organization_requests(person uuid, most bigint)
RETURNS TABLE (id uuid, slug text, name text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT t.id, t.slug, t.name FROM tenants AS t
    WHERE t.asked_parent_id = current_tenant() AND t.status = 'active' AND governs(person, current_tenant())
    ORDER BY t.id LIMIT most
$$;

-- Whether a person may look into the tenant of this transaction, as an admin of the organization that it belongs to.
CREATE FUNCTION looks_into(person uuid, organization uuid) RETURNS boolean
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT EXISTS (
        SELECT 1 FROM tenants AS t
        WHERE t.id = current_tenant() AND t.parent_id = organization AND t.status <> 'deleted'
            AND governs(person, organization)
    )
$$;

-- Removal. The evidence of what was done in a tenant outlives it, for as long as any audit log is kept.

-- A tenant whose grace is over.
CREATE FUNCTION tenant_to_purge(moment timestamptz) RETURNS uuid
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT t.id FROM tenants AS t WHERE t.status = 'deleted' AND t.purge_at <= moment ORDER BY t.purge_at, t.id LIMIT 1
$$;

CREATE FUNCTION require_purgeable(moment timestamptz) RETURNS void
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    IF NOT EXISTS (
        SELECT 1 FROM tenants AS t WHERE t.id = current_tenant() AND t.status = 'deleted' AND t.purge_at <= moment
    ) THEN
        RAISE EXCEPTION 'this tenant is not to be removed' USING ERRCODE = 'insufficient_privilege';
    END IF;
END
$$;

-- Rows of the tenant of this transaction in a table that the login role cannot delete from.
CREATE FUNCTION purge_written_once(tenant_table regclass, most bigint, moment timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    removed bigint;
BEGIN
    PERFORM require_purgeable(moment);
    IF tenant_table::text LIKE 'audit\_%' THEN
        RAISE EXCEPTION 'evidence stays' USING ERRCODE = 'insufficient_privilege';
    END IF;
    EXECUTE format(
        'DELETE FROM %s WHERE ctid = ANY(ARRAY(SELECT x.ctid FROM %s AS x WHERE x.tenant_id = $1 LIMIT $2))',
        tenant_table, tenant_table
    ) USING current_tenant(), most;
    GET DIAGNOSTICS removed = ROW_COUNT;
    RETURN removed;
END
$$;

-- Removes some rows of the tenant of this transaction, from one table, and says how many: 0 when none is left, -1 when
-- another node is at it. The tables are found in the catalogue, so that a new one is removed from the day it is there:
-- every table with a tenant_id and row security, whose policy allows it, but for the evidence. A table waits until those
-- that point to it are empty, and rows until no row of their own table points to them.
CREATE FUNCTION purge_some(most bigint, moment timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    candidate record;
    pointing regclass;
    found_some boolean;
    waits boolean;
    left_over text := '';
    free text;
    removed bigint;
BEGIN
    PERFORM require_purgeable(moment);
    IF NOT pg_try_advisory_xact_lock(hashtext('purge_some')) THEN
        RETURN -1;
    END IF;
    FOR candidate IN
        SELECT c.oid, c.oid::regclass AS name FROM pg_class AS c
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attname = 'tenant_id' AND NOT a.attisdropped
        WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace AND c.relrowsecurity
            AND c.relname NOT LIKE 'audit\_%'
        ORDER BY c.relname
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM %s WHERE tenant_id = $1)', candidate.name)
        INTO found_some USING current_tenant();
        CONTINUE WHEN NOT found_some;
        left_over := left_over || ' ' || candidate.name;
        waits := false;
        FOR pointing IN
            SELECT DISTINCT f.conrelid::regclass FROM pg_constraint AS f
            WHERE f.contype = 'f' AND f.confrelid = candidate.oid AND f.conrelid <> candidate.oid
        LOOP
            EXECUTE format('SELECT $2 OR EXISTS (SELECT 1 FROM %s WHERE tenant_id = $1)', pointing)
            INTO waits USING current_tenant(), waits;
        END LOOP;
        CONTINUE WHEN waits;
        IF NOT has_table_privilege(candidate.oid, 'DELETE') THEN
            removed := purge_written_once(candidate.name, most, moment);
        ELSE
            SELECT coalesce(string_agg(format(
                'AND NOT EXISTS (SELECT 1 FROM %s AS y WHERE %s)', candidate.name,
                (
                    SELECT string_agg(format('y.%I = x.%I', points.attname, pointed.attname), ' AND ')
                    FROM unnest(f.conkey, f.confkey) AS pair (from_number, to_number)
                    JOIN pg_attribute AS points ON points.attrelid = f.conrelid AND points.attnum = pair.from_number
                    JOIN pg_attribute AS pointed ON pointed.attrelid = f.conrelid AND pointed.attnum = pair.to_number
                )
            ), ' '), '') INTO free
            FROM pg_constraint AS f
            WHERE f.contype = 'f' AND f.conrelid = candidate.oid AND f.confrelid = candidate.oid;
            EXECUTE format(
                'DELETE FROM %s WHERE ctid = ANY(ARRAY(SELECT x.ctid FROM %s AS x WHERE x.tenant_id = $1 %s LIMIT $2))',
                candidate.name, candidate.name, free
            ) USING current_tenant(), most;
            GET DIAGNOSTICS removed = ROW_COUNT;
        END IF;
        IF removed > 0 THEN
            RETURN removed;
        END IF;
    END LOOP;
    IF left_over <> '' THEN
        RAISE EXCEPTION 'rows of a deleted tenant cannot be removed from:%', left_over;
    END IF;
    RETURN 0;
END
$$;

-- The end: what people hold that names the tenant, services that are nowhere else, and the tenant itself.
CREATE FUNCTION purge_tenant(moment timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    PERFORM require_purgeable(moment);
    DELETE FROM sessions AS s WHERE s.bound_to = current_tenant();
    UPDATE refresh_tokens AS r SET tenant_id = NULL WHERE r.tenant_id = current_tenant();
    DELETE FROM users AS u WHERE u.kind = 'service' AND NOT EXISTS (SELECT 1 FROM members AS m WHERE m.user_id = u.id);
    DELETE FROM tenants AS t WHERE t.id = current_tenant();
END
$$;

GRANT EXECUTE ON FUNCTION
    organization_by_slug(text), governs_for_now(uuid, uuid), has_children(uuid), adopt(uuid, uuid),
    organization_tenants(uuid, uuid, bigint), organization_projects(uuid, uuid, text, uuid, uuid, bigint),
    organization_requests(uuid, bigint), looks_into(uuid, uuid),
    tenant_to_purge(timestamptz), require_purgeable(timestamptz), purge_written_once(regclass, bigint, timestamptz),
    purge_some(bigint, timestamptz), purge_tenant(timestamptz)
TO atrium_app;
