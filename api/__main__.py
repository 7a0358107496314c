"""`python -m api`: serve the API until SIGTERM, then let running requests finish for five seconds."""

import gc
import socket
import sys

import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from api.app import create_app
from api.http.middleware import MAX_REQUESTS
from api.http.uvicorn_protocol import EnvelopedHttp
from domain.errors import DependencyError
from runtime import startup_checks
from runtime.logging import setup_logging
from runtime.settings import get_settings
from storage.migrations import await_schema

GRACE_S = 5
IDLE_S = 75
# The application limits requests (api/http/middleware.py); this limit of the server is a second line of defence below
# it.
MAX_CONNECTIONS = 2 * MAX_REQUESTS
# A client that reads nothing for this long counts as gone.
STALLED_MS = 60_000
# A request's objects are freed by reference counting; the default search for cycles every 700 allocations finds
# nothing.
GARBAGE_EVERY = 20_000


def settle() -> None:
    """Exclude long-lived objects (modules, routes, schemas) from garbage collection before serving."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE_EVERY)


def application() -> FastAPI:
    """The application of one process."""
    settings = get_settings()
    setup_logging(settings.log_level, service="api")
    app = create_app(settings)
    settle()
    return app


def main() -> int:
    """Serve; the exit status is for the shell."""
    settings = get_settings()
    setup_logging(settings.log_level, service="api")
    if found := startup_checks.faults(settings, startup_checks.API):
        sys.stderr.write(startup_checks.report(found))
        return 2
    if not settings.database_url.get_secret_value():
        sys.stderr.write("DELIVERY_DATABASE_URL is not set: it names the database; `make up` sets it\n")
        return 2
    try:
        await_schema(settings.database_url.get_secret_value(), settings.schema_wait_s)
    except DependencyError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    several = settings.api_processes > 1
    config = uvicorn.Config(
        "api.__main__:application" if several else application(),
        factory=several,
        workers=settings.api_processes,
        host=settings.api_host,
        port=settings.api_port,
        loop="uvloop",
        http=EnvelopedHttp,
        ws="none",
        log_config=None,
        # Trusted proxies are our own setting (api/http/client_ip.py).
        proxy_headers=False,
        # RequestContext logs requests, without query strings and headers.
        access_log=False,
        server_header=False,
        limit_concurrency=MAX_CONNECTIONS,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    listener = config.bind_socket()
    if hasattr(socket, "TCP_USER_TIMEOUT"):  # Linux; connections inherit it
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_MS)
    if several:
        Multiprocess(config, sockets=[listener]).run()
    else:
        uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main())
