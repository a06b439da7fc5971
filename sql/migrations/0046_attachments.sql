-- Files that comments and tasks have, by their ids and in their order.

ALTER TABLE comments ADD COLUMN file_ids uuid [] NOT NULL DEFAULT '{}';
ALTER TABLE tasks ADD COLUMN file_ids uuid [] NOT NULL DEFAULT '{}';
