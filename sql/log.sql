-- The room log. Every statement runs with the tenant set; the room row is locked by the opening round trip. What every
-- command runs finds rows by their keys (LATERAL … LIMIT 1), whatever the planner knows of the tables: decision 38.

-- What a group needs to know before it starts, read after the lock was taken: the head, the clock,
-- the rights of its actors in this room, and which of its commands were applied before.
-- open_room :maybe
SELECT
    r.kind,
    epoch_of(r.epoch) AS epoch,
    r.head_seq,
    r.triggers,
    t.rights_seq,
    t.status AS tenant_status,
    clock_timestamp() AS now,
    p.deleted_at IS NOT NULL AS gone,
    p.archived_at IS NOT NULL AS archived,
    (
        SELECT json_agg(json_build_object(
            'user_id', m.user_id, 'name', u.name, 'role', m.role, 'allowed', m.allowed, 'denied', m.denied,
            'project_role', pm.role, 'direct', pm.direct, 'shared_roles', pm.shared_roles,
            'in_project', pm.user_id IS NOT NULL,
            'stands_for', CASE
                WHEN m.delegated_until > clock_timestamp() THEN stands_for(r.tenant_id, m.user_id, r.id)
            END,
            'expires_at', m.expires_at, 'live', m.status = 'active' AND u.status = 'active'
            AND (m.expires_at IS NULL OR m.expires_at > clock_timestamp())
        ))
        FROM members AS m
        JOIN users AS u ON u.id = m.user_id
        LEFT JOIN LATERAL (
            SELECT x.* FROM project_parts AS x
            WHERE r.kind = 'project' AND x.tenant_id = :tenant_id AND x.project_id = :room_id AND x.user_id = m.user_id
            LIMIT 1
        ) AS pm ON true
        WHERE m.tenant_id = :tenant_id AND m.user_id = ANY(:actor_ids::uuid [])
    )::text AS actors,
    (
        SELECT json_agg(json_build_object(
            'actor_id', a.actor_id, 'command_id', a.command_id, 'fingerprint', encode(a.fingerprint, 'hex'),
            'room_id', a.room_id, 'seq', a.seq, 'reply', a.reply
        ))
        FROM json_to_recordset(:asked::json) AS asked (actor_id uuid, command_id uuid)
        CROSS JOIN LATERAL (
            SELECT x.* FROM applied_commands AS x
            WHERE x.tenant_id = :tenant_id AND x.actor_id = asked.actor_id AND x.command_id = asked.command_id
            LIMIT 1
        ) AS a
    )::text AS applied
FROM rooms AS r
JOIN tenants AS t ON t.id = r.tenant_id
LEFT JOIN LATERAL (
    SELECT x.deleted_at, x.archived_at FROM projects AS x
    WHERE r.kind = 'project' AND x.tenant_id = :tenant_id AND x.id = :room_id LIMIT 1
) AS p ON true
WHERE r.tenant_id = :tenant_id AND r.id = :room_id;

-- was_applied :value
SELECT EXISTS (
    SELECT 1 FROM applied_commands AS a
    WHERE a.tenant_id = :tenant_id AND a.actor_id = :actor_id AND a.command_id = :command_id
);

-- The heads of the other rooms that a group writes to, locked in the one order that everybody uses.
-- lock_rooms :many
SELECT r.id, r.kind, epoch_of(r.epoch) AS epoch, r.head_seq
FROM rooms AS r
WHERE r.tenant_id = :tenant_id AND r.id = ANY(:room_ids::uuid [])
ORDER BY array_position(ARRAY['tenant', 'project', 'channel', 'document', 'user'], r.kind), r.id
FOR UPDATE;

-- Events, replies, evidence and heads of a whole group in one statement: there is no command without its audit entry.
-- One text of JSON for all but the heads: twenty arrays took longer to send than to write.
-- append_log :exec
WITH log AS (
    SELECT x.* FROM json_to_record(:log::json) AS x (room_id uuid, at timestamptz, calls json, events json)
), calls AS (
    SELECT log.room_id, log.at, c.* FROM log CROSS JOIN ROWS FROM (json_to_recordset(log.calls) AS (
        actor_id uuid, command_id uuid, name text, fingerprint text, seq bigint, reply json,
        impersonator_id uuid, session_id uuid, resource text, address text, user_agent text, changes json, was json
    )) WITH ORDINALITY AS c (
        actor_id, command_id, name, fingerprint, seq, reply,
        impersonator_id, session_id, resource, address, user_agent, changes, was, place
    )
), heads AS (
    UPDATE rooms AS r SET head_seq = (:head_seqs::bigint [])[array_position(:head_rooms::uuid [], r.id)]
    WHERE r.tenant_id = :tenant_id AND r.id = ANY(:head_rooms::uuid [])
), replies AS (
    INSERT INTO applied_commands (tenant_id, actor_id, command_id, room_id, name, fingerprint, seq, reply, at)
    SELECT :tenant_id, c.actor_id, c.command_id, c.room_id, c.name, decode(c.fingerprint, 'hex'), c.seq, c.reply, c.at
    FROM calls AS c
), entries AS (
    INSERT INTO audit_entries (
        tenant_id, id, at, action, outcome, actor_id, impersonator_id, session_id, command_id, room_id,
        resource, address, user_agent, changes, was
    )
    SELECT
        :tenant_id, audit_id(c.at, c.place), c.at, c.name, 'ok', c.actor_id, c.impersonator_id, c.session_id,
        c.command_id, c.room_id, c.resource, c.address, c.user_agent, c.changes, c.was
    FROM calls AS c
    RETURNING id
), pending AS (
    INSERT INTO audit_pending (tenant_id, entry_ids) SELECT :tenant_id, array_agg(e.id) FROM entries AS e
)
INSERT INTO room_events (tenant_id, room_id, seq, name, at, actor_id, command_id, data, task_id)
SELECT :tenant_id, e.room_id, e.seq, e.name, log.at, e.actor_id, e.command_id, e.data, e.task_id
FROM log CROSS JOIN json_to_recordset(log.events) AS e (
    room_id uuid, seq bigint, name text, actor_id uuid, command_id uuid, data json, task_id uuid
);

-- What else the events of a group are about: only those that are about several tasks.
-- append_event_tasks :exec
INSERT INTO event_tasks (tenant_id, room_id, seq, task_id)
SELECT :tenant_id, e.room_id, e.seq, e.task_id
FROM unnest(:room_ids::uuid [], :seqs::bigint [], :task_ids::uuid []) AS e (room_id, seq, task_id)
ON CONFLICT DO NOTHING;

-- project_standing :maybe
SELECT p.deleted_at IS NOT NULL AS gone, p.archived_at IS NOT NULL AS archived
FROM projects AS p WHERE p.tenant_id = :tenant_id AND p.id = :project_id;

-- create_room :exec
INSERT INTO rooms (tenant_id, id, kind) VALUES (:tenant_id, :id, :kind)
ON CONFLICT DO NOTHING;

-- A new room under an id that a client may have chosen: nothing when another room has it.
-- claim_room :maybe
INSERT INTO rooms (tenant_id, id, kind) VALUES (:tenant_id, :id, :kind)
ON CONFLICT DO NOTHING
RETURNING id;

-- room_position :maybe
SELECT
    r.kind, epoch_of(r.epoch) AS epoch, r.head_seq, r.floor_seq,
    (SELECT t.rights_seq FROM tenants AS t WHERE t.id = r.tenant_id) AS rights_seq,
    EXISTS (
        SELECT 1 FROM projects AS p
        WHERE r.kind = 'project' AND p.tenant_id = r.tenant_id AND p.id = r.id AND p.deleted_at IS NOT NULL
    ) AS gone,
    clock_timestamp() AS now
FROM rooms AS r
WHERE r.tenant_id = :tenant_id AND r.id = :room_id;

-- Where a room stands and what one person may do in it: the beginning of every query and join.
-- room_for :maybe
SELECT
    r.kind, epoch_of(r.epoch) AS epoch, r.head_seq, r.floor_seq, clock_timestamp() AS now, t.rights_seq, t.status AS tenant_status,
    EXISTS (
        SELECT 1 FROM projects AS p
        WHERE r.kind = 'project' AND p.tenant_id = r.tenant_id AND p.id = r.id AND p.deleted_at IS NOT NULL
    ) AS gone,
    m.user_id, m.role, m.allowed, m.denied,
    pm.role AS project_role, pm.direct, pm.shared_roles, pm.user_id IS NOT NULL AS in_project,
    CASE WHEN m.delegated_until > clock_timestamp() THEN stands_for(r.tenant_id, m.user_id, r.id) END::text
        AS stands_for,
    m.status = 'active' AND u.status = 'active'
    AND (m.expires_at IS NULL OR m.expires_at > clock_timestamp()) AS live
FROM rooms AS r
JOIN tenants AS t ON t.id = r.tenant_id
JOIN members AS m ON m.tenant_id = r.tenant_id AND m.user_id = :actor_id
JOIN users AS u ON u.id = m.user_id
LEFT JOIN project_parts AS pm
    ON pm.tenant_id = r.tenant_id AND pm.project_id = r.id AND pm.user_id = m.user_id
WHERE r.tenant_id = :tenant_id AND r.id = :room_id;

-- The rights of one person in one room, for queries and joins.
-- actor_rights :maybe
SELECT
    m.user_id, u.name, m.role, m.allowed, m.denied,
    pm.role AS project_role, pm.direct, pm.shared_roles, pm.user_id IS NOT NULL AS in_project,
    CASE WHEN m.delegated_until > clock_timestamp() THEN stands_for(m.tenant_id, m.user_id, :room_id) END::text
        AS stands_for,
    m.expires_at,
    m.status = 'active' AND u.status = 'active'
    AND (m.expires_at IS NULL OR m.expires_at > clock_timestamp()) AS live
FROM members AS m
JOIN users AS u ON u.id = m.user_id
LEFT JOIN project_parts AS pm
    ON pm.tenant_id = m.tenant_id AND pm.project_id = :room_id AND pm.user_id = m.user_id
WHERE m.tenant_id = :tenant_id AND m.user_id = :actor_id;

-- events_after :many
SELECT e.seq, e.name, e.at, e.actor_id, u.name AS actor_name, e.command_id, e.data
FROM (
    SELECT
        r.seq, r.name, r.at, r.actor_id, r.command_id, r.data::text AS data,
        sum(octet_length(r.data::text)) OVER (ORDER BY r.seq ROWS UNBOUNDED PRECEDING) AS size
    FROM room_events AS r
    WHERE r.tenant_id = :tenant_id AND r.room_id = :room_id AND r.seq > :after_seq AND r.seq <= :upto_seq
    ORDER BY r.seq
    LIMIT :max_events
) AS e
LEFT JOIN users AS u ON u.id = e.actor_id
WHERE e.size <= :max_bytes::bigint OR e.seq = :after_seq + 1
ORDER BY e.seq;

-- room_heads :many
SELECT h.tenant_id, h.id, h.epoch, h.head_seq, h.rights_seq FROM room_heads(:tenant_ids, :room_ids) AS h;

-- Another epoch for all rooms; with a witness, only while that room is still in the epoch it was seen in.
-- renew_epochs :value
SELECT renew_epochs(:witness_tenant, :witness_room, :seen_epoch);

-- purge_applied_commands :value
SELECT purge_applied_commands(:older_than);

-- trim_room_events :value
SELECT trim_room_events(:older_than);
