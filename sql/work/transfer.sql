-- Tasks that go to another project, or are copied, with all that is below them.

-- A task with all below it, from the top down: what is in the trash or the archive goes along.
-- task_family :many
WITH RECURSIVE family AS (
    SELECT t.id, 0 AS depth FROM tasks AS t
    WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = :task_id AND t.deleted_at IS NULL
    UNION ALL
    SELECT t.id, f.depth + 1 FROM family AS f
    JOIN tasks AS t ON t.tenant_id = :tenant_id AND t.parent_id = f.id
)
SELECT t.* FROM family AS f JOIN tasks AS t ON t.tenant_id = :tenant_id AND t.id = f.id
ORDER BY f.depth, t.column_id, t.position, t.id
LIMIT :max_rows;

-- The last of so many new numbers.
-- next_task_numbers :one
UPDATE projects SET last_number = last_number + :count
WHERE tenant_id = :tenant_id AND id = :project_id AND deleted_at IS NULL
RETURNING last_number AS number, key AS prefix;

-- tasks_anywhere :many
SELECT t.* FROM tasks AS t WHERE t.tenant_id = :tenant_id AND t.id = ANY(:task_ids::uuid []);

-- Everything that names the project beside a task goes with it; tests/work/test_transfer.py asks the catalogue whether
-- anything is left out.
-- transfer_tasks :exec
WITH old AS (
    INSERT INTO task_keys (tenant_id, key, task_id)
    SELECT t.tenant_id, t.key, t.id FROM tasks AS t
    WHERE t.tenant_id = :tenant_id AND t.id = ANY(:task_ids::uuid [])
    ON CONFLICT (tenant_id, key) DO UPDATE SET task_id = excluded.task_id
), dropped AS (
    DELETE FROM dependencies WHERE tenant_id = :tenant_id AND (
        id = ANY(:drop_ids::uuid [])
        OR (task_id = ANY(:task_ids) AND depends_on_id <> ALL(:task_ids))
        OR (depends_on_id = ANY(:task_ids) AND task_id <> ALL(:task_ids))
    )
), kept AS (
    UPDATE dependencies SET project_id = :to_project_id
    WHERE tenant_id = :tenant_id AND task_id = ANY(:task_ids) AND depends_on_id = ANY(:task_ids)
), said AS (
    UPDATE comments SET project_id = :to_project_id WHERE tenant_id = :tenant_id AND task_id = ANY(:task_ids)
), listed AS (
    UPDATE checklists SET project_id = :to_project_id WHERE tenant_id = :tenant_id AND task_id = ANY(:task_ids)
), reminded AS (
    UPDATE reminders SET project_id = :to_project_id WHERE tenant_id = :tenant_id AND task_id = ANY(:task_ids)
), asked AS (
    UPDATE approvals SET project_id = :to_project_id WHERE tenant_id = :tenant_id AND task_id = ANY(:task_ids)
), recurring AS (
    UPDATE series SET project_id = :to_project_id WHERE tenant_id = :tenant_id AND task_id = ANY(:task_ids)
    RETURNING id
), alarmed AS (
    UPDATE alarms SET room_id = :to_project_id
    WHERE tenant_id = :tenant_id AND room_id = :from_project_id AND key IN (
        SELECT 'reminder:' || r.id FROM reminders AS r
        WHERE r.tenant_id = :tenant_id AND r.task_id = ANY(:task_ids)
        UNION ALL
        SELECT 'series:' || s.id FROM series AS s WHERE s.tenant_id = :tenant_id AND s.task_id = ANY(:task_ids)
    )
), moved AS (
    SELECT m.* FROM json_to_recordset(:tasks::json) AS m (
        id uuid, number bigint, prefix text, column_id uuid, status_id uuid, position text, parent_id uuid,
        completed_at timestamptz, assignee_ids uuid [], watcher_ids uuid []
    )
), given AS (
    DELETE FROM task_assignees AS a USING moved AS m
    WHERE a.tenant_id = :tenant_id AND a.task_id = m.id AND a.user_id <> ALL(m.assignee_ids)
)
UPDATE tasks AS t
SET
    project_id = :to_project_id, number = m.number, key = m.prefix || '-' || m.number, column_id = m.column_id,
    status_id = m.status_id, position = m.position, parent_id = m.parent_id, completed_at = m.completed_at,
    assignee_ids = m.assignee_ids, watcher_ids = m.watcher_ids, label_ids = '{}',
    version = t.version + 1, updated_by = :actor_id, updated_at = :now
FROM moved AS m
WHERE t.tenant_id = :tenant_id AND t.id = m.id;
