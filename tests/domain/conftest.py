"""Properties are checked with the same examples everywhere, and nothing is kept: the checkout may be read-only."""

from hypothesis import settings

settings.register_profile("repeatable", database=None, deadline=None, derandomize=True)
settings.load_profile("repeatable")
