"""Schemathesis, all its checks, against the served API: examples, boundaries, random requests, sequences of them."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from tests.fuzz.scene import known_ids, schema_with

HERE = Path(__file__).resolve().parent
# Of each operation: random requests, beside the examples and every boundary of every field.
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "10"))
SEED = "20241026"
LIMIT_S = 180


@pytest.mark.timeout(LIMIT_S + 60)
async def test_nothing_that_schemathesis_tries_breaks_the_contract(
    *, served, app, platform, world, build_of, operations, tmp_path
):
    ids = await known_ids(world, build_of)
    schema = tmp_path / "openapi.json"
    schema.write_text(json.dumps(schema_with(app.openapi(), ids)))
    command = ("--config-file", HERE / "schemathesis.toml", "run", schema, "--url", f"{served}/v1")
    options = ("--seed", SEED, "--max-examples", str(EXAMPLES), "--header", f"Authorization: Bearer {platform.token}")
    environment = {**os.environ, "KNOWN_IDS": json.dumps(ids)}
    environment["PYTHONPATH"] = str(HERE.parents[1])
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "schemathesis.cli",
        *command,
        *options,
        env=environment,
        cwd=tmp_path,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(LIMIT_S):
        output, _ = await process.communicate()
    text = output.decode()
    sys.stdout.write(text)
    assert process.returncode == 0, text[-8000:]
