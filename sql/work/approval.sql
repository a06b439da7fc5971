-- Approval of tasks: the state is the task's own, who was asked and what was answered stands beside it.

-- approval :maybe
SELECT a.* FROM approvals AS a
WHERE a.tenant_id = :tenant_id AND a.project_id = :project_id AND a.task_id = :task_id;

-- request_approval :one
INSERT INTO approvals (tenant_id, project_id, task_id, approver_ids, note, requested_by, requested_at)
VALUES (:tenant_id, :project_id, :task_id, :approver_ids, :note, :actor_id, :now)
ON CONFLICT (tenant_id, task_id) DO UPDATE
SET
    approver_ids = excluded.approver_ids, note = excluded.note, requested_by = excluded.requested_by,
    requested_at = excluded.requested_at, answer = '', answered_by = NULL, answered_at = NULL
RETURNING *;

-- answer_approval :one
UPDATE approvals SET answer = :note, answered_by = :actor_id, answered_at = :now
WHERE tenant_id = :tenant_id AND project_id = :project_id AND task_id = :task_id
RETURNING *;

-- set_approval :one
UPDATE tasks SET approval = :approval, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :task_id
RETURNING version;

-- Whether a task of the project must be approved before it is done.
-- requires_approval :value
SELECT coalesce((p.settings ->> 'require_approval')::boolean, false)
FROM projects AS p WHERE p.tenant_id = :tenant_id AND p.id = :project_id;
