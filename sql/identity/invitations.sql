-- Invitations.

-- What the tenant knows of some addresses already. Accounts elsewhere make no difference to anything here.
-- known_addresses :many
SELECT
    asked.email, m.user_id, m.status,
    m.status = 'active' AND (m.expires_at IS NULL OR m.expires_at > :now) AS live,
    i.id AS invitation_id, i.expires_at <= :now AS lapsed
FROM unnest(:emails::text []) AS asked (email)
LEFT JOIN users AS u ON u.email = asked.email
LEFT JOIN members AS m ON m.tenant_id = :tenant_id AND m.user_id = u.id
LEFT JOIN invitations AS i ON i.tenant_id = :tenant_id AND i.email = asked.email AND i.state = 'pending';

-- A pending invitation that has run out makes room for a new one.
-- close_lapsed_invitations :exec
UPDATE invitations SET state = 'expired', closed_at = expires_at
WHERE tenant_id = :tenant_id AND email = ANY(:emails::text []) AND state = 'pending' AND expires_at <= :now;

-- create_invitations :many
INSERT INTO invitations (
    tenant_id, id, email, name, role, member_until, projects, message, invited_by, max_uses, mail_id, created_at,
    expires_at
)
SELECT
    :tenant_id, i.id, i.email, i.name, i.role, i.member_until, i.projects::json, :message, :actor_id, :max_uses, i.mail_id,
    :now, least(:valid_until::timestamptz, i.member_until)
FROM unnest(
    :ids::uuid [], :emails::text [], :roles::text [], :member_untils::timestamptz [], :projects::text [],
    :mail_ids::uuid [], :names::text []
) AS i (id, email, role, member_until, projects, mail_id, name)
RETURNING id;

-- Invitations with what a list shows of them. `inviters` and `roles` say who may still give what.
-- invitations_of :many
SELECT i.*
FROM (
    SELECT
        i.id, i.email, i.name, i.role, i.member_until AS expires_at, i.projects::text AS projects, i.message, i.invited_by,
        u.name AS invited_by_name, i.uses, i.max_uses, i.accepted_by, i.created_at, i.expires_at AS valid_until,
        CASE
            WHEN i.state <> 'pending' THEN i.state
            WHEN i.expires_at <= :now THEN 'expired'
            WHEN NOT EXISTS (
                SELECT 1 FROM unnest(:inviters::uuid [], :roles::text []) AS may (user_id, role)
                WHERE may.user_id = i.invited_by AND may.role = i.role
            ) THEN 'ended'
            WHEN o.state = 'failed' THEN 'undelivered'
            ELSE 'pending'
        END AS status
    FROM invitations AS i
    LEFT JOIN users AS u ON u.id = i.invited_by
    LEFT JOIN outbox_mails AS o ON o.id = i.mail_id
    WHERE i.tenant_id = :tenant_id AND i.id < :before_id AND (:only_id::uuid IS NULL OR i.id = :only_id)
) AS i
WHERE :status::text IS NULL OR i.status = :status
ORDER BY i.id DESC
LIMIT :max_rows;

-- Everybody whose invitations may still be accepted.
-- inviters :many
SELECT DISTINCT i.invited_by FROM invitations AS i WHERE i.tenant_id = :tenant_id AND i.state = 'pending';

-- invitation :maybe
SELECT i.*, i.projects::text AS projects_json FROM invitations AS i
WHERE i.tenant_id = :tenant_id AND i.id = :invitation_id;

-- renew_invitation :one
UPDATE invitations
SET
    invited_by = :actor_id, round = round + 1, mail_id = :mail_id,
    expires_at = least(:valid_until::timestamptz, member_until)
WHERE tenant_id = :tenant_id AND id = :invitation_id AND state = 'pending'
RETURNING round;

-- close_invitation :maybe
UPDATE invitations SET state = :state, closed_at = :now
WHERE tenant_id = :tenant_id AND id = :invitation_id AND state = 'pending'
RETURNING id;

-- end_invitation_tokens :exec
DELETE FROM invitation_tokens WHERE tenant_id = :tenant_id AND invitation_id = :invitation_id;

-- add_invitation_token :exec
INSERT INTO invitation_tokens (tenant_id, token_hash, invitation_id)
VALUES (:tenant_id, :token_hash, :invitation_id);

-- queue_invitations :exec
INSERT INTO outbox_mails (id, kind, to_address, data)
SELECT
    m.id, 'invitation', m.to_address,
    json_build_object('tenant_id', :tenant_id::uuid, 'invitation_id', m.invitation_id, 'round', :round::bigint)
FROM unnest(:mail_ids::uuid [], :emails::text [], :ids::uuid []) AS m (id, to_address, invitation_id);

-- invitation_to_mail :maybe
SELECT
    i.email, i.role, i.message, i.expires_at, t.name AS tenant_name, u.name AS inviter_name,
    t.id, t.branding, t.custom_domain, t.logo_hash
FROM invitations AS i
JOIN tenants AS t ON t.id = i.tenant_id AND t.status = 'active'
JOIN users AS u ON u.id = i.invited_by
WHERE i.tenant_id = :tenant_id AND i.id = :invitation_id AND i.state = 'pending' AND i.expires_at > now()
    AND i.round = :round;

-- find_invitation :maybe
SELECT f.tenant_id, f.invitation_id FROM find_invitation(:token_hash) AS f;

-- An invitation that may be accepted, as far as it is for the invitation itself to say.
-- open_invitation :maybe
SELECT
    i.id, i.tenant_id, i.email, i.name, i.role, i.member_until, i.projects::text AS projects, i.invited_by, i.expires_at,
    t.name AS tenant_name, t.slug AS tenant_slug, u.name AS inviter_name,
    t.branding, t.custom_domain, t.logo_hash
FROM invitations AS i
JOIN tenants AS t ON t.id = i.tenant_id AND t.status = 'active'
JOIN users AS u ON u.id = i.invited_by
WHERE i.tenant_id = :tenant_id AND i.id = :invitation_id AND i.state = 'pending' AND i.expires_at > clock_timestamp()
    AND i.uses < i.max_uses;

-- use_invitation :one
UPDATE invitations
SET
    uses = uses + 1, accepted_by = :user_id,
    state = CASE WHEN uses + 1 = max_uses THEN 'accepted' ELSE state END,
    closed_at = CASE WHEN uses + 1 = max_uses THEN :now::timestamptz END
WHERE tenant_id = :tenant_id AND id = :invitation_id AND state = 'pending' AND uses < max_uses
RETURNING state;

-- purge_invitations :value
SELECT purge_invitations(:older_than);

-- Whether somebody has come in by this invitation before, and is still a member.
-- joined_by :maybe
SELECT i.id
FROM invitations AS i
JOIN members AS m ON m.tenant_id = i.tenant_id AND m.user_id = i.accepted_by AND m.status = 'active'
    AND (m.expires_at IS NULL OR m.expires_at > now())
JOIN tenants AS t ON t.id = i.tenant_id AND t.status = 'active'
WHERE i.tenant_id = :tenant_id AND i.id = :invitation_id AND i.accepted_by = :user_id;

-- Whoever brings back a token that went to the address reads its mail.
-- prove_address :exec
UPDATE users SET
    email_verified_at = coalesce(email_verified_at, now()), updated_at = now(),
    status = CASE WHEN status = 'pending' THEN 'active' ELSE status END
WHERE id = :user_id AND email = :email AND (email_verified_at IS NULL OR status = 'pending');
