-- Sign-in by OpenID Connect: flows, identities, and the sessions that a provider has opened.

-- add_provider_session :exec
INSERT INTO provider_sessions (session_id, provider, subject, sid)
VALUES (:session_id, :provider, :subject, :sid);

-- sso_required_of :many
SELECT r.tenant_id, r.sso_id FROM sso_required_of(:user_id) AS r;
