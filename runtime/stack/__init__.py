"""The embedded stack: PostgreSQL, Temporal, Envoy, API and worker on one machine, kept up by one supervisor."""
