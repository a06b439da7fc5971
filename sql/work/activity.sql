-- What feeds read: the log by task, project, person and tenant, newest first, and the names of what it mentions.

-- Those of projects that one may see: links name others as well, and tasks go to other projects.
-- task_names :many
SELECT t.id, t.key AS name, t.title FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.id = ANY(:ids::uuid [])
    AND (:sees_all OR EXISTS (
        SELECT 1 FROM project_parts AS pm
        WHERE pm.tenant_id = t.tenant_id AND pm.project_id = t.project_id AND pm.user_id = ANY(:people::uuid [])
    ));

-- column_names :many
SELECT c.id, c.name, NULL AS title FROM board_columns AS c
WHERE c.tenant_id = :tenant_id AND c.id = ANY(:ids::uuid []);

-- status_names :many
SELECT s.id, s.name, NULL AS title FROM statuses AS s WHERE s.tenant_id = :tenant_id AND s.id = ANY(:ids::uuid []);

-- board_names :many
SELECT b.id, b.name, NULL AS title FROM boards AS b WHERE b.tenant_id = :tenant_id AND b.id = ANY(:ids::uuid []);

-- project_names :many
SELECT p.id, p.name, NULL AS title FROM projects AS p WHERE p.tenant_id = :tenant_id AND p.id = ANY(:ids::uuid []);

-- label_names :many
SELECT l.id, l.name, NULL AS title FROM labels AS l WHERE l.tenant_id = :tenant_id AND l.id = ANY(:ids::uuid []);

-- sprint_names :many
SELECT s.id, s.name, NULL AS title FROM sprints AS s WHERE s.tenant_id = :tenant_id AND s.id = ANY(:ids::uuid []);

-- user_names :many
SELECT u.id, u.name, NULL AS title
FROM members AS m JOIN users AS u ON u.id = m.user_id
WHERE m.tenant_id = :tenant_id AND m.user_id = ANY(:ids::uuid []);

-- project_log :many
SELECT e.room_id, e.seq, e.name, e.at, e.actor_id, u.name AS actor_name, e.command_id, e.task_id, e.data::text AS data
FROM room_events AS e
LEFT JOIN users AS u ON u.id = e.actor_id
WHERE e.tenant_id = :tenant_id AND e.room_id = :room_id AND e.seq < :before_seq AND e.seq > :since
    AND e.name <> ALL(:silent::text [])
ORDER BY e.seq DESC
LIMIT :max_rows;

-- What one person did in a project.
-- project_log_of :many
SELECT e.room_id, e.seq, e.name, e.at, e.actor_id, u.name AS actor_name, e.command_id, e.task_id, e.data::text AS data
FROM room_events AS e
LEFT JOIN users AS u ON u.id = e.actor_id
WHERE e.tenant_id = :tenant_id AND e.room_id = :room_id AND e.seq < :before_seq AND e.seq > :since
    AND e.actor_id = :user_id AND e.name <> ALL(:silent::text [])
ORDER BY e.seq DESC
LIMIT :max_rows;

-- task_log :many
WITH found AS (
    (
        SELECT e.seq FROM room_events AS e
        WHERE e.tenant_id = :tenant_id AND e.task_id = :task_id AND e.room_id = :room_id
            AND e.seq < :before_seq AND e.seq > :since
            AND (:user_id::uuid IS NULL OR e.actor_id = :user_id) AND e.name <> ALL(:silent::text [])
        ORDER BY e.seq DESC
        LIMIT :max_rows
    )
    UNION
    (
        SELECT t.seq FROM event_tasks AS t
        JOIN room_events AS e ON e.tenant_id = t.tenant_id AND e.room_id = t.room_id AND e.seq = t.seq
        WHERE t.tenant_id = :tenant_id AND t.task_id = :task_id AND t.room_id = :room_id
            AND t.seq < :before_seq AND t.seq > :since
            AND (:user_id::uuid IS NULL OR e.actor_id = :user_id) AND e.name <> ALL(:silent::text [])
        ORDER BY t.seq DESC
        LIMIT :max_rows
    )
)
SELECT e.room_id, e.seq, e.name, e.at, e.actor_id, u.name AS actor_name, e.command_id, e.task_id, e.data::text AS data
FROM found AS f
JOIN room_events AS e ON e.tenant_id = :tenant_id AND e.room_id = :room_id AND e.seq = f.seq
LEFT JOIN users AS u ON u.id = e.actor_id
ORDER BY e.seq DESC
LIMIT :max_rows;

-- For who sees every project. What is told in the tenant's room and in the project's comes once.
-- tenant_log :many
SELECT
    e.room_id, r.kind, e.seq, e.name, e.at, e.actor_id, u.name AS actor_name, e.command_id, e.task_id,
    e.data::text AS data
FROM room_events AS e
JOIN rooms AS r ON r.tenant_id = e.tenant_id AND r.id = e.room_id
LEFT JOIN projects AS p ON r.kind = 'project' AND p.tenant_id = e.tenant_id AND p.id = e.room_id
LEFT JOIN users AS u ON u.id = e.actor_id
WHERE e.tenant_id = :tenant_id AND e.at <= :before_at
    AND (e.at, e.room_id, e.seq) < (:before_at::timestamptz, :before_room::uuid, :before_seq::bigint)
    AND e.name <> ALL(:silent::text [])
    AND (
        (r.kind = 'tenant' AND :sees_tenant)
        OR (r.kind = 'project' AND p.deleted_at IS NULL AND NOT (:sees_tenant AND e.name = ANY(:twice::text [])))
    )
ORDER BY e.at DESC, e.room_id DESC, e.seq DESC
LIMIT :max_rows;

-- For who sees only some projects: the newest of each.
-- shared_log :many
SELECT
    e.room_id, 'project' AS kind, e.seq, e.name, e.at, e.actor_id, u.name AS actor_name, e.command_id, e.task_id,
    e.data::text AS data
FROM (
    SELECT DISTINCT pm.project_id FROM project_parts AS pm
    JOIN projects AS p ON p.tenant_id = pm.tenant_id AND p.id = pm.project_id AND p.deleted_at IS NULL
    WHERE pm.tenant_id = :tenant_id AND pm.user_id = ANY(:people::uuid [])
) AS seen
CROSS JOIN LATERAL (
    SELECT x.* FROM room_events AS x
    WHERE x.tenant_id = :tenant_id AND x.room_id = seen.project_id AND x.at <= :before_at
        AND (x.at, x.room_id, x.seq) < (:before_at::timestamptz, :before_room::uuid, :before_seq::bigint)
        AND (:user_id::uuid IS NULL OR x.actor_id = :user_id) AND x.name <> ALL(:silent::text [])
    ORDER BY x.seq DESC
    LIMIT :max_rows
) AS e
LEFT JOIN users AS u ON u.id = e.actor_id
ORDER BY e.at DESC, e.room_id DESC, e.seq DESC
LIMIT :max_rows;

-- What one person did, for who sees every project.
-- person_log :many
SELECT
    e.room_id, r.kind, e.seq, e.name, e.at, e.actor_id, u.name AS actor_name, e.command_id, e.task_id,
    e.data::text AS data
FROM room_events AS e
JOIN rooms AS r ON r.tenant_id = e.tenant_id AND r.id = e.room_id
LEFT JOIN projects AS p ON r.kind = 'project' AND p.tenant_id = e.tenant_id AND p.id = e.room_id
LEFT JOIN users AS u ON u.id = e.actor_id
WHERE e.tenant_id = :tenant_id AND e.actor_id = :user_id AND e.at <= :before_at
    AND (e.at, e.room_id, e.seq) < (:before_at::timestamptz, :before_room::uuid, :before_seq::bigint)
    AND e.name <> ALL(:silent::text [])
    AND (
        (r.kind = 'tenant' AND :sees_tenant)
        OR (r.kind = 'project' AND p.deleted_at IS NULL AND NOT (:sees_tenant AND e.name = ANY(:twice::text [])))
    )
ORDER BY e.at DESC, e.room_id DESC, e.seq DESC
LIMIT :max_rows;
