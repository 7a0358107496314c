"""Logs on the real stack: a build followed while it runs, a service's over its restarts, its deaths and its end."""

import asyncio
import json

import httpx2
import pytest

from domain.log_lines import CUT, MAX_LINE
from examples.client import Api
from tests.api.test_followed_logs import events_of
from tests.support.waiting import until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

VALUE = "leaked-value-of-a-service-2f9c1d"
SERVICE = """\
import os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        print("asked for", self.path, os.environ["LEAKED"], flush=True)
        if self.path == "/die":
            os._exit(3)
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass

print("began", flush=True)
sys.stdout.buffer.write(b"odd \\xff\\x00 bytes\\n" + b"w" * 60_000 + b"\\n")
sys.stdout.flush()
HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
SPEC = {
    "build": {"steps": ["echo one; sleep 4; echo two"], "output": "."},
    "service": {"command": "exec python3 -u service.py", "secrets": ["LEAKED"]},
}


def texts(api: Api, deployment_id: str, query: str = "limit=5000") -> list[str]:
    return [line["text"] for line in api.call("GET", f"/deployments/{deployment_id}/logs?{query}")["lines"]]


async def followed(api: Api, path: str, **options) -> list[dict]:
    """The events of a log until its end."""
    async with httpx2.AsyncClient(headers=dict(api._http.headers), timeout=300, trust_env=False) as http:
        answer = await http.get(f"{api.root}/v1{path}", **options)
    assert answer.status_code == 200, answer.text
    return [
        {**json.loads(each["data"]), "event": each["event"], "id": each.get("id")} for each in events_of(answer.text)
    ]


async def running_build(app, api: Api) -> dict:
    """The one that is made now."""

    found: list[dict] = []

    def running() -> bool:
        answer = api.raw("GET", f"/v1/features/{app.feature['id']}/builds?status=running")
        found[:] = answer.json()["data"]
        return bool(found)

    await until(running)
    return found[0]


async def test_logs_from_the_build_to_the_end_of_what_runs(platform):
    app, api = platform.app("talks"), platform.api
    secret = {"name": "LEAKED", "kind": "service_env", "value": VALUE}
    api.call("POST", f"/projects/{app.project['id']}/secrets", secret)
    begun = await asyncio.to_thread(app.begin, files={"service.py": SERVICE}, spec=SPEC)
    operation, first = begun.accepted.operation_id, begun.accepted.deployment_id
    build = await running_build(app, api)
    assert (build["version_tag"], build["git_commit_hash"], build["completed_at"]) == (
        begun.version,
        begun.commit,
        None,
    )
    for path, status in ((f"/builds/{build['id']}", "success"), (f"/operations/{operation}", "completed")):
        heard = await followed(api, f"{path}/logs?follow=true&step=build")
        assert [line["text"] for each in heard[:-1] for line in each["lines"]][-2:] == ["one", "two"]
        assert (heard[-1]["event"], heard[-1]["status"]) == ("end", status)
    done = api.build(build["id"])
    assert (done["status"], done["artifact_size_bytes"] > 0) == ("success", True)
    assert done["duration_seconds"] >= 2
    deployment = api.deployment(first)
    assert (deployment["build_id"], deployment["git_commit_hash"]) == (build["id"], begun.commit)

    assert texts(api, first)[0] == "began"
    assert texts(api, first)[1:3] == ["odd \ufffd\ufffd bytes", "w" * MAX_LINE + CUT]
    assert app.service.get("/hello").status_code == 200
    app.service.get("/die")
    await until(lambda: texts(api, first).count("began") == 2, 120)
    lines = texts(api, first)
    assert "asked for /hello ***" in lines
    assert "asked for /die ***" in lines
    assert [line for line in lines if line.startswith("[shim] ended (exited, code 3)")]
    assert VALUE not in json.dumps(lines)

    following = asyncio.create_task(followed(api, f"/deployments/{first}/logs?follow=true&limit=5000"))
    await until(lambda: app.service.get("/last").status_code == 200)
    second = await asyncio.to_thread(app.ship_good, files={"service.py": SERVICE}, spec=SPEC)
    events = await asyncio.wait_for(following, 240)
    assert (events[-1]["event"], events[-1]["status"]) == ("end", "success")
    assert any(line["text"] == "asked for /last ***" for each in events[:-1] for line in each["lines"])
    assert "asked for /die ***" in texts(api, first), "the end of its log is kept"
    assert texts(api, second.deployment["id"])[0] == "began"


@pytest.mark.deep
async def test_a_build_that_is_cancelled_while_it_is_followed(platform):
    app, api = platform.app("given-up"), platform.api
    begun = await asyncio.to_thread(app.begin, spec={"build": {"steps": ["echo begun; sleep 300"]}})
    build = await running_build(app, api)
    following = asyncio.create_task(followed(api, f"/builds/{build['id']}/logs?follow=true"))
    await until(lambda: "begun" in api.raw("GET", f"/v1/builds/{build['id']}/logs").text.splitlines())
    api.call("POST", f"/operations/{begun.accepted.operation_id}/cancel", {"reason": "not wanted"})
    events = await asyncio.wait_for(following, 240)
    assert "begun" in [line["text"] for each in events[:-1] for line in each["lines"]]
    assert (events[-1]["event"], events[-1]["status"]) == ("end", "cancelled")
    assert api.build(build["id"])["status"] == "cancelled"
