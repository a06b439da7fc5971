-- Invitations: how people come into a tenant of their own will.

CREATE TABLE invitations (
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    id uuid NOT NULL,
    -- NULL: a link, good for whoever has it. Otherwise only the owner of the address can accept.
    email text,
    role text NOT NULL CHECK (role IN ('owner', 'admin', 'manager', 'member', 'viewer', 'client', 'guest')),
    -- When the membership that comes of it ends.
    member_until timestamptz,
    -- [{"project_id": …, "role": …}]: what the newcomer takes part in, as far as the inviter may still say so then.
    projects json NOT NULL DEFAULT '[]',
    message text NOT NULL DEFAULT '',
    -- Whoever sent it last; it counts only as long as this person may still give the role.
    invited_by uuid NOT NULL,
    state text NOT NULL DEFAULT 'pending'
    CHECK (state IN ('pending', 'accepted', 'declined', 'revoked', 'expired')),
    uses bigint NOT NULL DEFAULT 0,
    max_uses bigint NOT NULL DEFAULT 1,
    accepted_by uuid,
    -- Raised when it is sent again: a mail of an older round that still waits is not sent.
    round bigint NOT NULL DEFAULT 1,
    mail_id uuid,
    created_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    closed_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT invitations_email_folded CHECK (email = lower(email)),
    CONSTRAINT invitations_uses CHECK (uses BETWEEN 0 AND max_uses),
    CONSTRAINT invitations_guest_expires CHECK (role <> 'guest' OR member_until IS NOT NULL)
);
CREATE UNIQUE INDEX invitations_pending_key ON invitations (tenant_id, email) WHERE state = 'pending';
CREATE INDEX invitations_closed_idx ON invitations (closed_at) WHERE state <> 'pending';
CREATE INDEX invitations_expires_idx ON invitations (expires_at) WHERE state = 'pending';

-- Several, because a mail that is tried again has a link of its own. Only hashes are kept.
CREATE TABLE invitation_tokens (
    tenant_id uuid NOT NULL,
    token_hash bytea NOT NULL,
    invitation_id uuid NOT NULL,
    PRIMARY KEY (tenant_id, token_hash),
    FOREIGN KEY (tenant_id, invitation_id) REFERENCES invitations (tenant_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX invitation_tokens_hash_key ON invitation_tokens (token_hash);
CREATE INDEX invitation_tokens_invitation_idx ON invitation_tokens (tenant_id, invitation_id);

ALTER TABLE invitations ENABLE ROW LEVEL SECURITY;
ALTER TABLE invitations FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON invitations TO atrium_app USING (tenant_id = current_tenant());
ALTER TABLE invitation_tokens ENABLE ROW LEVEL SECURITY;
ALTER TABLE invitation_tokens FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON invitation_tokens TO atrium_app USING (tenant_id = current_tenant());

CREATE POLICY definer ON invitations TO CURRENT_USER USING (true);
CREATE POLICY definer ON invitation_tokens FOR SELECT TO CURRENT_USER USING (true);

-- Where a token leads: what has to be known before there is a tenant.
CREATE FUNCTION find_invitation(of_hash bytea) RETURNS TABLE (tenant_id uuid, invitation_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT t.tenant_id, t.invitation_id FROM invitation_tokens AS t WHERE t.token_hash = of_hash
$$;

-- Retention: addresses of people who never came are not kept for ever.
CREATE FUNCTION purge_invitations(older_than timestamptz) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    WITH gone AS (
        DELETE FROM invitations
        WHERE (state <> 'pending' AND closed_at < older_than) OR (state = 'pending' AND expires_at < older_than)
        RETURNING 1
    )
    SELECT count(*) FROM gone
$$;

GRANT EXECUTE ON FUNCTION find_invitation(bytea), purge_invitations(timestamptz) TO atrium_app;
