-- The removal of deleted tenants, run by maintenance.

-- tenant_to_purge :value
SELECT tenant_to_purge(:moment);

-- purge_some :value
SELECT purge_some(:most, :moment);

-- purge_tenant :exec
SELECT purge_tenant(:moment);
