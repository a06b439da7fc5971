-- Alarms: what the server itself sends at a moment.

-- set_alarms :exec
INSERT INTO alarms (tenant_id, key, room_id, at, name, payload, actor_id, command_id, try_at)
SELECT :tenant_id, a.key, :room_id, a.at, a.name, a.payload, :actor_id, a.command_id, a.at
FROM json_to_recordset(:alarms::json) AS a (key text, at timestamptz, name text, payload json, command_id uuid)
ON CONFLICT (tenant_id, key) DO UPDATE
SET
    room_id = excluded.room_id, at = excluded.at, name = excluded.name, payload = excluded.payload,
    actor_id = excluded.actor_id, command_id = excluded.command_id, try_at = excluded.try_at, tries = 0;

-- The same, unless one under its key comes earlier.
-- advance_alarm :exec
INSERT INTO alarms (tenant_id, key, room_id, at, name, payload, actor_id, command_id, try_at)
SELECT :tenant_id, a.key, :room_id, a.at, a.name, a.payload, :actor_id, a.command_id, a.at
FROM json_to_recordset(:alarms::json) AS a (key text, at timestamptz, name text, payload json, command_id uuid)
ON CONFLICT (tenant_id, key) DO UPDATE
SET
    room_id = excluded.room_id, at = excluded.at, name = excluded.name, payload = excluded.payload,
    actor_id = excluded.actor_id, command_id = excluded.command_id, try_at = excluded.try_at, tries = 0
WHERE alarms.at > excluded.at;

-- clear_alarms :exec
DELETE FROM alarms WHERE tenant_id = :tenant_id AND key = ANY(:keys::text []);

-- Those of one thing and its parts: 'reminder:<task>:' and what follows. A key has no character above '~'.
-- clear_alarms_under :exec
DELETE FROM alarms WHERE tenant_id = :tenant_id AND key >= :prefix AND key < :prefix || '~';

-- lease_alarms :many
SELECT * FROM lease_alarms(:lease::interval, :most::bigint);

-- An alarm is heard once: nothing where it was taken back, set anew, or heard already.
-- take_alarm :value
DELETE FROM alarms WHERE tenant_id = :tenant_id AND key = :key AND command_id = :command_id
RETURNING true;

-- What is refused is dropped, unless its project went to the trash or the archive after it was leased: it sleeps then.
-- drop_alarm :value
DELETE FROM alarms AS a WHERE a.tenant_id = :tenant_id AND a.key = :key AND a.command_id = :command_id
    AND NOT EXISTS (
        SELECT FROM projects AS p
        WHERE p.tenant_id = :tenant_id AND p.id = a.room_id AND (p.deleted_at IS NOT NULL OR p.archived_at IS NOT NULL)
    )
RETURNING true;

-- Where it was leased for nothing it is due again at once.
-- release_alarm :value
UPDATE alarms SET try_at = at WHERE tenant_id = :tenant_id AND key = :key AND command_id = :command_id
RETURNING true;

-- What slept in a project, or in the tenant, and is due, is due at once when that is back. All of it is written, also what
-- seems to be awake: a search that still sees it asleep holds its lock, and may be about to put it off.
-- wake_alarms :exec
UPDATE alarms SET try_at = at
WHERE tenant_id = :tenant_id AND (:project_id::uuid IS NULL OR room_id = :project_id) AND at <= :now;

-- postpone_alarm :value
UPDATE alarms SET try_at = now() + :pause::interval, tries = tries + 1
WHERE tenant_id = :tenant_id AND key = :key AND command_id = :command_id
RETURNING true;
