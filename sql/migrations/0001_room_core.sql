-- The room core: who, where, and the log that is the truth.
-- Tenant id leads every key of every tenant table; row-level security is on from the first day.

-- Without a schema on purpose: what PUBLIC has by default cannot be taken away for one schema alone.
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO atrium_app;

-- After SET LOCAL ends, the setting is '' and not NULL: both mean "no tenant", and no tenant sees no row.
CREATE FUNCTION current_tenant() RETURNS uuid
LANGUAGE sql STABLE PARALLEL SAFE
AS $$ SELECT nullif(current_setting('atrium.tenant', true), '')::uuid $$;
GRANT EXECUTE ON FUNCTION current_tenant() TO atrium_app;

-- Instance tables: a person exists once, whatever tenants she works for.

CREATE TABLE users (
    id uuid PRIMARY KEY,
    email text NOT NULL,
    name text NOT NULL,
    password_hash text,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'suspended', 'pending')),
    email_verified_at timestamptz,
    last_login_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT users_email_key UNIQUE (email),
    CONSTRAINT users_email_folded CHECK (email = lower(email))
);

CREATE TABLE sessions (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    user_agent text NOT NULL DEFAULT '',
    address text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    revoked_reason text
);
CREATE INDEX sessions_user_idx ON sessions (user_id);

-- Each refresh token is used once; the row of a used one stays, so that reuse is noticed.
CREATE TABLE refresh_tokens (
    token_hash bytea PRIMARY KEY,
    session_id uuid NOT NULL REFERENCES sessions (id) ON DELETE CASCADE,
    tenant_id uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX refresh_tokens_session_idx ON refresh_tokens (session_id);

-- Tenant tables.

CREATE TABLE tenants (
    id uuid PRIMARY KEY,
    slug text NOT NULL,
    name text NOT NULL,
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'inactive', 'suspended')),
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_by uuid NOT NULL,
    updated_at timestamptz NOT NULL DEFAULT now(),
    version bigint NOT NULL DEFAULT 1,
    -- Raised by every change of who may do what. Each batch of events carries the number its transaction saw,
    -- and a node that knows a smaller one checks its sockets before it delivers.
    rights_seq bigint NOT NULL DEFAULT 0,
    CONSTRAINT tenants_slug_key UNIQUE (slug)
);

CREATE TABLE members (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    user_id uuid NOT NULL REFERENCES users (id),
    role text NOT NULL CHECK (role IN ('owner', 'admin', 'manager', 'member', 'viewer', 'client', 'guest')),
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('active', 'pending', 'suspended', 'expired', 'removed')),
    invited_by uuid,
    joined_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz,
    version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (tenant_id, user_id),
    CONSTRAINT members_guest_expires CHECK (role <> 'guest' OR expires_at IS NOT NULL)
);
CREATE INDEX members_user_idx ON members (user_id);

CREATE TABLE rooms (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    kind text NOT NULL CHECK (kind IN ('tenant', 'project', 'channel', 'document', 'user')),
    epoch uuid NOT NULL DEFAULT gen_random_uuid(),
    head_seq bigint NOT NULL DEFAULT 0,
    floor_seq bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, id)
) WITH (fillfactor = 50);

-- data is json, not jsonb: the bytes that went over the wire are the bytes that are replayed.
CREATE TABLE room_events (
    tenant_id uuid NOT NULL,
    room_id uuid NOT NULL,
    seq bigint NOT NULL,
    name text NOT NULL,
    at timestamptz NOT NULL,
    actor_id uuid NOT NULL,
    command_id uuid NOT NULL,
    data json NOT NULL,
    PRIMARY KEY (tenant_id, room_id, seq)
);
CREATE INDEX room_events_at_idx ON room_events USING brin (at);

CREATE TABLE applied_commands (
    tenant_id uuid NOT NULL,
    actor_id uuid NOT NULL,
    command_id uuid NOT NULL,
    room_id uuid NOT NULL,
    name text NOT NULL,
    fingerprint bytea NOT NULL,
    seq bigint NOT NULL,
    reply json NOT NULL,
    at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, actor_id, command_id)
);
-- Rows come in the order of time and leave by it: a BRIN index costs next to nothing.
CREATE INDEX applied_commands_at_idx ON applied_commands USING brin (at);

-- The log and the replies are written once: the login role can neither change nor remove them.
REVOKE UPDATE, DELETE ON room_events, applied_commands FROM atrium_app;

CREATE TABLE projects (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    key text NOT NULL,
    name text NOT NULL,
    description text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT 'active' CHECK (status IN ('planning', 'active', 'on_hold', 'completed', 'cancelled')),
    priority text NOT NULL DEFAULT 'medium' CHECK (priority IN ('low', 'medium', 'high', 'urgent')),
    start_on date,
    end_on date,
    last_number bigint NOT NULL DEFAULT 0,
    version bigint NOT NULL DEFAULT 1,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_by uuid NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT projects_key_key UNIQUE (tenant_id, key)
);

CREATE TABLE project_members (
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    user_id uuid NOT NULL,
    -- NULL: the role in the tenant, whatever it is at the time.
    role text CHECK (role IN ('owner', 'admin', 'manager', 'member', 'viewer', 'client', 'guest')),
    joined_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (tenant_id, project_id, user_id),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, user_id) REFERENCES members (tenant_id, user_id) ON DELETE CASCADE
);
CREATE INDEX project_members_user_idx ON project_members (tenant_id, user_id);

CREATE TABLE statuses (
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    category text NOT NULL CHECK (category IN ('backlog', 'todo', 'in_progress', 'blocked', 'done', 'cancelled')),
    position text COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT statuses_name_key UNIQUE (tenant_id, project_id, name),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE
);

CREATE TABLE boards (
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    position text COLLATE "C" NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    updated_by uuid NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX boards_project_idx ON boards (tenant_id, project_id);

CREATE TABLE board_columns (
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    id uuid NOT NULL,
    board_id uuid NOT NULL,
    name text NOT NULL,
    position text COLLATE "C" NOT NULL,
    status_ids uuid [] NOT NULL,
    wip_limit bigint CHECK (wip_limit > 0),
    version bigint NOT NULL DEFAULT 1,
    updated_by uuid NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT board_columns_has_status CHECK (cardinality(status_ids) > 0),
    FOREIGN KEY (tenant_id, board_id) REFERENCES boards (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX board_columns_board_idx ON board_columns (tenant_id, board_id);
CREATE INDEX board_columns_project_idx ON board_columns (tenant_id, project_id);

CREATE TABLE tasks (
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    id uuid NOT NULL,
    number bigint NOT NULL,
    key text NOT NULL,
    title text NOT NULL,
    description text NOT NULL DEFAULT '',
    type text NOT NULL DEFAULT 'task' CHECK (type IN ('task', 'milestone', 'bug', 'feature', 'epic', 'story')),
    priority text NOT NULL DEFAULT 'medium' CHECK (priority IN ('low', 'medium', 'high', 'urgent')),
    column_id uuid NOT NULL,
    status_id uuid NOT NULL,
    position text COLLATE "C" NOT NULL,
    parent_id uuid,
    assignee_ids uuid [] NOT NULL DEFAULT '{}',
    tags text [] NOT NULL DEFAULT '{}',
    start_at timestamptz,
    due_at timestamptz,
    completed_at timestamptz,
    estimate_minutes bigint CHECK (estimate_minutes >= 0),
    version bigint NOT NULL DEFAULT 1,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_by uuid NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    deleted_with uuid,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT tasks_number_key UNIQUE (tenant_id, project_id, number),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, column_id) REFERENCES board_columns (tenant_id, id),
    FOREIGN KEY (tenant_id, status_id) REFERENCES statuses (tenant_id, id),
    FOREIGN KEY (tenant_id, parent_id) REFERENCES tasks (tenant_id, id)
) WITH (fillfactor = 80);
CREATE INDEX tasks_column_idx ON tasks (tenant_id, column_id, position, id) WHERE deleted_at IS NULL;
CREATE INDEX tasks_parent_idx ON tasks (tenant_id, parent_id) WHERE parent_id IS NOT NULL;

-- Who works on what; the task row keeps the ordered list for reading, this table answers "my tasks".
CREATE TABLE task_assignees (
    tenant_id uuid NOT NULL,
    task_id uuid NOT NULL,
    user_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, task_id, user_id),
    FOREIGN KEY (tenant_id, task_id) REFERENCES tasks (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, user_id) REFERENCES members (tenant_id, user_id) ON DELETE CASCADE
);
CREATE INDEX task_assignees_user_idx ON task_assignees (tenant_id, user_id);

-- One policy per table, and it is forced on the owner too.
DO $$
DECLARE tenant_table text;
BEGIN
    FOREACH tenant_table IN ARRAY ARRAY[
        'members', 'rooms', 'room_events', 'applied_commands', 'projects', 'project_members',
        'statuses', 'boards', 'board_columns', 'tasks', 'task_assignees'
    ] LOOP
        EXECUTE format('ALTER TABLE %I ENABLE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format('ALTER TABLE %I FORCE ROW LEVEL SECURITY', tenant_table);
        EXECUTE format(
            'CREATE POLICY tenant ON %I TO atrium_app USING (tenant_id = current_tenant())', tenant_table
        );
    END LOOP;
END $$;
ALTER TABLE tenants ENABLE ROW LEVEL SECURITY;
ALTER TABLE tenants FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON tenants TO atrium_app USING (id = current_tenant());

-- The few questions that cross tenants. Each is a function of the owner, with its arguments mandatory;
-- the policies below let the owner, and nobody else, see the rows they need.
CREATE POLICY definer ON tenants TO CURRENT_USER USING (true);
CREATE POLICY definer ON members FOR SELECT TO CURRENT_USER USING (true);
CREATE POLICY definer ON rooms TO CURRENT_USER USING (true);
CREATE POLICY definer ON room_events TO CURRENT_USER USING (true);
CREATE POLICY definer ON applied_commands TO CURRENT_USER USING (true);

-- The tenants a person may work in: what sign-in has to know before a tenant is chosen.
CREATE FUNCTION memberships_of(person uuid)
RETURNS TABLE (tenant_id uuid, slug text, name text, tenant_status text, role text, expires_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT t.id, t.slug, t.name, t.status, m.role, m.expires_at
    FROM members AS m JOIN tenants AS t ON t.id = m.tenant_id
    WHERE m.user_id = person AND m.status = 'active' AND (m.expires_at IS NULL OR m.expires_at > now())
    ORDER BY m.joined_at, t.id
$$;

-- Where the logs of some rooms stand: a node's answer to "did I miss anything?".
CREATE FUNCTION room_heads(tenant_ids uuid [], room_ids uuid [])
RETURNS TABLE (tenant_id uuid, id uuid, epoch uuid, head_seq bigint, rights_seq bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT r.tenant_id, r.id, r.epoch, r.head_seq, t.rights_seq
    FROM unnest(tenant_ids, room_ids) AS wanted (tenant_id, id)
    JOIN rooms AS r ON r.tenant_id = wanted.tenant_id AND r.id = wanted.id
    JOIN tenants AS t ON t.id = r.tenant_id
$$;

-- A person's sessions and status belong to no tenant: their end concerns all that she works for.
CREATE FUNCTION raise_rights_of(person uuid) RETURNS TABLE (tenant_id uuid, rights_seq bigint)
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    UPDATE tenants AS t SET rights_seq = t.rights_seq + 1
    FROM members AS m WHERE m.user_id = person AND m.status = 'active' AND m.tenant_id = t.id
    RETURNING t.id, t.rights_seq
$$;

-- Retention of replies: a command id stays good for as long as its reply is kept.
CREATE FUNCTION purge_applied_commands(older_than timestamptz) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH gone AS (DELETE FROM applied_commands WHERE at < older_than RETURNING 1)
    SELECT count(*) FROM gone
$$;

-- Retention of the log: whoever asks for less than the floor gets a snapshot instead.
CREATE FUNCTION trim_room_events(older_than timestamptz) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH floors AS (
        SELECT tenant_id, room_id, max(seq) AS seq FROM room_events
        WHERE at < older_than AND pg_try_advisory_xact_lock(hashtext('trim_room_events'))
        GROUP BY tenant_id, room_id
    ), raised AS (
        UPDATE rooms AS r SET floor_seq = greatest(r.floor_seq, f.seq)
        FROM floors AS f WHERE r.tenant_id = f.tenant_id AND r.id = f.room_id
    ), gone AS (
        DELETE FROM room_events AS e USING floors AS f
        WHERE e.tenant_id = f.tenant_id AND e.room_id = f.room_id AND e.seq <= f.seq RETURNING 1
    )
    SELECT count(*) FROM gone
$$;

GRANT EXECUTE ON FUNCTION
    memberships_of(uuid), room_heads(uuid [], uuid []), raise_rights_of(uuid),
    purge_applied_commands(timestamptz), trim_room_events(timestamptz)
TO atrium_app;
