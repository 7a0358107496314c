"""The documents as an application serves them: made once, at the first request."""

import json
from functools import cached_property

from fastapi import FastAPI, Response

from api.http.envelope import JSON
from api.openapi.document import build
from api.openapi.downgrade_3_0 import as_3_0
from api.openapi.postman import collection
from api.openapi.traversal import Json
from api.version import PREFIX

NEWEST = PREFIX + "/openapi.json"
OLDER = PREFIX + "/openapi-3.0.json"
# At the root, as the contract has it, and beside the others.
POSTMAN = ("/postman-collection.json", PREFIX + "/postman-collection.json")


class Documents:
    """The documents of one application."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    @cached_property
    def newest(self) -> Json:
        """OpenAPI 3.1."""
        return build(self._app)

    @cached_property
    def older(self) -> Json:
        """OpenAPI 3.0.3."""
        return as_3_0(self.newest)

    @cached_property
    def postman(self) -> Json:
        """A Postman collection (2.1)."""
        return collection(self.newest)


def install(app: FastAPI) -> None:
    """Serve the documents; `app.openapi()` gives the newest."""
    documents = Documents(app)
    app.openapi = lambda: documents.newest  # type: ignore[method-assign]  # as FastAPI's manual has it

    async def older() -> Response:
        return Response(json.dumps(documents.older, ensure_ascii=False), media_type=JSON)

    async def postman() -> Response:
        return Response(json.dumps(documents.postman, ensure_ascii=False), media_type=JSON)

    app.add_api_route(OLDER, older, include_in_schema=False)
    for address in POSTMAN:
        app.add_api_route(address, postman, include_in_schema=False)
