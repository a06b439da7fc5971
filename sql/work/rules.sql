-- Rules, and the history of what they did.

-- project_of_rule :value
SELECT project_id FROM rules WHERE tenant_id = :tenant_id AND id = :entity_id;

-- count_rules :value
SELECT count(*) FROM rules WHERE tenant_id = :tenant_id AND project_id = :project_id;

-- rules_of :many
SELECT r.* FROM rules AS r
WHERE r.tenant_id = :tenant_id AND r.project_id = :project_id
ORDER BY r.created_at, r.id;

-- rule :maybe
SELECT r.*, u.name AS updated_by_name
FROM rules AS r LEFT JOIN users AS u ON u.id = r.updated_by
WHERE r.tenant_id = :tenant_id AND r.project_id = :project_id AND r.id = :rule_id;

-- create_rule :one
INSERT INTO rules (
    tenant_id, project_id, id, name, owner_id, enabled, enabled_at, trigger, definition,
    created_by, created_at, updated_by, updated_at
)
VALUES (
    :tenant_id, :project_id, :id, :name, :actor_id, :enabled, :now, :trigger, :definition,
    :actor_id, :now, :actor_id, :now
)
RETURNING *;

-- update_rule :one
UPDATE rules
SET
    name = :name, owner_id = :actor_id, trigger = :trigger, definition = :definition,
    enabled_at = CASE WHEN :anew::boolean THEN :now ELSE enabled_at END,
    next_at = CASE WHEN :anew::boolean THEN NULL ELSE next_at END,
    version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :rule_id
RETURNING *;

-- switch_rule :one
UPDATE rules
SET
    enabled = :enabled, enabled_at = CASE WHEN enabled THEN enabled_at ELSE :now END,
    next_at = CASE WHEN enabled = :enabled THEN next_at END,
    version = version + 1, updated_by = :actor_id, updated_at = :now
WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :rule_id
RETURNING *;

-- delete_rule :exec
DELETE FROM rules WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :rule_id;

-- What the rules of a project wait for, into the row of its room, which every command reads. The clock needs nobody.
-- settle_triggers :value
UPDATE rooms SET triggers = (
    SELECT array_agg(DISTINCT r.trigger ORDER BY r.trigger) FROM rules AS r
    WHERE r.tenant_id = :tenant_id AND r.project_id = :project_id AND r.enabled AND r.trigger <> 'schedule'
)
WHERE tenant_id = :tenant_id AND id = :project_id
RETURNING triggers;

-- waits_for_due :value
SELECT coalesce('task.due' = ANY(r.triggers), false) FROM rooms AS r
WHERE r.tenant_id = :tenant_id AND r.id = :room_id;

-- The rules that may act, in the order in which they do, and how often they did lately.
-- rules_enabled :many
SELECT r.id, r.name, r.owner_id, r.trigger, r.definition, r.minute_at, r.minute_runs, r.hour_at, r.hour_runs, r.told_at
FROM rules AS r
WHERE r.tenant_id = :tenant_id AND r.project_id = :project_id AND r.enabled
ORDER BY r.created_at, r.id;

-- set_next_strike :exec
UPDATE rules SET next_at = :next_at WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = :rule_id;

-- The tasks that a rule by the clock is about, in the order of their numbers.
-- tasks_for_rule :many
SELECT t.id, t.number FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.number > :after_number
    AND t.deleted_at IS NULL AND t.archived_at IS NULL AND {where: true}
ORDER BY t.number
LIMIT :max_rows;

-- The tasks of a sprint that a rule is about.
-- sprint_tasks_for_rule :many
SELECT t.id FROM tasks AS t
WHERE t.tenant_id = :tenant_id AND t.project_id = :project_id AND t.sprint_id = :sprint_id
    AND t.deleted_at IS NULL AND t.archived_at IS NULL AND {where: true}
ORDER BY t.number;

-- active_sprint :value
SELECT s.id FROM sprints AS s
WHERE s.tenant_id = :tenant_id AND s.project_id = :project_id AND s.status = 'active'
ORDER BY s.end_on, s.id
LIMIT 1;

-- What some rules have to do with due dates, the earliest first: each rule once for each due date of an open task, but
-- not for what was due before it was switched on. Each rule reads its tasks in the order of an index.
-- tasks_due_for_rules :many
SELECT r.id AS rule_id, t.id AS task_id, t.due_at, t.due_at + o.shift AS moment
FROM rules AS r
CROSS JOIN LATERAL (
    SELECT coalesce((r.definition -> 'when' ->> 'minutes')::bigint, 0) * interval '1 minute' AS shift
) AS o
CROSS JOIN LATERAL (
    SELECT d.id, d.due_at FROM tasks AS d
    WHERE d.tenant_id = :tenant_id AND d.project_id = :project_id AND d.due_at IS NOT NULL AND d.completed_at IS NULL
        AND d.deleted_at IS NULL AND d.archived_at IS NULL AND d.due_at >= r.enabled_at - o.shift
        AND NOT EXISTS (
            SELECT FROM rule_dues AS k
            WHERE k.tenant_id = :tenant_id AND k.rule_id = r.id AND k.task_id = d.id AND k.due_at = d.due_at
        )
    ORDER BY d.due_at, d.id
    LIMIT :max_rows
) AS t
WHERE r.tenant_id = :tenant_id AND r.project_id = :project_id AND r.id = ANY(:rule_ids::uuid []) AND r.enabled
    AND r.trigger = 'task.due'
ORDER BY moment, r.id, t.id
LIMIT :max_rows;

-- remember_due :exec
INSERT INTO rule_dues (tenant_id, rule_id, task_id, due_at)
SELECT :tenant_id, d.rule_id, d.task_id, d.due_at
FROM unnest(:rule_ids::uuid [], :task_ids::uuid [], :due_ats::timestamptz []) AS d (rule_id, task_id, due_at)
ON CONFLICT (tenant_id, rule_id, task_id) DO UPDATE SET due_at = excluded.due_at;

-- A rule that waits for something else has done nothing yet.
-- forget_dues :exec
DELETE FROM rule_dues WHERE tenant_id = :tenant_id AND rule_id = :rule_id;

-- Of what rules name, how much there is.
-- columns_there :value
SELECT count(*) FROM board_columns
WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = ANY(:ids::uuid []) AND deleted_at IS NULL;

-- statuses_there :value
SELECT count(*) FROM statuses WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = ANY(:ids::uuid []);

-- labels_there :value
SELECT count(*) FROM labels WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = ANY(:ids::uuid []);

-- templates_there :value
SELECT count(*) FROM task_templates
WHERE tenant_id = :tenant_id AND (project_id IS NULL OR project_id = :project_id) AND id = ANY(:ids::uuid []);

-- sprints_there :value
SELECT count(*) FROM sprints WHERE tenant_id = :tenant_id AND project_id = :project_id AND id = ANY(:ids::uuid []);

-- What rules did in one command, how often they did lately, and of the history no more than is kept.
-- record_rule_runs :exec
WITH counted AS (
    UPDATE rules AS r
    SET minute_at = c.minute_at, minute_runs = c.minute_runs, hour_at = c.hour_at, hour_runs = c.hour_runs,
        told_at = c.told_at
    FROM json_to_recordset(:counts::json) AS c (
        id uuid, minute_at timestamptz, minute_runs bigint, hour_at timestamptz, hour_runs bigint,
        told_at timestamptz
    )
    WHERE r.tenant_id = :tenant_id AND r.project_id = :project_id AND r.id = c.id
), trimmed AS (
    DELETE FROM rule_runs AS gone
    USING unnest(:trim_ids::uuid []) AS t (rule_id)
    CROSS JOIN LATERAL (
        SELECT k.at, k.id FROM rule_runs AS k
        WHERE k.tenant_id = :tenant_id AND k.rule_id = t.rule_id
        ORDER BY k.at DESC, k.id DESC
        OFFSET :keep LIMIT 1
    ) AS last
    WHERE gone.tenant_id = :tenant_id AND gone.rule_id = t.rule_id AND (gone.at, gone.id) <= (last.at, last.id)
)
INSERT INTO rule_runs (
    tenant_id, project_id, id, rule_id, task_id, at, trigger, cause_id, outcome, reason, message, actions
)
SELECT
    :tenant_id, :project_id, n.id, n.rule_id, n.task_id, :now, n.trigger, n.cause_id, n.outcome, n.reason, n.message,
    n.actions
FROM json_to_recordset(:runs::json) AS n (
    id uuid, rule_id uuid, task_id uuid, trigger text, cause_id uuid, outcome text, reason text, message text, actions json
);

-- What rules did, into the audit log, after the entries of the commands that caused it.
-- audit_rule_runs :exec
WITH entries AS (
    INSERT INTO audit_entries (
        tenant_id, id, at, action, outcome, actor_id, command_id, room_id, resource, address, user_agent, changes
    )
    SELECT
        :tenant_id, audit_id(:now, 1024 + n.place), :now, 'rule.act', 'ok', n.owner_id, :command_id, :room_id,
        'rule:' || n.rule_id::text, '', '', n.changes
    FROM ROWS FROM (json_to_recordset(:runs::json) AS (rule_id uuid, owner_id uuid, changes json)) WITH ORDINALITY AS n (
        rule_id, owner_id, changes, place
    )
    RETURNING id
)
INSERT INTO audit_pending (tenant_id, entry_ids) SELECT :tenant_id, array_agg(e.id) FROM entries AS e;

-- runs_of_project :many
SELECT n.* FROM rule_runs AS n
WHERE n.tenant_id = :tenant_id AND n.project_id = :project_id AND (n.at, n.id) < (:place_at::timestamptz, :place_id::uuid)
ORDER BY n.at DESC, n.id DESC
LIMIT :max_rows;

-- runs_of_rule :many
SELECT n.* FROM rule_runs AS n
WHERE n.tenant_id = :tenant_id AND n.rule_id = :rule_id AND (n.at, n.id) < (:place_at::timestamptz, :place_id::uuid)
ORDER BY n.at DESC, n.id DESC
LIMIT :max_rows;

-- purge_rule_runs :value
SELECT purge_rule_runs(:older_than);
