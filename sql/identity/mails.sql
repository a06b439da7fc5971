-- The outbox of mails. A worker leases what is due, so that no transaction is open while a mail server thinks.

-- queue_mail :exec
INSERT INTO outbox_mails (id, kind, to_address, user_id, data)
VALUES (:mail_id, :kind, :to_address, :user_id, :data::text::json);

-- For forms that anybody may fill in: however often somebody asks, one such mail waits to be looked at.
-- ask_for_mail :exec
INSERT INTO outbox_mails (id, kind, to_address)
SELECT :mail_id, :kind, :to_address
WHERE NOT EXISTS (
    SELECT 1 FROM outbox_mails
    WHERE to_address = :to_address AND kind = :kind AND state = 'waiting' AND tries = 0
);

-- A lease that runs out makes the mail due again: its worker has died.
-- lease_mails :many
UPDATE outbox_mails AS o SET tries = o.tries + 1, next_try_at = now() + :lease::interval
WHERE o.id IN (
    SELECT w.id FROM outbox_mails AS w
    WHERE w.state = 'waiting' AND w.next_try_at <= now()
    ORDER BY w.next_try_at
    LIMIT :max_mails
    FOR UPDATE SKIP LOCKED
)
RETURNING o.id, o.kind, o.to_address, o.user_id, o.data::text AS data, o.tries, o.created_at;

-- mail_done :exec
UPDATE outbox_mails SET state = :state, error = :error, done_at = now() WHERE id = :mail_id;

-- retry_mail :exec
UPDATE outbox_mails SET next_try_at = now() + :pause::interval, error = :error WHERE id = :mail_id;

-- purge_mails :value
WITH gone AS (
    DELETE FROM outbox_mails WHERE state <> 'waiting' AND done_at < now() - :retention::interval RETURNING 1
)
SELECT count(*) FROM gone;

-- The tenant in whose look a person reads a mail about her account.
-- tenant_of_mails :value
SELECT tenant_of_mails(u.id) FROM users AS u
WHERE u.id = :user_id::uuid OR (:user_id::uuid IS NULL AND u.email = :email);
