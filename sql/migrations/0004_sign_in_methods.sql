-- By which method a session was opened, and when its person last proved who she is.

ALTER TABLE sessions ADD COLUMN method text NOT NULL DEFAULT 'password'
CONSTRAINT sessions_method_check CHECK (method IN ('password', 'passkey', 'oidc'));
-- NULL: a password or another provider alone has opened it.
ALTER TABLE sessions ADD COLUMN second_factor_at timestamptz;
-- A change that matters asks for a proof that is not long ago.
ALTER TABLE sessions ADD COLUMN proven_at timestamptz NOT NULL DEFAULT now();
