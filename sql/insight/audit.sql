-- The audit log. Entries of commands are written by append_log; see sql/log.sql.

-- record_audit :exec
SELECT record_audit(
    :tenant::uuid, :person::uuid, :action, :outcome, :actor_id::uuid, :impersonator_id::uuid, :session_id::uuid,
    :resource, :address, :user_agent, :changes::text::json, :was::text::json
);
