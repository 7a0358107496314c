"""The plain way in place of each hand-made fast one, so that a bench can say what the fast one brings."""

import logging
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from typing import Any, cast

from api import app
from api.auth import api_key_cache
from api.http import middleware
from api.rate_limits import plans
from api.services.deployments import cached_reader
from api.services.deployments.cached_reader import DeploymentReader
from runtime import single_flight
from runtime.logging import get_logger
from storage.dataloader import Batched


def _through_fastapi() -> None:
    app.shortcuts = lambda *_: iter(())  # type: ignore[assignment]  # routes of none


def _read_every_time() -> None:
    DeploymentReader._is_known = lambda *_: False  # type: ignore[method-assign]  # what is to be left out


def _a_statement_each() -> None:
    async def get(self: Batched[Any, Any], key: Any) -> Any:
        return (await self._load([key])).get(key)

    Batched.get = get  # type: ignore[method-assign]  # what is to be left out


def _through_all_processors() -> None:
    middleware.requests = cast("Any", get_logger(logging.getLogger(middleware.__name__).name))


def _uncounted() -> None:
    app.Metering = lambda asgi, **_: asgi  # type: ignore[assignment,misc]  # what is to be left out
    app.meter_queries = lambda *_: None  # type: ignore[assignment]  # the same
    app.reconciling = lambda *_: nullcontext()  # type: ignore[assignment]  # the same
    for module in (api_key_cache, plans, cached_reader, single_flight):
        for name in ("cache_hit", "cache_miss"):
            setattr(module, name, lambda: None)


PLAIN_WAYS: Mapping[str, Callable[[], None]] = {
    "fast_routes": _through_fastapi,
    "cached_reader": _read_every_time,
    "dataloader": _a_statement_each,
    "log_lines": _through_all_processors,
}
WITHOUT: Mapping[str, Callable[[], None]] = {**PLAIN_WAYS, "metering": _uncounted}
"""What can be left out: the fast ways, and what is no way but has a cost."""
