-- The audit log: what was done, by whom and from where; written once, chained, and kept for years.
-- Every tenant has a chain of its own. What concerns no tenant is in the chain of the instance, whose tenant_id is
-- ffffffff-ffff-ffff-ffff-ffffffffffff; no tenant can have that id, for nobody chooses the id of a tenant.

-- An id is made from the time of its entry and its place in the group, so that it sorts by them (a UUID of version 7):
-- one key serves the list, its pages, its dates and the chain.
CREATE FUNCTION audit_id(at timestamptz, place bigint) RETURNS uuid
LANGUAGE sql VOLATILE
AS $$
    SELECT encode(set_byte(set_byte(
        substr(int8send(floor(extract(EPOCH FROM at) * 1000)::bigint), 3) || substr(uuid_send(gen_random_uuid()), 7),
        6, (112 + (place >> 8) % 16)::integer), 7, (place % 256)::integer), 'hex')::uuid
$$;
GRANT EXECUTE ON FUNCTION audit_id(timestamptz, bigint) TO atrium_app;

-- changes and was are json, not jsonb: the hash is over the bytes that were written.
CREATE TABLE audit_entries (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    at timestamptz NOT NULL,
    action text COLLATE "C" NOT NULL,
    outcome text NOT NULL,
    actor_id uuid,
    impersonator_id uuid,
    session_id uuid,
    command_id uuid,
    room_id uuid,
    resource text COLLATE "C" NOT NULL,
    address text NOT NULL,
    user_agent text NOT NULL,
    changes json,
    was json,
    PRIMARY KEY (tenant_id, id)
);
CREATE INDEX audit_entries_actor_idx ON audit_entries (tenant_id, actor_id, id);
CREATE INDEX audit_entries_action_idx ON audit_entries (tenant_id, action, id);
CREATE INDEX audit_entries_resource_idx ON audit_entries (tenant_id, resource, id);

-- What is to be sealed: one row for each transaction that wrote entries, taken away by the one that seals them.
CREATE TABLE audit_pending (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    entry_ids uuid [] NOT NULL,
    PRIMARY KEY (tenant_id, id)
);

-- The chain: hash = SHA-256(hash before, seq, the entry's canonical bytes). The last seal of every sealing is signed.
CREATE TABLE audit_seals (
    tenant_id uuid NOT NULL,
    seq bigint NOT NULL,
    entry_id uuid NOT NULL,
    hash bytea NOT NULL,
    signature bytea,
    sealed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, seq),
    CONSTRAINT audit_seals_entry_key UNIQUE (tenant_id, entry_id)
);

-- Where a chain begins after retention: the last seal that was taken away, signed.
CREATE TABLE audit_anchors (
    tenant_id uuid NOT NULL,
    seq bigint NOT NULL,
    hash bytea NOT NULL,
    signature bytea NOT NULL,
    removed_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, seq)
);

DO $$
DECLARE audit_table text;
BEGIN
    FOREACH audit_table IN ARRAY ARRAY['audit_entries', 'audit_pending', 'audit_seals', 'audit_anchors'] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', audit_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', audit_table);
        EXECUTE format(
            'CREATE POLICY tenant ON %I TO atrium_app USING (tenant_id = current_tenant())', audit_table
        );
        EXECUTE format('CREATE POLICY definer ON %I TO CURRENT_USER USING (true)', audit_table);
    END LOOP;
END $$;

REVOKE UPDATE, DELETE ON audit_entries, audit_seals, audit_anchors FROM atrium_app;
REVOKE UPDATE ON audit_pending FROM atrium_app;

-- Not even the owner changes or removes evidence by accident; retention alone may remove some.
CREATE FUNCTION audit_is_append_only() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
    IF TG_OP = 'DELETE' AND current_setting('atrium.audit_retention', true) = 'on' THEN
        RETURN NULL;
    END IF;
    RAISE EXCEPTION 'the audit log is append-only: % of % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_entries
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_seals
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_anchors
FOR EACH STATEMENT EXECUTE FUNCTION audit_is_append_only();

-- One entry from outside of a tenant's transaction: into the chain of a tenant, or of every tenant that a person belongs
-- to, or of the instance where there is none.
CREATE FUNCTION record_audit(
    tenant uuid, person uuid, action text, outcome text, actor_id uuid, impersonator_id uuid, session_id uuid,
    resource text, address text, user_agent text, changes json, was json
) RETURNS void
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH places AS (
        SELECT tenant AS tenant_id WHERE tenant IS NOT NULL
        UNION ALL
        SELECT m.tenant_id FROM members AS m WHERE tenant IS NULL AND m.user_id = person AND m.status <> 'removed'
    ), chosen AS (
        SELECT p.tenant_id FROM places AS p
        UNION ALL
        SELECT 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid WHERE NOT EXISTS (SELECT FROM places)
    ), clock AS MATERIALIZED (
        SELECT clock_timestamp() AS now
    ), entries AS (
        INSERT INTO audit_entries (
            tenant_id, id, at, action, outcome, actor_id, impersonator_id, session_id,
            resource, address, user_agent, changes, was
        )
        SELECT
            c.tenant_id, audit_id(k.now, 0), k.now, action, outcome, actor_id, impersonator_id, session_id,
            resource, address, user_agent, changes, was
        FROM chosen AS c, clock AS k
        RETURNING tenant_id, id
    )
    INSERT INTO audit_pending (tenant_id, entry_ids) SELECT e.tenant_id, ARRAY[e.id] FROM entries AS e
$$;

-- The chains that have something to seal.
CREATE FUNCTION audit_unsealed(most integer) RETURNS TABLE (tenant_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT DISTINCT p.tenant_id FROM audit_pending AS p LIMIT most
$$;

-- Every chain there is or should be; the slug is null for the instance and for tenants that are gone.
CREATE FUNCTION audit_chains() RETURNS TABLE (tenant_id uuid, slug text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH RECURSIVE found AS (
        (SELECT s.tenant_id FROM audit_seals AS s ORDER BY s.tenant_id LIMIT 1)
        UNION ALL
        SELECT (SELECT s.tenant_id FROM audit_seals AS s WHERE s.tenant_id > f.tenant_id ORDER BY s.tenant_id LIMIT 1)
        FROM found AS f WHERE f.tenant_id IS NOT NULL
    ), every AS (
        SELECT f.tenant_id FROM found AS f WHERE f.tenant_id IS NOT NULL
        UNION
        SELECT t.id FROM tenants AS t
        UNION
        SELECT 'ffffffff-ffff-ffff-ffff-ffffffffffff'::uuid
    )
    SELECT e.tenant_id, t.slug FROM every AS e LEFT JOIN tenants AS t ON t.id = e.tenant_id ORDER BY t.slug, e.tenant_id
$$;

-- Retention: the oldest entries of a chain go together with their seals, and a signed anchor stays in their place.
-- Whatever is asked for, nothing of the last 30 days goes.
CREATE FUNCTION trim_audit(
    tenant uuid, upto_seq bigint, upto_hash bytea, anchor_signature bytea, older_than timestamptz
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE
    removed bigint;
BEGIN
    IF EXISTS (
        SELECT FROM audit_seals AS s JOIN audit_entries AS e ON e.tenant_id = s.tenant_id AND e.id = s.entry_id
        WHERE s.tenant_id = tenant AND s.seq <= upto_seq AND e.at >= least(older_than, now() - INTERVAL '30 days')
    ) THEN
        RAISE EXCEPTION 'entries up to seq % are too young to go', upto_seq USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO audit_anchors (tenant_id, seq, hash, signature, removed_at)
    SELECT s.tenant_id, s.seq, s.hash, anchor_signature, now()
    FROM audit_seals AS s WHERE s.tenant_id = tenant AND s.seq = upto_seq AND s.hash = upto_hash;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no such seal' USING ERRCODE = 'no_data_found';
    END IF;
    PERFORM set_config('atrium.audit_retention', 'on', true);
    DELETE FROM audit_entries AS e USING audit_seals AS s
    WHERE s.tenant_id = tenant AND s.seq <= upto_seq AND e.tenant_id = s.tenant_id AND e.id = s.entry_id;
    DELETE FROM audit_seals AS s WHERE s.tenant_id = tenant AND s.seq <= upto_seq;
    GET DIAGNOSTICS removed = ROW_COUNT;
    PERFORM set_config('atrium.audit_retention', '', true);
    RETURN removed;
END
$$;

GRANT EXECUTE ON FUNCTION
    record_audit(uuid, uuid, text, text, uuid, uuid, uuid, text, text, text, json, json),
    audit_unsealed(integer), audit_chains(), trim_audit(uuid, bigint, bytea, bytea, timestamptz)
TO atrium_app;
