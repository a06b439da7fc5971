-- What projects are in.

-- children_of :many
SELECT p.id, p.type FROM projects AS p
WHERE p.tenant_id = :tenant_id AND p.parent_id = :project_id AND p.deleted_at IS NULL
ORDER BY p.id;

-- is_unit :value
SELECT EXISTS (SELECT 1 FROM groups AS g WHERE g.tenant_id = :tenant_id AND g.id = :unit_id AND g.kind <> 'team');

-- Whether something stands that is for a unit; what is in the trash forgets it when the unit goes.
-- projects_for_unit :value
SELECT EXISTS (
    SELECT 1 FROM projects AS p WHERE p.tenant_id = :tenant_id AND p.unit_id = :unit_id AND p.deleted_at IS NULL
);

-- forget_unit :exec
UPDATE projects SET unit_id = NULL
WHERE tenant_id = :tenant_id AND unit_id = :unit_id AND deleted_at IS NOT NULL;

-- What holds these projects, and what holds that, and so on: three levels at most.
-- held_by :many
WITH RECURSIVE above AS (
    SELECT p.id, p.parent_id FROM projects AS p
    WHERE p.tenant_id = :tenant_id AND p.id = ANY(:project_ids::uuid [])
    UNION
    SELECT p.id, p.parent_id FROM above AS a JOIN projects AS p ON p.tenant_id = :tenant_id AND p.id = a.parent_id
)
SELECT a.id FROM above AS a;
