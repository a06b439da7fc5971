-- Tasks: how far their subtasks are, the archive, what was really needed, days and zones, approval, and old keys.

ALTER TABLE tasks
    ADD COLUMN subtask_total bigint NOT NULL DEFAULT 0,
    ADD COLUMN subtask_done bigint NOT NULL DEFAULT 0,
    ADD COLUMN archived_at timestamptz,
    ADD COLUMN archived_with uuid,
    ADD COLUMN actual_minutes bigint,
    ADD COLUMN time_zone text,
    ADD COLUMN all_day boolean NOT NULL DEFAULT false,
    ADD COLUMN approval text NOT NULL DEFAULT 'none',
    ADD COLUMN series_id uuid;

-- Of a column only what stands on the board: thousands that are archived must not lie between its cards.
-- The new one is built beside the columns that come now anyway: writes wait for it, about a second for a million tasks.
-- squawk-ignore require-concurrent-index-deletion
DROP INDEX tasks_column_idx;
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX tasks_column_idx ON tasks (tenant_id, column_id, position, id)
WHERE deleted_at IS NULL AND archived_at IS NULL;

-- Subtasks that there are already. Row-level security is forced upon the owner too, but for this.
ALTER TABLE tasks NO FORCE ROW LEVEL SECURITY;
ALTER TABLE statuses NO FORCE ROW LEVEL SECURITY;
UPDATE tasks AS t SET subtask_total = c.total, subtask_done = c.done
FROM (
    SELECT
        k.tenant_id, k.parent_id, count(*) AS total, count(*) FILTER (WHERE s.category = 'done') AS done
    FROM tasks AS k JOIN statuses AS s ON s.tenant_id = k.tenant_id AND s.id = k.status_id
    WHERE k.parent_id IS NOT NULL AND k.deleted_at IS NULL AND s.category <> 'cancelled'
    GROUP BY k.tenant_id, k.parent_id
) AS c
WHERE t.tenant_id = c.tenant_id AND t.id = c.parent_id;
ALTER TABLE tasks FORCE ROW LEVEL SECURITY;
ALTER TABLE statuses FORCE ROW LEVEL SECURITY;

-- The keys that a task had before it went to another project: old links still lead to it.
CREATE TABLE task_keys (
    tenant_id uuid NOT NULL,
    key text NOT NULL,
    task_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, key),
    FOREIGN KEY (tenant_id, task_id) REFERENCES tasks (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX task_keys_task_idx ON task_keys (tenant_id, task_id);

ALTER TABLE task_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE task_keys FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON task_keys TO atrium_app USING (tenant_id = current_tenant());
