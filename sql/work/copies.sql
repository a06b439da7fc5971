-- Copies of projects. Whatever a status, board or column has goes along: the record as it is, under another id.

-- Statuses, then boards, then columns, each in its order; and labels, and fields of its own.
-- shape_to_copy :many
SELECT s.id, s.category, NULL::uuid [] AS status_ids, 1 AS sort, '' AS board, s.position
FROM statuses AS s WHERE s.tenant_id = :tenant_id AND s.project_id = :source_id
UNION ALL
SELECT b.id, NULL, NULL, 2, '', b.position
FROM boards AS b WHERE b.tenant_id = :tenant_id AND b.project_id = :source_id AND b.deleted_at IS NULL
UNION ALL
SELECT c.id, NULL, c.status_ids, 3, b.position, c.position
FROM board_columns AS c JOIN boards AS b ON b.tenant_id = c.tenant_id AND b.id = c.board_id AND b.deleted_at IS NULL
WHERE c.tenant_id = :tenant_id AND c.project_id = :source_id AND c.deleted_at IS NULL
UNION ALL
SELECT l.id, NULL, NULL, 4, '', '' FROM labels AS l WHERE l.tenant_id = :tenant_id AND l.project_id = :source_id
UNION ALL
SELECT f.id, NULL, NULL, 5, '', '' FROM project_fields AS f
WHERE f.tenant_id = :tenant_id AND f.project_id = :source_id
ORDER BY sort, board, position, id;

-- copy_statuses :exec
INSERT INTO statuses
SELECT (jsonb_populate_record(s, jsonb_build_object(
    'id', m.new_id, 'project_id', :project_id::uuid, 'version', 1, 'updated_by', :actor_id::uuid,
    'updated_at', :now::timestamptz,
    'transitions', CASE WHEN jsonb_typeof(s.transitions) = 'array' THEN coalesce((
        SELECT jsonb_agg(w.way || jsonb_build_object('to_id', t.new_id) ORDER BY w.place)
        FROM jsonb_array_elements(s.transitions) WITH ORDINALITY AS w (way, place)
        JOIN unnest(:old_ids::uuid [], :new_ids::uuid []) AS t (old_id, new_id) ON t.old_id = (w.way ->> 'to_id')::uuid
    ), '[]') END
))).*
FROM statuses AS s
JOIN unnest(:old_ids::uuid [], :new_ids::uuid []) AS m (old_id, new_id) ON m.old_id = s.id
WHERE s.tenant_id = :tenant_id AND s.project_id = :source_id;

-- copy_boards :exec
INSERT INTO boards
SELECT (jsonb_populate_record(b, jsonb_build_object(
    'id', m.new_id, 'project_id', :project_id::uuid, 'version', 1, 'updated_by', :actor_id::uuid,
    'updated_at', :now::timestamptz
))).*
FROM boards AS b
JOIN unnest(:old_ids::uuid [], :new_ids::uuid []) AS m (old_id, new_id) ON m.old_id = b.id
WHERE b.tenant_id = :tenant_id AND b.project_id = :source_id;

-- copy_columns :exec
INSERT INTO board_columns
SELECT (jsonb_populate_record(c, jsonb_build_object(
    'id', m.new_id, 'project_id', :project_id::uuid, 'board_id', board.new_id, 'version', 1,
    'updated_by', :actor_id::uuid, 'updated_at', :now::timestamptz,
    'status_ids', (
        SELECT jsonb_agg(s.new_id ORDER BY held.place)
        FROM unnest(c.status_ids) WITH ORDINALITY AS held (id, place)
        JOIN unnest(:old_ids::uuid [], :new_ids::uuid []) AS s (old_id, new_id) ON s.old_id = held.id
    )
))).*
FROM board_columns AS c
JOIN unnest(:old_ids::uuid [], :new_ids::uuid []) AS m (old_id, new_id) ON m.old_id = c.id
JOIN unnest(:old_ids::uuid [], :new_ids::uuid []) AS board (old_id, new_id) ON board.old_id = c.board_id
WHERE c.tenant_id = :tenant_id AND c.project_id = :source_id AND c.deleted_at IS NULL;

-- copy_labels :exec
INSERT INTO labels
SELECT (jsonb_populate_record(l, jsonb_build_object(
    'id', m.new_id, 'project_id', :project_id::uuid, 'version', 1, 'created_by', :actor_id::uuid,
    'created_at', :now::timestamptz, 'updated_by', :actor_id::uuid, 'updated_at', :now::timestamptz
))).*
FROM labels AS l
JOIN unnest(:old_ids::uuid [], :new_ids::uuid []) AS m (old_id, new_id) ON m.old_id = l.id
WHERE l.tenant_id = :tenant_id AND l.project_id = :source_id;

-- copy_fields :exec
INSERT INTO project_fields
SELECT (jsonb_populate_record(f, jsonb_build_object(
    'id', m.new_id, 'project_id', :project_id::uuid, 'version', 1, 'created_by', :actor_id::uuid,
    'created_at', :now::timestamptz, 'updated_by', :actor_id::uuid, 'updated_at', :now::timestamptz
))).*
FROM project_fields AS f
JOIN unnest(:old_ids::uuid [], :new_ids::uuid []) AS m (old_id, new_id) ON m.old_id = f.id
WHERE f.tenant_id = :tenant_id AND f.project_id = :source_id;

-- tasks_to_copy :many
SELECT
    t.id, t.number, t.parent_id, t.column_id, t.status_id, t.position, t.start_at, t.due_at, t.time_zone,
    t.subtask_total, t.checklist_total, s.category
FROM tasks AS t
JOIN statuses AS s ON s.tenant_id = t.tenant_id AND s.project_id = :source_id AND s.id = t.status_id
WHERE t.tenant_id = :tenant_id AND t.project_id = :source_id AND t.deleted_at IS NULL AND t.archived_at IS NULL
ORDER BY t.number
LIMIT :max_rows;

-- The first date of the tasks of each zone.
-- first_moments :many
SELECT t.time_zone, min(least(t.start_at, t.due_at)) AS moment FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.project_id = :source_id AND t.deleted_at IS NULL AND t.archived_at IS NULL
    AND least(t.start_at, t.due_at) IS NOT NULL
GROUP BY t.time_zone;

-- copy_tasks :exec
WITH placed AS (
    SELECT m.* FROM unnest(
        :old_ids::uuid [], :new_ids::uuid [], :parent_ids::uuid [], :column_ids::uuid [], :status_ids::uuid [],
        :positions::text [], :subtask_totals::bigint [], :starts::timestamptz [], :dues::timestamptz []
    ) WITH ORDINALITY AS m (
        old_id, id, parent_id, column_id, status_id, position, subtask_total, start_at, due_at, number
    )
), made AS (
    INSERT INTO tasks (
        tenant_id, project_id, id, number, key, title, description, type, priority, column_id, status_id, position,
        parent_id, tags, label_ids, fields, start_at, due_at, time_zone, all_day, estimate_minutes, completed_at, subtask_total,
        checklist_total, created_by, created_at, updated_by, updated_at
    )
    SELECT
        t.tenant_id, :project_id, m.id, m.number, :key || '-' || m.number, t.title, t.description, t.type, t.priority,
        m.column_id, m.status_id, m.position, m.parent_id, t.tags,
        ARRAY(
            SELECT l.new_id FROM unnest(t.label_ids) WITH ORDINALITY AS held (id, place)
            JOIN unnest(:label_ids::uuid [], :new_label_ids::uuid []) AS l (old_id, new_id) ON l.old_id = held.id
            ORDER BY held.place
        ),
        t.fields, m.start_at, m.due_at, t.time_zone, t.all_day, t.estimate_minutes,
        CASE WHEN s.category = 'done' THEN :now::timestamptz END, m.subtask_total, t.checklist_total,
        :actor_id, :now, :actor_id, :now
    FROM placed AS m
    JOIN tasks AS t ON t.tenant_id = :tenant_id AND t.project_id = :source_id AND t.id = m.old_id
    JOIN statuses AS s ON s.tenant_id = :tenant_id AND s.project_id = :project_id AND s.id = m.status_id
    RETURNING number
)
UPDATE projects SET last_number = (SELECT max(number) FROM made)
WHERE tenant_id = :tenant_id AND id = :project_id;

-- copy_dependencies :exec
INSERT INTO dependencies (
    tenant_id, project_id, id, task_id, depends_on_id, type, lag_minutes, created_by, created_at
)
SELECT
    d.tenant_id, :project_id, audit_id(:now, row_number() OVER (ORDER BY d.id)), waits.new_id, awaited.new_id, d.type, d.lag_minutes,
    :actor_id, :now
FROM dependencies AS d
JOIN unnest(:old_ids::uuid [], :new_ids::uuid []) AS waits (old_id, new_id) ON waits.old_id = d.task_id
JOIN unnest(:old_ids::uuid [], :new_ids::uuid []) AS awaited (old_id, new_id) ON awaited.old_id = d.depends_on_id
WHERE d.tenant_id = :tenant_id AND d.project_id = :source_id;

-- Checklists with their items, none of them ticked. Ids are of the kind that the server makes: by time.
-- copy_checklists :exec
WITH lists AS (
    SELECT c.*, t.new_id AS new_task_id, audit_id(:now, row_number() OVER (ORDER BY c.id)) AS new_id
    FROM checklists AS c
    JOIN unnest(:old_ids::uuid [], :new_ids::uuid []) AS t (old_id, new_id) ON t.old_id = c.task_id
    WHERE c.tenant_id = :tenant_id AND c.project_id = :source_id
), copied AS (
    INSERT INTO checklists (tenant_id, project_id, task_id, id, name, position, created_by, created_at)
    SELECT l.tenant_id, :project_id, l.new_task_id, l.new_id, l.name, l.position, :actor_id, :now FROM lists AS l
)
INSERT INTO checklist_items (tenant_id, task_id, checklist_id, id, text, position, created_by, created_at)
SELECT
    i.tenant_id, l.new_task_id, l.new_id, audit_id(:now, row_number() OVER (ORDER BY i.id)), i.text, i.position,
    :actor_id, :now
FROM lists AS l
JOIN checklist_items AS i ON i.tenant_id = l.tenant_id AND i.checklist_id = l.id;

-- Those who take part themselves and may do so in a copy.
-- parts_to_copy :many
SELECT pm.user_id, pm.role FROM project_members AS pm
JOIN members AS m ON m.tenant_id = pm.tenant_id AND m.user_id = pm.user_id AND m.status IN ('active', 'suspended')
WHERE pm.tenant_id = :tenant_id AND pm.project_id = :source_id AND pm.direct
    AND (pm.expires_at IS NULL OR pm.expires_at > :now);

-- Whoever made the copy keeps what she has there already.
-- copy_parts :exec
INSERT INTO project_members (tenant_id, project_id, user_id, role, expires_at)
SELECT pm.tenant_id, :project_id, pm.user_id, pm.role, pm.expires_at
FROM project_members AS pm
JOIN members AS m ON m.tenant_id = pm.tenant_id AND m.user_id = pm.user_id AND m.status IN ('active', 'suspended')
WHERE pm.tenant_id = :tenant_id AND pm.project_id = :source_id AND pm.direct
    AND (pm.expires_at IS NULL OR pm.expires_at > :now)
ON CONFLICT (tenant_id, project_id, user_id) DO UPDATE
SET role = excluded.role, expires_at = excluded.expires_at
WHERE project_members.user_id <> :actor_id;
