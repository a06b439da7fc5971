-- The key ring of access tokens: see handlers/identity/signing_keys.py.

-- Seconds from now, for the clocks of nodes may differ.
-- signing_keys :many
SELECT k.kid, k.secret_id, k.created_at, k.signs_from, extract(EPOCH FROM k.signs_from - now())::float8 AS signs_in
FROM signing_keys AS k
ORDER BY k.signs_from, k.kid;

-- One node at a time asks whether a new key is due.
-- lock_signing_keys :exec
SELECT pg_advisory_xact_lock(hashtext('atrium.signing_keys'));

-- add_signing_key :exec
INSERT INTO signing_keys (kid, secret_id, signs_from) VALUES (:kid, :secret_id, now() + :delay::interval);

-- signing_key_due :value
SELECT NOT EXISTS (
    SELECT 1 FROM signing_keys AS k WHERE k.secret_id = :secret_id AND k.signs_from > now() - :age::interval
);

-- Whether the last key of all is one of another secret.
-- secret_is_new :value
SELECT coalesce((SELECT k.secret_id FROM signing_keys AS k ORDER BY k.signs_from DESC, k.kid DESC LIMIT 1), '')
    <> :secret_id;

-- Keys that were replaced so long ago that no token of theirs is left.
-- purge_signing_keys :value
WITH gone AS (
    DELETE FROM signing_keys AS k WHERE EXISTS (
        SELECT 1 FROM signing_keys AS later
        WHERE later.secret_id = k.secret_id AND later.signs_from > k.signs_from AND later.signs_from < :older_than
    )
    RETURNING 1
)
SELECT count(*) FROM gone;
