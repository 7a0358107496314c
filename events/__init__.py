"""What follows a commit: the outbox relay (workflow starts and, later, events), and the sweep for lost workflows."""
