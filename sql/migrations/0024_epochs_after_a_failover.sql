-- A room's epoch says which history its numbers belong to. A promoted standby may lack the last commits of its
-- primary, and gives their numbers again: every promotion begins another timeline, so the epoch that clients see is
-- made of the stored one and the timeline. It changes with the promotion itself, before anything can be written.

-- Fails on a server that is still a standby: what it has is not the last word.
CREATE FUNCTION epoch_of(stored uuid) RETURNS uuid
LANGUAGE sql STABLE
AS $$
    SELECT encode(substr(sha256(
        uuid_send(stored) || convert_to(left(pg_walfile_name(pg_current_wal_lsn()), 8), 'UTF8')
    ), 1, 16), 'hex')::uuid
$$;

CREATE OR REPLACE FUNCTION room_heads(tenant_ids uuid [], room_ids uuid [])
RETURNS TABLE (tenant_id uuid, id uuid, epoch uuid, head_seq bigint, rights_seq bigint)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
    SELECT r.tenant_id, r.id, epoch_of(r.epoch), r.head_seq, t.rights_seq
    FROM unnest(tenant_ids, room_ids) AS wanted (tenant_id, id)
    JOIN rooms AS r ON r.tenant_id = wanted.tenant_id AND r.id = wanted.id
    JOIN tenants AS t ON t.id = r.tenant_id
$$;

-- Another epoch for every room, where commits were lost and no promotion says so. Given a witness, a room that somebody
-- has seen further in this epoch, only as long as that room is still in it: whoever notices second changes nothing.
-- The table's lock lets every command end first and keeps out new ones, so that there is no deadlock with any.
CREATE FUNCTION renew_epochs(witness_tenant uuid, witness_room uuid, seen_epoch uuid) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER SET search_path = pg_catalog, public, pg_temp
AS $$
DECLARE renewed bigint := 0;
BEGIN
    LOCK TABLE rooms IN EXCLUSIVE MODE;
    IF witness_room IS NULL OR EXISTS (
        SELECT 1 FROM rooms AS r
        WHERE r.tenant_id = witness_tenant AND r.id = witness_room AND epoch_of(r.epoch) = seen_epoch
    ) THEN
        UPDATE rooms SET epoch = gen_random_uuid();
        GET DIAGNOSTICS renewed = ROW_COUNT;
    END IF;
    RETURN renewed;
END
$$;

GRANT EXECUTE ON FUNCTION epoch_of(uuid), renew_epochs(uuid, uuid, uuid) TO atrium_app;
