-- People, their sessions and refresh tokens. These are instance tables: a person may work for several tenants.

-- create_user :maybe
INSERT INTO users (id, email, name, password_hash) VALUES (:id, :email, :name, :password_hash)
ON CONFLICT (email) DO NOTHING
RETURNING *;

-- await_verification :exec
UPDATE users SET status = 'pending' WHERE id = :user_id;

-- A service has an address too, and nobody reads it: it can neither sign in nor be written to.
-- user_by_email :maybe
SELECT u.* FROM users AS u WHERE u.email = :email AND u.kind = 'person';

-- user_by_id :maybe
SELECT u.* FROM users AS u WHERE u.id = :user_id;

-- Whoever changes a password locks the row, so that a sign-in with the old one is either ended by it or refused here.
-- signed_in :maybe
UPDATE users SET last_login_at = now()
WHERE id = :user_id AND password_hash IS NOT DISTINCT FROM :verified AND status = 'active'
RETURNING id;

-- renew_hash :maybe
UPDATE users SET password_hash = :rehashed WHERE id = :user_id AND password_hash = :verified
RETURNING *;

-- memberships :many
SELECT m.* FROM memberships_of(:user_id) AS m;

-- create_session :exec
INSERT INTO sessions (id, user_id, method, user_agent, address, expires_at, bound_to, second_factor_at)
VALUES (
    :session_id, :user_id, :method, :user_agent, :address, :expires_at, :bound_to,
    CASE WHEN :two_factors::boolean THEN now() END
);

-- add_refresh_token :exec
INSERT INTO refresh_tokens (token_hash, session_id, tenant_id, expires_at)
VALUES (:token_hash, :session_id, :tenant_id, :expires_at);

-- The row stays locked until the rotation is written, so that of two racing tabs one comes second.
-- refresh_token :maybe
SELECT
    r.session_id, r.tenant_id, r.used_at, r.expires_at, s.user_id, s.bound_to, s.revoked_at, s.expires_at AS session_expires_at,
    now() - r.used_at AS used_for, r.expires_at <= now() OR s.expires_at <= now() AS expired
FROM refresh_tokens AS r JOIN sessions AS s ON s.id = r.session_id
WHERE r.token_hash = :token_hash
FOR UPDATE;

-- use_refresh_token :exec
UPDATE refresh_tokens SET used_at = coalesce(used_at, now()) WHERE token_hash = :token_hash;

-- revoke_session :exec
UPDATE sessions SET revoked_at = coalesce(revoked_at, now()), revoked_reason = coalesce(revoked_reason, :reason)
WHERE id = :session_id;

-- Nobody acts through a session of an account that is not active.
-- session_of :maybe
SELECT s.* FROM sessions AS s JOIN users AS u ON u.id = s.user_id AND u.status = 'active'
WHERE s.id = :session_id AND s.revoked_at IS NULL AND s.expires_at > now()
    AND impersonation_stands(s.impersonator_id, s.impersonator_session_id);

-- touch_session :exec
UPDATE sessions SET last_used_at = now(), user_agent = :user_agent, address = :address WHERE id = :session_id;

-- sessions_of :many
SELECT
    s.id, s.method, s.second_factor_at, s.user_agent, s.address, s.created_at, s.last_used_at, s.expires_at
FROM sessions AS s
WHERE s.user_id = :user_id AND s.revoked_at IS NULL AND s.expires_at > now()
    AND (:bound_to::uuid IS NULL OR s.bound_to = :bound_to)
ORDER BY s.last_used_at DESC, s.id DESC
LIMIT :max_sessions;

-- revoke_own_session :maybe
UPDATE sessions SET revoked_at = now(), revoked_reason = :reason
WHERE id = :session_id AND user_id = :user_id AND revoked_at IS NULL
    AND (:bound_to::uuid IS NULL OR bound_to = :bound_to)
RETURNING id;

-- Of a person's sessions all but one, or all of them.
-- revoke_sessions_of :many
UPDATE sessions SET revoked_at = now(), revoked_reason = :reason
WHERE user_id = :user_id AND id IS DISTINCT FROM :but_session_id::uuid AND revoked_at IS NULL AND expires_at > now()
RETURNING id;

-- Sessions that ended long ago, with their refresh tokens; whatever another node is removing is left to it.
-- purge_sessions :value
WITH gone AS (
    DELETE FROM sessions WHERE id IN (
        SELECT s.id FROM sessions AS s
        WHERE s.expires_at < :older_than OR s.revoked_at < :older_than
        LIMIT :most
        FOR UPDATE SKIP LOCKED
    )
    RETURNING 1
)
SELECT count(*) FROM gone;

-- purge_refresh_tokens :value
WITH gone AS (
    DELETE FROM refresh_tokens WHERE token_hash IN (
        SELECT r.token_hash FROM refresh_tokens AS r
        WHERE r.expires_at < :older_than
        LIMIT :most
        FOR UPDATE SKIP LOCKED
    )
    RETURNING 1
)
SELECT count(*) FROM gone;
