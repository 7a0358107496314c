"""The compose file for real: `make compose-check`, on a machine with a container engine."""
