-- Checklists of tasks. A lookup carries project and task, so that "not there" and "not yours" are one answer.

-- checklists_of :many
SELECT c.* FROM checklists AS c
WHERE c.tenant_id = :tenant_id AND c.project_id = :project_id AND c.task_id = :task_id
ORDER BY c.position, c.id;

-- checklist :maybe
SELECT c.*, t.checklist_total
FROM checklists AS c JOIN tasks AS t ON t.tenant_id = c.tenant_id AND t.id = c.task_id
WHERE c.tenant_id = :tenant_id AND c.project_id = :project_id AND c.task_id = :task_id AND c.id = :checklist_id
    AND t.deleted_at IS NULL AND t.archived_at IS NULL;

-- create_checklist :one
INSERT INTO checklists (tenant_id, project_id, task_id, id, name, position, created_by, created_at)
VALUES (:tenant_id, :project_id, :task_id, :id, :name, :position, :actor_id, :now)
RETURNING *;

-- place_checklist :exec
UPDATE checklists SET name = :name, position = :position
WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :checklist_id;

-- spread_checklists :exec
UPDATE checklists AS c SET position = n.position
FROM unnest(:ids::uuid [], :positions::text []) AS n (id, position)
WHERE c.tenant_id = :tenant_id AND c.project_id = :project_id AND c.id = n.id;

-- delete_checklist :exec
DELETE FROM checklists WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :checklist_id;

-- items_of_task :many
SELECT i.* FROM checklist_items AS i
WHERE i.tenant_id = :tenant_id AND i.task_id = :task_id
ORDER BY i.checklist_id, i.position, i.id;

-- items_of_checklist :many
SELECT i.id, i.position FROM checklist_items AS i
WHERE i.tenant_id = :tenant_id AND i.checklist_id = :checklist_id
ORDER BY i.position, i.id;

-- checklist_item :maybe
SELECT i.*
FROM checklist_items AS i JOIN tasks AS t ON t.tenant_id = i.tenant_id AND t.id = i.task_id
WHERE i.tenant_id = :tenant_id AND i.task_id = :task_id AND i.id = :item_id
    AND t.project_id = :project_id AND t.deleted_at IS NULL AND t.archived_at IS NULL;

-- add_items :many
INSERT INTO checklist_items (tenant_id, task_id, checklist_id, id, text, position, created_by, created_at)
SELECT :tenant_id, :task_id, :checklist_id, n.id, n.text, n.position, :actor_id, :now
FROM unnest(:ids::uuid [], :texts::text [], :positions::text []) AS n (id, text, position)
RETURNING *;

-- write_item :exec
UPDATE checklist_items
SET text = :text, checklist_id = :checklist_id, position = :position, done_by = :done_by, done_at = :done_at
WHERE tenant_id = :tenant_id AND task_id = :task_id AND id = :id;

-- spread_items :exec
UPDATE checklist_items AS i SET position = n.position
FROM unnest(:ids::uuid [], :positions::text []) AS n (id, position)
WHERE i.tenant_id = :tenant_id AND i.id = n.id;

-- remove_item :exec
DELETE FROM checklist_items WHERE tenant_id = :tenant_id AND task_id = :task_id AND id = :item_id;

-- How far the checklists of a task are, counted anew and kept with it.
-- count_items :one
UPDATE tasks AS t SET checklist_total = n.total, checklist_done = n.done
FROM (
    SELECT count(*) AS total, count(i.done_at) AS done FROM checklist_items AS i
    WHERE i.tenant_id = :tenant_id AND i.task_id = :task_id
) AS n
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = :task_id
RETURNING t.id, t.checklist_total, t.checklist_done;

-- The checklists of a task for another one, with nothing done yet.
-- copy_task_checklists :exec
WITH lists AS (
    SELECT c.id, gen_random_uuid() AS fresh, c.name, c.position
    FROM checklists AS c WHERE c.tenant_id = :tenant_id AND c.task_id = :from_id
), made AS (
    INSERT INTO checklists (tenant_id, project_id, task_id, id, name, position, created_by, created_at)
    SELECT :tenant_id, :project_id, :task_id, l.fresh, l.name, l.position, :actor_id, :now FROM lists AS l
), items AS (
    INSERT INTO checklist_items (tenant_id, task_id, checklist_id, id, text, position, created_by, created_at)
    SELECT :tenant_id, :task_id, l.fresh, gen_random_uuid(), i.text, i.position, :actor_id, :now
    FROM lists AS l JOIN checklist_items AS i ON i.tenant_id = :tenant_id AND i.checklist_id = l.id
    RETURNING id
)
UPDATE tasks SET checklist_total = (SELECT count(*) FROM items)
WHERE tenant_id = :tenant_id AND id = :task_id AND EXISTS (SELECT 1 FROM items);

-- Items again as they were.
-- bring_back_items :many
INSERT INTO checklist_items (
    tenant_id, task_id, checklist_id, id, text, position, done_at, done_by, created_by, created_at
)
SELECT :tenant_id, :task_id, i.checklist_id, i.id, i.text, i.position, i.done_at, i.done_by, :actor_id, :now
FROM json_to_recordset(:items::json) AS i (
    id uuid, checklist_id uuid, text text, position text, done_at timestamptz, done_by uuid
)
RETURNING *;
