"""A planted secret and a planted git token do their work on the real stack, and are found nowhere else."""

import hashlib

import pytest
from temporalio.client import Client

from examples.repository import ServiceRepository
from tests.drivers.sources.git_server import Seen, serve_repositories
from tests.support.planted import Needles, Onlooker, holding
from tests.support.platform import App

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]

VALUE = "p1anted-value-of-a-service-7f3a9c"
TOKEN = "p1anted-token-of-git-51be02"
NAME = "PLANTED_DATABASE_URL"
# Proves that it has the secret without telling it.
SERVICE = f"""\
import hashlib, os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        body = hashlib.sha256(os.environ["{NAME}"].encode()).hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""
SPEC = {
    "build": {"steps": ["env | sort > build-env.txt"], "output": "."},
    "service": {"command": "exec python3 proof.py", "secrets": [NAME]},
}


@pytest.fixture
def app(platform):
    """An application whose repository opens with the token alone."""
    repository = ServiceRepository(platform._repositories / "locked", "hello-python")
    with serve_repositories(platform._repositories, credential=f"x-access-token:{TOKEN}", seen=Seen()) as base:
        yield App(platform, "locked", repository, f"{base}/locked/.git")


async def test_planted_secrets_are_used_and_found_nowhere(platform, app, records):
    needles = Needles(VALUE, TOKEN, f"x-access-token:{TOKEN}")
    files = {"proof.py": SERVICE}
    with Onlooker(needles) as onlooker:
        locked = app.ship(spec=SPEC, files=files)
        assert locked.error["code"] == "SOURCE_NOT_FOUND", locked.error
        token = _secret(app, "GIT_TOKEN", TOKEN, "git_https_token")
        missing = app.ship(spec=SPEC, files=files)
        assert missing.error["code"] == "SECRET_MISSING", missing.error
        assert NAME in missing.error["message"]
        assert records.all("SELECT id FROM releases WHERE deployment_id = %s", missing.deployment["id"]) == []
        _secret(app, NAME, VALUE, "service_env")
        shipped = app.ship_good(spec=SPEC, files=files)
    assert app.service.get("/").text == hashlib.sha256(VALUE.encode()).hexdigest()
    assert token["host"].startswith("127.0.0.1:")

    assert onlooker.looks > 10
    assert (onlooker.command_lines, onlooker.environments) == (set(), set())
    [folder] = (platform.stack.data_dir / "instances").glob(f"{shipped.deployment['id']}-0")
    built_with = (folder / "app" / "build-env.txt").read_text()
    assert "PATH=" in built_with
    assert NAME not in built_with
    assert [line for line in built_with.splitlines() if line.startswith("DELIVERY_")] == [
        line for line in built_with.splitlines() if line.startswith("DELIVERY_SHIM=")
    ]

    kept = [platform.stack.data_dir, records.postgres_data]
    assert holding(NAME, kept), "the database's files are searched"
    assert any("temporal" in path.name for path in holding(shipped.operation["operation_id"], kept))
    assert needles.files(kept) == []
    for operation in (locked.operation, missing.operation, shipped.operation):
        assert not needles.within(await _history(platform, records.workflow_of(operation["operation_id"])))
    assert not needles.within(_answers(app, shipped))


def _secret(app, name, value, kind):
    body = {"name": name, "kind": kind, "value": value}
    return app.api.call("POST", f"/projects/{app.project['id']}/secrets", body)


async def _history(platform, workflow_id) -> bytes:
    client = await Client.connect(platform.stack.addresses["temporal"])
    history = await client.get_workflow_handle(workflow_id).fetch_history()
    events = b"".join(event.SerializeToString() for event in history.events)
    assert workflow_id.encode() in events
    return events


def _answers(app, shipped) -> bytes:
    project, operation = app.project["id"], shipped.operation["operation_id"]
    paths = (
        f"/projects/{project}",
        f"/projects/{project}/secrets",
        f"/projects/{project}/environments/dev",
        f"/projects/{project}/deployments",
        f"/deployments/{shipped.deployment['id']}",
        f"/builds/{shipped.deployment['build_id']}",
        f"/operations/{operation}",
        f"/operations/{operation}/logs",
    )
    answers = [app.api.raw("GET", f"/v1{path}") for path in paths]
    assert {answer.status_code for answer in answers} == {200}
    return b"".join(answer.content for answer in answers)
