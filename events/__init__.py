"""After a commit: the outbox relay (workflow starts, events and webhooks), and the sweep for lost workflows."""
