-- Files of projects. Their bytes are with the blobs, under blob_id: another content of the same file will be another blob.

CREATE TABLE files (
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    id uuid NOT NULL,
    blob_id uuid NOT NULL,
    status text NOT NULL DEFAULT 'uploading',
    name text NOT NULL,
    size bigint NOT NULL,
    content_type text NOT NULL DEFAULT '',
    sha256 text NOT NULL DEFAULT '',
    version bigint NOT NULL DEFAULT 1,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_by uuid NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_by uuid,
    deleted_at timestamptz,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT files_blob_key UNIQUE (tenant_id, blob_id),
    CONSTRAINT files_status_check CHECK (status IN ('uploading', 'ready', 'deleted')),
    CONSTRAINT files_size_check CHECK (size >= 0),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE
);
-- The list of a project, and what its foreign key asks for.
CREATE INDEX files_project_idx ON files (tenant_id, project_id, created_at, id);
-- What waits for its removal.
CREATE INDEX files_removed_idx ON files (deleted_at) WHERE status = 'deleted';
CREATE INDEX files_begun_idx ON files (created_at) WHERE status = 'uploading';

ALTER TABLE files ENABLE ROW LEVEL SECURITY;
ALTER TABLE files FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON files TO atrium_app USING (tenant_id = current_tenant());
CREATE POLICY definer ON files FOR SELECT TO CURRENT_USER USING (true);

-- What the files of a tenant take together, uploads under way with what they say that they will.
CREATE TABLE file_usage (
    tenant_id uuid NOT NULL PRIMARY KEY,
    bytes bigint NOT NULL
);

ALTER TABLE file_usage ENABLE ROW LEVEL SECURITY;
ALTER TABLE file_usage FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON file_usage TO atrium_app USING (tenant_id = current_tenant());

-- Files that were deleted so long ago, and uploads that nobody went on with.
CREATE FUNCTION files_to_remove(deleted_before timestamptz, begun_before timestamptz, most bigint)
RETURNS TABLE (tenant_id uuid, id uuid, blob_id uuid)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    (
        SELECT f.tenant_id, f.id, f.blob_id FROM files AS f
        WHERE f.status = 'deleted' AND f.deleted_at < deleted_before LIMIT most
    )
    UNION ALL
    (
        SELECT f.tenant_id, f.id, f.blob_id FROM files AS f
        WHERE f.status = 'uploading' AND f.created_at < begun_before LIMIT most
    )
$$;

GRANT EXECUTE ON FUNCTION files_to_remove(timestamptz, timestamptz, bigint) TO atrium_app;
