"""The contract's chapter on client SDKs: what they are called, and its example, word for word."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import httpx2
import yaml

from domain.permissions import Role
from events.signing import PREFIX, signatures
from runtime.ids import new_id
from tests.contract.parsing import block_after, json_after

SDKS = Path(__file__).resolve().parents[2] / "sdks"


def test_the_sdks_are_called_as_the_contract_says():
    told = yaml.safe_load(block_after("SDK Support"))["Installation"]
    python, typescript, go = re.findall(r"(?:pip install|npm install|go get) (\S+)", str(told))
    assert tomllib.loads((SDKS / "python" / "pyproject.toml").read_text())["project"]["name"] == python
    assert json.loads((SDKS / "typescript" / "package.json").read_text())["name"] == typescript
    for module in SDKS.glob("go/go.mod"):
        assert module.read_text().startswith(f"module {go}\n")


async def test_the_python_example_runs_as_it_stands(served, caller, world, build_of):
    """But for its ids, its key, its address and its `[...]`."""
    build = await build_of(world, "6.1.0", live=False)
    admin = caller(Role.ADMIN, world.org["id"])
    scopes = ["projects:read", "features:write", "deployments:read", "deployments:write"]
    key = (await admin.made(f"/organizations/{world.org['id']}/api-keys", {"name": "sdk", "scopes": scopes}))["key"]
    code = block_after("Python SDK Example")
    filled = {
        "https://api.example.com/v1": f"{served}/v1",
        "sk-...": key,
        "org-uuid-1": world.org["id"],
        "proj-uuid-1": world.project["id"],
        "feat-uuid-1": world.feature["id"],
        "build-uuid-1": build["build_id"],
        "[...]": '["It has a test"]',
    }
    for word, value in filled.items():
        assert word in code
        code = code.replace(word, value)
    seen = {}

    def run():
        try:
            exec(compile(code, "the contract's example", "exec"), seen)  # noqa: S102 - it is the contract's
        finally:
            seen["client"].close()

    await asyncio.to_thread(run)
    assert world.project["id"] in [project.id for project in seen["projects"].data]
    assert (seen["requirement"].title, seen["requirement"].status) == ("New Feature", "draft")
    assert (seen["build"].version_tag, seen["build"].git_commit_hash) == ("1.2.0", "abc123")
    assert seen["deployment"].request_approval
    assert (seen["deployment"].build_id, seen["deployment"].environment) == (build["build_id"], "production")


def example(name, *arguments, **environment):
    command = [sys.executable, SDKS / "python" / "examples" / name, *arguments]
    known = {**os.environ, "PYTHONPATH": str(SDKS / "python" / "src"), **environment}
    return subprocess.Popen(command, env=known, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


async def test_the_examples_of_the_python_sdk_run(served, caller, world, build_of):
    build = await build_of(world, "6.2.0")
    admin = caller(Role.ADMIN, world.org["id"])
    body = {"name": "examples", "scopes": ["projects:read", "features:read", "deployments:read", "operations:read"]}
    made = await admin.made(f"/organizations/{world.org['id']}/api-keys", body)
    environment = {"AI_AGENTS_BASE_URL": served, "AI_AGENTS_API_KEY": made["key"]}
    for name, argument, words in (
        ("projects.py", world.org["id"], f"  {world.requirement['title']}: draft\n"),
        ("projects.py", str(new_id()), "projects.list: "),
        ("build_and_deploy.py", build["operation_id"], "6.2.0 is success in dev\n"),
    ):
        with example(name, argument, **environment) as running:
            told, _ = await asyncio.to_thread(running.communicate, timeout=120)
        assert words in told


def test_the_example_that_receives_webhooks_knows_ours(free_port):
    port, secret = free_port(), PREFIX + "c2VjcmV0"
    body = json.dumps({**json_after("Webhook Request Format"), "event_id": str(new_id())}).encode()
    good = signatures([secret], new_id(), int(time.time()), body)
    with example("webhook_receiver.py", str(port), WEBHOOK_SECRET=secret) as running:
        with httpx2.Client(transport=httpx2.HTTPTransport(retries=8)) as http:
            answers = [http.post(f"http://127.0.0.1:{port}", content=one, headers=good) for one in (body, body + b" ")]
        assert running.stdout.readline().startswith("deployment.completed ")
        running.terminate()
    assert [answer.status_code for answer in answers] == [204, 400]
