-- What a comment has beside its text: the text as HTML, whom it mentions, reactions, whether its thread is resolved; and
-- the texts that it had before. Without body_html it was written before this, and is rendered when it is read.

ALTER TABLE comments
ADD COLUMN body_html text,
ADD COLUMN mentions jsonb NOT NULL DEFAULT '[]',
ADD COLUMN reactions jsonb NOT NULL DEFAULT '[]',
ADD COLUMN resolved_by uuid,
ADD COLUMN resolved_at timestamptz;

CREATE TABLE comment_revisions (
    tenant_id uuid NOT NULL,
    comment_id uuid NOT NULL,
    version bigint NOT NULL,
    body text NOT NULL,
    author_id uuid NOT NULL,
    written_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, comment_id, version),
    FOREIGN KEY (tenant_id, comment_id) REFERENCES comments (tenant_id, id) ON DELETE CASCADE
);

ALTER TABLE comment_revisions ENABLE ROW LEVEL SECURITY;
ALTER TABLE comment_revisions FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON comment_revisions TO atrium_app USING (tenant_id = current_tenant());
