"""An ASGI application on a real socket, served as `python -m api` serves ours."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from api.http.uvicorn_protocol import EnvelopedHttp
from tests.support.waiting import until


@asynccontextmanager
async def served(app: Any, **options: Any) -> AsyncIterator[int]:
    """The port on 127.0.0.1; `options` are uvicorn's. The application's lifespan is the caller's."""
    given = {"http": EnvelopedHttp, "log_config": None, "lifespan": "off", "ws": "none", "server_header": False}
    config = uvicorn.Config(app, host="127.0.0.1", port=0, **{**given, **options})
    server = uvicorn.Server(config)
    listener = config.bind_socket()
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    await until(lambda: server.started)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await serving
        listener.close()
