-- When a code for a domain was sent, so that its keeper is not flooded with them.

ALTER TABLE domain_codes ADD COLUMN created_at timestamptz NOT NULL DEFAULT now();
