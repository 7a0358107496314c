"""What services and their clients meet at the ingress of the real stack."""

import http.client
import json
import time
from urllib.parse import urlsplit

import pytest

from tests.support.platform import UNWELL

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

APP = """
import asyncio, json, os

async def serve(reader, writer):
    head = (await reader.readuntil(b"\\r\\n\\r\\n")).decode().split("\\r\\n")
    headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in head[1:] if line)}
    await reader.readexactly(int(headers.get("content-length", 0)))
    known = headers.get("host", "").split(":")[0] == os.environ["ALLOWED_HOST"]
    body = json.dumps({"path": head[0].split(" ")[1], "proto": headers.get("x-forwarded-proto")}).encode()
    status = "200 OK" if known else "400 Bad Request"
    writer.write(f"HTTP/1.1 {status}\\r\\ncontent-length: {len(body)}\\r\\n\\r\\n".encode() + body)
    await writer.drain()
    await asyncio.sleep(0.01)
    writer.close()  # without having said so

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(os.environ["PORT"]))
    await server.serve_forever()

asyncio.run(main())
"""


def ask(app, method: str, path: str, **headers: str) -> tuple[int, dict[str, str]]:
    connection = http.client.HTTPConnection(urlsplit(app.service.dial).netloc, timeout=60)
    body = b"{}" if method == "POST" else None
    connection.putrequest(method, path, skip_host=True)
    for name, value in {"host": app.service.host, **headers, **({"content-length": "2"} if body else {})}.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    return answer.status, json.loads(text)


def test_allowed_hosts_forwarded_proto_paths_and_a_server_that_closes_idle_connections(platform):
    """A service that knows its own host only and closes each connection 10 ms after its answer."""
    app = platform.app("ingress")
    service = {
        "command": "exec python3 closing.py",
        "env": {"ALLOWED_HOST": app.service.host.split(":")[0]},
        "health": {"path": "/health?full=1", "interval": 0.1},
    }
    shipped = app.ship(spec={"service": service, "build": None}, files={"closing.py": APP})
    assert shipped.deployment["status"] == "success", shipped.operation
    for number in range(120):
        method = "POST" if number % 2 else "GET"
        status, seen = ask(app, method, f"/api/queues/%2F//{number}", **{"x-forwarded-proto": "https"})
        assert (status, seen) == (200, {"path": f"/api/queues/%2F//{number}", "proto": "https"})
        time.sleep(0.001 * (number % 15))


@pytest.mark.deep
def test_a_health_host_of_ones_own(platform):
    app = platform.app("health-host")
    spec = {"command": "exec python3 closing.py", "env": {"ALLOWED_HOST": "shop.example.com"}}
    spec["health"] = {"path": "/", **UNWELL["service"]["health"]}
    refused = app.ship(spec={"service": spec, "build": None}, files={"closing.py": APP})
    assert refused.error["code"] == "INSTANCE_UNHEALTHY"
    assert "400" in refused.error["message"]
    spec["health"] = {"path": "/", "host": "shop.example.com"}
    shipped = app.ship(spec={"service": spec, "build": None}, files={"closing.py": APP})
    assert shipped.deployment["status"] == "success", shipped.operation
