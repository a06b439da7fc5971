-- Tasks by a filter. What is looked for, the order and where a page begins are put in as clauses (handlers/work/finding/sql.py).

-- tenant_zone :value
SELECT settings ->> 'timezone' FROM tenants WHERE id = :tenant_id;

-- tasks_matching :many
SELECT t.id FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.id = ANY(:task_ids::uuid [])
    AND t.deleted_at IS NULL AND {where: true};

-- What is in the archive is left out, unless the filter itself says something of it.
-- find_tasks :many
SELECT t.*, {place: NULL} AS place
FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.deleted_at IS NULL
    AND {standing: t.archived_at IS NULL} AND {where: true} AND {after: true}
ORDER BY {order: t.number}, t.id
LIMIT :max_rows;

-- In every project that one may see. Whether a project stands is looked up task by task: joined, all projects would be read.
-- find_tasks_everywhere :many
SELECT t.*, {place: NULL} AS place
FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.deleted_at IS NULL
    AND {standing: t.archived_at IS NULL} AND {where: true} AND {after: true}
    AND {visible: true}
    AND (SELECT p.deleted_at IS NULL FROM projects AS p WHERE p.tenant_id = t.tenant_id AND p.id = t.project_id)
ORDER BY {order: t.number}, t.id
LIMIT :max_rows;

-- How far is counted stands in the text: the plan depends on it.
-- count_tasks :many
SELECT count(*) AS count FROM (
    SELECT 1 FROM tasks AS t
    WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.deleted_at IS NULL
    AND {standing: t.archived_at IS NULL} AND {where: true}
    LIMIT {most: 10001}
) AS found;

-- count_tasks_everywhere :many
SELECT count(*) AS count FROM (
    SELECT 1 FROM tasks AS t
    WHERE t.tenant_id = :tenant_id AND t.deleted_at IS NULL
    AND {standing: t.archived_at IS NULL} AND {where: true}
        AND {visible: true}
        AND (SELECT p.deleted_at IS NULL FROM projects AS p WHERE p.tenant_id = t.tenant_id AND p.id = t.project_id)
    LIMIT {most: 10001}
) AS found;

-- A task that has several of what is grouped by counts for each of them, one that has none for null.
-- group_tasks :many
SELECT {value: t.status_id}::text AS value, count(*) AS count
FROM tasks AS t {each: }
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.deleted_at IS NULL
    AND {standing: t.archived_at IS NULL} AND {where: true}
GROUP BY 1
ORDER BY 2 DESC, 1
LIMIT :max_rows;

-- group_tasks_everywhere :many
SELECT {value: t.status_id}::text AS value, count(*) AS count
FROM tasks AS t {each: }
WHERE t.tenant_id = :tenant_id AND t.deleted_at IS NULL
    AND {standing: t.archived_at IS NULL} AND {where: true}
    AND {visible: true}
    AND (SELECT p.deleted_at IS NULL FROM projects AS p WHERE p.tenant_id = t.tenant_id AND p.id = t.project_id)
GROUP BY 1
ORDER BY 2 DESC, 1
LIMIT :max_rows;
