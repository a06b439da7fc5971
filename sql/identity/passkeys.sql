-- Passkeys: the public half of what a person's devices keep, and the challenges that they sign.

-- Each challenge also sweeps up a few that are over.
-- add_challenge :exec
WITH old AS (
    DELETE FROM passkey_challenges WHERE challenge_hash IN (
        SELECT o.challenge_hash FROM passkey_challenges AS o
        WHERE o.expires_at < now()
        ORDER BY o.expires_at LIMIT 10
        FOR UPDATE SKIP LOCKED
    )
)
INSERT INTO passkey_challenges (challenge_hash, purpose, user_id, expires_at)
VALUES (:challenge_hash, :purpose, :user_id, now() + :good_for::interval);

-- Used once, by the person it is for or by anybody where it is for nobody in particular.
-- use_challenge :maybe
DELETE FROM passkey_challenges
WHERE challenge_hash = :challenge_hash AND purpose = :purpose AND expires_at > now()
    AND (user_id IS NULL OR user_id = :user_id::uuid)
RETURNING challenge_hash;

-- add_passkey :one
INSERT INTO passkeys (id, user_id, credential_id, public_key, sign_count, transports, backed_up, name)
VALUES (:id, :user_id, :credential_id, :public_key, :sign_count, :transports, :backed_up, :name)
RETURNING *;

-- passkeys_of :many
SELECT p.* FROM passkeys AS p WHERE p.user_id = :user_id ORDER BY p.created_at, p.id;

-- passkey_by_credential :maybe
SELECT p.* FROM passkeys AS p WHERE p.credential_id = :credential_id
FOR UPDATE;

-- The counter of an authenticator that keeps one only grows; of two uses at once with one number one counts.
-- use_passkey :maybe
UPDATE passkeys SET sign_count = :sign_count, backed_up = :backed_up, last_used_at = now()
WHERE id = :id AND (sign_count < :sign_count OR (sign_count = 0 AND :sign_count = 0))
RETURNING id;

-- rename_passkey :maybe
UPDATE passkeys SET name = :name WHERE id = :passkey_id AND user_id = :user_id
RETURNING *;

-- remove_passkey :maybe
DELETE FROM passkeys WHERE id = :passkey_id AND user_id = :user_id
RETURNING name;

-- drop_passkeys :exec
DELETE FROM passkeys WHERE user_id = :user_id;
