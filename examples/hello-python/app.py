"""The hello service: answers with its version, release and instance. Standard library only.

GET /            a page for people GET /version     the same as JSON GET /healthz     200 when it can take traffic GET
/slow?ms=50  answers after so many milliseconds (at most 30,000)

Listens on 127.0.0.1:$PORT. SIGTERM: stops accepting, finishes what runs, exits 0.
"""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

from faults import Fault, parse_fault
from http_server import BadRequestError, Request, Response, Server
from page import hue_of, render_page

HERE = Path(__file__).resolve().parent
STOP_SECONDS = 4.0
MAX_SLOW_MS = 30_000


def read_release() -> dict[str, str]:
    """Facts baked in by the build; when run from the sources, the files that it would bake."""
    baked = HERE / "release.json"
    if baked.exists():
        release: dict[str, str] = json.loads(baked.read_text())
        return release
    return {"version": (HERE / "VERSION").read_text().strip(), "fault": (HERE / "FAULT").read_text().strip()}


class Hello:
    """The pages. `facts` are version, release, pid, colour and fault."""

    def __init__(self, version: str, fault: Fault, fault_text: str) -> None:
        self._fault = fault
        self._requests = 0
        self._first = 0.0
        facts: dict[str, str | int] = {
            "version": version,
            "release": os.environ.get("DELIVERY_RELEASE", "local"),
            "pid": os.getpid(),
            "colour": f"hsl({hue_of(version)} 70% 32%)",
            "fault": fault_text,
        }
        headers = (("x-version", version), ("cache-control", "no-store"))
        self._page = Response(render_page(facts), 200, "text/html; charset=utf-8", headers)
        self._facts = Response(json.dumps(facts).encode() + b"\n", 200, "application/json", headers)

    async def answer(self, request: Request) -> Response:
        """Route one request."""
        if request.path == "/healthz":
            return self._health()
        if request.method not in ("GET", "HEAD"):
            return Response(b"only GET and HEAD here\n", 405, headers=(("allow", "GET, HEAD"),))
        self._requests += 1
        self._first = self._first or time.monotonic()
        if time.monotonic() - self._first >= self._fault.after and self._fault.breaks_request(self._requests):
            status = 404 if self._fault.kind == "missing" else 500
            return Response(b"broken on purpose by the fault switch\n", status)
        if self._fault.kind == "slow":
            await asyncio.sleep(self._fault.amount / 1000)
        if request.path == "/":
            return self._page
        if request.path == "/version":
            return self._facts
        if request.path == "/slow":
            return await _slow(request)
        return Response(b"nothing here; try /, /version, /healthz or /slow?ms=50\n", 404)

    def _health(self) -> Response:
        if self._fault.kind == "unhealthy":
            return Response(b"unhealthy: the fault switch says so\n", 500)
        return Response(b"ok\n")


async def _slow(request: Request) -> Response:
    text = request.query.get("ms", "100")
    if not text.isdecimal() or int(text) > MAX_SLOW_MS:
        raise BadRequestError(400, f"ms must be a whole number up to {MAX_SLOW_MS}")
    await asyncio.sleep(int(text) / 1000)
    return Response(f"waited {int(text)} ms\n".encode())


async def serve(port: int, fault: Fault, hello: Hello) -> None:
    """Run until SIGTERM or SIGINT, then finish running requests."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    server = Server(hello.answer)
    if fault.kind == "slow-start":
        await asyncio.sleep(fault.amount)
    if fault.kind == "never-listens":
        print("running, but listening nowhere: the fault switch says so", flush=True)
    else:
        port = await server.start("127.0.0.1", 0 if fault.kind == "wrong-port" else port)
        print(f"listening on 127.0.0.1:{port}", flush=True)
    await stop.wait()
    print("stopping: finishing the requests in flight", flush=True)
    await server.stop(STOP_SECONDS)


def main() -> int:
    """Start; 2 for an invalid environment, 3 for the crash switch."""
    release = read_release()
    text = os.environ.get("FAULT") or release["fault"] or "none"
    try:
        port, fault = int(os.environ["PORT"]), parse_fault(text)
    except (KeyError, ValueError) as error:
        print(f"cannot start: {error!r}; PORT must be a number and FAULT a known switch", file=sys.stderr)
        return 2
    print(f"hello {release['version']} starting with fault switch {text}", flush=True)
    if fault.kind == "crash":
        print("crashing on purpose: the fault switch says so", file=sys.stderr)
        return 3
    asyncio.run(serve(port, fault, Hello(release["version"], fault, text)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
