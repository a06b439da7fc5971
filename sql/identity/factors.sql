-- Second factors: authenticator apps, recovery codes, the first half of a sign-in, and what a proof changes.

-- What an account has beside its password.
-- factors_of :one
SELECT
    EXISTS (SELECT 1 FROM totps AS t WHERE t.user_id = :user_id AND t.secret IS NOT NULL) AS totp,
    (SELECT count(*) FROM passkeys AS p WHERE p.user_id = :user_id) AS passkeys,
    (SELECT count(*) FROM recovery_codes AS r WHERE r.user_id = :user_id AND r.used_at IS NULL) AS recovery_codes;

-- Authenticator apps. Steps are counted on the clock of the database, which all nodes share.

-- offer_totp :exec
INSERT INTO totps AS t (user_id, offered, offered_at) VALUES (:user_id, :offered, now())
ON CONFLICT (user_id) DO UPDATE SET offered = excluded.offered, offered_at = excluded.offered_at;

-- offered_totp :maybe
SELECT t.offered AS secret, (extract(EPOCH FROM clock_timestamp()) / 30)::float8 AS step
FROM totps AS t
WHERE t.user_id = :user_id AND t.offered_at > now() - :good_for::interval
FOR UPDATE;

-- enable_totp :exec
UPDATE totps SET secret = offered, enabled_at = now(), last_step = :step, offered = NULL, offered_at = NULL
WHERE user_id = :user_id;

-- totp :maybe
SELECT t.secret, (extract(EPOCH FROM clock_timestamp()) / 30)::float8 AS step
FROM totps AS t
WHERE t.user_id = :user_id AND t.secret IS NOT NULL;

-- Of many who have the same code, the row lock lets one through.
-- use_totp_step :maybe
UPDATE totps SET last_step = :step WHERE user_id = :user_id AND last_step < :step
RETURNING user_id;

-- reseal_totp :exec
UPDATE totps SET secret = :fresh WHERE user_id = :user_id AND secret = :secret;

-- drop_totp :maybe
DELETE FROM totps WHERE user_id = :user_id
RETURNING enabled_at;

-- Recovery codes.

-- drop_recovery_codes :exec
DELETE FROM recovery_codes WHERE user_id = :user_id;

-- add_recovery_codes :exec
INSERT INTO recovery_codes (code_hash, user_id)
SELECT h.code_hash, :user_id FROM unnest(:code_hashes::bytea []) AS h (code_hash);

-- use_recovery_code :maybe
UPDATE recovery_codes SET used_at = now()
WHERE code_hash = :code_hash AND user_id = :user_id AND used_at IS NULL
RETURNING user_id;

-- Wrong codes.

-- The row stays locked until the try is judged, so that guesses of one account come one after the other, the first
-- ones too.
-- lock_codes :one
INSERT INTO code_tries AS t (user_id, tries) VALUES (:user_id, 0)
ON CONFLICT (user_id) DO UPDATE SET tries = t.tries
RETURNING coalesce(extract(EPOCH FROM t.locked_until - clock_timestamp()), 0)::float8 AS locked_for;

-- Counts a code before it is looked at. Every so many in a row there is a lock, twice as long as the one before.
-- count_code :one
UPDATE code_tries AS t SET
    tries = t.tries + 1,
    locked_until = CASE
        WHEN (t.tries + 1) % :max_tries::bigint = 0 THEN clock_timestamp() + least(
            :longest::interval, :shortest::interval * power(2, least((t.tries + 1) / :max_tries::bigint - 1, 30))
        )
    END
WHERE t.user_id = :user_id
RETURNING t.locked_until IS NOT NULL AS locks;

-- forget_code_tries :exec
DELETE FROM code_tries WHERE user_id = :user_id;

-- The first half of a sign-in.

-- Each one also sweeps up a few that are over.
-- begin_half_sign_in :exec
WITH old AS (
    DELETE FROM half_sign_ins WHERE token_hash IN (
        SELECT o.token_hash FROM half_sign_ins AS o
        WHERE o.expires_at < now()
        ORDER BY o.expires_at LIMIT 10
        FOR UPDATE SKIP LOCKED
    )
)
INSERT INTO half_sign_ins (token_hash, user_id, method, verified, tenant_id, through, expires_at)
VALUES (:token_hash, :user_id, :method, :verified, :wanted_id, :through::text::json, now() + :good_for::interval);

-- half_sign_in :maybe
SELECT h.user_id FROM half_sign_ins AS h
WHERE h.token_hash = :token_hash AND h.expires_at > now() AND h.tries < :max_tries;

-- try_half_sign_in :maybe
UPDATE half_sign_ins SET tries = tries + 1
WHERE token_hash = :token_hash AND expires_at > now() AND tries < :max_tries
RETURNING user_id, method, verified, tenant_id, through::text AS through, tries;

-- end_half_sign_in :exec
DELETE FROM half_sign_ins WHERE token_hash = :token_hash;

-- end_half_sign_ins_of :exec
DELETE FROM half_sign_ins WHERE user_id = :user_id;

-- What a session has proven.

-- session_proofs :one
SELECT s.method, s.second_factor_at, s.proven_at, s.proven_at > now() - :good_for::interval AS recent
FROM sessions AS s
WHERE s.id = :session_id;

-- session_proven :exec
UPDATE sessions SET
    proven_at = now(), second_factor_at = CASE WHEN :second_factor::boolean THEN now() ELSE second_factor_at END
WHERE id = :session_id;

-- What proved it is no factor of this account any more.
-- forget_second_factor :exec
UPDATE sessions SET second_factor_at = NULL
WHERE user_id = :user_id AND second_factor_at IS NOT NULL AND revoked_at IS NULL;

-- gave_second_factor :value
SELECT s.second_factor_at FROM sessions AS s WHERE s.id = :session_id AND s.second_factor_at IS NOT NULL;

-- What a person sees of her own security.
-- security_of :one
SELECT
    u.password_hash IS NOT NULL AS password,
    s.method, s.second_factor_at, s.proven_at,
    EXISTS (SELECT 1 FROM totps AS t WHERE t.user_id = u.id AND t.secret IS NOT NULL) AS totp,
    (SELECT count(*) FROM passkeys AS p WHERE p.user_id = u.id) AS passkeys,
    (SELECT count(*) FROM recovery_codes AS r WHERE r.user_id = u.id AND r.used_at IS NULL) AS recovery_codes
FROM users AS u JOIN sessions AS s ON s.id = :session_id
WHERE u.id = :user_id;

-- set_tenant_security :one
UPDATE tenants SET
    require_second_factor = :require_second_factor, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE id = :tenant_id
RETURNING *;
