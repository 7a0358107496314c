"""Everything that talks to Temporal from outside a workflow: start, update, query, cached progress."""
