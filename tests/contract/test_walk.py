"""docs/api.md, executed: its commands in a shell with curl, their output compared with what it shows."""

import asyncio
import json
import os
import re
import shutil
import sys
from pathlib import Path

import pytest

from tests.contract.comparing import differences
from tests.contract.later import ENDPOINTS
from tests.contract.parsing import endpoints
from tests.support.deep import by_depth

HERE = Path(__file__).resolve().parent
PAGE = (HERE.parents[1] / "docs" / "api.md").read_text()
MARK = "--- end of block ---"
LIMIT_S = 240
# A command, and if it is shown, what it answers.
STEPS = re.findall(r"```sh\n(.*?)```(?:\n+```json\n(.*?)```)?", PAGE, re.DOTALL)


@pytest.fixture
def path(tmp_path) -> str:
    """PATH, with a curl of ours at its end and the `python3` of this environment at its beginning."""
    for name, folder, text in (
        ("python3", "first", f'exec "{sys.executable}" "$@"'),
        ("curl", "last", f'exec "{sys.executable}" "{HERE / "curl.py"}" "$@"'),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / folder / name).chmod(0o755)
    return os.pathsep.join([str(tmp_path / "first"), os.environ["PATH"], str(tmp_path / "last")])


async def run(script: str, environment: dict[str, str], cwd: Path) -> list[str]:
    """What each block of a script prints."""
    shell = shutil.which("bash") or "sh"
    process = await asyncio.create_subprocess_exec(
        shell, "-eu", "-c", script, cwd=cwd, env=environment, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(LIMIT_S):
        output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()
    return output.decode().split(MARK)


@pytest.mark.shortened
async def test_the_page_works_as_it_stands(*, served, platform, operations, path, tmp_path, monkeypatch):
    monkeypatch.setattr("api.services.deployments.rollback.ANSWER_WITHIN_S", 0.05)  # nobody plays the worker here
    environment = {"PATH": path, "API": f"{served}/v1", "TOKEN": platform.token, "NO_PROXY": "*", "HOME": str(tmp_path)}
    for _ in range(by_depth(short=1, long=2)):
        await walk(environment, tmp_path)


async def walk(environment: dict[str, str], cwd: Path) -> None:
    script = "".join(f"{command}\necho '{MARK}'\n" for command, _ in STEPS)
    printed = await run(script, environment, cwd)
    shown = 0
    for (command, expected), actual in zip(STEPS, printed, strict=False):
        if expected:
            assert differences(json.loads(expected), json.loads(actual)) == [], command
            shown += 1
    assert shown >= 18


async def test_our_own_curl_does_as_well(served, platform, tmp_path):
    command = f'"{sys.executable}" "{HERE / "curl.py"}" -sS "$API/organizations?page_size=1" -H "$AUTH"'
    environment = {"API": f"{served}/v1", "AUTH": f"Authorization: Bearer {platform.token}"}
    environment |= {"PATH": os.environ["PATH"], "PYTHONPATH": str(HERE.parents[1])}
    [printed] = await run(command, environment, tmp_path)
    assert json.loads(printed)["pagination"]["page_size"] == 1


def test_the_page_walks_through_every_endpoint_of_the_contract():
    commands = "\n".join(command for command, _ in STEPS)
    for endpoint in endpoints():
        if endpoint.name in ENDPOINTS:
            continue
        where = re.sub(r":\w+", r"\\$\\w+", re.escape(endpoint.name.split()[1]).replace(r"\:", ":"))
        method = "" if endpoint.method == "GET" else f"-X {endpoint.method} "
        assert re.search(rf'curl -sS {method}"\$API{where}["?]', commands), endpoint.name


def test_every_example_request_of_the_contract_stands_on_the_page():
    page = PAGE.replace("-'\"$run\"'", "")
    bodies = [json.loads(found) for found in re.findall(r"-d '(\{.*?\})'", page, re.DOTALL)]
    for endpoint in endpoints():
        if endpoint.request is not None and endpoint.request.body is not None:
            assert endpoint.request.body in bodies, endpoint.name
