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

-- tasks_of_family :many
SELECT t.* FROM tasks AS t WHERE t.tenant_id = :tenant_id AND t.id = ANY(:task_ids::uuid []);

-- Everything that names the project beside a task goes with it, a series with its current task alone;
-- tests/work/test_transfer.py asks the catalogue whether anything is left out.
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
    UPDATE comments SET project_id = :to_project_id
    WHERE tenant_id = :tenant_id AND project_id = :from_project_id AND task_id = ANY(:task_ids)
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
        completed_at timestamptz, assignee_ids uuid [], watcher_ids uuid [], label_ids uuid []
    )
), given AS (
    DELETE FROM task_assignees AS a USING moved AS m
    WHERE a.tenant_id = :tenant_id AND a.task_id = ANY(:task_ids) AND a.task_id = m.id AND a.user_id <> ALL(m.assignee_ids)
)
UPDATE tasks AS t
SET
    project_id = :to_project_id, number = m.number, key = m.prefix || '-' || m.number, column_id = m.column_id,
    status_id = m.status_id, position = m.position, parent_id = m.parent_id, completed_at = m.completed_at,
    assignee_ids = m.assignee_ids, watcher_ids = m.watcher_ids, label_ids = m.label_ids,
    fields = t.fields - ARRAY(
        SELECT f.key FROM project_fields AS f WHERE f.tenant_id = :tenant_id AND f.project_id = :from_project_id
    ),
    sprint_id = NULL, backlog_position = NULL, series_id = (SELECT r.id FROM recurring AS r WHERE r.id = t.series_id),
    version = t.version + 1, updated_by = :actor_id, updated_at = :now
FROM moved AS m
WHERE t.tenant_id = :tenant_id AND t.id = m.id;

-- Copies: what is not given here they have from their originals.
-- copy_family :exec
WITH made AS (
    SELECT m.* FROM json_to_recordset(:tasks::json) AS m (
        id uuid, from_id uuid, number bigint, prefix text, title text, column_id uuid, status_id uuid, position text,
        parent_id uuid, assignee_ids uuid [], label_ids uuid [], start_at timestamptz, due_at timestamptz,
        completed_at timestamptz
    )
), given AS (
    INSERT INTO task_assignees (tenant_id, task_id, user_id)
    SELECT :tenant_id, m.id, unnest(m.assignee_ids) FROM made AS m
)
INSERT INTO tasks (
    tenant_id, project_id, id, number, key, title, description, type, priority, column_id, status_id, position,
    parent_id, assignee_ids, watcher_ids, tags, label_ids, file_ids, start_at, due_at, time_zone, all_day,
    estimate_minutes, fields, completed_at, created_by, created_at, updated_by, updated_at
)
SELECT
    :tenant_id, :to_project_id, m.id, m.number, m.prefix || '-' || m.number, m.title, t.description, t.type, t.priority,
    m.column_id, m.status_id, m.position, m.parent_id, m.assignee_ids,
    ARRAY(SELECT DISTINCT w FROM unnest(array_prepend(:actor_id::uuid, m.assignee_ids)) AS w),
    t.tags, m.label_ids, CASE t.project_id WHEN :to_project_id THEN t.file_ids ELSE '{}' END, m.start_at, m.due_at,
    t.time_zone, t.all_day, t.estimate_minutes,
    t.fields - ARRAY(
        SELECT f.key FROM project_fields AS f
        WHERE f.tenant_id = :tenant_id AND f.project_id = t.project_id AND t.project_id <> :to_project_id
    ), m.completed_at, :actor_id, :now, :actor_id, :now
FROM made AS m
CROSS JOIN LATERAL (
    SELECT o.* FROM tasks AS o WHERE o.tenant_id = :tenant_id AND o.id = m.from_id
    OFFSET 0  -- by the index for each, however many are expected
) AS t;

-- subtasks_of :many
SELECT t.id FROM tasks AS t WHERE t.tenant_id = :tenant_id AND t.parent_id = :task_id AND t.deleted_at IS NULL;

-- What one task has goes to another one of its project; it is in the archive then. Its subtasks become the other one's.
-- merge_task :many
WITH said AS (
    UPDATE comments SET task_id = :into_id
    WHERE tenant_id = :tenant_id AND project_id = :project_id AND task_id = :task_id
), lists AS (
    UPDATE checklists SET task_id = :into_id WHERE tenant_id = :tenant_id AND task_id = :task_id
), items AS (
    UPDATE checklist_items SET task_id = :into_id WHERE tenant_id = :tenant_id AND task_id = :task_id
), edges AS (
    DELETE FROM dependencies WHERE tenant_id = :tenant_id AND id = ANY(:edge_ids::uuid [])
), given AS (
    INSERT INTO task_assignees (tenant_id, task_id, user_id)
    SELECT :tenant_id, :into_id, unnest(:assignee_ids::uuid []) ON CONFLICT DO NOTHING
), twin AS (
    SELECT d.id, d.comment_count, d.checklist_total, d.checklist_done
    FROM tasks AS d WHERE d.tenant_id = :tenant_id AND d.id = :task_id
)
UPDATE tasks AS t
SET
    comment_count = CASE t.id WHEN :into_id THEN t.comment_count + d.comment_count WHEN d.id THEN 0 ELSE t.comment_count END,
    checklist_total = CASE t.id
        WHEN :into_id THEN t.checklist_total + d.checklist_total WHEN d.id THEN 0 ELSE t.checklist_total
    END,
    checklist_done = CASE t.id
        WHEN :into_id THEN t.checklist_done + d.checklist_done WHEN d.id THEN 0 ELSE t.checklist_done
    END,
    assignee_ids = CASE t.id WHEN :into_id THEN :assignee_ids ELSE t.assignee_ids END,
    watcher_ids = CASE t.id WHEN :into_id THEN :watcher_ids::uuid [] ELSE t.watcher_ids END,
    tags = CASE t.id WHEN :into_id THEN :tags::text [] ELSE t.tags END,
    label_ids = CASE t.id WHEN :into_id THEN :label_ids::uuid [] ELSE t.label_ids END,
    file_ids = CASE t.id WHEN :into_id THEN :file_ids::uuid [] ELSE t.file_ids END,
    parent_id = CASE t.parent_id WHEN d.id THEN :into_id ELSE t.parent_id END,
    archived_at = CASE t.id WHEN d.id THEN :now ELSE t.archived_at END,
    archived_with = CASE t.id WHEN d.id THEN d.id ELSE t.archived_with END,
    version = t.version + 1, updated_by = :actor_id, updated_at = :now
FROM twin AS d
WHERE t.tenant_id = :tenant_id AND (t.id IN (:task_id, :into_id) OR t.parent_id = :task_id)
RETURNING t.*, t.deleted_at IS NULL AND t.archived_at IS NULL AS on_board;
