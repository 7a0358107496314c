"""The service that the target tests run."""

import asyncio
import http.client
import json
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from drivers.targets.base import InstanceSpec, InstanceStatus
from drivers.targets.process import ProcessTarget

SERVICE = """
import json, os, signal, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = json.dumps({"env": dict(os.environ), "pid": os.getpid(), "cwd": os.getcwd()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

def leave(*_):
    print("asked to leave", flush=True)
    with open("left", "w"): pass
    os._exit(0)

signal.signal(signal.SIGTERM, leave)
port = int(os.environ["PORT"]) + int(os.environ.get("OFFSET", 0))
server = HTTPServer((os.environ.get("ADDRESS", "127.0.0.1"), port), Handler)
print("serving", flush=True)
server.serve_forever()
"""


@dataclass(frozen=True)
class Service:
    target: ProcessTarget
    root: Path
    digest: str
    sockets: Path

    def spec(self, instance_id: str = "r1-0", **changes: Any) -> InstanceSpec:
        values = {
            "instance_id": instance_id,
            "release_id": instance_id.split("-", maxsplit=1)[0],
            "artifact_digest": self.digest,
            "command": "python3 service.py",
        }
        return InstanceSpec(**(values | changes))

    async def listening(self, spec: InstanceSpec) -> InstanceStatus:
        """Started, and seen to listen."""
        await self.target.start(spec)
        return await self.seen(spec.instance_id, "listening")

    async def seen(self, instance_id: str, attribute: str, value: object = True) -> InstanceStatus:
        """Waits until the target reports it."""
        async with asyncio.timeout(120):
            while getattr(now := await self.target.inspect(instance_id), attribute) != value:  # noqa: ASYNC110 - polled
                await asyncio.sleep(0.03)
        return now

    async def restarted(self, instance_id: str = "r1-0") -> InstanceStatus:
        """Waits until it was started again, once or more often."""
        async with asyncio.timeout(120):
            while (now := await self.target.inspect(instance_id)).restarts < 1:  # noqa: ASYNC110 - polled
                await asyncio.sleep(0.03)
        return now


def dial(status: InstanceStatus) -> socket.socket:
    """As the router does."""
    if not status.address.startswith("/"):
        return socket.create_connection((status.address, status.port), timeout=60)
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(60)
    try:
        made.connect(status.address)
    except OSError:
        made.close()
        raise
    return made


def ask(status: InstanceStatus) -> dict[str, Any]:
    with dial(status) as sock:
        sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
        answer = http.client.HTTPResponse(sock)
        answer.begin()
        return dict(json.loads(answer.read()))
