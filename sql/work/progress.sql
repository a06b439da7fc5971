-- How much of a project is done.

-- What is done of these projects now, beside what they say: the mean of what is in them, else the share of their tasks
-- that are done, by number or by estimate. Tasks with subtasks (that are not cancelled) and cancelled ones are left out,
-- archived ones count. Rounded down: 100 is all of it.
-- reckon_progress :many
SELECT p.id, p.parent_id, p.progress, coalesce(held.mean, own.share, 0)::bigint AS fresh
FROM projects AS p
CROSS JOIN LATERAL (
    SELECT floor(avg(c.progress)) AS mean FROM projects AS c
    WHERE c.tenant_id = p.tenant_id AND c.parent_id = p.id AND c.deleted_at IS NULL AND c.status <> 'cancelled'
) AS held
CROSS JOIN LATERAL (
    SELECT CASE
        WHEN p.progress_by = 'estimate' AND sum(t.estimate_minutes) > 0
            THEN floor(100 * coalesce(sum(t.estimate_minutes) FILTER (WHERE s.category = 'done'), 0) / sum(t.estimate_minutes))
        WHEN count(*) > 0 THEN floor(100 * count(*) FILTER (WHERE s.category = 'done') / count(*))
    END AS share
    FROM tasks AS t
    JOIN statuses AS s ON s.tenant_id = p.tenant_id AND s.project_id = p.id AND s.id = t.status_id
    WHERE t.tenant_id = p.tenant_id AND t.project_id = p.id AND t.deleted_at IS NULL AND held.mean IS NULL
        AND s.category <> 'cancelled'
        AND t.subtask_total = 0
) AS own
WHERE p.tenant_id = :tenant_id AND p.id = ANY(:project_ids::uuid []) AND p.deleted_at IS NULL;

-- set_progress :exec
UPDATE projects AS p SET progress = n.progress
FROM unnest(:ids::uuid [], :values::bigint []) AS n (id, progress)
WHERE p.tenant_id = :tenant_id AND p.id = n.id;

-- forgotten_projects :many
SELECT * FROM forgotten_projects(:pause::interval, :back::interval);
