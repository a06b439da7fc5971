-- Custom fields of tasks: those of the tenant, and those that a project has beside them.

-- What tasks of the room's project may have; of the tenant's alone where there is no project.
-- task_fields :one
SELECT
    (SELECT o.settings -> 'custom_fields' FROM tenants AS o WHERE o.id = :tenant_id) AS tenant_fields,
    (
        SELECT jsonb_agg(to_jsonb(f) ORDER BY f.created_at, f.id) FROM project_fields AS f
        WHERE f.tenant_id = :tenant_id AND f.project_id = :project_id AND f.deleted_at IS NULL
    ) AS own_fields;

-- fields_of :many
SELECT f.* FROM project_fields AS f
WHERE f.tenant_id = :tenant_id AND f.project_id = :project_id AND f.deleted_at IS NULL
ORDER BY f.created_at, f.id;

-- field :maybe
SELECT f.*, u.name AS updated_by_name
FROM project_fields AS f LEFT JOIN users AS u ON u.id = f.updated_by
WHERE f.tenant_id = :tenant_id AND f.project_id = :project_id AND f.id = :field_id AND f.deleted_at IS NULL;

-- former_field :maybe
SELECT f.* FROM project_fields AS f
WHERE f.tenant_id = :tenant_id AND f.project_id = :project_id AND f.key = :key AND f.deleted_at IS NOT NULL;

-- create_field :one
INSERT INTO project_fields (
    tenant_id, project_id, id, key, name, type, options, required, currency, formula,
    created_by, created_at, updated_by, updated_at
)
VALUES (
    :tenant_id, :project_id, :id, :key, :name, :type, :options::text [], :required, :currency, :formula,
    :actor_id, :now, :actor_id, :now
)
RETURNING *;

-- update_field :one
UPDATE project_fields
SET
    name = :name, options = :options::text [], required = :required, currency = :currency, formula = :formula,
    deleted_at = NULL, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :id
RETURNING *;

-- delete_field :exec
UPDATE project_fields
SET deleted_at = :now, version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND id = :field_id;

-- Those whose formulas are to be computed anew, by number. What is in the archive is on no board, and stays as it was.
-- tasks_to_compute :many
SELECT t.id, t.number, t.fields, t.version FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.deleted_at IS NULL AND t.archived_at IS NULL
    AND t.number > :after_number
ORDER BY t.number
LIMIT :max_rows;

-- set_fields :exec
UPDATE tasks AS t
SET fields = m.fields, version = t.version + 1, updated_by = :actor_id, updated_at = :now
FROM json_to_recordset(:tasks::json) AS m (id uuid, fields jsonb)
WHERE t.tenant_id = :tenant_id AND t.id = m.id;
