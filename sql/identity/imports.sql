-- Imports of members.

-- create_member_import :one
INSERT INTO member_imports (
    tenant_id, id, mode, dry_run, role, message, file, state, total, lease_until, created_by, scopes,
    key_id, created_at, finished_at
)
VALUES (
    :tenant_id, :import_id, :mode, :dry_run, :role, :message, :file, :state, :total, :now, :actor_id, :scopes::text [],
    :key_id, :now,
    CASE WHEN :state = 'running' THEN NULL ELSE :now::timestamptz END
)
RETURNING id, mode, dry_run, state, total, done, invited, added, failed, problem, created_by, created_at, finished_at;

-- member_import :maybe
SELECT
    i.id, i.mode, i.dry_run, i.state, i.total, i.done, i.invited, i.added, i.failed, i.problem, i.created_by,
    i.created_at, i.finished_at
FROM member_imports AS i
WHERE i.tenant_id = :tenant_id AND i.id = :import_id;

-- running_import :value
SELECT i.id FROM member_imports AS i WHERE i.tenant_id = :tenant_id AND i.state = 'running';

-- imports_of :many
SELECT
    i.id, i.mode, i.dry_run, i.state, i.total, i.done, i.invited, i.added, i.failed, i.problem, i.created_by,
    i.created_at, i.finished_at
FROM member_imports AS i
WHERE i.tenant_id = :tenant_id AND i.created_by = :actor_id AND i.state = 'running';

-- An import that a key began goes on as long as that key could.
-- import_to_run :maybe
SELECT
    i.id, i.mode, i.dry_run, i.role, i.message, i.file, i.total, i.done,
    i.key_id IS NOT NULL AND NOT EXISTS (
        SELECT 1 FROM api_keys AS k
        WHERE k.tenant_id = :tenant_id AND k.id = i.key_id AND k.revoked_at IS NULL
            AND (k.expires_at IS NULL OR k.expires_at > now())
    ) AS key_ended
FROM member_imports AS i
WHERE i.tenant_id = :tenant_id AND i.id = :import_id AND i.state = 'running';

-- Notes a portion: only the one that comes next, and only while the import runs.
-- advance_import :maybe
UPDATE member_imports SET
    done = done + :rows, invited = invited + :invited, added = added + :added, failed = failed + :failed,
    lease_until = now() + :lease::interval,
    state = CASE WHEN done + :rows >= total THEN 'done' ELSE state END,
    file = CASE WHEN done + :rows >= total THEN '' ELSE file END,
    finished_at = CASE WHEN done + :rows >= total THEN :now::timestamptz END
WHERE tenant_id = :tenant_id AND id = :import_id AND state = 'running' AND done = :first
RETURNING id, mode, dry_run, state, total, done, invited, added, failed, problem, created_by, created_at, finished_at;

-- end_import :maybe
UPDATE member_imports SET state = :state, problem = :problem, file = '', finished_at = now()
WHERE tenant_id = :tenant_id AND id = :import_id AND state = 'running'
RETURNING id, mode, dry_run, state, total, done, invited, added, failed, problem, created_by, created_at, finished_at;

-- add_import_errors :exec
INSERT INTO member_import_errors (tenant_id, import_id, line, field, message, value)
SELECT :tenant_id, :import_id, e.line, e.field, e.message, e.value
FROM unnest(:lines::bigint [], :fields::text [], :messages::text [], :of_values::text []) AS e (line, field, message, value);

-- import_errors :many
SELECT e.line, e.field, e.message, e.value FROM member_import_errors AS e
WHERE e.tenant_id = :tenant_id AND e.import_id = :import_id
    AND (e.line, e.field) > (:after_line::bigint, :after_field::text)
ORDER BY e.line, e.field
LIMIT :max_rows;

-- Of some addresses those that may be added without being asked; see known_person.
-- known_people :many
SELECT u.* FROM users AS u
WHERE u.email = ANY(:emails::text []) AND u.kind = 'person' AND (:open_directory::boolean OR EXISTS (
    SELECT 1 FROM members AS m WHERE m.tenant_id = :tenant_id AND m.user_id = u.id
) OR shares_organization(u.id, :tenant_id));

-- projects_by_key :many
SELECT p.id, p.key FROM projects AS p
WHERE p.tenant_id = :tenant_id AND p.key = ANY(:keys::text []) AND p.deleted_at IS NULL;

-- lease_member_import :maybe
SELECT l.* FROM lease_member_import(:lease::interval) AS l;

-- release_import :exec
UPDATE member_imports SET lease_until = now()
WHERE tenant_id = :tenant_id AND id = :import_id AND state = 'running';

-- purge_member_imports :value
SELECT purge_member_imports(:older_than);
