"""Schemathesis, all its checks, against the served API: examples, boundaries, random requests, sequences of them."""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.scene import known_ids, schema_with
from tests.support.deep import by_depth

HERE = Path(__file__).resolve().parent
# Of each operation: random requests, beside the examples and every boundary of every field.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "5"))
# Every example; the whole run adds every boundary of every field, random requests and sequences of them.
PHASES = by_depth(short="examples", long="examples,coverage,fuzzing,stateful")
SEED = "20241026"
LIMIT_S = 900.0


async def at_once(snapshot: Any, seconds: float) -> Any:
    return snapshot


@pytest.mark.shortened
@pytest.mark.timeout(LIMIT_S + 60)
async def test_nothing_that_schemathesis_tries_breaks_the_contract(
    *, served, app, platform, world, build_of, rows, operations, tmp_path, monkeypatch, capsys
):
    # Nobody plays the worker here: rollbacks and long polls wait for nothing.
    monkeypatch.setattr("api.services.deployments.rollback.ANSWER_WITHIN_S", 0.05)
    monkeypatch.setattr("api.routes.operations.FOLLOW_LIMIT_S", 0.05)
    monkeypatch.setattr(app.state.parts.watch, "until_changed", at_once)
    ids = await known_ids(platform, world, build_of, rows)
    schema = tmp_path / "openapi.json"
    schema.write_text(json.dumps(schema_with(app.openapi(), ids)))
    command = ("--config-file", HERE / "schemathesis.toml", "run", schema, "--url", f"{served}/v1")
    options = ("--seed", SEED, "--max-examples", str(EXAMPLES), "--phases", PHASES)
    options = (*options, "--header", f"Authorization: Bearer {platform.token}")
    environment = {**os.environ, "KNOWN_IDS": json.dumps(ids)}
    environment["PYTHONPATH"] = str(HERE.parents[1])
    with (tmp_path / "output").open("w+b") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "schemathesis.cli",
            *command,
            *options,
            env=environment,
            cwd=tmp_path,
            stdout=output,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(LIMIT_S):
                await process.wait()
        finally:
            text = (tmp_path / "output").read_text()
            with capsys.disabled():
                sys.stdout.write(text[text.rfind("SUMMARY") :] if process.returncode == 0 else text)
            if process.returncode is None:
                process.kill()
    assert process.returncode == 0, "see above"
