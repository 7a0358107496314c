"""`models`, imported when the first of them is needed: pydantic takes a tenth of a second."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ai_agents import models
else:

    class _Models:
        def __getattr__(self, name: str) -> Any:
            return getattr(importlib.import_module("ai_agents.models"), name)

    models = _Models()

__all__ = ["models"]
