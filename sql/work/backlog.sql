-- The order in which a project's tasks are taken up: one for all of them, in a sprint or in none. A task that was never
-- moved in it stands by its number: at 'l', ten digits and '00', as `positions.numbered` says.

-- What is open and planned into no sprint, or left behind in one that is completed.
-- backlog :many
SELECT t.* FROM (
    (
        SELECT t.* FROM tasks AS t
        JOIN statuses AS c ON c.tenant_id = t.tenant_id AND c.id = t.status_id AND c.category <> 'cancelled'
        LEFT JOIN sprints AS s ON s.tenant_id = t.tenant_id AND s.id = t.sprint_id
        WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.backlog_position > :after_position
            AND t.deleted_at IS NULL AND t.archived_at IS NULL AND t.completed_at IS NULL
            AND (t.sprint_id IS NULL OR s.status = 'completed')
            AND (:subtasks OR t.parent_id IS NULL)
        ORDER BY t.backlog_position
        LIMIT :max_rows
    )
    UNION ALL
    (
        SELECT t.* FROM tasks AS t
        JOIN statuses AS c ON c.tenant_id = t.tenant_id AND c.id = t.status_id AND c.category <> 'cancelled'
        LEFT JOIN sprints AS s ON s.tenant_id = t.tenant_id AND s.id = t.sprint_id
        WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.number > :after_number
            AND t.backlog_position IS NULL
            AND t.deleted_at IS NULL AND t.archived_at IS NULL AND t.completed_at IS NULL
            AND (t.sprint_id IS NULL OR s.status = 'completed')
            AND (:subtasks OR t.parent_id IS NULL)
        ORDER BY t.number
        LIMIT :max_rows
    )
) AS t
ORDER BY coalesce(t.backlog_position, 'l' || lpad(t.number::text, 10, '0') || '00') COLLATE "C"
LIMIT :max_rows;

-- A task that is to be moved in the order, the one beside which, and the number that the next new task will have.
-- backlog_context :maybe
SELECT
    t.id, t.number, t.backlog_position, t.version, t.updated_by, t.updated_at,
    (SELECT u.name FROM users AS u WHERE u.id = t.updated_by) AS updated_by_name,
    a.id AS anchor_id, a.number AS anchor_number, a.backlog_position AS anchor_backlog_position,
    p.last_number + 1 AS next_number
FROM tasks AS t
JOIN projects AS p ON p.tenant_id = t.tenant_id AND p.id = t.project_id
LEFT JOIN tasks AS a
    ON a.tenant_id = t.tenant_id AND a.project_id = t.project_id AND a.id = :anchor_id AND a.deleted_at IS NULL
    AND a.archived_at IS NULL
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = :task_id AND t.deleted_at IS NULL
    AND t.archived_at IS NULL;

-- What stands before a place, the nearest first; with what is in trash and archive, which keeps its place.
-- backlog_before :many
SELECT t.id, t.number, t.backlog_position FROM (
    (
        SELECT t.* FROM tasks AS t
        WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.backlog_position < :place AND t.id <> :task_id
        ORDER BY t.backlog_position DESC
        LIMIT :reach
    )
    UNION ALL
    (
        SELECT t.* FROM tasks AS t
        WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.number < :place_number
            AND t.backlog_position IS NULL AND t.id <> :task_id
        ORDER BY t.number DESC
        LIMIT :reach
    )
) AS t
ORDER BY coalesce(t.backlog_position, 'l' || lpad(t.number::text, 10, '0') || '00') COLLATE "C" DESC
LIMIT :reach;

-- What stands after a place, the nearest first.
-- backlog_after :many
SELECT t.id, t.number, t.backlog_position FROM (
    (
        SELECT t.* FROM tasks AS t
        WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.backlog_position > :place AND t.id <> :task_id
        ORDER BY t.backlog_position
        LIMIT :reach
    )
    UNION ALL
    (
        SELECT t.* FROM tasks AS t
        WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.number > :place_number
            AND t.backlog_position IS NULL AND t.id <> :task_id
        ORDER BY t.number
        LIMIT :reach
    )
) AS t
ORDER BY coalesce(t.backlog_position, 'l' || lpad(t.number::text, 10, '0') || '00') COLLATE "C"
LIMIT :reach;

-- The first task on the board that stands at a place or after it, beside one that goes there.
-- backlog_from :maybe
SELECT t.id FROM (
    (
        SELECT t.* FROM tasks AS t
        WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.backlog_position >= :place AND t.id <> :task_id
            AND t.deleted_at IS NULL AND t.archived_at IS NULL
        ORDER BY t.backlog_position
        LIMIT 1
    )
    UNION ALL
    (
        SELECT t.* FROM tasks AS t
        WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.number > :place_number
            AND t.backlog_position IS NULL AND t.id <> :task_id
            AND t.deleted_at IS NULL AND t.archived_at IS NULL
        ORDER BY t.number
        LIMIT 1
    )
) AS t
ORDER BY coalesce(t.backlog_position, 'l' || lpad(t.number::text, 10, '0') || '00') COLLATE "C"
LIMIT 1;

-- place_in_backlog :many
UPDATE tasks AS t
SET backlog_position = n.position, version = t.version + 1, updated_by = :actor_id, updated_at = :now
FROM unnest(:ids::uuid [], :positions::text []) AS n (id, position)
WHERE t.tenant_id = :tenant_id AND t.id = n.id
RETURNING t.id, t.backlog_position, t.version, t.updated_at,
    t.deleted_at IS NULL AND t.archived_at IS NULL AS on_board;
