-- All tenants of the instance, for those who run it; see the functions of 0020_platform.sql.

-- platform_tenants :many
WITH found AS MATERIALIZED (
    SELECT t.id, t.place
    FROM platform_tenants(:caller, :search, :status::text, :after_name, :after_id, :max_rows) AS t
)
SELECT f.*, t.place
FROM found AS t
JOIN platform_tenant_figures(:caller, ARRAY(SELECT o.id FROM found AS o)) AS f ON f.id = t.id
ORDER BY t.place COLLATE "C", t.id;

-- platform_tenant :maybe
SELECT f.* FROM platform_tenant_figures(:caller, ARRAY[:tenant_id::uuid]) AS f;

-- platform_members :many
SELECT m.* FROM platform_members(:caller, :tenant_id, :after_id, :max_rows) AS m;

-- platform_activity_in :many
SELECT a.* FROM platform_activity_in(:caller, :tenant_id, :before_id, :max_rows) AS a;
