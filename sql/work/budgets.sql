-- Budgets.

-- is_inside :value
SELECT EXISTS (
    SELECT 1 FROM members AS m
    WHERE m.tenant_id = :tenant_id AND m.user_id = :actor_id AND m.role NOT IN ('client', 'guest')
);

-- budget :one
SELECT
    b.minutes, b.amount, b.currency, b.hourly_rate, b.updated_at,
    coalesce(used.spent, 0)::bigint AS spent_minutes, coalesce(used.planned, 0)::bigint AS planned_minutes
FROM (SELECT 1) AS always
LEFT JOIN budgets AS b ON b.tenant_id = :tenant_id AND b.project_id = :project_id
CROSS JOIN LATERAL (
    SELECT
        sum(t.actual_minutes) AS spent,
        sum(t.estimate_minutes) FILTER (WHERE s.category <> 'cancelled') AS planned
    FROM tasks AS t
    JOIN statuses AS s ON s.tenant_id = t.tenant_id AND s.project_id = :project_id AND s.id = t.status_id
    WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.deleted_at IS NULL
) AS used;

-- set_budget :exec
INSERT INTO budgets (tenant_id, project_id, minutes, amount, currency, hourly_rate, updated_by, updated_at)
VALUES (:tenant_id, :project_id, :minutes, :amount, :currency, :hourly_rate, :actor_id, :now)
ON CONFLICT (tenant_id, project_id) DO UPDATE
SET
    minutes = excluded.minutes, amount = excluded.amount, currency = excluded.currency,
    hourly_rate = excluded.hourly_rate, updated_by = excluded.updated_by, updated_at = excluded.updated_at;

-- raise_budget_version :one
UPDATE projects SET budget_version = budget_version + 1 WHERE tenant_id = :tenant_id AND id = :project_id
RETURNING id, budget_version;
