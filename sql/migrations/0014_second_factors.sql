-- Second factors and passkeys, which belong to a person whatever tenants she works for; and tenants that insist on them.

-- The shared secret of an authenticator app, sealed (see handlers/identity/vault.py).
CREATE TABLE totps (
    user_id uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    -- NULL until a code has proven that the app has it.
    secret bytea,
    enabled_at timestamptz,
    -- The step of the last code that was accepted: neither it nor an earlier one is accepted again.
    last_step bigint NOT NULL DEFAULT 0,
    -- The next secret, until a code has proven it; the one before stays good until then.
    offered bytea,
    offered_at timestamptz,
    CONSTRAINT totps_enabled_check CHECK ((secret IS NULL) = (enabled_at IS NULL))
);

CREATE TABLE recovery_codes (
    code_hash bytea PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at timestamptz NOT NULL DEFAULT now(),
    used_at timestamptz
);
CREATE INDEX recovery_codes_user_idx ON recovery_codes (user_id);

-- Wrong codes in a row. They are never forgotten before a right one, so that a lock can grow with them.
CREATE TABLE code_tries (
    user_id uuid PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    tries bigint NOT NULL,
    locked_until timestamptz
);

CREATE TABLE passkeys (
    id uuid PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    credential_id bytea NOT NULL,
    public_key bytea NOT NULL,
    sign_count bigint NOT NULL,
    transports text [] NOT NULL DEFAULT '{}',
    backed_up boolean NOT NULL,
    name text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    last_used_at timestamptz,
    CONSTRAINT passkeys_credential_key UNIQUE (credential_id)
);
CREATE INDEX passkeys_user_idx ON passkeys (user_id);

-- What an authenticator is asked to sign, good once. Without a person it is for whoever signs in with it.
CREATE TABLE passkey_challenges (
    challenge_hash bytea PRIMARY KEY,
    purpose text NOT NULL CHECK (purpose IN ('create', 'get')),
    user_id uuid REFERENCES users (id) ON DELETE CASCADE,
    expires_at timestamptz NOT NULL
);
CREATE INDEX passkey_challenges_expires_idx ON passkey_challenges (expires_at);

-- A sign-in whose second half is missing. It is bound to the hash of the password that was verified.
CREATE TABLE half_sign_ins (
    token_hash bytea PRIMARY KEY,
    user_id uuid NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    method text NOT NULL,
    verified bytea,
    tenant_id uuid,
    -- The provider that has proven the first half, if one did.
    through json,
    tries bigint NOT NULL DEFAULT 0,
    expires_at timestamptz NOT NULL
);
CREATE INDEX half_sign_ins_user_idx ON half_sign_ins (user_id);
CREATE INDEX half_sign_ins_expires_idx ON half_sign_ins (expires_at);

-- Sessions without a second factor cannot enter such a tenant.
ALTER TABLE tenants ADD COLUMN require_second_factor boolean NOT NULL DEFAULT false;
