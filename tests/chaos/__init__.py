"""Kills on the real stack: every process at every step, and what must be true afterwards."""
