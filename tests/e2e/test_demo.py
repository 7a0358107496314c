import os
import subprocess
import sys

import pytest

from examples.embedded import ROOT

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(400)]


@pytest.mark.deep
def test_the_demo_runs_on_a_stack_that_is_up_and_leaves_it_up(platform):
    done = subprocess.run(
        [sys.executable, "-m", "examples.demo"],
        cwd=ROOT,
        env={**os.environ, "DELIVERY_DATA_DIR": str(platform.stack.data_dir)},
        capture_output=True,
        text=True,
        timeout=360,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "using the one that already runs" in done.stdout
    assert "none lost" in done.stdout
    assert "caught by the evidence" in done.stdout
    assert platform.stack.addresses["temporal_ui"] in done.stdout
    assert platform.api.raw("GET", "/health").status_code == 200
