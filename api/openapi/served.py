"""Serves the documents: built once, at the first request."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from functools import cached_property
from typing import Final

from fastapi import FastAPI, Request, Response

from api.http.envelope import JSON
from api.http.etags import tag_of_json, unchanged
from api.openapi.addresses import NAMES, NEWEST_NAME, OLDER_NAME
from api.openapi.document import build
from api.openapi.downgrade_3_0 import as_3_0
from api.openapi.postman import collection
from api.openapi.traversal import Json
from api.version import PREFIX

# They change only with a release, and are public, so shared caches may store them.
CACHE: Final = "public, max-age=300"


class Documents:
    """The documents of one application."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app
        self._made: dict[str, tuple[bytes, str]] = {}
        self._making = asyncio.Lock()

    @cached_property
    def newest(self) -> Json:
        """OpenAPI 3.1."""
        return build(self._app)

    async def served(self, name: str) -> tuple[bytes, str]:
        """One document as bytes, and its tag. Built in a thread: it takes a second."""
        async with self._making:
            if name not in self._made:
                self._made[name] = await asyncio.to_thread(self._make, name)
        return self._made[name]

    def _make(self, name: str) -> tuple[bytes, str]:
        document = self.newest
        if name != NEWEST_NAME:
            document = as_3_0(document) if name == OLDER_NAME else collection(document)
        content = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
        return content, tag_of_json(content)


def install(app: FastAPI) -> None:
    """Serve the documents; `app.openapi()` returns the newest version."""
    documents = Documents(app)
    app.openapi = lambda: documents.newest  # type: ignore[method-assign]  # as FastAPI's manual has it
    for name in NAMES:
        for prefix in ("", PREFIX):
            app.add_api_route(prefix + name, _giving(documents, name), include_in_schema=False)


def _giving(documents: Documents, name: str) -> Callable[[Request], Awaitable[Response]]:
    async def give(request: Request) -> Response:
        content, tag = await documents.served(name)
        headers = {"ETag": tag, "Cache-Control": CACHE}
        if unchanged(request, tag):
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers, media_type=JSON)

    return give
