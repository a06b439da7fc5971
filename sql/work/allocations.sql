-- Who is planned for which project.

-- allocation :maybe
SELECT a.* FROM allocations AS a
JOIN projects AS p ON p.tenant_id = a.tenant_id AND p.id = a.project_id AND p.deleted_at IS NULL
WHERE a.tenant_id = :tenant_id AND a.project_id = :project_id AND a.id = :allocation_id;

-- count_allocations :value
SELECT count(*) FROM allocations WHERE tenant_id = :tenant_id AND project_id = :project_id;

-- add_allocation :one
INSERT INTO allocations (
    tenant_id, project_id, id, user_id, minutes_per_week, start_on, end_on, created_by, created_at, updated_by, updated_at
)
VALUES (
    :tenant_id, :project_id, :id, :user_id, :minutes_per_week, :start_on, :end_on, :actor_id, :now, :actor_id, :now
)
RETURNING *;

-- update_allocation :one
UPDATE allocations
SET
    minutes_per_week = :minutes_per_week, start_on = :start_on, end_on = :end_on, version = version + 1,
    updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :id
RETURNING *;

-- remove_allocation :exec
DELETE FROM allocations WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :allocation_id;

-- allocations_of :many
SELECT a.* FROM allocations AS a
JOIN projects AS p ON p.tenant_id = a.tenant_id AND p.id = a.project_id AND p.deleted_at IS NULL
WHERE a.tenant_id = :tenant_id AND a.id > :after_id
    AND (:project_id::uuid IS NULL OR a.project_id = :project_id)
    AND (:user_id::uuid IS NULL OR a.user_id = :user_id)
ORDER BY a.id
LIMIT :max_rows;

-- The active members who are planned for something in some weeks, by name.
-- planned_people :many
SELECT u.id, u.name
FROM members AS m
JOIN users AS u ON u.id = m.user_id
WHERE m.tenant_id = :tenant_id AND m.status = 'active' AND (u.name, u.id) > (:after_name, :after_id::uuid)
    AND (:user_ids::uuid [] IS NULL OR m.user_id = ANY(:user_ids))
    AND EXISTS (
        SELECT 1 FROM allocations AS a
        WHERE a.tenant_id = m.tenant_id AND a.user_id = m.user_id
            AND a.start_on < :until AND (a.end_on IS NULL OR a.end_on >= :first)
    )
ORDER BY u.name, u.id
LIMIT :max_rows;

-- planned_between :many
SELECT a.user_id, a.project_id, a.minutes_per_week, a.start_on, a.end_on
FROM allocations AS a
JOIN projects AS p
    ON p.tenant_id = a.tenant_id AND p.id = a.project_id AND p.deleted_at IS NULL AND p.archived_at IS NULL
    AND p.status NOT IN ('completed', 'cancelled')
WHERE a.tenant_id = :tenant_id AND a.user_id = ANY(:user_ids::uuid [])
    AND a.start_on < :until AND (a.end_on IS NULL OR a.end_on >= :first)
ORDER BY a.start_on, a.id;
