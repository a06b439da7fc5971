-- The audit log. Entries of commands are written by append_log; see sql/log.sql.

-- record_audit :exec
SELECT record_audit(
    :tenant::uuid, :person::uuid, :action, :outcome, :actor_id::uuid, :impersonator_id::uuid, :session_id::uuid,
    :resource, :address, :user_agent, :changes::text::json, :was::text::json
);

-- A page of entries. The branch of the rarest filter given finds them by its own index, the others are then tested; a
-- branch whose condition on the parameters does not hold is not run. Actions that begin with a prefix are looked up in
-- the index one by one, so that each is read by its index as well.
-- audit_page :many
WITH RECURSIVE actions (action) AS (
    (
        SELECT e.action FROM audit_entries AS e
        WHERE e.tenant_id = :tenant_id AND e.action >= :action::text AND e.action < :action::text || :beyond::text
            AND :resource::text IS NULL AND :actor_id::uuid IS NULL
        ORDER BY e.action LIMIT 1
    )
    UNION ALL
    SELECT (
        SELECT e.action FROM audit_entries AS e
        WHERE e.tenant_id = :tenant_id AND e.action > a.action AND e.action < :action::text || :beyond::text
        ORDER BY e.action LIMIT 1
    )
    FROM actions AS a WHERE a.action IS NOT NULL
), found AS (
    (
        SELECT e.id FROM audit_entries AS e
        WHERE :resource::text IS NOT NULL AND e.tenant_id = :tenant_id AND e.resource = :resource::text
            AND e.id >= :after_id::uuid AND e.id < :before_id::uuid
            AND (:actor_id::uuid IS NULL OR e.actor_id = :actor_id::uuid)
            AND (:action::text IS NULL OR (e.action >= :action::text AND e.action < :action::text || :beyond::text))
            AND (:outcome::text IS NULL OR e.outcome = :outcome::text OR (:outcome::text = 'failed' AND e.outcome <> 'ok'))
            AND (:since::timestamptz IS NULL OR e.at >= :since::timestamptz)
            AND (:until::timestamptz IS NULL OR e.at < :until::timestamptz)
        ORDER BY e.id DESC LIMIT :most
    )
    UNION ALL
    (
        SELECT e.id FROM audit_entries AS e
        WHERE :resource::text IS NULL AND :actor_id::uuid IS NOT NULL
            AND e.tenant_id = :tenant_id AND e.actor_id = :actor_id::uuid
            AND e.id >= :after_id::uuid AND e.id < :before_id::uuid
            AND (:action::text IS NULL OR (e.action >= :action::text AND e.action < :action::text || :beyond::text))
            AND (:outcome::text IS NULL OR e.outcome = :outcome::text OR (:outcome::text = 'failed' AND e.outcome <> 'ok'))
            AND (:since::timestamptz IS NULL OR e.at >= :since::timestamptz)
            AND (:until::timestamptz IS NULL OR e.at < :until::timestamptz)
        ORDER BY e.id DESC LIMIT :most
    )
    UNION ALL
    (
        SELECT e.id FROM actions AS a CROSS JOIN LATERAL (
            SELECT o.id FROM audit_entries AS o
            WHERE o.tenant_id = :tenant_id AND o.action = a.action
                AND o.id >= :after_id::uuid AND o.id < :before_id::uuid
                AND (:outcome::text IS NULL OR o.outcome = :outcome::text OR (:outcome::text = 'failed' AND o.outcome <> 'ok'))
                AND (:since::timestamptz IS NULL OR o.at >= :since::timestamptz)
                AND (:until::timestamptz IS NULL OR o.at < :until::timestamptz)
            ORDER BY o.id DESC LIMIT :most
        ) AS e
        ORDER BY e.id DESC LIMIT :most
    )
    UNION ALL
    (
        SELECT e.id FROM audit_entries AS e
        WHERE :resource::text IS NULL AND :actor_id::uuid IS NULL AND :action::text IS NULL AND :outcome::text <> 'ok'
            AND e.tenant_id = :tenant_id AND e.outcome <> 'ok'
            AND e.id >= :after_id::uuid AND e.id < :before_id::uuid
            AND (e.outcome = :outcome::text OR :outcome::text = 'failed')
            AND (:since::timestamptz IS NULL OR e.at >= :since::timestamptz)
            AND (:until::timestamptz IS NULL OR e.at < :until::timestamptz)
        ORDER BY e.id DESC LIMIT :most
    )
    UNION ALL
    (
        SELECT e.id FROM audit_entries AS e
        WHERE :resource::text IS NULL AND :actor_id::uuid IS NULL AND :action::text IS NULL
            AND coalesce(:outcome::text, 'ok') = 'ok'
            AND e.tenant_id = :tenant_id AND e.id >= :after_id::uuid AND e.id < :before_id::uuid
            AND (:outcome::text IS NULL OR e.outcome = 'ok')
            AND (:since::timestamptz IS NULL OR e.at >= :since::timestamptz)
            AND (:until::timestamptz IS NULL OR e.at < :until::timestamptz)
        ORDER BY e.id DESC LIMIT :most
    )
), page AS (
    SELECT f.id FROM found AS f ORDER BY f.id DESC LIMIT :most
)
SELECT
    e.id, e.at, e.action, e.outcome, e.actor_id, a.name AS actor_name,
    e.impersonator_id, i.name AS impersonator_name, e.session_id, e.command_id, r.kind || ':' || r.id AS room,
    e.resource, e.address, e.user_agent, e.changes::text AS changes, e.was::text AS was, s.seq
FROM page AS p
JOIN audit_entries AS e ON e.tenant_id = :tenant_id AND e.id = p.id
LEFT JOIN users AS a ON a.id = e.actor_id
LEFT JOIN users AS i ON i.id = e.impersonator_id
LEFT JOIN rooms AS r ON r.tenant_id = e.tenant_id AND r.id = e.room_id
LEFT JOIN audit_seals AS s ON s.tenant_id = e.tenant_id AND s.entry_id = e.id
ORDER BY e.id DESC;

-- Sealing.

-- audit_unsealed :many
SELECT a.tenant_id FROM audit_unsealed(:most::integer) AS a;

-- One at a time seals a chain; the statements after this one see what the one before has committed.
-- lock_audit_chain :one
SELECT pg_try_advisory_xact_lock(hashtextextended('audit ' || :tenant_id::uuid::text, 0)) AS locked, clock_timestamp() AS now;

-- audit_head :maybe
SELECT s.seq, s.hash FROM audit_seals AS s WHERE s.tenant_id = :tenant_id ORDER BY s.seq DESC LIMIT 1;

-- audit_anchor :maybe
SELECT a.seq, a.hash, a.signature, a.removed_at FROM audit_anchors AS a
WHERE a.tenant_id = :tenant_id ORDER BY a.seq DESC LIMIT 1;

-- What waits, in the order of the entries: one may be gone, or sealed already.
-- audit_to_seal :many
SELECT
    p.id AS pending_id, w.entry_id,
    EXISTS (
        SELECT 1 FROM audit_seals AS s WHERE s.tenant_id = :tenant_id AND s.entry_id = w.entry_id
    ) AS sealed,
    e.id, e.at, e.action, e.outcome, e.actor_id, e.impersonator_id, e.session_id,
    e.command_id, e.room_id, e.resource, e.address, e.user_agent, e.changes::text AS changes, e.was::text AS was
FROM (
    SELECT o.id, o.entry_ids FROM audit_pending AS o
    WHERE o.tenant_id = :tenant_id ORDER BY o.entry_ids LIMIT :most
) AS p
CROSS JOIN LATERAL unnest(p.entry_ids) AS w (entry_id)
LEFT JOIN audit_entries AS e ON e.tenant_id = :tenant_id AND e.id = w.entry_id
ORDER BY w.entry_id;

-- seal_audit :exec
WITH seals AS (
    INSERT INTO audit_seals (tenant_id, seq, entry_id, hash, signature, sealed_at)
    SELECT :tenant_id, s.seq, s.entry_id, s.hash, CASE WHEN s.seq = :last_seq::bigint THEN :signature::bytea END, :now
    FROM unnest(:seqs::bigint [], :entry_ids::uuid [], :hashes::bytea []) AS s (seq, entry_id, hash)
)
DELETE FROM audit_pending WHERE tenant_id = :tenant_id AND id = ANY(:pending_ids::uuid []);

-- Retention.

-- audit_old_chains :many
SELECT a.tenant_id FROM audit_old_chains(:older_than) AS a;

-- The last of the oldest entries that may all go. The first that is too young ends them.
-- audit_trim_point :maybe
WITH oldest AS (
    SELECT s.seq, s.hash, e.at < :older_than::timestamptz AS old
    FROM (
        SELECT o.seq, o.hash, o.entry_id FROM audit_seals AS o WHERE o.tenant_id = :tenant_id ORDER BY o.seq LIMIT :most
    ) AS s
    LEFT JOIN audit_entries AS e ON e.tenant_id = :tenant_id AND e.id = s.entry_id
)
SELECT o.seq, o.hash FROM oldest AS o
WHERE o.old AND NOT EXISTS (SELECT 1 FROM oldest AS y WHERE y.seq < o.seq AND y.old IS NOT TRUE)
ORDER BY o.seq DESC LIMIT 1;

-- trim_audit :value
SELECT trim_audit(
    :tenant_id, :upto_seq, :upto_hash::bytea, :anchor_signature::bytea, :older_than::timestamptz
);

-- Verifying.

-- audit_chains :many
SELECT a.tenant_id, a.slug FROM audit_chains() AS a;

-- A stretch of a chain with its entries; the entry's columns are null where it is gone.
-- audit_chain_page :many
SELECT
    s.seq, s.entry_id, s.hash, s.signature, s.sealed_at,
    e.id, e.at, e.action, e.outcome, e.actor_id, e.impersonator_id, e.session_id,
    e.command_id, e.room_id, e.resource, e.address, e.user_agent, e.changes::text AS changes, e.was::text AS was
FROM audit_seals AS s
LEFT JOIN audit_entries AS e ON e.tenant_id = s.tenant_id AND e.id = s.entry_id
WHERE s.tenant_id = :tenant_id AND s.seq > :after_seq
ORDER BY s.seq
LIMIT :most;

-- A stretch of the entries: whether each is sealed, or waits for it.
-- audit_entries_page :many
SELECT
    e.id, e.at, e.action, s.seq,
    s.seq IS NULL AND EXISTS (
        SELECT 1 FROM audit_pending AS p WHERE p.tenant_id = :tenant_id AND e.id = ANY(p.entry_ids)
    ) AS waits,
    now() - e.at AS age
FROM (
    SELECT o.id, o.at, o.action FROM audit_entries AS o
    WHERE o.tenant_id = :tenant_id AND o.id > :after_id ORDER BY o.id LIMIT :most
) AS e
LEFT JOIN audit_seals AS s ON s.tenant_id = :tenant_id AND s.entry_id = e.id
ORDER BY e.id;

-- audit_length :value
SELECT
    coalesce((SELECT max(s.seq) FROM audit_seals AS s WHERE s.tenant_id = :tenant_id), 0)
    - coalesce((SELECT max(a.seq) FROM audit_anchors AS a WHERE a.tenant_id = :tenant_id), 0);
