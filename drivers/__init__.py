"""Drivers: one folder per kind, with a small Protocol in `base.py` and a conformance suite that all drivers pass."""
