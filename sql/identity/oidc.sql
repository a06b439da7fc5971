-- Sign-in by OpenID Connect: flows, identities, and the sessions that a provider has opened.

-- Each new flow sweeps up a few old ones.
-- start_flow :exec
WITH old AS (
    DELETE FROM sign_in_flows WHERE state_hash IN (
        SELECT o.state_hash FROM sign_in_flows AS o WHERE o.expires_at < now()
        ORDER BY o.expires_at LIMIT 10
        FOR UPDATE SKIP LOCKED
    )
)
INSERT INTO sign_in_flows (
    state_hash, secret_hash, provider, return_to, in_browser, names_issuer, user_id, expires_at
)
VALUES (
    :state_hash, :secret_hash, :provider, :return_to, :in_browser, :names_issuer, :user_id,
    now() + :ttl::interval
);

-- flow_of_state :maybe
SELECT f.* FROM sign_in_flows AS f
WHERE f.state_hash = :state_hash AND f.code_hash IS NULL AND f.expires_at > now();

-- What a provider answers counts once: of two callbacks with one state the second finds nothing.
-- flow_came_back :maybe
UPDATE sign_in_flows SET code_hash = :code_hash, provider_code = :provider_code
WHERE state_hash = :state_hash AND code_hash IS NULL AND expires_at > now()
RETURNING state_hash;

-- drop_flow :exec
DELETE FROM sign_in_flows WHERE state_hash = :state_hash;

-- flow_of_code :maybe
SELECT f.state_hash FROM sign_in_flows AS f WHERE f.code_hash = :code_hash AND f.expires_at > now();

-- A code is good once, in the hands of whoever began.
-- take_flow :maybe
DELETE FROM sign_in_flows
WHERE code_hash = :code_hash AND secret_hash = :secret_hash AND expires_at > now()
RETURNING state_hash, provider, provider_code, user_id;

-- identity :maybe
SELECT i.* FROM identities AS i WHERE i.provider = :provider AND i.subject = :subject;

-- add_identity :maybe
INSERT INTO identities (id, user_id, provider, subject, label, email)
VALUES (:id, :user_id, :provider, :subject, :label, :email)
ON CONFLICT DO NOTHING
RETURNING *;

-- identity_used :exec
UPDATE identities SET last_used_at = now(), email = :email WHERE provider = :provider AND subject = :subject;

-- identities_of :many
SELECT i.id, i.provider, i.label, i.email, i.linked_at, i.last_used_at
FROM identities AS i WHERE i.user_id = :user_id
ORDER BY i.linked_at, i.id;

-- drop_identity :maybe
DELETE FROM identities WHERE id = :identity_id AND user_id = :user_id RETURNING provider, subject;

-- Beside a password: an identity, or a passkey.
-- other_ways_in :value
SELECT EXISTS (SELECT 1 FROM identities AS i WHERE i.user_id = :user_id)
    OR EXISTS (SELECT 1 FROM passkeys AS p WHERE p.user_id = :user_id);

-- drop_identities_of :exec
DELETE FROM identities WHERE user_id = :user_id;

-- drop_identities_at :exec
DELETE FROM identities WHERE provider = :provider;

-- forget_password :exec
UPDATE users SET password_hash = NULL, updated_at = now() WHERE id = :user_id;

-- add_provider_session :exec
INSERT INTO provider_sessions (session_id, provider, subject, sid)
VALUES (:session_id, :provider, :subject, :sid);

-- provider_of_session :maybe
SELECT p.provider FROM provider_sessions AS p WHERE p.session_id = :session_id;

-- A provider says that somebody has signed out there, of one session or of all of them; a message that is sent again
-- later finds nothing newer to end.
-- end_provider_sessions :many
UPDATE sessions AS s SET revoked_at = now(), revoked_reason = :reason
FROM provider_sessions AS p
WHERE p.session_id = s.id AND p.provider = :provider AND s.revoked_at IS NULL AND s.expires_at > now()
    AND (:subject::text IS NULL OR p.subject = :subject)
    AND (:sid::text IS NULL OR p.sid = :sid)
    AND (:opened_before::timestamptz IS NULL OR s.created_at <= :opened_before)
RETURNING s.user_id;

-- sso_required_of :many
SELECT r.tenant_id, r.sso_id FROM sso_required_of(:user_id) AS r;
