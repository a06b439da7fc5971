-- What did not go well is looked for often and happens rarely. The table is as young as this index.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX audit_entries_failed_idx ON audit_entries (tenant_id, id) WHERE outcome <> 'ok';
