-- Links between tasks. One whose task is in the trash is there, and is not shown.

-- The project of the other task, whether they are linked so already, and how many links the fuller of them has.
-- Either order counts, for a task that duplicates another one is not its duplicate too.
-- link_ends :maybe
SELECT
    o.project_id AS other_project_id,
    EXISTS (
        SELECT 1 FROM task_links AS l
        WHERE l.tenant_id = :tenant_id AND l.type = :type
            AND ((l.task_id = :task_id AND l.other_id = :other_id) OR (l.task_id = :other_id AND l.other_id = :task_id))
    ) AS linked,
    greatest(
        (SELECT count(*) FROM task_links AS l WHERE l.tenant_id = :tenant_id AND l.task_id = :task_id)
        + (SELECT count(*) FROM task_links AS l WHERE l.tenant_id = :tenant_id AND l.other_id = :task_id),
        (SELECT count(*) FROM task_links AS l WHERE l.tenant_id = :tenant_id AND l.task_id = :other_id)
        + (SELECT count(*) FROM task_links AS l WHERE l.tenant_id = :tenant_id AND l.other_id = :other_id)
    ) AS links
FROM tasks AS t
JOIN tasks AS o ON o.tenant_id = t.tenant_id AND o.id = :other_id AND o.deleted_at IS NULL
JOIN projects AS p ON p.tenant_id = o.tenant_id AND p.id = o.project_id AND p.deleted_at IS NULL
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = :task_id AND t.deleted_at IS NULL;

-- The link of a type between two tasks, whichever of them is first.
-- link_between :maybe
SELECT l.* FROM task_links AS l
WHERE l.tenant_id = :tenant_id AND l.type = :type
    AND ((l.task_id = :task_id AND l.other_id = :other_id) OR (l.task_id = :other_id AND l.other_id = :task_id))
LIMIT 1;

-- add_link :one
INSERT INTO task_links (tenant_id, id, task_id, other_id, type, created_by, created_at)
VALUES (:tenant_id, :id, :task_id, :other_id, :type, :actor_id, :now)
RETURNING *;

-- A link of a task of the project, from whichever end.
-- link :maybe
SELECT l.*, o.project_id AS other_project_id
FROM task_links AS l
JOIN tasks AS t ON t.tenant_id = l.tenant_id AND t.id = :task_id
JOIN tasks AS o
    ON o.tenant_id = l.tenant_id AND o.id = CASE WHEN l.task_id = :task_id THEN l.other_id ELSE l.task_id END
WHERE l.tenant_id = :tenant_id AND l.id = :link_id AND t.project_id = :project_id AND t.deleted_at IS NULL
    AND (l.task_id = :task_id OR l.other_id = :task_id);

-- remove_link :exec
DELETE FROM task_links WHERE tenant_id = :tenant_id AND id = :link_id;

-- links_of_task :many
SELECT
    l.*, o.id AS far_id, o.project_id AS far_project_id, o.key, o.title, o.completed_at, o.archived_at
FROM (
    SELECT a.*, a.other_id AS far FROM task_links AS a WHERE a.tenant_id = :tenant_id AND a.task_id = :task_id
    UNION ALL
    SELECT b.*, b.task_id AS far FROM task_links AS b WHERE b.tenant_id = :tenant_id AND b.other_id = :task_id
) AS l
JOIN tasks AS o ON o.tenant_id = :tenant_id AND o.id = l.far AND o.deleted_at IS NULL
JOIN projects AS p ON p.tenant_id = o.tenant_id AND p.id = o.project_id AND p.deleted_at IS NULL
WHERE :sees_all OR EXISTS (
    SELECT 1 FROM project_parts AS pm
    WHERE pm.tenant_id = o.tenant_id AND pm.project_id = o.project_id AND pm.user_id = ANY(:people::uuid [])
)
ORDER BY l.created_at, l.id;
