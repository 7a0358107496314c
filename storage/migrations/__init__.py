"""The database schema and its changes, in order. Run as `python -m storage.migrations`."""

from storage.migrations.awaiting import await_schema
from storage.migrations.runner import UnknownRevisionError, current, head, upgrade

__all__ = ["UnknownRevisionError", "await_schema", "current", "head", "upgrade"]
