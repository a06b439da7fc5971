-- Tasks. A lookup carries the project, so that "not there" and "not yours" are one answer.

-- project_of_task :value
SELECT project_id FROM tasks WHERE tenant_id = :tenant_id AND id = :entity_id;

-- task :maybe
SELECT t.*, u.name AS updated_by_name
FROM tasks AS t LEFT JOIN users AS u ON u.id = t.updated_by
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = :task_id
    AND t.deleted_at IS NULL AND t.archived_at IS NULL;

-- The same, in the archive too: for what reads a task, and for what takes it out of there.
-- found_task :maybe
SELECT t.*, u.name AS updated_by_name
FROM tasks AS t LEFT JOIN users AS u ON u.id = t.updated_by
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = :task_id AND t.deleted_at IS NULL;

-- What moves have to know, in one read: each task, its target column and how full that is, the card it is dropped
-- beside, and the card on the other side of the gap. The room lock keeps it true until the write. A task keeps its status
-- where the column shows it; else it gets the one asked for, or the first that the workflow lets it have.
-- Rows come by their keys one at a time (LATERAL … LIMIT 1), whatever the planner knows of the tables: decision 38.
-- move_contexts :many
SELECT
    m.n, t.id, t.column_id, t.status_id, t.position, t.version, t.completed_at, t.updated_by, t.updated_at, t.parent_id,
    t.sprint_id, t.series_id, t.approval,
    (SELECT u.name FROM users AS u WHERE u.id = t.updated_by) AS updated_by_name,
    c.id AS target_id, c.name AS column_name, c.status_ids, c.wip_limit, c.limit_mode,
    s.id AS new_status_id, s.category = 'done' AS done,
    CASE WHEN s.category = 'done' AND t.completed_at IS NULL AND t.approval <> 'approved' THEN (
        SELECT coalesce((p.settings ->> 'require_approval')::boolean, false)
        FROM projects AS p WHERE p.tenant_id = t.tenant_id AND p.id = t.project_id
    ) END AS unapproved,
    CASE WHEN s.id <> f.id AND (f.transitions IS NOT NULL OR s.required_fields <> '{}') THEN jsonb_build_object(
        'task', to_jsonb(t),
        'old', jsonb_build_object('id', f.id, 'name', f.name, 'transitions', f.transitions),
        'new', jsonb_build_object('id', s.id, 'name', s.name, 'required_fields', s.required_fields)
    )::text END AS rules,
    CASE WHEN c.wip_limit IS NOT NULL THEN (
        SELECT count(*) FROM tasks AS held
        WHERE held.tenant_id = :tenant_id AND held.column_id = c.id
            AND held.deleted_at IS NULL AND held.archived_at IS NULL AND held.id <> t.id
    ) END AS held,
    a.position AS anchor,
    CASE
        WHEN m.before_id IS NOT NULL THEN (
            SELECT max(n.position) FROM tasks AS n
            WHERE n.tenant_id = :tenant_id AND n.column_id = c.id AND n.deleted_at IS NULL AND n.archived_at IS NULL
                AND n.position < a.position AND n.id <> t.id
        )
        WHEN m.after_id IS NOT NULL THEN (
            SELECT min(n.position) FROM tasks AS n
            WHERE n.tenant_id = :tenant_id AND n.column_id = c.id AND n.deleted_at IS NULL AND n.archived_at IS NULL
                AND n.position > a.position AND n.id <> t.id
        )
        ELSE (
            SELECT max(n.position) FROM tasks AS n
            WHERE n.tenant_id = :tenant_id AND n.column_id = c.id
                AND n.deleted_at IS NULL AND n.archived_at IS NULL AND n.id <> t.id
        )
    END AS neighbour
FROM (
    SELECT asked.*, coalesce(asked.before_id, asked.after_id) AS beside_id
    FROM ROWS FROM (json_to_recordset(:moves::json) AS (
        task_id uuid, column_id uuid, status_id uuid, before_id uuid, after_id uuid
    )) WITH ORDINALITY AS asked (task_id, column_id, wanted_id, before_id, after_id, n)
    OFFSET 0
) AS m
CROSS JOIN LATERAL (SELECT x.* FROM tasks AS x WHERE x.tenant_id = :tenant_id AND x.id = m.task_id LIMIT 1) AS t
LEFT JOIN LATERAL (
    SELECT x.id, x.name, x.status_ids, x.wip_limit, x.limit_mode, x.project_id, x.deleted_at
    FROM board_columns AS x WHERE x.tenant_id = :tenant_id AND x.id = m.column_id LIMIT 1
) AS c ON c.project_id = :project_id AND c.deleted_at IS NULL
LEFT JOIN LATERAL (
    SELECT x.id, x.name, x.transitions FROM statuses AS x
    WHERE x.tenant_id = :tenant_id AND x.id = t.status_id LIMIT 1
) AS f ON true
LEFT JOIN LATERAL (
    SELECT shown.*
    FROM unnest(c.status_ids) WITH ORDINALITY AS o (id, place)
    CROSS JOIN LATERAL (
        SELECT x.id, x.name, x.category, x.required_fields FROM statuses AS x
        WHERE x.tenant_id = :tenant_id AND x.id = o.id LIMIT 1
    ) AS shown
    ORDER BY
        o.id = m.wanted_id DESC, o.id = t.status_id DESC,
        f.transitions IS NULL OR f.transitions @> jsonb_build_array(jsonb_build_object('to_id', o.id)) DESC, o.place
    LIMIT 1
) AS s ON true
LEFT JOIN LATERAL (
    SELECT x.position, x.column_id, x.deleted_at, x.archived_at
    FROM tasks AS x WHERE x.tenant_id = :tenant_id AND x.id = m.beside_id LIMIT 1
) AS a ON a.column_id = c.id AND a.deleted_at IS NULL AND a.archived_at IS NULL
WHERE t.project_id = :project_id AND t.deleted_at IS NULL AND t.archived_at IS NULL;

-- The same in one round trip with the opening of the room: its row, joined with the first move's, and the other moves'.
-- open_for_moves :many
SELECT opened.*, context.*
FROM (SELECT 1 AS first, room.* FROM ({open_room}) AS room) AS opened
FULL JOIN ({move_contexts}) AS context ON context.n = opened.first;

-- As decided from move_contexts under the room's lock. No task is in it twice.
-- move_tasks :exec
UPDATE tasks AS t
SET
    column_id = m.column_id, status_id = m.status_id, position = m.position, version = m.version,
    updated_by = m.actor_id, updated_at = m.at, moved_by = m.actor_id, moved_at = m.at, completed_at = m.completed_at
FROM json_to_recordset(:moved::json) AS m (
    id uuid, column_id uuid, status_id uuid, position text, version integer, actor_id uuid, at timestamptz,
    completed_at timestamptz
)
WHERE t.tenant_id = :tenant_id AND t.id = ANY(:task_ids::uuid []) AND t.id = m.id;

-- Where tasks are now and who put them there, also those in the trash or the archive: what a move that came too late is told.
-- whereabouts :many
SELECT
    t.id, t.column_id, t.position, c.name AS column_name, w.away,
    coalesce(m.by, t.created_by) AS moved_by, coalesce(m.at, t.created_at) AS moved_at,
    (SELECT u.name FROM users AS u WHERE u.id = coalesce(m.by, t.created_by)) AS moved_by_name
FROM tasks AS t
JOIN board_columns AS c ON c.tenant_id = t.tenant_id AND c.id = t.column_id
CROSS JOIN LATERAL (SELECT t.deleted_at IS NOT NULL OR t.archived_at IS NOT NULL AS away) AS w
CROSS JOIN LATERAL (
    SELECT
        CASE WHEN w.away THEN t.updated_by ELSE t.moved_by END AS by,
        CASE WHEN w.away THEN t.updated_at ELSE t.moved_at END AS at
) AS m
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = ANY(:task_ids::uuid []);

-- The column that a new or restored task goes to, how full it is, and where it ends. With no column the first one that
-- shows the status, on the board of another column before all others; or simply the first. And the custom fields
-- that a new task may have.
-- landing_column :maybe
SELECT
    c.id, c.name, c.status_ids, c.wip_limit, c.limit_mode,
    coalesce((
        SELECT s.required_fields <> '{}'
        FROM unnest(ARRAY[coalesce(:status_id, c.status_ids[1])]) AS o (id)
        JOIN statuses AS s ON s.tenant_id = :tenant_id AND s.id = o.id
    ), false) AS asks_for,
    CASE WHEN c.wip_limit IS NOT NULL THEN (
        SELECT count(*) FROM tasks AS held
        WHERE held.tenant_id = :tenant_id AND held.column_id = c.id
            AND held.deleted_at IS NULL AND held.archived_at IS NULL
    ) END AS held,
    (
        SELECT max(n.position) FROM tasks AS n
        WHERE n.tenant_id = :tenant_id AND n.column_id = c.id AND n.deleted_at IS NULL AND n.archived_at IS NULL
    ) AS last_position,
    (SELECT o.settings -> 'custom_fields' FROM tenants AS o WHERE o.id = :tenant_id) AS tenant_fields,
    (
        SELECT jsonb_agg(to_jsonb(f) ORDER BY f.created_at, f.id) FROM project_fields AS f
        WHERE f.tenant_id = :tenant_id AND f.project_id = :project_id AND f.deleted_at IS NULL
    ) AS own_fields
FROM board_columns AS c
JOIN boards AS b ON b.tenant_id = c.tenant_id AND b.id = c.board_id
WHERE c.tenant_id = :tenant_id AND c.project_id = :project_id AND c.deleted_at IS NULL
    AND (:column_id::uuid IS NULL OR c.id = :column_id)
    AND (:status_id::uuid IS NULL OR :column_id::uuid IS NOT NULL OR :status_id = ANY(c.status_ids))
ORDER BY
    b.id = (SELECT o.board_id FROM board_columns AS o WHERE o.tenant_id = :tenant_id AND o.id = :beside::uuid) DESC,
    b.position, b.id, c.position, c.id
LIMIT 1;

-- next_task_number :one
UPDATE projects SET last_number = last_number + 1
WHERE tenant_id = :tenant_id AND id = :project_id AND deleted_at IS NULL
RETURNING last_number AS number, key || '-' || last_number AS key;

-- create_task :one
INSERT INTO tasks (
    tenant_id, project_id, id, number, key, title, fields, description, type, priority, column_id, status_id, position,
    parent_id, assignee_ids, watcher_ids, tags, label_ids, start_at, due_at, time_zone, all_day, estimate_minutes,
    actual_minutes, sprint_id, completed_at,
    created_by, created_at, updated_by, updated_at
)
SELECT
    :tenant_id, :project_id, :id, :number, :key, :title, :fields::text::jsonb, :description, :type, :priority, :column_id, s.id, :position,
    :parent_id, :assignee_ids, ARRAY(SELECT DISTINCT w FROM unnest(array_prepend(:actor_id::uuid, :assignee_ids::uuid [])) AS w),
    :tags, :label_ids, :start_at, :due_at, :time_zone, :all_day, :estimate_minutes, :actual_minutes, :sprint_id,
    CASE WHEN s.category = 'done' THEN :now::timestamptz END,
    :actor_id, :now, :actor_id, :now
FROM statuses AS s
WHERE s.tenant_id = :tenant_id AND s.project_id = :project_id AND s.id = :status_id
RETURNING *;

-- update_task :one
UPDATE tasks AS t
SET
    title = :title, fields = :fields::text::jsonb, description = :description, type = :type, priority = :priority,
    parent_id = :parent_id, assignee_ids = :assignee_ids, watcher_ids = :watcher_ids, tags = :tags,
    label_ids = :label_ids, start_at = :start_at, due_at = :due_at, time_zone = :time_zone, all_day = :all_day,
    estimate_minutes = :estimate_minutes, actual_minutes = :actual_minutes, sprint_id = :sprint_id,
    column_id = :column_id, status_id = s.id, position = :position,
    moved_by = CASE WHEN t.column_id <> :column_id THEN :actor_id ELSE t.moved_by END,
    moved_at = CASE WHEN t.column_id <> :column_id THEN :now ELSE t.moved_at END,
    completed_at = CASE WHEN s.category = 'done' THEN coalesce(t.completed_at, :now) END,
    version = t.version + 1, updated_by = :actor_id, updated_at = :now
FROM statuses AS s
WHERE t.tenant_id = :tenant_id AND t.id = :id
    AND s.tenant_id = t.tenant_id AND s.project_id = t.project_id AND s.id = :status_id
RETURNING t.*;

-- Only members who can see the project may be given its tasks.
-- assignable :many
SELECT m.user_id
FROM members AS m
LEFT JOIN project_parts AS pm
    ON pm.tenant_id = m.tenant_id AND pm.project_id = :project_id AND pm.user_id = m.user_id
WHERE m.tenant_id = :tenant_id AND m.user_id = ANY(:user_ids::uuid []) AND m.status = 'active'
    AND (m.expires_at IS NULL OR m.expires_at > statement_timestamp())
    AND (
        pm.user_id IS NOT NULL
        OR (m.role NOT IN ('client', 'guest') AND 'tenant.view' <> ALL(coalesce(m.denied, '{}')))
    );

-- Whether making one task the parent of another would close a circle.
-- is_below :value
WITH RECURSIVE above AS (
    SELECT t.id, t.parent_id FROM tasks AS t WHERE t.tenant_id = :tenant_id AND t.id = :parent_id
    UNION
    SELECT t.id, t.parent_id FROM tasks AS t JOIN above AS a ON t.tenant_id = :tenant_id AND t.id = a.parent_id
)
SELECT EXISTS (SELECT 1 FROM above WHERE id = :task_id);

-- replace_assignees :exec
WITH gone AS (
    DELETE FROM task_assignees
    WHERE tenant_id = :tenant_id AND task_id = :task_id AND user_id <> ALL(:user_ids::uuid [])
)
INSERT INTO task_assignees (tenant_id, task_id, user_id)
SELECT :tenant_id, :task_id, unnest(:user_ids::uuid [])
ON CONFLICT DO NOTHING;

-- A task takes its subtasks along, to any depth; each remembers with whom it went.
-- delete_tasks :many
WITH RECURSIVE gone AS (
    SELECT t.id FROM tasks AS t
    WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = :task_id AND t.deleted_at IS NULL
    UNION
    SELECT t.id FROM tasks AS t JOIN gone AS g ON t.parent_id = g.id
    WHERE t.tenant_id = :tenant_id AND t.deleted_at IS NULL
)
UPDATE tasks AS t
SET deleted_at = :now, deleted_with = :task_id, version = t.version + 1, updated_by = :actor_id, updated_at = :now
FROM gone WHERE t.tenant_id = :tenant_id AND t.id = gone.id
RETURNING t.*;

-- deleted_task :maybe
SELECT t.*, p.deleted_at AS parent_deleted_at, p.archived_at AS parent_archived_at
FROM tasks AS t LEFT JOIN tasks AS p ON p.tenant_id = t.tenant_id AND p.id = t.parent_id
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = :task_id AND t.deleted_at IS NOT NULL;

-- deleted_with :many
SELECT t.id, t.column_id, t.status_id, c.board_id
FROM tasks AS t JOIN board_columns AS c ON c.tenant_id = t.tenant_id AND c.id = t.column_id
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.deleted_with = :task_id
    AND t.deleted_at IS NOT NULL
ORDER BY t.column_id, t.position, t.id;

-- Out of the trash or the archive, to the ends of columns.
-- put_back_tasks :many
UPDATE tasks AS t
SET
    deleted_at = NULL, deleted_with = NULL, archived_at = NULL, archived_with = NULL,
    column_id = p.column_id, position = p.position,
    moved_by = :actor_id, moved_at = :now, version = t.version + 1, updated_by = :actor_id, updated_at = :now
FROM unnest(:ids::uuid [], :column_ids::uuid [], :positions::text []) AS p (id, column_id, position)
WHERE t.tenant_id = :tenant_id AND t.id = p.id
RETURNING t.*;

-- column_order :many
SELECT id FROM tasks
WHERE tenant_id = :tenant_id AND column_id = :column_id AND deleted_at IS NULL AND archived_at IS NULL
ORDER BY position, id;

-- rebalance_tasks :many
UPDATE tasks AS t SET position = n.position, version = t.version + 1
FROM unnest(:ids::uuid [], :positions::text []) AS n (id, position)
WHERE t.tenant_id = :tenant_id AND t.id = n.id AND t.position <> n.position
RETURNING t.id, t.position, t.version;

-- Lists of a project read the tasks of that project by its index, and no others; plans are made once for all filters
-- (storage/postgres.py), so each order has a statement of its own.
-- tasks_by_number :many
SELECT t.* FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.deleted_at IS NULL AND t.number > :after_number
    AND (:column_id::uuid IS NULL OR t.column_id = :column_id)
    AND (:status_id::uuid IS NULL OR t.status_id = :status_id)
    AND (:parent_id::uuid IS NULL OR t.parent_id = :parent_id)
    AND (:assignee_id::uuid IS NULL OR :assignee_id = ANY(t.assignee_ids))
    AND (:open::boolean IS NULL OR (t.completed_at IS NULL) = :open)
    AND (:priority::text IS NULL OR t.priority = :priority)
    AND (:type::text IS NULL OR t.type = :type)
    AND (:tag::text IS NULL OR :tag = ANY(t.tags))
    AND (:label_id::uuid IS NULL OR :label_id = ANY(t.label_ids))
    AND (:due_from::timestamptz IS NULL OR t.due_at >= :due_from)
    AND (:due_before::timestamptz IS NULL OR t.due_at < :due_before)
    AND (:overdue::boolean IS NULL OR (t.completed_at IS NULL AND coalesce(t.due_at < :now, false)) = :overdue)
    AND (:updated_since::timestamptz IS NULL OR t.updated_at >= :updated_since)
    AND (:text::text IS NULL OR position(lower(:text) IN lower(t.title)) > 0)
    AND (t.archived_at IS NOT NULL) = :archived
ORDER BY t.number
LIMIT :max_rows;

-- tasks_by_due :many
SELECT t.* FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.deleted_at IS NULL
    AND (coalesce(t.due_at, :far), t.id) > (:after_at::timestamptz, :after_id::uuid)
    AND (:column_id::uuid IS NULL OR t.column_id = :column_id)
    AND (:status_id::uuid IS NULL OR t.status_id = :status_id)
    AND (:parent_id::uuid IS NULL OR t.parent_id = :parent_id)
    AND (:assignee_id::uuid IS NULL OR :assignee_id = ANY(t.assignee_ids))
    AND (:open::boolean IS NULL OR (t.completed_at IS NULL) = :open)
    AND (:priority::text IS NULL OR t.priority = :priority)
    AND (:type::text IS NULL OR t.type = :type)
    AND (:tag::text IS NULL OR :tag = ANY(t.tags))
    AND (:label_id::uuid IS NULL OR :label_id = ANY(t.label_ids))
    AND (:due_from::timestamptz IS NULL OR t.due_at >= :due_from)
    AND (:due_before::timestamptz IS NULL OR t.due_at < :due_before)
    AND (:overdue::boolean IS NULL OR (t.completed_at IS NULL AND coalesce(t.due_at < :now, false)) = :overdue)
    AND (:updated_since::timestamptz IS NULL OR t.updated_at >= :updated_since)
    AND (:text::text IS NULL OR position(lower(:text) IN lower(t.title)) > 0)
    AND (t.archived_at IS NOT NULL) = :archived
ORDER BY coalesce(t.due_at, :far), t.id
LIMIT :max_rows;

-- tasks_by_change :many
SELECT t.* FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.deleted_at IS NULL
    AND (t.updated_at, t.id) < (:before_at::timestamptz, :before_id::uuid)
    AND (:column_id::uuid IS NULL OR t.column_id = :column_id)
    AND (:status_id::uuid IS NULL OR t.status_id = :status_id)
    AND (:parent_id::uuid IS NULL OR t.parent_id = :parent_id)
    AND (:assignee_id::uuid IS NULL OR :assignee_id = ANY(t.assignee_ids))
    AND (:open::boolean IS NULL OR (t.completed_at IS NULL) = :open)
    AND (:priority::text IS NULL OR t.priority = :priority)
    AND (:type::text IS NULL OR t.type = :type)
    AND (:tag::text IS NULL OR :tag = ANY(t.tags))
    AND (:label_id::uuid IS NULL OR :label_id = ANY(t.label_ids))
    AND (:due_from::timestamptz IS NULL OR t.due_at >= :due_from)
    AND (:due_before::timestamptz IS NULL OR t.due_at < :due_before)
    AND (:overdue::boolean IS NULL OR (t.completed_at IS NULL AND coalesce(t.due_at < :now, false)) = :overdue)
    AND (:updated_since::timestamptz IS NULL OR t.updated_at >= :updated_since)
    AND (:text::text IS NULL OR position(lower(:text) IN lower(t.title)) > 0)
    AND (t.archived_at IS NOT NULL) = :archived
ORDER BY t.updated_at DESC, t.id DESC
LIMIT :max_rows;

-- tasks_in_column :many
SELECT t.* FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.column_id = :column_id AND t.project_id = :project_id
    AND t.deleted_at IS NULL AND t.archived_at IS NULL
    AND (t.position, t.id) > (:after_position, :after_id::uuid)
    AND (:status_id::uuid IS NULL OR t.status_id = :status_id)
    AND (:parent_id::uuid IS NULL OR t.parent_id = :parent_id)
    AND (:assignee_id::uuid IS NULL OR :assignee_id = ANY(t.assignee_ids))
    AND (:open::boolean IS NULL OR (t.completed_at IS NULL) = :open)
    AND (:priority::text IS NULL OR t.priority = :priority)
    AND (:type::text IS NULL OR t.type = :type)
    AND (:tag::text IS NULL OR :tag = ANY(t.tags))
    AND (:label_id::uuid IS NULL OR :label_id = ANY(t.label_ids))
    AND (:due_from::timestamptz IS NULL OR t.due_at >= :due_from)
    AND (:due_before::timestamptz IS NULL OR t.due_at < :due_before)
    AND (:overdue::boolean IS NULL OR (t.completed_at IS NULL AND coalesce(t.due_at < :now, false)) = :overdue)
    AND (:updated_since::timestamptz IS NULL OR t.updated_at >= :updated_since)
    AND (:text::text IS NULL OR position(lower(:text) IN lower(t.title)) > 0)
ORDER BY t.position, t.id
LIMIT :max_rows;

-- What one person was given, in the projects that another one sees. Each task's project is looked up by its key: as a join
-- all projects were read again for each of them.
-- tasks_assigned :many
SELECT t.*
FROM task_assignees AS a
JOIN tasks AS t ON t.tenant_id = a.tenant_id AND t.id = a.task_id AND t.deleted_at IS NULL AND t.archived_at IS NULL
WHERE a.tenant_id = :tenant_id AND a.user_id = :user_id
    AND (coalesce(t.due_at, :far), t.id) > (:after_at::timestamptz, :after_id::uuid)
    AND (:project_ids::uuid [] IS NULL OR t.project_id = ANY(:project_ids))
    AND (:open::boolean IS NULL OR (t.completed_at IS NULL) = :open)
    AND (:priority::text IS NULL OR t.priority = :priority)
    AND (:type::text IS NULL OR t.type = :type)
    AND (:tag::text IS NULL OR :tag = ANY(t.tags))
    AND (:label_id::uuid IS NULL OR :label_id = ANY(t.label_ids))
    AND (:due_from::timestamptz IS NULL OR t.due_at >= :due_from)
    AND (:due_before::timestamptz IS NULL OR t.due_at < :due_before)
    AND (:overdue::boolean IS NULL OR (t.completed_at IS NULL AND coalesce(t.due_at < :now, false)) = :overdue)
    AND (:updated_since::timestamptz IS NULL OR t.updated_at >= :updated_since)
    AND (SELECT p.deleted_at IS NULL FROM projects AS p WHERE p.tenant_id = t.tenant_id AND p.id = t.project_id)
    AND (:sees_all OR EXISTS (
        SELECT 1 FROM project_parts AS pm
        WHERE pm.tenant_id = t.tenant_id AND pm.project_id = t.project_id AND pm.user_id = ANY(:people::uuid [])
    ))
ORDER BY coalesce(t.due_at, :far), t.id
LIMIT :max_rows;

-- The cards of a board as far as a window of so many per column reaches, each column by its index.
-- snapshot_tasks :many
SELECT t.*
FROM board_columns AS c
CROSS JOIN LATERAL (
    SELECT x.* FROM tasks AS x
    WHERE x.tenant_id = :tenant_id AND x.column_id = c.id AND x.deleted_at IS NULL AND x.archived_at IS NULL
    ORDER BY x.position, x.id
    LIMIT :per_column
) AS t
WHERE c.tenant_id = :tenant_id AND c.project_id = :project_id AND c.deleted_at IS NULL;
