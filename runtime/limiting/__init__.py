"""Counting requests: in this process's memory, or in Redis for all processes together."""
