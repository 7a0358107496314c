-- Roles and databases of the engine and of Temporal: neither is a superuser, neither can connect to what is the other's.
-- Runs before each start, as the superuser: makes what is missing, and gives the roles the passwords that the files have now.
\set ON_ERROR_STOP on
\set engine_password `cat "${SECRETS_DIR:-/run/secrets}/engine_database_password"`
\set temporal_password `cat "${SECRETS_DIR:-/run/secrets}/temporal_database_password"`
SELECT least(length(:'engine_password'), length(:'temporal_password')) < 12 AS too_short \gset
\if :too_short
    DO $$ BEGIN RAISE 'a password is missing or has fewer than 12 characters: deploy/secrets.sh makes them'; END $$;
\endif

SELECT format('CREATE ROLE %I', name) FROM unnest(ARRAY['delivery', 'temporal']) AS name
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = name) \gexec
ALTER ROLE delivery LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'engine_password';
ALTER ROLE temporal LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS PASSWORD :'temporal_password';

SELECT format('CREATE DATABASE %I OWNER %I', name, owner)
FROM (VALUES ('delivery', 'delivery'), ('temporal', 'temporal'), ('temporal_visibility', 'temporal')) AS wanted (name, owner)
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = name) \gexec
-- Everybody may connect to every database, unless told otherwise. Owners still may to their own.
REVOKE ALL ON DATABASE delivery, temporal, temporal_visibility, postgres, template1 FROM PUBLIC;
