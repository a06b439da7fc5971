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
