-- Begin a room's transaction: set the tenant, and lock the room until its end. A CALL returns no rows, so that it can go
-- ahead of the statement that reads, in the same message.
CREATE PROCEDURE hold_room(of_tenant uuid, room uuid)
LANGUAGE plpgsql SET search_path = pg_catalog, public, pg_temp
AS $$
BEGIN
    PERFORM set_config('atrium.tenant', of_tenant::text, true);
    PERFORM 1 FROM rooms AS r WHERE r.tenant_id = of_tenant AND r.id = room FOR NO KEY UPDATE;
END
$$;

REVOKE ALL ON PROCEDURE hold_room(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE hold_room(uuid, uuid) TO atrium_app;
