-- Boards and the workflow: transitions, limits that refuse or warn, what each person has collapsed, and saved views.

-- `transitions`: a list of the statuses that a task may go to, with who may take it there and what it needs for that; null
-- where nothing is ruled.
ALTER TABLE statuses
ADD COLUMN colour text,
ADD COLUMN required_fields text [] NOT NULL DEFAULT '{}',
ADD COLUMN transitions jsonb,
ADD COLUMN version bigint NOT NULL DEFAULT 1,
ADD COLUMN updated_by uuid,
ADD COLUMN updated_at timestamptz;

ALTER TABLE boards
ADD COLUMN swimlanes text NOT NULL DEFAULT 'none',
ADD COLUMN deleted_at timestamptz;

ALTER TABLE board_columns
ADD COLUMN colour text,
ADD COLUMN limit_mode text NOT NULL DEFAULT 'hard';
ALTER TABLE board_columns
ADD CONSTRAINT board_columns_limit_mode_check CHECK (limit_mode IN ('hard', 'warn')) NOT VALID;

-- Who put a task where it lies, and when; null where nobody has since it came to be.
ALTER TABLE tasks
ADD COLUMN moved_by uuid,
ADD COLUMN moved_at timestamptz;

-- What one person has collapsed on one board; `lanes` are the keys of swimlanes.
CREATE TABLE board_layouts (
    tenant_id uuid NOT NULL,
    user_id uuid NOT NULL,
    board_id uuid NOT NULL,
    project_id uuid NOT NULL,
    column_ids uuid [] NOT NULL DEFAULT '{}',
    lanes text [] NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, user_id, board_id),
    FOREIGN KEY (tenant_id, user_id) REFERENCES members (tenant_id, user_id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX board_layouts_project_idx ON board_layouts (tenant_id, project_id);

ALTER TABLE board_layouts ENABLE ROW LEVEL SECURITY;
ALTER TABLE board_layouts FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON board_layouts TO atrium_app USING (tenant_id = current_tenant());

-- Ways to look at a project's tasks. A shared one belongs to the project, another one to its owner alone.
CREATE TABLE views (
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    id uuid NOT NULL,
    owner_id uuid NOT NULL,
    shared boolean NOT NULL,
    board_id uuid,
    name text NOT NULL,
    layout text NOT NULL,
    filter jsonb NOT NULL,
    sort jsonb NOT NULL,
    swimlanes text NOT NULL,
    fields text [] NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_at timestamptz NOT NULL,
    updated_by uuid NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE
);
-- The project's shared ones, and one person's own ones in it.
CREATE INDEX views_project_idx ON views (tenant_id, project_id, name, id);
-- Those that a person's own room shows.
CREATE INDEX views_owner_idx ON views (tenant_id, owner_id) WHERE NOT shared;

ALTER TABLE views ENABLE ROW LEVEL SECURITY;
ALTER TABLE views FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON views TO atrium_app USING (tenant_id = current_tenant());
