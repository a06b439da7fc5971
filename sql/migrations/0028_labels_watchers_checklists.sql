-- Labels of a project, who watches a task, and checklists. A task carries the ids of its labels and watchers, and how far
-- its checklists are, so that a board is read as before; checklists themselves are read task by task.

CREATE TABLE labels (
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    colour text NOT NULL,
    version bigint NOT NULL DEFAULT 1,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    updated_by uuid NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE
);
CREATE UNIQUE INDEX labels_name_key ON labels (tenant_id, project_id, lower(name));

ALTER TABLE labels ENABLE ROW LEVEL SECURITY;
ALTER TABLE labels FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON labels TO atrium_app USING (tenant_id = current_tenant());

CREATE TABLE checklists (
    tenant_id uuid NOT NULL,
    project_id uuid NOT NULL,
    task_id uuid NOT NULL,
    id uuid NOT NULL,
    name text NOT NULL,
    position text COLLATE "C" NOT NULL,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, project_id) REFERENCES projects (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, task_id) REFERENCES tasks (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX checklists_task_idx ON checklists (tenant_id, task_id, position, id);
CREATE INDEX checklists_project_idx ON checklists (tenant_id, project_id);

ALTER TABLE checklists ENABLE ROW LEVEL SECURITY;
ALTER TABLE checklists FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON checklists TO atrium_app USING (tenant_id = current_tenant());

CREATE TABLE checklist_items (
    tenant_id uuid NOT NULL,
    task_id uuid NOT NULL,
    checklist_id uuid NOT NULL,
    id uuid NOT NULL,
    text text NOT NULL,
    position text COLLATE "C" NOT NULL,
    done_by uuid,
    done_at timestamptz,
    created_by uuid NOT NULL,
    created_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id, task_id) REFERENCES tasks (tenant_id, id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id, checklist_id) REFERENCES checklists (tenant_id, id) ON DELETE CASCADE
);
CREATE INDEX checklist_items_task_idx ON checklist_items (tenant_id, task_id);
CREATE INDEX checklist_items_list_idx ON checklist_items (tenant_id, checklist_id, position, id);

ALTER TABLE checklist_items ENABLE ROW LEVEL SECURITY;
ALTER TABLE checklist_items FORCE ROW LEVEL SECURITY;
CREATE POLICY tenant ON checklist_items TO atrium_app USING (tenant_id = current_tenant());

ALTER TABLE tasks
ADD COLUMN watcher_ids uuid [] NOT NULL DEFAULT '{}',
ADD COLUMN unwatched_ids uuid [] NOT NULL DEFAULT '{}',
ADD COLUMN label_ids uuid [] NOT NULL DEFAULT '{}',
ADD COLUMN checklist_total bigint NOT NULL DEFAULT 0,
ADD COLUMN checklist_done bigint NOT NULL DEFAULT 0;
