-- One-time tokens, failed sign-ins, and what a proven address or password changes.

-- add_account_token :exec
INSERT INTO account_tokens (token_hash, user_id, purpose, email, expires_at)
VALUES (:token_hash, :user_id, :purpose, :email, :expires_at);

-- recent_account_token :value
SELECT EXISTS (
    SELECT 1 FROM account_tokens
    WHERE user_id = :user_id AND purpose = :purpose AND email = :email AND created_at > now() - :pause::interval
);

-- account_token :maybe
SELECT a.user_id, a.purpose, a.email FROM account_tokens AS a
WHERE a.token_hash = :token_hash AND a.used_at IS NULL AND a.expires_at > now();

-- Of many who hold the same token, the row lock lets one through. The person is locked before her tokens are.
-- use_account_token :maybe
UPDATE account_tokens SET used_at = now()
WHERE token_hash = :token_hash AND used_at IS NULL AND expires_at > now()
RETURNING email;

-- Other links of the same kind, and what has expired, are of no use any more; the used one stays for a while.
-- drop_account_tokens :exec
DELETE FROM account_tokens
WHERE user_id = :user_id AND (expires_at <= now() OR (used_at IS NULL AND purpose = ANY(:purposes::text [])));

-- purge_account_tokens :exec
DELETE FROM account_tokens WHERE expires_at < now() - :retention::interval;

-- email_verified :one
UPDATE users
SET
    email = :email, email_verified_at = now(), updated_at = now(),
    status = CASE WHEN status = 'pending' THEN 'active' ELSE status END
WHERE id = :user_id
RETURNING *;

-- set_password :exec
UPDATE users SET password_hash = :password_hash, updated_at = now() WHERE id = :user_id;

-- lock_user :one
SELECT u.* FROM users AS u WHERE u.id = :user_id FOR UPDATE;

-- login_lock :maybe
SELECT extract(EPOCH FROM f.locked_until - now())::float8 AS seconds
FROM login_failures AS f
WHERE f.address_hash = :address_hash AND f.locked_until > now();

-- Counts one failure; at the last allowed one the address is locked, for all that are still under way too.
-- Each count also sweeps up a few old rows, so that a flood of made-up addresses does not stay.
-- login_failed :exec
WITH old AS (
    DELETE FROM login_failures WHERE address_hash IN (
        SELECT o.address_hash FROM login_failures AS o
        WHERE o.last_at < now() - 2 * :login_lock::interval AND o.address_hash <> :address_hash
        ORDER BY o.last_at LIMIT 10
        FOR UPDATE SKIP LOCKED
    )
)
INSERT INTO login_failures AS f (address_hash, failures, locked_until)
VALUES (:address_hash, 1, CASE WHEN :login_tries::bigint <= 1 THEN now() + :login_lock::interval END)
ON CONFLICT (address_hash) DO UPDATE
SET
    failures = CASE
        WHEN f.locked_until <= now() OR f.last_at < now() - :login_lock::interval THEN 1 ELSE f.failures + 1
    END,
    locked_until = CASE
        WHEN f.locked_until > now() THEN f.locked_until
        WHEN f.locked_until <= now() OR f.last_at < now() - :login_lock::interval
            THEN CASE WHEN :login_tries::bigint <= 1 THEN now() + :login_lock::interval END
        WHEN f.failures + 1 >= :login_tries::bigint THEN now() + :login_lock::interval
    END,
    last_at = now();

-- forget_login_failures :exec
DELETE FROM login_failures WHERE address_hash = :address_hash;
