"""Drivers: one folder a kind, each a small Protocol in `base.py`, and one conformance suite that all pass."""
