from pathlib import Path

import pytest


@pytest.fixture
def state(tmp_path: Path) -> Path:
    folder = tmp_path / "a path with spaces"
    folder.mkdir()
    return folder / "state"
