-- Reminders of tasks: when, for whom, and whether they were told.

-- count_reminders :value
SELECT count(*) FROM reminders AS r
WHERE r.tenant_id = :tenant_id AND r.task_id = :task_id AND r.audience = :audience
    AND (r.audience = 'all' OR r.created_by = :actor_id);

-- add_reminder :one
INSERT INTO reminders (
    tenant_id, project_id, task_id, id, audience, before_minutes, at, fires_at, created_by, created_at
)
VALUES (
    :tenant_id, :project_id, :task_id, :id, :audience, :before_minutes, :at,
    coalesce(:at::timestamptz, :due_at::timestamptz - :before_minutes::bigint * interval '1 minute'), :actor_id, :now
)
RETURNING *;

-- reminder :maybe
SELECT r.* FROM reminders AS r
WHERE r.tenant_id = :tenant_id AND r.project_id = :project_id AND r.task_id = :task_id AND r.id = :reminder_id;

-- remove_reminder :exec
DELETE FROM reminders WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :reminder_id;

-- reminders_of_task :many
SELECT r.* FROM reminders AS r
WHERE r.tenant_id = :tenant_id AND r.task_id = :task_id AND (r.audience = 'all' OR r.created_by = :actor_id)
ORDER BY r.fires_at, r.id;

-- Nothing where it was told, or where the task is not to be done any more.
-- reminder_to_fire :maybe
SELECT r.*, t.key, t.title, t.due_at, t.assignee_ids, t.watcher_ids
FROM reminders AS r
JOIN tasks AS t ON t.tenant_id = r.tenant_id AND t.id = r.task_id
WHERE r.tenant_id = :tenant_id AND r.project_id = :project_id AND r.id = :reminder_id AND r.fired_at IS NULL
    AND t.completed_at IS NULL AND t.deleted_at IS NULL AND t.archived_at IS NULL;

-- mark_fired :exec
UPDATE reminders SET fired_at = :now WHERE tenant_id = :tenant_id AND id = :reminder_id;

-- Those that hang upon due dates, after these have changed.
-- replan_reminders :many
UPDATE reminders AS r SET fires_at = t.due_at - r.before_minutes * interval '1 minute', fired_at = NULL
FROM tasks AS t
WHERE r.tenant_id = :tenant_id AND r.task_id = ANY(:task_ids::uuid []) AND r.before_minutes IS NOT NULL
    AND t.tenant_id = :tenant_id AND t.id = r.task_id
RETURNING r.*;
