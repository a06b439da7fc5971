-- Roles of a tenant's own, and what is given to or taken from one person beside her role.

CREATE TABLE custom_roles (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    colour text,
    -- Where it stands among the seven roles; an owner is an owner, and nothing less.
    base text NOT NULL CHECK (base IN ('admin', 'manager', 'member', 'viewer', 'client', 'guest')),
    allowed text [] NOT NULL,
    denied text [] NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_by uuid NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id)
);
CREATE UNIQUE INDEX custom_roles_name_key ON custom_roles (tenant_id, lower(name));
ALTER TABLE custom_roles ENABLE ROW LEVEL SECURITY;
ALTER TABLE custom_roles FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON custom_roles TO atrium_app USING (tenant_id = current_tenant());

-- `allowed` and `denied` hold the outcome of a member's role and of what is hers alone, so that a command reads
-- one row. What it is made of is beside it.
ALTER TABLE members ADD COLUMN role_id uuid;
ALTER TABLE members ADD COLUMN own_allowed text [];
ALTER TABLE members ADD COLUMN own_denied text [];
ALTER TABLE members ADD CONSTRAINT members_role_fkey
FOREIGN KEY (tenant_id, role_id) REFERENCES custom_roles (tenant_id, id) NOT VALID;

-- One side of the outcome: of the role what is not turned round for this person, and what is hers alone. NULL for nothing.
CREATE FUNCTION beside_role(of_role text [], own text [], own_reverse text []) RETURNS text []
LANGUAGE sql IMMUTABLE PARALLEL SAFE
AS $$
    SELECT nullif(
        ARRAY(SELECT unnest(of_role) EXCEPT SELECT unnest(own_reverse) UNION SELECT unnest(own) ORDER BY 1), '{}'
    )
$$;
GRANT EXECUTE ON FUNCTION beside_role(text [], text [], text []) TO atrium_app;
