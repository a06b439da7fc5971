-- The key ring of access tokens. A key is derived from the instance's secret and its kid, so what is here forges nothing.
CREATE TABLE signing_keys (
    kid text PRIMARY KEY,
    -- Tells keys of one secret from those of another, without telling the secret.
    secret_id text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    -- Later than it was made, so that every node knows a key before it meets a token signed with it.
    signs_from timestamptz NOT NULL
);
