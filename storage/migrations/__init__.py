"""The database schema and its changes, in order. Run as `python -m storage.migrations`."""

from storage.migrations.runner import current, head, upgrade

__all__ = ["current", "head", "upgrade"]
