-- Permissions beside the role, people who run the instance, and members who are programs.

-- What a member may do beyond or short of her role: NULL for nothing of the kind.
ALTER TABLE members ADD COLUMN allowed text [];
ALTER TABLE members ADD COLUMN denied text [];

-- A flag of the instance, not a role in a tenant; the first one is made on the command line.
ALTER TABLE users ADD COLUMN platform_admin boolean NOT NULL DEFAULT false;

-- A service is the account behind an API key of a tenant: it has a membership, and can never sign in.
ALTER TABLE users ADD COLUMN kind text NOT NULL DEFAULT 'person' CONSTRAINT users_kind_check CHECK (kind IN ('person', 'service'));
