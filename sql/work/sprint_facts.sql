-- What sprints count of tasks: how it changed, and what it comes to.

-- Write down how what open sprints count of these tasks differs from what they are now. A sprint counts a task that is
-- in it and neither in the trash nor cancelled, nor in the archive unless it is done. What a completed sprint came to
-- stays.
-- settle_sprint_facts :exec
INSERT INTO sprint_facts (
    tenant_id, project_id, sprint_id, task_id, at, begun, tasks, minutes, done_tasks, done_minutes
)
SELECT :tenant_id, s.project_id, s.id, d.task_id, :now, s.status = 'active', d.tasks, d.minutes, d.done_tasks, d.done_minutes
FROM (
    SELECT
        x.sprint_id, x.task_id, sum(x.tasks)::bigint AS tasks, sum(x.minutes)::bigint AS minutes,
        sum(x.done_tasks)::bigint AS done_tasks, sum(x.done_minutes)::bigint AS done_minutes
    FROM (
        SELECT
            t.sprint_id, t.id AS task_id, 1 AS tasks, coalesce(t.estimate_minutes, 0) AS minutes,
            (t.completed_at IS NOT NULL)::integer AS done_tasks,
            CASE WHEN t.completed_at IS NOT NULL THEN coalesce(t.estimate_minutes, 0) ELSE 0 END AS done_minutes
        FROM tasks AS t
        JOIN statuses AS c ON c.tenant_id = t.tenant_id AND c.id = t.status_id AND c.category <> 'cancelled'
        WHERE t.tenant_id = :tenant_id AND t.id = ANY(:task_ids::uuid []) AND t.sprint_id IS NOT NULL
            AND t.deleted_at IS NULL AND (t.archived_at IS NULL OR t.completed_at IS NOT NULL)
        UNION ALL
        SELECT f.sprint_id, f.task_id, -f.tasks, -f.minutes, -f.done_tasks, -f.done_minutes
        FROM sprint_facts AS f
        WHERE f.tenant_id = :tenant_id AND f.task_id = ANY(:task_ids::uuid [])
    ) AS x
    GROUP BY x.sprint_id, x.task_id
) AS d
JOIN sprints AS s ON s.tenant_id = :tenant_id AND s.id = d.sprint_id AND s.status <> 'completed'
WHERE d.tasks <> 0 OR d.minutes <> 0 OR d.done_tasks <> 0 OR d.done_minutes <> 0;

-- What became of a sprint day by day, in a time zone; first, with no day, what it held when it started.
-- sprint_days :many
SELECT
    CASE WHEN f.begun THEN (f.at AT TIME ZONE :timezone::text)::date END AS day,
    sum(f.tasks)::bigint AS tasks, sum(f.minutes)::bigint AS minutes,
    sum(f.done_tasks)::bigint AS done_tasks, sum(f.done_minutes)::bigint AS done_minutes,
    coalesce(sum(f.tasks) FILTER (WHERE f.tasks > 0), 0)::bigint AS added_tasks,
    coalesce(sum(f.minutes) FILTER (WHERE f.tasks > 0), 0)::bigint AS added_minutes,
    coalesce(-sum(f.tasks) FILTER (WHERE f.tasks < 0), 0)::bigint AS removed_tasks,
    coalesce(-sum(f.minutes) FILTER (WHERE f.tasks < 0), 0)::bigint AS removed_minutes,
    coalesce(sum(f.minutes) FILTER (WHERE f.tasks = 0), 0)::bigint AS reestimated_minutes
FROM sprint_facts AS f
WHERE f.tenant_id = :tenant_id AND f.sprint_id = :sprint_id
GROUP BY 1
ORDER BY 1 NULLS FIRST;

-- What the last completed sprints had before them when they started, and what was done in them.
-- velocity_of_sprints :many
SELECT
    s.id, s.name, s.start_on, s.end_on, s.started_at, s.completed_at,
    coalesce(sum(f.tasks - f.done_tasks) FILTER (WHERE NOT f.begun), 0)::bigint AS committed_tasks,
    coalesce(sum(f.minutes - f.done_minutes) FILTER (WHERE NOT f.begun), 0)::bigint AS committed_minutes,
    coalesce(sum(f.done_tasks) FILTER (WHERE f.begun), 0)::bigint AS completed_tasks,
    coalesce(sum(f.done_minutes) FILTER (WHERE f.begun), 0)::bigint AS completed_minutes
FROM (
    SELECT * FROM sprints AS l
    WHERE l.tenant_id = :tenant_id AND l.project_id = :project_id AND l.status = 'completed'
    ORDER BY l.completed_at DESC, l.id DESC
    LIMIT :last
) AS s
LEFT JOIN sprint_facts AS f ON f.tenant_id = :tenant_id AND f.sprint_id = s.id
GROUP BY s.id, s.name, s.start_on, s.end_on, s.started_at, s.completed_at
ORDER BY s.completed_at DESC, s.id DESC;
