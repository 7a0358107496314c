"""The plain way in place of each hand-made fast one, so that a bench can say what the fast one brings."""

import logging
from collections.abc import Callable, Mapping
from typing import Any, cast

from api import app
from api.http import middleware
from api.services.deployments.cached_reader import DeploymentReader
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


PLAIN_WAYS: Mapping[str, Callable[[], None]] = {
    "fast_routes": _through_fastapi,
    "cached_reader": _read_every_time,
    "dataloader": _a_statement_each,
    "log_lines": _through_all_processors,
}
