"""One API process of a bench: `python -m tests.bench.api_process --port P [--bare FOLDER] [--without NAME]`.

Without `--bare` it serves the API as it is. With it, bare FastAPI routes `/bare/<file>` that answer with the bytes of
each file in the folder, behind the same authentication: what any FastAPI route costs that does nothing. `--without`:
with the plain way in place of one of the fast ones (`tests.bench.plain_ways`).
"""

import argparse
import os
from contextlib import suppress
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Response

from api.__main__ import settle
from api.app import create_app
from api.auth.permissions import Authenticated
from runtime.logging import setup_logging
from runtime.settings import Settings, get_settings
from tests.bench.plain_ways import WITHOUT

CORE = 0


def bare_app(settings: Settings, folder: Path) -> FastAPI:
    """Routes that do nothing but authenticate."""
    whole = create_app(settings)
    app = FastAPI(lifespan=lambda app: _lifespan(whole, app))
    for file in sorted(folder.iterdir()):
        _add(app, file.name, file.read_bytes())
    return app


def _lifespan(whole: FastAPI, app: FastAPI):  # type: ignore[no-untyped-def] # whatever FastAPI's router gives
    app.state = whole.state
    return whole.router.lifespan_context(whole)


def _add(app: FastAPI, name: str, body: bytes) -> None:
    async def answer(principal: Authenticated) -> Response:
        del principal
        return Response(body, media_type="application/json")

    app.add_api_route(f"/bare/{name}", answer)


def main() -> None:
    """Serve until SIGTERM, on one core where there are several."""
    parser = argparse.ArgumentParser(prog="api_process", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--bare", type=Path)
    parser.add_argument("--without", choices=WITHOUT)
    given = parser.parse_args()
    if given.without:
        WITHOUT[given.without]()
    with suppress(AttributeError, OSError):
        os.sched_setaffinity(0, {CORE})
    settings = get_settings()
    setup_logging(settings.log_level, service="bench")
    app = bare_app(settings, given.bare) if given.bare else create_app(settings)
    settle()
    uvicorn.run(app, port=given.port, loop="uvloop", http="httptools", ws="none", log_config=None, access_log=False)


if __name__ == "__main__":
    main()
