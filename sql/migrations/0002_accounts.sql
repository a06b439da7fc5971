-- Accounts: profiles, one-time tokens, failed sign-ins, and the mails that tell people about it all.
-- These are instance tables: a person exists once, whatever tenants she works for.

CREATE TABLE profiles (
    user_id uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    username text,
    avatar_url text,
    phone text,
    timezone text NOT NULL DEFAULT 'UTC',
    language text NOT NULL DEFAULT 'en',
    theme text NOT NULL DEFAULT 'auto' CHECK (theme IN ('light', 'dark', 'auto')),
    notification_preferences json NOT NULL DEFAULT '{}',
    dashboard_preferences json NOT NULL DEFAULT '{}',
    -- Raised by every change. A tenant that was told of an older one is told again: see handlers/identity/profiles.py.
    version bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT profiles_username_key UNIQUE (username),
    CONSTRAINT profiles_username_folded CHECK (username = lower(username))
);
ALTER TABLE members ADD COLUMN profile_version bigint NOT NULL DEFAULT 0;

ALTER TABLE sessions ADD COLUMN last_used_at timestamptz NOT NULL DEFAULT now();

-- What a link in a mail proves: that its reader owns the address. Only the hash of the token is kept.
CREATE TABLE account_tokens (
    token_hash bytea PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    purpose text NOT NULL CHECK (purpose IN ('verify_email', 'change_email', 'reset_password')),
    email text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX account_tokens_user_idx ON account_tokens (user_id, purpose);

-- Failed sign-ins of an address, whether there is an account behind it or not: the answer must not tell.
CREATE TABLE login_failures (
    address_hash bytea PRIMARY KEY,
    failures bigint NOT NULL,
    last_at timestamptz NOT NULL DEFAULT now(),
    locked_until timestamptz
);
CREATE INDEX login_failures_last_at_idx ON login_failures (last_at);

-- Mails to send, written in the transaction of the fact that they tell of. A row holds what the mail is about and
-- nothing that opens an account: its token is made when it is sent.
CREATE TABLE outbox_mails (
    id uuid PRIMARY KEY,
    kind text NOT NULL,
    to_address text NOT NULL,
    user_id uuid REFERENCES users (id) ON DELETE CASCADE,
    data json NOT NULL DEFAULT '{}',
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'sent', 'dropped', 'failed')),
    tries bigint NOT NULL DEFAULT 0,
    next_try_at timestamptz NOT NULL DEFAULT now(),
    error text,
    created_at timestamptz NOT NULL DEFAULT now(),
    done_at timestamptz
);
CREATE INDEX outbox_mails_due_idx ON outbox_mails (next_try_at) WHERE state = 'waiting';
CREATE INDEX outbox_mails_asked_idx ON outbox_mails (to_address, kind) WHERE state = 'waiting';
CREATE INDEX outbox_mails_done_idx ON outbox_mails (done_at) WHERE state <> 'waiting';
CREATE INDEX outbox_mails_user_idx ON outbox_mails (user_id) WHERE user_id IS NOT NULL;

-- The tenants that show a person's profile and have not been told of its last change.
CREATE FUNCTION profile_followers(person uuid)
RETURNS TABLE (tenant_id uuid, slug text, name text, role text)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT t.id, t.slug, t.name, m.role
    FROM members AS m
    JOIN tenants AS t ON t.id = m.tenant_id AND t.status = 'active'
    JOIN profiles AS p ON p.user_id = m.user_id
    WHERE m.user_id = person AND m.status = 'active' AND (m.expires_at IS NULL OR m.expires_at > now())
        AND m.profile_version < p.version
    ORDER BY t.id
$$;

GRANT EXECUTE ON FUNCTION profile_followers(uuid) TO atrium_app;
